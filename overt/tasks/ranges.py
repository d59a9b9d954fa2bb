"""Numbers and ranges as options take them: `1.5`, `5%`, `1..4`."""

from __future__ import annotations

import re

_NUMBER = r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(%?)\s*"


def read_ends(text: str) -> tuple[float, ...] | None:
    """The number of a text, or both ends of its range `LOW..HIGH`, in no order; None: it is neither. A
    percentage is a hundredth."""
    match = re.fullmatch(rf"{_NUMBER}(?:\.\.{_NUMBER})?", text.replace("..", " .. "))
    if match is None:
        return None
    return tuple(float(match[at]) / (100 if match[at + 1] else 1) for at in (1, 3) if match[at] is not None)
