"""Option values and names of filters and checkers."""

from __future__ import annotations

import urllib.parse

from overt.data.errors import InputError

# Unquoted characters of an option's value, without %, & and #.
_PLAIN = "/:~ +()[],=?*!@$'{}|"
REASON_CHARS = 190  # a decision's reason stays under 200


def spell(head: str, **options: object) -> str:
    """Returns the name that recreates the object, `head?key=value&...`, without None options."""
    pairs = [
        f"{key}={urllib.parse.quote(_text(value), safe=_PLAIN)}"
        for key, value in options.items()
        if value is not None
    ]
    return f"{head}?{'&'.join(pairs)}" if pairs else head


def fraction(value: str | float, name: str) -> float:
    """Reads a threshold.

    Raises:
        InputError: the value is not a number from 0 to 1.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN fails this as well
        raise InputError(f"the threshold of {name} is {value!r}, not a number from 0 to 1")
    return number


def in_name(value: str) -> str:
    """Quotes a file or a list for the name of a filter or checker."""
    return urllib.parse.quote(value, safe="/:~ +()[],=")


def words(value: str) -> tuple[str, ...]:
    """Splits a comma-separated list."""
    return tuple(part for entry in value.split(",") if (part := entry.strip()))


def one_line(text: object, most: int = REASON_CHARS) -> str:
    """Makes untrusted text one printable line of at most `most` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: most * 8]).split())
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
