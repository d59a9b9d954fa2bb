"""A prompt cut into units, the words or phrases that an edit takes out or replaces.

A word is what any filter may take for one: letters, digits and marks, and the signs that stand for letters in
disguises ("sh1t", "@ss", "b*tch"). A hyphen or another sign parts words, since many filters part them
there. Scripts without blanks have a word for each character, so that a term of any length can be found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Granularity = Literal["words", "spans"]

_LETTERS = frozenset("@*#+$")  # part of a word wherever they stand
_APOSTROPHES = frozenset("'\u2019\uff07")
_SYMBOLS = frozenset({"So", "Sc", "Cf"})  # emoji, currency (a disguised s), characters that show nothing
_UNSPACED = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR", "TIBETAN")
_POSSESSIVES = ("'s", "\u2019s", "\uff07s")
# Words that begin a phrase, beside punctuation. Other languages part at punctuation alone.
_OPENS = frozenset({
    "a", "about", "above", "across", "after", "against", "along", "amid", "among", "an", "and", "around",
    "as", "at", "because", "before", "behind", "below", "beneath", "beside", "between", "beyond", "but",
    "by", "down", "during", "for", "from", "if", "in", "inside", "into", "like", "near", "of", "off", "on",
    "onto", "or", "out", "outside", "over", "past", "so", "that", "the", "their", "through", "to", "toward",
    "towards", "under", "until", "up", "upon", "where", "which", "while", "who", "whose", "with", "within",
    "without",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Swap:
    """A neutral wording for a stretch of a text: `new` takes the place of the characters `begin` to `end`,
    an article that has to change among them; the term itself begins at `start`."""

    begin: int
    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a text that can be changed. Places are in characters.

    `begin` to `end` are replaced by `new` ("": taken out); `start` to `stop` are the words themselves,
    without an article before them or a possessive behind.
    """

    begin: int
    end: int
    start: int
    stop: int
    new: str = ""


# -- words ---------------------------------------------------------------------------------------------------


def tokens_of(text: str) -> list[tuple[int, int]]:
    """The words of a text, as places of their first character and the one behind their last."""
    found: list[tuple[int, int]] = []
    start = -1
    for place, character in enumerate(text):
        if _is_unspaced(character):
            if start >= 0:
                found.append((start, place))
            found.append((place, place + 1))
            start = -1
        elif start < 0 and found and found[-1][1] == place and unicodedata.category(character)[0] == "M":
            found[-1] = (found[-1][0], place + 1)  # a mark on a character of its own
        elif _is_letter(character) or (start >= 0 and _joins(text, place)):
            start = place if start < 0 else start
        elif start >= 0:
            found.append((start, place))
            start = -1
    if start >= 0:
        found.append((start, len(text)))
    return found


@lru_cache(maxsize=4096)
def _is_letter(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _LETTERS or category[0] in "LMN" or category in _SYMBOLS


@lru_cache(maxsize=4096)
def _is_unspaced(character: str) -> bool:
    return character > "\u0e00" and unicodedata.name(character, "").startswith(_UNSPACED)


def _joins(text: str, place: int) -> bool:
    """Whether an apostrophe stands inside of a word."""
    return text[place] in _APOSTROPHES and _is_letter(text[place + 1 : place + 2] or " ")


def bare(text: str) -> str:
    """A word without the signs at its ends: "#gun" and "*gun*" are "gun", "$hit" is "hit"."""
    ends = [n for n, c in enumerate(text) if unicodedata.category(c)[0] in "LMN"]
    return text[ends[0] : ends[-1] + 1] if ends else text


def folded(text: str) -> str:
    """A word as it is counted: compatibility forms and case are one, characters that show nothing go."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return "".join(c for c in plain if unicodedata.category(c) != "Cf")


def key_of(text: str) -> str:
    """The folded words of a text with blanks between, by which terms of several prompts are joined: neither
    case nor what stands between words matters."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    # A hashtag is its word.
    found = (folded(text[start : _stop(text, start, end)]) for start, end in tokens_of(text))
    return [word.lstrip("#") or word for word in found]


def _stop(text: str, start: int, end: int) -> int:
    """The end of a word without a possessive."""
    ending = next((e for e in _POSSESSIVES if text[start:end].casefold().endswith(e)), "")
    return end - len(ending) if len(ending) < end - start else end


def contains(text_key: str, key: str) -> bool:
    """Whether a text holds a term; both as `key_of` gives them."""
    return f" {key} " in f" {text_key} "


# -- units ---------------------------------------------------------------------------------------------------


def units_of(text: str, granularity: Granularity = "words", swaps: Iterable[Swap] = ()) -> list[Unit]:
    """The units of a text, in its order; they do not overlap.

    Args:
        swaps: neutral wordings; each is one unit, with all words in it.
    """
    words = [Unit(start, end, start, _stop(text, start, end)) for start, end in tokens_of(text)]
    if granularity == "spans":
        words = [_joined(phrase) for phrase in _phrases(text, words)]
    found: list[Unit] = []
    for swap in sorted(swaps, key=lambda s: s.begin):
        if not found or swap.begin >= found[-1].end:
            found.append(Unit(swap.begin, swap.end, swap.start, swap.end, swap.new))
    for word in words:
        if granularity == "spans":
            found += _around(text, word, found)
        elif not any(word.begin < s.end and s.begin < word.end for s in found if s.new):
            found.append(word)
    return sorted(found, key=lambda unit: unit.begin)


def _around(text: str, phrase: Unit, swaps: Sequence[Unit]) -> Iterator[Unit]:
    """What is left of a phrase beside the neutral wordings in it."""
    inside = [s for s in swaps if s.new and s.begin < phrase.end and phrase.begin < s.end]
    start = phrase.begin
    for stop, after in [*((s.begin, s.end) for s in inside), (phrase.end, phrase.end)]:
        if tokens := tokens_of(text[start:stop]):
            first, last = start + tokens[0][0], start + tokens[-1][1]
            yield Unit(first, last, first, last)
        start = after


def _phrases(text: str, words: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Words that stand together: a phrase begins behind punctuation, and at a small word such as "with" that
    follows another kind of word."""
    phrase: list[Unit] = []
    for word in words:
        opens = text[word.start : word.stop].casefold() in _OPENS
        if phrase and (
            any(not c.isspace() and c not in "-_'\"" for c in text[phrase[-1].end : word.begin])
            or "\n" in text[phrase[-1].end : word.begin]
            or (opens and text[phrase[-1].start : phrase[-1].stop].casefold() not in _OPENS)
        ):
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _joined(phrase: Sequence[Unit]) -> Unit:
    return Unit(phrase[0].begin, phrase[-1].end, phrase[0].start, phrase[-1].stop)


def edited(text: str, units: Iterable[Unit]) -> str:
    """The text with these units changed. Blanks that are left where a unit was taken out are closed."""
    parts: list[str] = []
    end = 0
    for unit in sorted(units, key=lambda unit: unit.begin):
        parts.append(text[end : unit.begin])
        parts.append(unit.new)
        end = unit.end
        if unit.new:
            continue
        before = "".join(parts)
        if (not before or before[-1].isspace()) and text[end : end + 1] == " ":
            end += 1
        if before.endswith(" ") and (text[end : end + 1] in {",", ".", ";", ":", "!", "?", "\n", ""}):
            parts = [before.rstrip(" ")]
    return ("".join(parts) + text[end:]) if end else text
