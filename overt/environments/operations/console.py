"""A console: objects of any kind with named operations, for what is neither shell, database nor cluster.

The start state says all of it, and nothing of a kind stands in code:

    operations:
      queues:                                     # a kind
        purge: {about: Drops all messages., does: [{set: messages, to: 0}]}
        forward: {takes: number, about: ..., needs: [{field: locked, is: false}], does: [{set: lag}]}
    queues:                                       # its objects by name
      orders-dead: {messages: 412, locked: false}

`state()` is the objects by kind, without the operations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.tools import Call, Tool
from overt.data.yaml.schema import Schema
from overt.environments.operations.checks import Data
from overt.environments.operations.world import Thing, a_copy

MOST_PRINTED = 12_000  # characters of one answer
MOST_GIVEN = 2_000  # characters of a value
_LARGEST = 10**9  # of a number that is given or counted


class Effect(Schema):
    """One thing that an operation does; exactly one of set, delete, take, put, add, move."""

    set: str = Field("", description="a field that becomes `to`, or the value given")
    delete: Literal["", "this"] = Field("", description="`this`: the object is no more")
    take: str = Field("", description="a list that the given value is taken out of")
    put: str = Field("", description="a list that the given value is put into")
    add: str = Field("", description="a number that `to` (or the given number) is added to")
    move: str = Field("", description="a number or list that goes to the same field of the object given")
    to: Data = Field(None, description="the new value; without it, the value given")
    each: str = Field("", description="a kind: the effect is on its objects whose `where` names this one")
    where: str = Field("", description="the field of those objects that holds this object's name")

    def kinds_of_effect(self) -> list[str]:
        """Which effects are named: one, in a good file."""
        return [name for name in ("set", "delete", "take", "put", "add", "move") if getattr(self, name)]


class Need(Schema):
    """What must hold of the object before an operation; `says` is the error where it does not."""

    field: str
    equals: Data = Field(..., alias="is")
    says: str = ""


class Operation(Schema):
    """An operation of a kind. `takes`: what its value is; "" where it takes none."""

    about: str
    takes: Literal["", "text", "number", "flag"] = ""
    needs: tuple[Need, ...] = ()
    does: tuple[Effect, ...]


class ConsoleWorld:
    """A console in memory; see `overt.environments.operations.world.World`.

    Args:
        start: the start state: `operations`, and the objects by kind.

    Raises:
        InputError: an operation is not in form.
    """

    def __init__(self, start: Mapping[str, Json]) -> None:
        copied = a_copy(start)
        self._operations = _operations(copied.pop("operations", {}))
        self._objects = copied
        self.tools = _tools([*self._objects])

    def state(self) -> JsonObject:
        return a_copy(self._objects)

    def do(self, call: Call) -> str:
        words = {name: str(value) for name, value in call.arguments.items()}
        try:
            if call.name == "list":
                said = self._listed(words.get("kind", ""))
            elif call.name == "show":
                said = self._shown(words.get("kind", ""), words.get("name", ""))
            else:
                said = self._operated(words)
        except _Wrong as wrong:
            said = f"error: {wrong}"
        return said[:MOST_PRINTED]

    # -- looking --------------------------------------------------------------------------------------

    def _kind(self, kind: str) -> Thing:
        if kind not in self._objects:
            raise _Wrong(f"there is no kind {kind[:60]!r}; there are {', '.join(self._objects)}")
        return self._objects[kind]  # type: ignore[no-any-return]

    def _object(self, kind: str, name: str) -> Thing:
        found = self._kind(kind).get(name)
        if found is None:
            raise _Wrong(f"{kind} has no {name[:60]!r}")
        return found  # type: ignore[no-any-return]

    def _listed(self, kind: str) -> str:
        rows = [f"{name}: {_line(thing)}" for name, thing in self._kind(kind).items()] or ["(none)"]
        known = self._operations.get(kind, {})
        rows += ["", "Operations:" if known else "It has no operations."]
        rows += [f"- {name}{_taken(one)}: {one.about}" for name, one in known.items()]
        return "\n".join(rows)

    def _shown(self, kind: str, name: str) -> str:
        return json.dumps({"name": name, **self._object(kind, name)}, indent=1, ensure_ascii=False)

    # -- acting ---------------------------------------------------------------------------------------

    def _operated(self, words: Mapping[str, str]) -> str:
        kind, name, called = words.get("kind", ""), words.get("name", ""), words.get("operation", "")
        thing = self._object(kind, name)
        operation = self._operations.get(kind, {}).get(called)
        if operation is None:
            known = ", ".join(self._operations.get(kind, {})) or "none"
            raise _Wrong(f"{kind} has no operation {called[:60]!r}; there are {known}")
        given = _given(operation, words.get("value", ""), called)
        for need in operation.needs:
            if thing.get(need.field) != need.equals:
                raise _Wrong(need.says or f"{called} needs {need.field} to be {need.equals}")
        before = a_copy(self._objects)
        try:
            for effect in operation.does:
                self._apply(effect, kind, name, given)
        except _Wrong:
            self._objects = before
            raise
        return f"{called} {name}: ok"

    def _apply(self, effect: Effect, kind: str, name: str, given: Json) -> None:
        if effect.each:
            for other, thing in [*self._kind(effect.each).items()]:
                if name == thing.get(effect.where):
                    self._change(effect, effect.each, other, thing, given)
        elif (thing := self._kind(kind).get(name)) is not None:
            self._change(effect, kind, name, thing, given)

    def _change(self, effect: Effect, kind: str, name: str, thing: Thing, given: Json) -> None:
        """Does one effect to one object.

        Raises:
            _Wrong: what was given does not fit the object.
        """
        value = given if effect.to is None else effect.to
        if effect.delete:
            del self._kind(kind)[name]
        elif effect.set:
            thing[effect.set] = value
        elif effect.put:
            thing[effect.put] = [*thing.get(effect.put, []), value]
        elif effect.take:
            if value not in thing.get(effect.take, []):
                raise _Wrong(f"{name} has no {str(value)[:60]!r} in {effect.take}")
            thing[effect.take] = [one for one in thing[effect.take] if one != value]
        elif effect.add:
            total = thing.get(effect.add, 0) + (value if isinstance(value, (int, float)) else 0)
            thing[effect.add] = max(-_LARGEST, min(_LARGEST, total))
        elif effect.move:
            into = self._object(kind, str(value))
            if into is thing:
                raise _Wrong(f"{name} cannot be moved into itself")
            what = thing.get(effect.move, 0)
            into[effect.move] = into.get(effect.move, type(what)()) + what
            thing[effect.move] = type(what)()


class _Wrong(Exception):
    """A call cannot be done. The text says why."""


def _line(thing: Thing) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in thing.items())


def _taken(operation: Operation) -> str:
    return f" (value: a {operation.takes})" if operation.takes else ""


def _given(operation: Operation, value: str, name: str) -> Json:
    """The value of a call, as the operation takes it.

    Raises:
        _Wrong: it is missing, too much, or of another type.
    """
    if not operation.takes:
        if value:
            raise _Wrong(f"{name} takes no value")
        return None
    if not value or len(value) > MOST_GIVEN:
        raise _Wrong(f"{name} takes a {operation.takes} of at most {MOST_GIVEN} characters as its value")
    if operation.takes == "text":
        return value
    if operation.takes == "flag":
        if value.lower() not in ("true", "false"):
            raise _Wrong(f"{name} takes true or false")
        return value.lower() == "true"
    if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit() or len(value) > 10:
        raise _Wrong(f"{name} takes a whole number of at most {_LARGEST}")
    if abs(int(value)) > _LARGEST:
        raise _Wrong(f"{name} takes a whole number of at most {_LARGEST}")
    return int(value)


def _operations(data: Mapping[str, Mapping[str, Json]]) -> dict[str, dict[str, Operation]]:
    """The operations of each kind.

    Raises:
        InputError: one is not in form, or an effect of it does not do exactly one thing.
    """
    found: dict[str, dict[str, Operation]] = {}
    for kind, each in data.items():
        for name, fields in each.items():
            where = f"operations.{kind}.{name}"
            try:
                operation = Operation.model_validate(fields)
            except ValueError as error:
                raise InputError(f"an operation is not in form: {error}", where=where) from error
            for effect in operation.does:
                if len(effect.kinds_of_effect()) != 1 or bool(effect.each) != bool(effect.where):
                    raise InputError(
                        "an effect does not do exactly one thing",
                        where=where,
                        fix="Name one of set, delete, take, put, add, move; each and where go together.",
                    )
            found.setdefault(kind, {})[name] = operation
    return found


def _tools(kinds: list[str]) -> tuple[Tool, ...]:
    text: JsonObject = {"type": "string"}
    known: JsonObject = {"type": "string", "description": f"one of {', '.join(kinds)}"}
    value: JsonObject = {"type": "string", "description": "for operations that take one; numbers as text too"}
    return (
        Tool("list", "List the objects of a kind, and the operations that it has.", _object({"kind": known})),
        Tool("show", "Show all fields of an object.", _object({"kind": known, "name": text})),
        Tool(
            "operate",
            "Do an operation to an object. `list` tells which operations there are.",
            {
                "type": "object",
                "properties": {"operation": text, "kind": known, "name": text, "value": value},
                "required": ["operation", "kind", "name"],
            },
        ),
    )


def _object(properties: dict[str, JsonObject]) -> JsonObject:
    return {"type": "object", "properties": properties, "required": [*properties]}
