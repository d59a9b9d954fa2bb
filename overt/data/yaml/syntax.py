"""PyYAML's words for a syntax error, put into words that say what to do."""

from __future__ import annotations

import yaml

from overt.data.yaml.problems import Mark

# What PyYAML's context and problem have in them -> what is wrong, and what to do. The first that fits counts.
_RULES = (
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
    (
        ("quoted scalar", "unexpected end of stream"),
        "a quote that begins here is never closed, or the closing one is missing or doubled",
        "close it, or double the quote inside a text in single quotes: 'it''s'",
    ),
    (
        ("cannot start any token",),
        "a value cannot begin with {char!r}",
        "put the whole text in quotes",
    ),
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
    (("tag",), "not valid YAML: {problem}", "a text that begins with ! needs quotes"),
    (("",), "not valid YAML: {problem}", "is something missing just above?"),
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
    problem = str(error.problem or error.context or error)
    if raw is None:
        return TreeError(Mark(file), f"not valid YAML: {problem}")
    mark = Mark(file, raw.line + 1, raw.column + 1)
    if "maximum nesting depth" in problem:  # libyaml's own limit, which lies above ours
        return too_deep(mark)
    lines = text.split("\n")
    line = lines[raw.line] if raw.line < len(lines) else ""
    if "\t" in line[: max(raw.column + 1, len(line) - len(line.lstrip()))]:
        place = Mark(file, mark.line, line.index("\t") + 1)
        message = "a tab in the indentation; YAML allows only spaces there"
        return TreeError(place, message, "replace each tab by two spaces")
    said = f"{error.context} {problem}"
    message, hint = next((m, h) for signs, m, h in _RULES if any(sign in said for sign in signs))
    if "quote that begins" in message and (opened := error.context_mark) is not None:
        mark = Mark(file, opened.line + 1, opened.column + 1)
    char = line[raw.column : raw.column + 1] or "?"
    return TreeError(mark, message.replace("{char!r}", repr(char)).replace("{problem}", problem), hint)
