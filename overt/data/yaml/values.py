"""Turns the tree into Python values that keep their node, and so their place, through validation.

A quoted number is a `Text`, a bare one a `Whole` or a `Real`. A number that YAML 1.1 and people read
differently (010, 1:30, 1_000) is an `Ambiguous`, a missing value an `Empty`; no type accepts these two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from overt.data.yaml.problems import Mark, Problems, shorten
from overt.data.yaml.tree import Mapping, Node, Scalar, Sequence

Step = str | int
Steps = tuple[Step, ...]

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_REAL = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_NOT_FINITE = re.compile(r"[+-]?\.(nan|inf)", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Text(str):
    """A text with its node."""

    node: Scalar

    def __new__(cls, value: str, node: Scalar) -> Self:
        text = super().__new__(cls, value)
        text.node = node
        return text

    @property
    def mark(self) -> Mark:
        return self.node.mark

    @property
    def number(self) -> float | None:
        """The value of a bare text such as 1e-3, which YAML 1.1 does not read as a number."""
        return float(self) if self.node.plain and _REAL.fullmatch(self) else None


class Whole(int):
    """A whole number in decimal digits."""

    node: Scalar

    def __new__(cls, node: Scalar) -> Self:
        number = super().__new__(cls, node.text)
        number.node = node
        return number


class Real(float):
    """A number with a point, or .inf or .nan."""

    node: Scalar

    def __new__(cls, node: Scalar) -> Self:
        number = super().__new__(cls, node.text.replace(".inf", "inf").replace(".nan", "nan"))
        number.node = node
        return number


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A number with two possible readings."""

    node: Scalar


@dataclass(frozen=True, slots=True)
class Empty:
    """A field without a value, or null."""

    node: Scalar


@dataclass(frozen=True, slots=True)
class About:
    """The example and the description of a field, for messages."""

    example: str
    description: str


class Entries(dict[str, object]):
    """A mapping. Validation sets `fields`, the fields of its schema."""

    def __init__(self, node: Mapping) -> None:
        super().__init__()
        self.node = node
        self.fields: dict[str, About] = {}

    def mark_of(self, name: str) -> Mark:
        """The place of a field's value, or of the mapping if the field is missing."""
        return next((value.mark for key, value in named(self.node) if key.text == name), self.node.mark)


Value = Text | Whole | Real | bool | Ambiguous | Empty | Entries | tuple[object, ...]


def named(node: Mapping) -> Iterator[tuple[Scalar, Node]]:
    """Yields the entries whose key is a name."""
    for key, value in node.entries:
        if isinstance(key, Scalar) and key.type != "null":
            yield key, value


