"""Forms of a term: its article, its part of speech, and the inflected forms of the words of the bank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_SILENT_H = re.compile(r"hour|honest|honou?r|heir", re.IGNORECASE)
# Spelled with a vowel, spoken with "y" or "w": a unicorn, a user, a European, a one-off.
_A_SOUND = re.compile(
    r"one\b|once\b|ewe|eu|ouija|uni(?![nmd])|unanim|us[aeu]|ut[eio]|ur[aeiou]|uk|ubi|ufo", re.IGNORECASE
)
_SPOKEN = frozenset(
    {"SIM", "LAN", "RAM", "FAQ"}
)  # short words in capitals that are not read letter by letter
# Nouns that look like gerunds.
_ING_NOUNS = re.compile(
    r"(?:earr|pudd|herr|sibl|darl|sterl|vik|even|morn|build|wedd|paint|draw|lightn|cloth|ceil|str|spr|sl|th)ings?",
    re.IGNORECASE,
)
# Plurals in other endings, and words in "s" that are none.
_PLURALS = re.compile(
    r"(?:.*(?:men|women|people|children|feet|teeth|geese|mice|lice|bacteria)|police|cattle|paparazzi|graffiti|mafiosi)",
    re.IGNORECASE,
)
_NO_PLURALS = re.compile(
    r".*(?:ss|us|is|ics|betes|bies|erpes|[’']s)|(?:gas|news|series|species|lens|aids|bias|atlas|alias|canvas|chaos"
    r"|kudos|pathos|christmas|texas|mars|measles|pus|sms|gps|abs|yes|always|perhaps|across|senseless)",
    re.IGNORECASE,
)
# What follows these is not the head: "weapons of war", "men in masks".
_AFTER_HEAD = re.compile(r"\s(?:of|in|for|with|on|from|at|against|to|by)\s", re.IGNORECASE)
_NOUN_ENDINGS = ("tion", "sion", "ment", "ness", "ity", "ism", "ist", "ship", "hood", "ology", "age")

# The parts of speech of the bank. "thing" and "person" are counted, "stuff" and "act" are not; "event" is an
# act that is counted: a murder, a robbery.
NOUNS = ("thing", "person", "event")
PARTS = (*NOUNS, "stuff", "act", "verb", "quality", "name")
# What a policy's `pos` says, in the bank's parts.
PART_OF_POS = {"noun": "thing", "verb": "verb", "gerund": "act", "adjective": "quality", "name": "name"}


def article(word: str) -> str:
    """Returns "a" or "an" by the sound of the word: an hour, a unicorn, an X-ray, a UFO."""
    word = word.lstrip("\"'“‘(")
    first = re.split(r"[\s-]", word, maxsplit=1)[0]
    if re.match(r"[fhlmnrsx]-", word):
        return "an"  # an n-word, an x-rated film
    if first.isupper() and len(first) <= 3 and first not in _SPOKEN:
        return "an" if first[0] in "AEFHILMNORSX" else "a"  # read letter by letter
    if _SILENT_H.match(word):
        return "an"
    return "an" if word[:1].lower() in "aeiou" and word and not _A_SOUND.match(word) else "a"


def is_gerund(word: str) -> bool:
    """Returns whether a word looks like a gerund, and is none of the nouns that do."""
    return word.endswith("ing") and len(word) > 5 and not _ING_NOUNS.fullmatch(word)


def head_of(term: str) -> str:
    """A term up to the end of its head: "bags" of "bags of heroin"."""
    return _AFTER_HEAD.split(term.strip(), maxsplit=1)[0]


def looks_plural(term: str) -> bool:
    """Returns whether a term that no list knows looks like a noun in the plural: bribes, boxes of pills."""
    head = head_of(term).split()
    if not head or is_gerund(head[0].lower()) or (len(head) > 1 and head[0].lower() in ("a", "an", "to")):
        return False
    if _PLURALS.fullmatch(head[-1]):
        return True
    last = head[-1]
    return len(last) > 3 and last.endswith("s") and not _NO_PLURALS.fullmatch(last)


def part_of_speech(term: str) -> str:
    """Guesses a term's part of speech cautiously; "any" if its form does not tell."""
    last = term.split()[-1].lower()
    if is_gerund(term.split()[0].lower()):
        return "gerund"
    if len(last) > 5 and last.endswith(_NOUN_ENDINGS):
        return "any"  # mostly mass nouns: "a violence" would be wrong, so only quote them
    if all(word[:1].isupper() for word in term.split()) and " " in term:
        return "name"
    return "any"


def inflected(word: str, part: str) -> Iterator[tuple[str, str, bool]]:
    """Yields the forms of a word of the bank: the form, its part, and whether it is a plural.

    A verb gives its third person, its gerund and its regular past; irregular pasts stand in the bank.
    """
    engine = _engine()
    if part in (*NOUNS, "any"):
        yield str(engine.plural_noun(word)).lower(), part, True
    elif part == "verb":
        head, *rest = word.split()
        tail = " ".join(["", *rest])
        third = str(engine.plural_noun(head)).lower()
        gerund = str(engine.present_participle(third)).lower()
        yield third + tail, "quality", False
        yield gerund + tail, "act", False
        yield gerund.removesuffix("ing") + "ed" + tail, "quality", False


@lru_cache(maxsize=1)
def _engine() -> Any:
    """The library takes a while to import, so only terms that are no plain word of the bank pay for it.

    Most of that time, a second, goes into rewriting its methods so that they check the types of what they are
    given. Here they are given texts, so they stay as they are written.
    """
    with _unchecked():
        import inflect
    return inflect.engine()


@contextmanager
def _unchecked() -> Iterator[None]:
    """While it lasts, `typeguard.typechecked` leaves what it decorates alone."""
    try:
        import typeguard
    except ImportError:  # an inflect that checks nothing
        yield
        return
    before = typeguard.typechecked
    typeguard.typechecked = _as_written  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = before


def _as_written(target: object = None, **settings: object) -> object:
    return _as_written if target is None else target
