"""What an answer in JSON has to look like: a frozen dataclass, from which its JSON Schema follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from overt.data.chat import AnswerError
from overt.data.json_types import Json

T = TypeVar("T")

# Asked for as a whole number, read as the text that stands there: models write "2." as well as 2.
Number = Annotated[str, "integer"]


class AnswerForm(Generic[T]):
    """The form of one answer.

    The fields of `record` are texts, `Literal` words, `Number`s, and tuples (lists in JSON) of these or of
    another such record. The schema asks for every field; a field with a default may be missing all the
    same, since a missing reason or style is no ground for another call. Fields that the record does not
    have are dropped. Words are told without regard to case, quotes and full stops.

    Args:
        record: a frozen dataclass.
        words: text field -> the words that it may be, where they are known only at run time.
    """

    def __init__(self, record: type[T], **words: Sequence[str]) -> None:
        self._record, self._words = record, words
        self.schema: dict[str, Json] = _object_schema(record, words)
        names = [name for name, _, _ in _fields(record)]
        self.only_field = names[0] if len(names) == 1 else ""

    def read(self, data: Json) -> T:
        """The record that decoded JSON holds.

        Raises:
            AnswerError: it does not fit, with a reason that can be sent back to the model.
        """
        return _record(data, self._record, "the answer", self._words)


_Fields = tuple[tuple[str, object, bool], ...]
_FIELDS: dict[type, _Fields] = {}  # looked up once for each record: type hints are slow to resolve


def _fields(record: type) -> _Fields:
    """Name, type and whether it must be there, of each field."""
    if record not in _FIELDS:
        hints = get_type_hints(record, include_extras=True)
        _FIELDS[record] = tuple(
            (field.name, hints[field.name], field.default is dataclasses.MISSING)
            for field in dataclasses.fields(record)
        )
    return _FIELDS[record]


def _object_schema(record: type, words: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    properties = {
        name: _words_schema(words[name]) if name in words else _schema(kind)
        for name, kind, _ in _fields(record)
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(kind: object) -> dict[str, Json]:
    if kind is str or kind == Number:
        return {"type": "string" if kind is str else "integer"}
    if get_origin(kind) is Literal:
        return _words_schema(get_args(kind))
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if isinstance(kind, type):
        return _object_schema(kind, {})
    raise TypeError(f"an answer cannot hold {kind!r}")


def _words_schema(words: Sequence[str]) -> dict[str, Json]:
    return {"type": "string", "enum": list(words)}


def _record(data: Json, record: type[T], name: str, words: Mapping[str, Sequence[str]]) -> T:
    if not isinstance(data, dict):
        raise AnswerError(f"{name} must be a JSON object")
    found: dict[str, object] = {}
    for key, kind, is_needed in _fields(record):
        if data.get(key) is None:
            if is_needed:
                raise AnswerError(f"{name} lacks {key!r}")
        elif key in words:
            found[key] = _word(data[key], words[key], f"{key!r}")
        else:
            found[key] = _value(data[key], kind, f"{key!r}")
    return record(**found)


def _value(data: Json, kind: object, name: str) -> object:
    if get_origin(kind) is Literal:
        return _word(data, get_args(kind), name)
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise AnswerError(f"{name} must be a list")
        return tuple(_value(item, get_args(kind)[0], f"an entry of {name}") for item in data)
    if kind is str:
        return _text(data, name)
    if kind == Number:
        return str(data).strip().rstrip(".")
    assert isinstance(kind, type)
    return _record(data, kind, name, {})


def _text(data: Json, name: str) -> str:
    if isinstance(data, (dict, list)):
        raise AnswerError(f"{name} must be a text")
    # The repairer reads the two escapes of an emoji one by one; the surrogate pair is made whole here.
    return str(data).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _word(data: Json, allowed: Sequence[str], name: str) -> str:
    said = _text(data, name).strip().strip("\"'.").casefold()
    for word in allowed:
        if said == word.casefold():
            return word
    raise AnswerError(f"{name} must be one of: {', '.join(allowed)}")
