"""A bare text filter: what it is asked and what it says. It draws nothing; its decision is the response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class FilterDecision:
    """Whether a text is blocked. `score` from 0 (harmless) to 1 where the filter gives one, else None;
    `reason` says what was found, "" where the filter does not tell."""

    blocked: bool
    score: float | None = None
    reason: str = ""


@runtime_checkable
class TextFilter(Protocol):
    """The extension point: a name and one function, which must say the same of the same text each time.

    A filter that is quicker on many texts at once may have `decide_many(texts: list[str]) ->
    list[FilterDecision]` besides; it must say what `decide` says of each text alone.
    """

    name: str  # "filter/NAME?option=value", as the user would write it

    def decide(self, text: str) -> FilterDecision: ...


def decide_all(
    text_filter: TextFilter, texts: Iterable[str], *, chunk: int = 256
) -> Iterator[FilterDecision]:
    """The filter's decisions in the order of the texts, `chunk` texts at a time where it can do that.

    Raises:
        ValueError: `decide_many` gave another number of decisions than it was given texts.
    """
    many = getattr(text_filter, "decide_many", None)
    if many is None:
        yield from map(text_filter.decide, texts)
        return
    source = iter(texts)
    while part := list(islice(source, chunk)):
        decisions = many(part)
        if len(decisions) != len(part):
            raise ValueError(f"{text_filter.name}: {len(part)} texts, {len(decisions)} decisions")
        yield from decisions
