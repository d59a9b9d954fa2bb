"""Words for the grammar: data files, slots and decks."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

import yaml

from overt.policies.term_forms import article

T = TypeVar("T")
Slots = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"(?:\b(?P<article>[Aa]n?) )?\{(?P<name>[a-z_]+)\}")


@lru_cache(maxsize=8)
def table(name: str) -> dict[str, Any]:
    """Reads a YAML file of this package: "lexicon", "styles" or "frames"."""
    text = (files("overt.generation") / f"{name}.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data


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
