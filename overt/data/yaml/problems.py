"""The problems of a YAML file, each with its place, collected in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from overt.data.errors import InputError

MAX_PRINTED = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file. Line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. Line and column count from 1; they are 0 if the file as a whole is the problem."""

    line: int
    column: int
    field: str  # a path such as "categories.violence.triggers[3].term"; "" for the whole file
    message: str
    hint: str = ""
    file: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.place, self.field, self.message) if part)
        return f"{text}\n  {self.hint}" if self.hint else text


class YamlError(InputError):
    """Holds all problems of a file by line, then those of other files.

    Args:
        problems: at least one.
        what: the kind of file in messages, such as "policy".
    """

    def __init__(self, problems: Sequence[Problem], what: str) -> None:
        files = list(dict.fromkeys(p.file for p in problems))
        self.problems: list[Problem] = sorted(
            dict.fromkeys(problems), key=lambda p: (files.index(p.file), p.line, p.column, p.field, p.message)
        )
        first, count = self.problems[0], len(self.problems)
        if count == 1:
            said = ": ".join(part for part in (first.field, first.message) if part)
            super().__init__(said, where=first.place, fix=first.hint)
        else:
            super().__init__(f"{count:,} problems in the {what}", where=files[0], fix=self.report())

    def report(self, limit: int = MAX_PRINTED) -> str:
        """The first `limit` problems as lines of text."""
        lines = [str(p) for p in self.problems[:limit]]
        if (more := len(self.problems) - limit) > 0:
            lines.append(f"... and {more:,} more")
        return "\n".join(lines)

    def message(self) -> str:
        return self.report() if len(self.problems) == 1 else f"{self.what}:\n{self.report()}"


class Problems:
    """Collects problems while a file is read."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, mark: Mark, field: str, message: str, hint: str = "") -> None:
        self.found.append(Problem(mark.line, mark.column, field, message, hint, mark.file))


def nearest(name: str, known: Iterable[str], what: str = "known") -> str:
    """A hint with the most similar of the known names, or with all of them."""
    names = list(known)
    if not names:
        return ""
    folded = {n.casefold(): n for n in reversed(names)}
    close = difflib.get_close_matches(name.casefold()[:200], list(folded), n=1, cutoff=0.6)
    if close:
        return f"did you mean {shorten(folded[close[0]])!r}?"
    shown = ", ".join(shorten(n) for n in names[:20])
    return f"{what}: {shown}{', ...' if len(names) > 20 else ''}"


def shorten(text: str, width: int = 60) -> str:
    """The text on one line of at most `width` characters, without control characters."""
    if len(text) <= width and text.isprintable() and "  " not in text and text == text.strip():
        return text
    clean = "".join(c if c.isprintable() else " " for c in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= width else clean[: width - 3] + "..."


# -- syntax errors in plain words ---

# (parts of PyYAML's context and problem, message, hint). The first match counts.
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
    """The text is not readable YAML or is too large; `mark` is the place."""

    def __init__(self, mark: Mark, message: str, hint: str = "") -> None:
        self.mark, self.message, self.hint = mark, message, hint
        super().__init__(message)


def too_deep(mark: Mark, levels: int = 24) -> TreeError:
    return TreeError(mark, f"nested more than {levels} levels deep", "write it with fewer levels")


def syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> TreeError:
    """Translates PyYAML's error into a plain message at the place to look at."""
    raw = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or error)
    if raw is None:
        return TreeError(Mark(file), f"not valid YAML: {problem}")
    mark = Mark(file, raw.line + 1, raw.column + 1)
    if "maximum nesting depth" in problem:  # libyaml's own limit, above ours
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
