"""Checks: what must hold of a world's state, as jobs in YAML say it.

{at: "processes.4107", is: absent}
{at: "files[/var/log/app.log].text", is: equals, value: ""}
{at: "tables.sessions.rows", where: {stale: 1}, is: count, value: 0}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from overt.data.json_types import Json, JsonObject
from overt.data.yaml.schema import Filled, Schema, fault
from overt.data.yaml.values import Ambiguous, Empty, Real, Text, Whole

# A step of a path: a name between dots, or anything between brackets.
_STEP = re.compile(r"\[([^\[\]]+)\]|\.?([^.\[\]]+)")
_ABSENT = object()


def plain(value: object) -> Any:
    """A value of a YAML file as plain JSON data. A number with two readings (0644) stays a text."""
    if isinstance(value, Empty):
        return None
    if isinstance(value, Ambiguous):
        return value.node.text
    if isinstance(value, Text):
        return str.__str__(value)
    if isinstance(value, Whole):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str.__str__(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value


Data = Annotated[Any, AfterValidator(plain)]
DataMap = Annotated[dict[str, Any], AfterValidator(plain)]


def steps_of(path: str) -> tuple[str, ...]:
    """The steps of a path.

    Raises:
        ValueError: it is no path.
    """
    found, place = [], 0
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            raise ValueError(f"{path!r} is no path at character {place + 1}")
        found.append(match[1] or match[2])
        place = match.end()
    return tuple(found)


def _path(path: str) -> str:
    try:
        steps_of(path)
    except ValueError as error:
        fault(str(error), "write names with dots, and [names with dots or slashes] in brackets")
    return path


class Check(Schema):
    """One fact about a world's state. Of a place that does not exist only `absent` holds."""

    at: Annotated[Filled, AfterValidator(_path)] = Field(
        description="Where to look: names with dots; a name that holds dots or slashes in [brackets].",
        examples=["processes.4107"],
    )
    is_: Literal[
        "present", "absent", "equals", "differs", "contains", "lacks", "count", "at_least", "at_most"
    ] = Field(alias="is", description="What must hold of it.", examples=["absent"])
    value: Data = Field(None, description="What it is held against: a text, a number, a list.")
    where: DataMap = Field(
        {}, description="Looks only at the entries of a list or mapping that have these values."
    )

    @model_validator(mode="after")
    def _has_value(self) -> Check:
        if (self.is_ in ("present", "absent")) == self.names("value"):
            wants = "takes no value" if self.names("value") else "needs a value"
            fault(f"`is: {self.is_}` {wants}", at=("value",) if self.names("value") else ())
        if self.is_ in ("count", "at_least", "at_most") and not _is_number(self.value):
            fault("a count is a number; found {found}", at=("value",))
        return self

    def holds(self, state: JsonObject) -> bool:
        """Whether it holds of a world's state."""
        found = _found(state, steps_of(self.at))
        if self.where and found is not _ABSENT:
            found = _chosen(found, self.where)
            if self.is_ in ("present", "absent"):
                return bool(found) == (self.is_ == "present")
        if found is _ABSENT or self.is_ in ("present", "absent"):
            return (found is _ABSENT) == (self.is_ == "absent")
        return _compared(self.is_, found, self.value)

    def __str__(self) -> str:
        where = "".join(f" with {key} {value}" for key, value in self.where.items())
        value = f" {self.value!r}" if self.names("value") else ""
        return f"{self.at}{where} {self.is_}{value}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _found(state: object, steps: Sequence[str]) -> object:
    value = state
    for step in steps:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, (list, tuple)) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value


def _chosen(found: object, where: Mapping[str, Json]) -> list[object]:
    entries = found.values() if isinstance(found, Mapping) else found if isinstance(found, list) else ()
    return [
        entry
        for entry in entries
        if isinstance(entry, Mapping)
        and all(key in entry and entry[key] == value for key, value in where.items())
    ]


def _compared(how: str, found: object, value: object) -> bool:
    if how in ("equals", "differs"):
        return bool(found == value) == (how == "equals")
    if how in ("contains", "lacks"):
        inside = value in found if isinstance(found, (list, tuple, Mapping)) else str(value) in str(found)
        return bool(inside) == (how == "contains")
    if how == "count":
        return isinstance(found, (list, tuple, Mapping, str)) and len(found) == value
    size = len(found) if isinstance(found, (list, tuple, Mapping)) else found
    if not isinstance(size, (int, float)) or not isinstance(value, (int, float)) or isinstance(found, bool):
        return False
    return size >= value if how == "at_least" else size <= value
