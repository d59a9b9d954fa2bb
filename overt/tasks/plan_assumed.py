"""What the user says of the assumptions of a row: `--assume NAME=VALUE` or `NAME=LOW..HIGH`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.planning.assumptions import ASSUMPTIONS, Assumption
from overt.tasks.ranges import read_ends


@dataclass(frozen=True, slots=True)
class Stated:
    """A value in place of the default (None: the default), and the ends of the range that is tried (none: the
    value is stated)."""

    value: float | None
    range: tuple[float, ...]


def read_assumed(given: Sequence[str]) -> dict[str, Stated]:
    """Every assumption by name, as the user or else its table has it.

    Raises:
        InputError: no such name, one that is given twice, no number, a range that runs backwards or beyond
            what the number can be.
    """
    found = {name: Stated(None, (row.low, row.high)) for name, row in ASSUMPTIONS.items()}
    said: set[str] = set()
    for text in given:
        name, _, rest = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in ASSUMPTIONS:
            near = difflib.get_close_matches(name, ASSUMPTIONS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise InputError(
                f"--assume {text!r}: there is no assumption {name!r}",
                fix=f"{hint}There are: {', '.join(ASSUMPTIONS)}",
            )
        if name in said:
            raise InputError(f"--assume gives {name} twice", fix="Give it once.")
        said.add(name)
        found[name] = _stated(ASSUMPTIONS[name], rest, text)
    return found


def _stated(row: Assumption, rest: str, text: str) -> Stated:
    fix = f"Write {row.name}={row.low:g}, or its range: {row.name}={row.low:g}..{row.high:g}"
    ends = read_ends(rest)
    if ends is None:
        raise InputError(f"--assume {text!r}: {rest.strip()!r} is no number and no range", fix=fix)
    for end in ends:
        if not row.least <= end <= row.most or (row.is_whole and end != round(end)):
            kind = "whole numbers" if row.is_whole else "numbers"
            raise InputError(
                f"--assume {text!r}: {row.name} takes {kind} from {row.least:g} to {row.most:g} ({row.unit})",
                fix=fix,
            )
    if len(ends) == 1:
        return Stated(ends[0], ())
    if ends[0] >= ends[1]:
        raise InputError(f"--assume {text!r}: the range runs backwards", fix=fix)
    return Stated(None, (ends[0], ends[1]))


def inside(value: float, stated: Stated, row: Assumption) -> float:
    """The value within the stated range: the default of the table may lie outside of it."""
    if stated.value is not None or not stated.range:
        return value if stated.value is None else stated.value
    low, high = stated.range
    return value if low <= value <= high else round((low + high) / 2) if row.is_whole else (low + high) / 2
