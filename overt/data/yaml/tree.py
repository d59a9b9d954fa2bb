"""Parses YAML into a tree with line and column of each value.

The tree is built from PyYAML's parser events, as in `yaml.compose`. No objects are constructed, so no tag can
run code. Depth, size and the expansion of aliases are limited while the tree grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import yaml

from overt.data.yaml.problems import Mark, TreeError, syntax_error, too_deep

MAX_BYTES = 5_000_000
MAX_NODES = 200_000
MAX_DEPTH = 24

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.SafeLoader("")
_CORE = ("str", "int", "float", "bool", "null")
_TAGS = {f"tag:yaml.org,2002:{name}" for name in (*_CORE, "seq", "map")}
# All characters but those that YAML 1.2 allows in a stream and editors show.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Scalar:
    """A single value as written. `plain` is False for a quoted or block value."""

    mark: Mark
    text: str
    plain: bool
    type: str  # "str", "int", "float", "bool" or "null", by YAML 1.1
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Sequence:
    """A list; `size` counts its values and `depth` its levels, itself included."""

    mark: Mark
    items: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Mapping:
    """Entries in the order of the file, duplicates included; `size` and `depth` as in `Sequence`."""

    mark: Mark
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    size: int = 1
    depth: int = 1


Node = Scalar | Sequence | Mapping


def decode(data: bytes, file: str, what: str) -> str:
    """Decodes a file; `what` is its kind in messages, such as "policy".

    Raises:
        TreeError: the file is too large, not UTF-8, or has control characters.
    """
    if len(data) > MAX_BYTES:
        message = f"the file has {len(data):,} bytes; a {what} may have {MAX_BYTES:,}"
        raise TreeError(Mark(file), message, f"is this really a {what}?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TreeError(Mark(file), "the file is UTF-16, expected UTF-8", "save it as UTF-8 in your editor")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(file, data[: error.start].decode("utf-8"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise TreeError(place, message, "save the file as UTF-8 in your editor") from error
    if bad := _UNPRINTABLE.search(text):
        message = f"the character U+{ord(bad[0]):04X} cannot stand in a text file"
        hint = "remove it; it is invisible in most editors"
        raise TreeError(_place(file, text[: bad.start()]), message, hint)
    return text


def _place(file: str, before: str) -> Mark:
    line = before.count("\n")
    return Mark(file, line + 1, len(before) - (before.rfind("\n") + 1) + 1)


def parse(text: str, file: str, what: str) -> Node | None:
    """Parses the one document in `text`. Returns None if it holds only comments.

    Raises:
        TreeError: a syntax error, a tag for other than plain data, two documents, or an exceeded limit.
    """
    try:
        return _Builder(file, what).build(yaml.parse(text, Loader=_PARSER))
    except yaml.MarkedYAMLError as error:
        raise syntax_error(error, text, file) from error
    except yaml.YAMLError as error:
        raise TreeError(Mark(file), f"not valid YAML: {error}") from error
    except RecursionError as error:  # the pure Python parser has no depth limit
        raise too_deep(Mark(file)) from error


@lru_cache(maxsize=4096)  # field names repeat
def _resolve(text: str, plain: bool) -> str:
    """The tag of a scalar by YAML 1.1; for a bare scalar it depends on the text."""
    return str(_RESOLVER.resolve(yaml.ScalarNode, text, (plain, True)))  # type: ignore[no-untyped-call]


class _Builder:
    """Builds the tree. An alias is the node of its anchor and counts at each use."""

    def __init__(self, file: str, what: str) -> None:
        self.file, self.what = file, what
        self.root: Node | None = None
        self.stack: list[Sequence | Mapping] = []
        self.keys: list[Node | None] = []  # for each open collection, the key without a value yet
        self.names: list[str | None] = []  # for each open collection, its anchor
        self.anchors: dict[str, Node | None] = {}  # None while the anchored collection is still open
        self.documents = self.total = 0

    def build(self, events: Iterable[yaml.Event]) -> Node | None:
        for event in events:
            start = event.start_mark
            mark = Mark(self.file, start.line + 1, start.column + 1) if start else Mark(self.file)
            if isinstance(event, yaml.DocumentStartEvent):
                self._document(mark)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor), mark)
            elif isinstance(event, yaml.ScalarEvent):
                self._count(mark, 1, 1)
                scalar = self._scalar(event, mark)
                if event.anchor:
                    self.anchors[event.anchor] = scalar
                self._close(scalar)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._count(mark, 1, 1)
                self._check_tag(event.tag, mark)
                is_map = isinstance(event, yaml.MappingStartEvent)
                self.stack.append(Mapping(mark) if is_map else Sequence(mark))
                self.keys.append(None)
                self.names.append(event.anchor)
                if event.anchor:
                    self.anchors[event.anchor] = None
            elif isinstance(event, yaml.CollectionEndEvent):
                node, _ = self.stack.pop(), self.keys.pop()
                if name := self.names.pop():
                    self.anchors[name] = node
                self._close(node)
        return self.root

    def _document(self, mark: Mark) -> None:
        self.documents += 1
        if self.documents > 1:
            message = f"a second document begins here; a file holds one {self.what}"
            raise TreeError(mark, message, "remove the line ---")

    def _alias(self, name: str, mark: Mark) -> None:
        target = self.anchors.get(name)
        if target is not None:
            self._count(mark, target.size, target.depth)
            self._close(target)
        elif name in self.anchors:
            raise TreeError(mark, f"the alias *{name} contains itself", "write the entries out")
        else:
            raise TreeError(mark, f"the alias *{name} has no anchor", f"put &{name} before what it repeats")

    def _close(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = node
        else:
            parent.entries.append((key, node))
            self.keys[-1] = None

    def _count(self, mark: Mark, size: int, depth: int) -> None:
        self.total += size
        if self.total > MAX_NODES:
            message = f"more than {MAX_NODES:,} values, aliases counted as often as they are used"
            raise TreeError(mark, message, "write the repeated parts out")
        if len(self.stack) + depth > MAX_DEPTH:
            raise too_deep(mark, MAX_DEPTH)

    def _check_tag(self, tag: str | None, mark: Mark) -> None:
        if tag is not None and tag not in _TAGS and tag != "!":
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            message = f"the tag {shown} is refused: a {self.what} is plain data"
            raise TreeError(mark, message, "remove the tag, keep the value")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Scalar:
        self._check_tag(event.tag, mark)
        plain = not event.style
        tag = event.tag
        if tag is None or tag == "!":
            tag = _resolve(event.value, plain and tag is None)
        kind = tag.rpartition(":")[2]
        # YAML 1.1 has types for dates, "=" and "<<"; here they are text.
        return Scalar(mark, event.value, plain, kind if kind in _CORE else "str")
