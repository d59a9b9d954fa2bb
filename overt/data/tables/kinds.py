"""What a value in a table is: a text, a number, a list of chat messages, a picture."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal[
    "text",
    "number",  # also one that CSV wrote as text
    "truth value",
    "chat messages",  # a list of {"role": ..., "content": ...}, or of {"from": ..., "value": ...}
    "list",
    "image bytes",
    "object",
    "empty",
    "other",
]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def kind_of(value: object) -> Kind:
    """The kind of one value, as Python, JSON or Parquet gives it."""
    if isinstance(value, str):
        return "empty" if not value else "number" if _NUMBER.fullmatch(value.strip()) else "text"
    if isinstance(value, bool):
        return "truth value"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "empty"
    return "number" if isinstance(value, (int, float)) else _kind_of_compound(value)


def _kind_of_compound(value: object) -> Kind:
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "getpixel"):  # a Pillow image, of the Hub
        return "image bytes"
    if isinstance(value, Mapping):
        return "image bytes" if isinstance(value.get("bytes"), bytes) else "object"
    if isinstance(value, Sequence):
        return "chat messages" if value and all(map(_is_message, value)) else "list"
    return "other"


def _is_message(value: object) -> bool:
    fields = value.keys() if isinstance(value, Mapping) else ()
    return {"role", "content"} <= set(fields) or {"from", "value"} <= set(fields)
