"""PyYAML's words for a syntax error, put into words that say what to do."""

from __future__ import annotations

import yaml

from overt.data.yaml.problems import Mark

# What PyYAML's problem (or context and problem) has in it -> what is wrong, and what to do.
_PROBLEMS = (
    (
        ("mapping values are not allowed",),
        "a second ':' on this line, or a line that is indented too far",
        "a text with ': ' in it needs quotes, and fields of one level start in one column",
    ),
    (
        ("could not find expected ':'", "did not find expected key"),
        "expected a field name here: bad indentation or a missing ':'",
        "fields of one level start in one column, each with a ':' after its name",
    ),
    (
        ("expected '-'", "expected <block end>", "block end"),
        "bad indentation: this line fits no level above it",
        "entries of a list start in one column",
    ),
)
_UNCLOSED_QUOTE = (
    "a quote that begins here is never closed, or the closing one is missing or doubled",
    "close it, or double the quote inside a text in single quotes: 'it''s'",
)
_CONTEXTS = (
    (
        ("flow", "',' or"),
        "a list in [ ] or a mapping in { } is not closed",
        "a text with { or [ first needs quotes",
    ),
    (
        ("alias", "anchor"),
        "a * or & that names no anchor",
        "a text that begins with * or & needs quotes",
    ),
)


class TreeError(Exception):
    """The text is not YAML that can be read, or too large; `mark` says where it was noticed."""

    def __init__(self, mark: Mark, message: str, hint: str = "") -> None:
        self.mark, self.message, self.hint = mark, message, hint
        super().__init__(message)


def too_deep(mark: Mark, levels: int = 24) -> TreeError:
    return TreeError(mark, f"nested more than {levels} levels deep", "write it with fewer levels")


def syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> TreeError:
    """A TreeError that says the same as PyYAML's error, at the place where a person has to look."""
    raw = error.problem_mark or error.context_mark
    problem = str(error.problem or "")
    if raw is None:
        return TreeError(Mark(file), f"not valid YAML: {problem or error.context or error}")
    mark = Mark(file, raw.line + 1, raw.column + 1)
    lines = text.split("\n")
    line = lines[raw.line] if raw.line < len(lines) else ""
    both = f"{error.context} {problem}"
    if "maximum nesting depth" in problem:  # libyaml's own limit, which lies above ours
        return too_deep(mark)
    if "\t" in line[: max(raw.column + 1, len(line) - len(line.lstrip()))]:
        place = Mark(file, mark.line, line.index("\t") + 1)
        message = "a tab in the indentation; YAML allows only spaces there"
        return TreeError(place, message, "replace each tab by two spaces")
    for signs, message, hint in _PROBLEMS:
        if any(sign in problem for sign in signs):
            return TreeError(mark, message, hint)
    if "quoted scalar" in both or "unexpected end of stream" in problem:
        opened = error.context_mark
        return TreeError(Mark(file, opened.line + 1, opened.column + 1) if opened else mark, *_UNCLOSED_QUOTE)
    if "cannot start any token" in problem:
        char = line[raw.column : raw.column + 1] or "?"
        return TreeError(mark, f"a value cannot begin with {char!r}", "put the whole text in quotes")
    for signs, message, hint in _CONTEXTS:
        if any(sign in both for sign in signs):
            return TreeError(mark, message, hint)
    hint = "a text that begins with ! needs quotes" if "tag" in both else "is something missing just above?"
    return TreeError(mark, f"not valid YAML: {problem or error.context}", hint)
