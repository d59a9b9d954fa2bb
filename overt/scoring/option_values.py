"""What every filter and checker reads from its options and writes into its name."""

from __future__ import annotations

import urllib.parse

from overt.data.errors import InputError

# What may stand in an option's value as it is; %, & and # would be read as something else.
_PLAIN = "/:~ +()[],=?*!@$'{}|"
REASON_CHARS = 190  # a decision's reason stays under 200


def spell(head: str, **options: object) -> str:
    """The name that makes the same object again: `head?key=value&...`; options that are None are left out."""
    pairs = [
        f"{key}={urllib.parse.quote(_text(value), safe=_PLAIN)}"
        for key, value in options.items()
        if value is not None
    ]
    return f"{head}?{'&'.join(pairs)}" if pairs else head


def fraction(value: str | float, name: str) -> float:
    """A threshold.

    Raises:
        InputError: it is no number from 0 to 1.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN fails this as well
        raise InputError(f"the threshold of {name} is {value!r}, not a number from 0 to 1")
    return number


def in_name(value: str) -> str:
    """A file or a list as it stands in the name of a filter or checker."""
    return urllib.parse.quote(value, safe="/:~ +()[],=")


def words(value: str) -> tuple[str, ...]:
    """The entries of a list that was written with commas."""
    return tuple(part for entry in value.split(",") if (part := entry.strip()))


def one_line(text: object, most: int = REASON_CHARS) -> str:
    """Text from outside as a reason or a message: one line, all printable, at most `most` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: most * 8]).split())
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
