"""Writes dataclass records with typed fields as JSON, reads them back, and makes their JSON Schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from overt.data.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from overt.data.json_types import Json

T = TypeVar("T")

# Metadata of a field that is left out of the JSON while it is None.
OMIT_NONE: Mapping[str, bool] = {"omit_none": True}


def to_json(record: object) -> dict[str, Json]:
    """A dataclass record, with nested records, as plain JSON data; tuples become lists.

    Raises:
        TypeError: `record` is not a dataclass, or a value is not JSON.
    """
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"{type(record).__name__} is not a record")
    data: dict[str, Json] = {}
    for field in dataclasses.fields(record):
        value: object = getattr(record, field.name)
        if value is not None or not field.metadata.get("omit_none"):
            data[field.name] = _plain(value)
    return data


def _plain(value: object) -> Json:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_plain(inner) for inner in value]
    return to_json(value)


def from_json(kind: type[T], data: object, *, where: str = "") -> T:
    """Reads a record that `to_json` wrote. Unknown fields, as of a newer version, are ignored.

    Args:
        where: the file of the data, for the error.

    Raises:
        InputError: a field is missing or has the wrong type. The message names the field.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{field}: {first['msg']}",
            where=where,
            fix="The file was changed by hand, or is not one of overt's results.",
        ) from error


def json_schema(kind: type[object]) -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a record as `to_json` writes it."""
    schema: dict[str, Json] = _adapter(kind).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    adapter: TypeAdapter[T] = _ADAPTERS[kind]
    return adapter


_ADAPTERS: dict[type[object], Any] = {}  # a cache of `_adapter`: to make one takes 40 ms
