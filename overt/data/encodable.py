"""Text that any UTF-8 file can hold: Python's may have lone surrogates, as hostile JSON does."""

from __future__ import annotations


def encodable(text: str) -> str:
    """The text with "?" for each lone surrogate, as long as before."""
    return text.encode("utf-8", "replace").decode("utf-8")
