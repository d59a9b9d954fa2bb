"""YAML as a tree that knows where each value stands, so that an error can point at line and column.

The tree is built from PyYAML's parser events and nothing is ever constructed: no tag runs code. Depth,
size and the number of values that aliases expand to are bounded while the tree grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 5_000_000
MAX_NODES = 200_000
MAX_DEPTH = 24

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.SafeLoader("")
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
# What YAML 1.2 allows in a stream, less what no editor shows.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1


class TreeError(Exception):
    """The text is not YAML that can be read, or too large; `mark` says where it was noticed."""

    def __init__(self, mark: Mark, message: str, hint: str = "") -> None:
        self.mark, self.message, self.hint = mark, message, hint
        super().__init__(message)


@dataclass(slots=True)
class Scalar:
    """A single value as written. `plain` is False where it stood in quotes or in a block."""

    mark: Mark
    text: str
    plain: bool
    type: str  # "str", "int", "float", "bool", "null": what YAML 1.1 takes the text for
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Sequence:
    mark: Mark
    items: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Mapping:
    """Entries in the order of the file, duplicates included: the reader of the tree reports them."""

    mark: Mark
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    size: int = 1
    depth: int = 1


Node = Scalar | Sequence | Mapping


def decode(data: bytes, file: str) -> str:
    """The text of a file.

    Raises:
        TreeError: too large, not UTF-8, or with characters that no text file holds.
    """
    if len(data) > MAX_BYTES:
        raise TreeError(
            Mark(file),
            f"the file has {len(data):,} bytes; a policy may have {MAX_BYTES:,}",
            "is this really a policy file?",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TreeError(Mark(file), "the file is UTF-16, expected UTF-8", "save it as UTF-8 in your editor")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise TreeError(
            _place(file, before),
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            "save the file as UTF-8 in your editor",
        ) from error
    if bad := _UNPRINTABLE.search(text):
        raise TreeError(
            _place(file, text[: bad.start()]),
            f"the character U+{ord(bad[0]):04X} cannot stand in a text file",
            "remove it; it is invisible in most editors",
        )
    return text


def _place(file: str, before: str) -> Mark:
    line = before.count("\n")
    return Mark(file, line + 1, len(before) - (before.rfind("\n") + 1) + 1)


def parse(text: str, file: str) -> Node | None:
    """The tree of the one document in `text`; None where there is nothing but comments.

    Raises:
        TreeError: a syntax error, a tag that is not plain data, two documents, or a limit passed.
    """
    try:
        return _build(yaml.parse(text, Loader=_PARSER), file)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text, file) from error
    except yaml.YAMLError as error:
        raise TreeError(Mark(file), f"not valid YAML: {error}") from error
    except RecursionError as error:  # a parser without a limit of its own, on thousands of brackets
        raise _too_deep(Mark(file)) from error


def _build(events: Iterator[Any], file: str) -> Node | None:
    root: Node | None = None
    stack: list[Sequence | Mapping] = []
    keys: list[Node | None] = []  # for each open mapping, the key that waits for its value
    anchors: dict[str, Node | None] = {}  # None while the anchored collection is still open
    names: list[str | None] = []
    documents = total = 0

    def close(node: Node) -> None:
        nonlocal root
        if not stack:
            root = node
            return
        parent = stack[-1]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif keys[-1] is None:
            keys[-1] = node
        else:
            parent.entries.append((keys[-1], node))
            keys[-1] = None

    for event in events:
        mark = Mark(file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise TreeError(
                    mark, "a second document begins here; a file holds one policy", "remove the line ---"
                )
        elif isinstance(event, yaml.AliasEvent):
            target = anchors.get(str(event.anchor))
            if target is None:
                if event.anchor in anchors:
                    raise TreeError(
                        mark, f"the alias *{event.anchor} contains itself", "write the entries out"
                    )
                raise TreeError(
                    mark,
                    f"the alias *{event.anchor} has no anchor",
                    f"put &{event.anchor} before what it repeats",
                )
            total += target.size
            _limit(mark, total, len(stack) + target.depth)
            close(target)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            _limit(mark, total, len(stack) + 1)
            scalar = _scalar(event, mark)
            if event.anchor:
                anchors[event.anchor] = scalar
            close(scalar)
        elif isinstance(event, yaml.CollectionStartEvent):
            total += 1
            _limit(mark, total, len(stack) + 1)
            _check_tag(event.tag, mark)
            is_map = isinstance(event, yaml.MappingStartEvent)
            stack.append(Mapping(mark) if is_map else Sequence(mark))
            keys.append(None)
            names.append(event.anchor)
            if event.anchor:
                anchors[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            node, _ = stack.pop(), keys.pop()
            if name := names.pop():
                anchors[name] = node
            close(node)
    return root


def _limit(mark: Mark, total: int, depth: int) -> None:
    if total > MAX_NODES:
        raise TreeError(
            mark,
            f"more than {MAX_NODES:,} values, aliases counted as often as they are used",
            "write the repeated parts out, or put the base in a file of its own and use extends",
        )
    if depth > MAX_DEPTH:
        raise _too_deep(mark)


def _too_deep(mark: Mark) -> TreeError:
    return TreeError(mark, f"nested more than {MAX_DEPTH} levels deep", "a policy needs no more than eight")


def _check_tag(tag: str | None, mark: Mark) -> None:
    if tag is not None and tag not in _CORE_TAGS and tag != "!":
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        raise TreeError(
            mark, f"the tag {shown} is refused: a policy is plain data", "remove the tag, keep the value"
        )


def _scalar(event: Any, mark: Mark) -> Scalar:
    _check_tag(event.tag, mark)
    plain = event.style is None or event.style == ""
    tag = event.tag
    if tag is None or tag == "!":
        tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, (plain and tag is None, True))
    kind = str(tag).rpartition(":")[2]
    # Dates, "=" and "<<" have types of their own in YAML 1.1; here they are text.
    kind = kind if kind in ("str", "int", "float", "bool", "null") else "str"
    return Scalar(mark, event.value, plain, kind)


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> TreeError:
    """PyYAML's words for a syntax error, put into words that name what to do."""
    raw = error.problem_mark or error.context_mark
    if raw is None:
        return TreeError(Mark(file), f"not valid YAML: {error.problem or error.context or error}")
    mark = Mark(file, raw.line + 1, raw.column + 1)
    lines = text.split("\n")
    line = lines[raw.line] if raw.line < len(lines) else ""
    problem = str(error.problem or "")
    start = raw.column
    if "maximum nesting depth" in problem:  # libyaml's own limit, which lies above ours
        return _too_deep(mark)
    if "\t" in line[: max(start + 1, len(line) - len(line.lstrip()))]:
        return TreeError(
            Mark(file, mark.line, line.index("\t") + 1),
            "a tab in the indentation; YAML allows only spaces there",
            "replace each tab by two spaces",
        )
    if "mapping values are not allowed" in problem:
        hint = "a text with ': ' in it needs quotes, and fields of one level start in one column"
        return TreeError(mark, "a second ':' on this line, or a line that is indented too far", hint)
    if "could not find expected ':'" in problem or "did not find expected key" in problem:
        hint = "fields of one level start in one column, each with a ':' after its name"
        return TreeError(mark, "expected a field name here: bad indentation or a missing ':'", hint)
    if "expected '-'" in problem or "expected <block end>" in problem or "block end" in problem:
        return TreeError(
            mark, "bad indentation: this line fits no level above it", "entries of a list start in one column"
        )
    if "quoted scalar" in f"{error.context} {problem}" or "unexpected end of stream" in problem:
        opened = error.context_mark
        return TreeError(
            Mark(file, opened.line + 1, opened.column + 1) if opened else mark,
            "a quote that begins here is never closed, or the closing one is missing or doubled",
            "close it, or double the quote inside a text in single quotes: 'it''s'",
        )
    if "cannot start any token" in problem:
        char = line[start : start + 1] or "?"
        return TreeError(mark, f"a value cannot begin with {char!r}", "put the whole text in quotes")
    if "flow" in f"{error.context} {problem}" or "',' or" in problem:
        return TreeError(
            mark, "a list in [ ] or a mapping in { } is not closed", "a text with { or [ first needs quotes"
        )
    if "alias" in f"{error.context} {problem}" or "anchor" in f"{error.context} {problem}":
        return TreeError(mark, "a * or & that names no anchor", "a text that begins with * or & needs quotes")
    if "tag" in f"{error.context} {problem}":
        return TreeError(mark, f"not valid YAML: {problem}", "a text that begins with ! needs quotes")
    return TreeError(mark, f"not valid YAML: {problem or error.context}", "is something missing just above?")
