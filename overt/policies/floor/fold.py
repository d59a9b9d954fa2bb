"""Text as the floor reads it: without case, accents, letter width, hidden characters and look-alikes.

Typography is that of `overt.data.text.folded`. `fold` keeps every letter in its script; `latin` also reads
look-alikes of other scripts as Latin letters, by Unicode's table of confusables (UTS #39), which
lookalikes.yaml holds.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources

from overt.data.text import folded
from overt.data.yaml.schema import Schema, parse_yaml

# Letters that no normal form takes apart, in the spelling of the term lists.
_STROKES = {"đ": "d", "ł": "l", "ø": "o", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ŧ": "t"}
_REGIONAL = {0x1F1E6 + i: chr(ord("a") + i) for i in range(26)}
# Vowel signs of Devanagari and the marks of kana belong to their letters; every other mark goes.
_KEPT_MARKS = re.compile("[\u0900-\u0963\u3099\u309a]")
_STRAY_MARKS = re.compile("(?<=[0-9a-z])[\u0900-\u0903\u093a-\u0957\u0962\u0963\u3099\u309a]+")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f]")


class _Table(dict[int, "int | str | None"]):
    """A table for `str.translate` that is filled as characters come up."""

    def __missing__(self, code: int) -> int | str | None:
        self[code] = made = self._made(code)
        return made

    def _made(self, code: int) -> int | str | None:
        char, kind = chr(code), unicodedata.category(chr(code))
        if kind == "Cf" or (kind == "Cc" and not char.isspace()):
            return None
        if kind in {"Mn", "Me"} and not _KEPT_MARKS.match(char):
            return None
        if char == "\u0640":  # the stretcher of Arabic words
            return None
        if kind == "Nd":
            return str(unicodedata.decimal(char))
        return _STROKES.get(char, code)


_TABLE = _Table()


def fold(text: str) -> str:
    """Removes case, accents, letter width, entities and invisible characters; digits become ASCII."""
    text = folded(text)
    if text.isascii() and not _CONTROLS.search(text):
        return text.lower()
    text = unicodedata.normalize("NFKD", text.translate(_REGIONAL)).casefold()
    text = unicodedata.normalize("NFKC", text.translate(_TABLE))
    return _STRAY_MARKS.sub("", text)


def latin(text: str) -> str:
    """`fold`, with look-alikes read as Latin letters and digits."""
    plain = unicodedata.normalize("NFKD", folded(text)).translate(_TABLE)
    # Some letters have their look as capitals, others as small letters.
    return fold(plain.translate(_lookalikes()).casefold().translate(_lookalikes()))


def has_lookalikes(text: str) -> bool:
    """Whether a folded text has a character that looks like a Latin letter."""
    return not _lookalikes().keys().isdisjoint(map(ord, set(text)))


class _Lookalikes(Schema):
    """lookalikes.yaml: the characters that look like a letter, Unicode's and the project's own."""

    unicode: dict[str, str]
    own: dict[str, str]


@lru_cache(maxsize=1)
def _lookalikes() -> dict[int, str]:
    file = resources.files("overt.policies.floor") / "lookalikes.yaml"
    read = parse_yaml(file.read_bytes(), "lookalikes.yaml", _Lookalikes, what="table of look-alikes")
    # Unicode gives I, l and 1 one look; as a digit, the search reads it as either letter.
    looks = {**read.unicode, "1": read.unicode.get("1", "") + read.unicode["l"], "l": ""}
    return {ord(c): plain for table in (looks, read.own) for plain, cs in table.items() for c in cs}
