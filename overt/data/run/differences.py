"""Where two JSON values differ, in words that fit on a line."""

from __future__ import annotations

from collections.abc import Mapping

from overt.data.json_types import Json

MOST = 60  # characters of a value that are shown


def differences(old: Json, new: Json, name: str = "") -> list[tuple[str, str, str]]:
    """(dotted name, old, new) of the innermost values that differ, each cut to where they do."""
    found: list[tuple[str, str, str]] = []
    if isinstance(old, Mapping | None) and isinstance(new, Mapping | None):
        before, after = old or {}, new or {}
        for key in sorted(before.keys() | after.keys()):
            found += differences(before.get(key), after.get(key), f"{name}.{key}" if name else key)
    elif isinstance(old, list | None) and isinstance(new, list | None):
        one, other = old or [], new or []
        for i in range(max(len(one), len(other))):
            found += differences(
                one[i] if i < len(one) else None, other[i] if i < len(other) else None, f"{name}[{i}]"
            )
    if found or old == new:
        return found
    return [(name, *_cut(_in_words(old), _in_words(new)))]


def _in_words(value: Json) -> str:
    return "nothing" if value in (None, "", [], {}) else str(value)


def _cut(old: str, new: str) -> tuple[str, str]:
    """Two texts; of long ones the part that begins shortly before where they differ."""
    if max(len(old), len(new)) <= MOST:
        return old, new
    ends = (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    same = next(ends, min(len(old), len(new)))
    first = max(0, same - MOST // 3)

    def part(text: str) -> str:
        head, tail = "..." if first else "", "..." if len(text) > first + MOST else ""
        return head + text[first : first + MOST] + tail

    return part(old), part(new)