def scalar_value(node: Scalar) -> Value:
    if node.type == "null":
        return Empty(node)
    if node.type == "bool":
        return node.text.lower() in ("true", "yes", "on")
    if node.type == "int":
        return Whole(node) if _WHOLE.fullmatch(node.text) else Ambiguous(node)
    if node.type == "float":
        if _REAL.fullmatch(node.text) or _NOT_FINITE.fullmatch(node.text):
            return Real(node)
        return Ambiguous(node)
    return Text(node.text, node)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one of pydantic's errors in the file.

    Attributes:
        path: the steps to the nearest existing value.
        missing: the field that this value lacks; "" if `path` is the wrong value itself.
        field: the path as text, `missing` included.
        node: the value at `path`, or its key if the key is wrong.
        key: the key of that value, if it is in a mapping.
    """

    path: Steps
    missing: str
    field: str
    node: Node
    key: Scalar | None

    @property
    def full(self) -> Steps:
        return (*self.path, self.missing) if self.missing else self.path


class Document:
    """Gives the values of a tree without its dropped parts, and maps pydantic's locations back to the tree.

    Args:
        named_by: the field whose value names the entries of a list in messages, "" for their numbers.
    """

    def __init__(self, root: Node, named_by: str = "") -> None:
        self.root, self._named_by = root, named_by
        self.dropped: set[Steps] = set()
        self._kept: dict[Steps, list[int]] = {}  # the kept entries of lists with dropped ones
        self._entries: dict[Steps, Entries] = {}
        self._by_name: dict[int, dict[str, tuple[Scalar, Node]]] = {}

    def values(self) -> object:
        """The values of all parts that are not dropped."""
        self._kept, self._entries = {}, {}
        return self._value(self.root, ())

    def _value(self, node: Node, path: Steps) -> Value:
        if isinstance(node, Scalar):
            return scalar_value(node)
        if isinstance(node, Sequence):
            kept = list(range(len(node.items)))
            if self.dropped:
                kept = self._kept[path] = [n for n in kept if (*path, n) not in self.dropped]
            return tuple([self._value(node.items[n], (*path, n)) for n in kept])
        entries = self._entries[path] = Entries(node)
        for name, (_, value) in self._lookup(node).items():
            if (*path, name) not in self.dropped:
                entries[name] = self._value(value, (*path, name))
        return entries

    def _lookup(self, node: Mapping) -> dict[str, tuple[Scalar, Node]]:
        """The entries by name; of several with one name, the first."""
        entries = self._by_name.get(id(node))
        if entries is None:
            entries = self._by_name[id(node)] = {}
            for key, value in named(node):
                entries.setdefault(key.text, (key, value))
        return entries

    def fields_at(self, path: Steps) -> dict[str, About]:
        """The fields in the schema of a mapping."""
        entries = self._entries.get(path)
        return entries.fields if entries is not None else {}

    def place(self, loc: Steps) -> Place:
        """The place of a location in the last values.

        Steps that are not in the tree (the branch of a union, a field of a value in short form) are skipped.
        """
        node, key, field = self.root, None, ""
        path: Steps = ()
        for n, step in enumerate(loc):
            last = n == len(loc) - 1
            if step == "[key]" and key is not None and last:
                return Place(path, "", field, key, key)
            if isinstance(node, Mapping) and isinstance(step, str):
                entry = self._lookup(node).get(step)
                if entry is None or (*path, step) in self.dropped:
                    if last:
                        return Place(path, step, _join(field, step), node, key)
                    continue
                key, node = entry
                field = _join(field, step)
            elif isinstance(node, Sequence) and isinstance(step, int):
                step = self._kept[path][step] if path in self._kept else step
                node, key = node.items[step], None
                field += self._label(node, step)
            else:
                break
            path = (*path, step)
        return Place(path, "", field, node, key)

    def _label(self, node: Node, index: int) -> str:
        if self._named_by and isinstance(node, Mapping):
            named_by = self._lookup(node).get(self._named_by)
            value = named_by[1] if named_by is not None else None
            if isinstance(value, Scalar) and _NAME.fullmatch(value.text.strip()):
                return f".{value.text.strip()}"
        return f"[{index}]"

    def check_names(self, problems: Problems) -> None:
        """Reports duplicate keys, and drops keys that are not names."""
        self._check_names(self.root, (), problems)

    def _check_names(self, node: Node, path: Steps, problems: Problems) -> None:
        if isinstance(node, Sequence):
            for n, item in enumerate(node.items):
                self._check_names(item, (*path, n), problems)
        elif isinstance(node, Mapping):
            seen: dict[str, Mark] = {}
            for key, value in node.entries:
                if not isinstance(key, Scalar) or key.type == "null":
                    message = f"expected a field name, found {found(key)}"
                    hint = "{{...}} needs quotes" if isinstance(key, Mapping) else "a name is a text"
                    problems.add(key.mark, self.place(path).field, message, hint)
                    self.dropped.add((*path, ""))
                elif key.text in seen:
                    line = seen[key.text].line
                    message = f"the field {shorten(key.text)!r} stands twice; the first is in line {line}"
                    field = self.place((*path, key.text)).field
                    problems.add(key.mark, field, message, "keep one of them")
                else:
                    seen[key.text] = key.mark
                    self._check_names(value, (*path, key.text), problems)


def _join(field: str, name: str) -> str:
    return f"{field}.{shorten(name, 40)}" if field else shorten(name, 40)


def found(node: Node) -> str:
    """A description of a value for messages."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.type == "null":
        return "nothing"
    shown = shorten(node.text, 40)
    if node.type == "bool":
        return f"{shown}, which YAML reads as true or false"
    if node.type in ("int", "float"):
        return f"the number {shown}"
    return f"the text {shown!r}" if node.text.strip() else "an empty text"


def mark_of(text: str) -> Mark:
    """The place of a text in its file; `Mark("", 0, 0)` if it is not from a file."""
    return text.mark if isinstance(text, Text) else Mark("", 0, 0)
