"""Words for the grammar: data files, articles, slots, and guessed parts of speech."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

import yaml

T = TypeVar("T")
Slots = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"(?:\b(?P<article>[Aa]n?) )?\{(?P<name>[a-z_]+)\}")
_SILENT_H = re.compile(r"hour|honest|honou?r|heir", re.IGNORECASE)
# Spelled with a vowel, spoken with "y" or "w": a unicorn, a user, a European, a one-off.
_A_SOUND = re.compile(
    r"one\b|once\b|ewe|eu|ouija|uni(?![nmd])|unanim|us[aeu]|ut[eio]|ur[aeiou]|uk|ubi|ufo", re.IGNORECASE
)
# Nouns that look like gerunds.
_ING_NOUNS = re.compile(
    r"(?:earr|pudd|herr|sibl|darl|sterl|vik|even|morn|build|wedd|paint|draw|lightn|cloth|ceil|str|spr|sl|th)ings?",
    re.IGNORECASE,
)
_NOUN_ENDINGS = ("tion", "sion", "ment", "ness", "ity", "ism", "ist", "ship", "hood", "ology", "age")
_PROMOTING = re.compile(
    r"^(?:that|which|(?:show|depict|promot|encourag|glorif|prais|normali[sz]|celebrat|mock|demean|sexuali[sz]"
    r"|incit|advertis|imitat|reproduc|invit|advocat|endors|display|portray|reveal|expos|identif|describ|threaten"
    r"|degrad|dehumani[sz]|humiliat)y?ing)\b"
)
_HEDGES = re.compile(
    r"^(?:(?:any|all|realistic|photorealistic) )?(?:content|images?|pictures?|photos?|depictions?|portrayals?"
    r"|requests?|prompts?|material|texts?|scenes?)\s+(?:of|for)\s+"
)
_CARRIERS = re.compile(
    r"^(?:any |all )?(?:content|images?|pictures?|photos?|material|texts?|scenes?)\s+(?=that\b|\w+ing\b)"
)
_EXCEPTIONS = re.compile(
    r"[.;:(]|,? \b(?:except|unless|other than|apart from|but not|even (?:if|when|in))\b", re.IGNORECASE
)


@lru_cache(maxsize=8)
def table(name: str) -> dict[str, Any]:
    """Reads a YAML file of this package: "lexicon", "styles" or "frames"."""
    text = (files("overt.generation") / f"{name}.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data


def article(word: str) -> str:
    """Returns "a" or "an" by the sound of the word: an hour, a unicorn, an X-ray, a UFO."""
    word = word.lstrip("\"'“‘(")
    first = re.split(r"[\s-]", word, maxsplit=1)[0]
    if first.isupper() and len(first) <= 3:
        return "an" if first[0] in "AEFHILMNORSX" else "a"  # read letter by letter
    if _SILENT_H.match(word):
        return "an"
    return "an" if word[:1].lower() in "aeiou" and word and not _A_SOUND.match(word) else "a"


def fill(template: str, choose: Callable[[str], str]) -> str:
    """Replaces each {slot} by `choose(slot)` and adapts an article right before it."""

    def put(match: re.Match[str]) -> str:
        filler = choose(match["name"])
        if not match["article"]:
            return filler
        fitted = article(filler)
        return f"{fitted.capitalize() if match['article'][0] == 'A' else fitted} {filler}"

    return _SLOT.sub(put, template)


def slot_names(template: str) -> list[str]:
    """Returns the slots of a template in order, with repeats."""
    return [m["name"] for m in _SLOT.finditer(template)]


def locate(template: str, text: str, slots: Slots) -> tuple[int, int, dict[str, str]] | None:
    """Finds a filled template in `text`: returns start, end and the filler of each slot, or None.

    Only the slots' own fillers count, longest first. The case of the first letter is ignored, since a
    fragment may begin a sentence.
    """
    parts = _parts(template)
    kind, first = parts[0]
    heads = [first] if kind == "text" else list(slots.get(first, ()))
    for head in sorted(heads, key=lambda h: (-len(h), h)):
        for variant in dict.fromkeys((head, head[:1].upper() + head[1:], head[:1].lower() + head[1:])):
            start = text.find(variant)
            while start >= 0:
                known = {} if kind == "text" else {first: head}
                found = _rest(parts, 1, text, start + len(variant), known, slots)
                if found:
                    return start, *found
                start = text.find(variant, start + 1)
    return None


def _rest(
    parts: list[tuple[str, str]], i: int, text: str, at: int, known: dict[str, str], slots: Slots
) -> tuple[int, dict[str, str]] | None:
    if i == len(parts):
        return at, known
    kind, value = parts[i]
    if kind == "text":
        return (
            _rest(parts, i + 1, text, at + len(value), known, slots) if text.startswith(value, at) else None
        )
    if kind == "article":
        for word in ("an ", "a "):
            if text.startswith(word, at):
                return _rest(parts, i + 1, text, at + len(word), known, slots)
        return None
    options = [known[value]] if value in known else slots.get(value, ())
    for option in sorted(options, key=lambda o: (-len(o), o)):
        if text.startswith(option, at):
            found = _rest(parts, i + 1, text, at + len(option), {**known, value: option}, slots)
            if found:
                return found
    return None


@lru_cache(maxsize=8192)
def _parts(template: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    at = 0
    for match in _SLOT.finditer(template):
        if match.start() > at:
            parts.append(("text", template[at : match.start()]))
        if match["article"]:
            parts.append(("article", ""))
        parts.append(("slot", match["name"]))
        at = match.end()
    if at < len(template):
        parts.append(("text", template[at:]))
    return parts


class Deck(Generic[T]):
    """Draws without replacement: no card comes twice before every card has come once.

    Cards that `skip` rejects stay on top, so a long list is used evenly. If no card fits, the next one is
    drawn anyway.
    """

    def __init__(self, cards: Sequence[T], rng: random.Random, turn: float = 0.0) -> None:
        order = list(cards)
        rng.shuffle(order)
        cut = int(turn * len(order))
        self._cards, self._rng = list(cards), random.Random(rng.random())
        self._pile = order[cut:] + order[:cut]

    def draw(self, skip: Callable[[T], bool] = lambda _: False) -> T:
        for i, card in enumerate(self._pile):
            if not skip(card):
                del self._pile[i]
                return card
        fresh = list(self._cards)
        self._rng.shuffle(fresh)
        chosen = next((i for i, card in enumerate(fresh) if not skip(card)), 0)
        card = fresh.pop(chosen)
        if len(self._pile) > 2 * len(self._cards):
            self._pile.clear()  # cards that hardly ever fit must not pile up
        self._pile += fresh
        return card


def part_of_speech(term: str) -> str:
    """Guesses a term's part of speech cautiously; "any" if its form does not tell."""
    last = term.split()[-1].lower()
    first = term.split()[0].lower()
    if first.endswith("ing") and len(first) > 5 and not _ING_NOUNS.fullmatch(first):
        return "gerund"
    if len(last) > 5 and last.endswith(_NOUN_ENDINGS):
        return "any"  # mostly mass nouns: "a violence" would be wrong, so only quote them
    if all(word[:1].isupper() for word in term.split()) and " " in term:
        return "name"
    return "any"


def core(text: str, *, sentence_case: bool = False) -> str:
    """Returns a policy's line without exceptions, explanations after a colon, or a full stop."""
    text = _EXCEPTIONS.split(text.strip(), maxsplit=1)[0].strip(" ,")
    if sentence_case and text[1:2].islower():
        text = text[:1].lower() + text[1:]
    return text


def sentence_cased(lines: Sequence[str]) -> bool:
    """Returns whether every line starts with a capital."""
    return bool(lines) and all(line[:1].isupper() for line in lines)


def forbidden(text: str) -> tuple[str, str]:
    """Returns the form of a `disallowed` line and the phrase for a frame of that form.

    Forms: "np" (a noun phrase), "gerund" ("selling drugs"), "showing" ("promoting drug use", "that
    mocks a faith": what a picture does), "how" ("how to pick a lock").
    """
    phrase = _CARRIERS.sub("", _HEDGES.sub("", text))
    if re.match(r"how to\b", phrase):
        return "how", phrase
    if _PROMOTING.match(phrase):
        return "showing", phrase
    first = re.split(r"\W", phrase, maxsplit=1)[0]
    if first.endswith("ing") and len(first) > 5 and not _ING_NOUNS.fullmatch(first):
        return "gerund", phrase
    return "np", phrase
