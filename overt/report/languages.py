"""Languages of answers at emotional boundaries, by name and in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable

LANGUAGES = {
    "en": "English",
    "fr": "French",
    "es": "Spanish",
    "de": "German",
    "it": "Italian",
    "ms": "Malay",
}


def language_title(code: str) -> str:
    return LANGUAGES.get(code.partition("-")[0].casefold(), code)


def in_order(codes: Iterable[str]) -> list[str]:
    """Each language once: the six that have a lexicon, then others."""
    known = list(LANGUAGES)
    found = dict.fromkeys(codes)
    return sorted(found, key=lambda code: known.index(code) if code in known else len(known))
