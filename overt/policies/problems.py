"""What is wrong with a policy file: every problem with its place, all of them in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.policies.yamltree import Mark


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Line and column count from 1; 0 where the file itself is the problem."""

    line: int
    column: int
    field: str  # path of the field, "categories.violence.triggers[3].term"; "" for the whole file
    message: str  # what was expected and what was found
    hint: str = ""  # what to do
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = ": ".join(part for part in (place, self.field, self.message) if part)
        return f"{text}\n  {self.hint}" if self.hint else text


class PolicyError(InputError):
    """A policy that cannot be used, with all its problems: the file's own by line, then its base's."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        files = list(dict.fromkeys(p.file for p in problems))
        ordered = sorted(
            dict.fromkeys(problems), key=lambda p: (files.index(p.file), p.line, p.column, p.field, p.message)
        )
        self.problems: list[Problem] = ordered
        count = len(ordered)
        what = f"{count} problem{'s' if count != 1 else ''} in the policy"
        super().__init__(what, where=files[0] if files else "", fix=self.report())

    def report(self, limit: int = 100) -> str:
        """The problems as lines of text, the first `limit` of them."""
        lines = [str(p) for p in self.problems[:limit]]
        if (more := len(self.problems) - limit) > 0:
            lines.append(f"... and {more:,} more")
        return "\n".join(lines)

    def message(self) -> str:
        return self.report() if len(self.problems) == 1 else f"{self.what}:\n{self.report()}"


class Problems:
    """A list that problems are added to while a file is read on."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, mark: Mark, field: str, message: str, hint: str = "") -> None:
        self.found.append(Problem(mark.line, mark.column, field, message, hint, mark.file))


def nearest(name: str, known: Iterable[str], what: str = "known") -> str:
    """A hint that names the closest of `known`, or lists them when none is close."""
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
    """Text for a message: one line, no control characters, at most `width` characters."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= width else clean[: width - 3] + "..."
