"""Bare text filters and image checkers: what they are asked and what they say. They draw nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from overt.data.chat import CallError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True, slots=True)
class FilterDecision:
    """Whether a text or a picture is blocked.

    `blocked` is None where that could not be told: the answer was unreadable ("unclear"), or there is an
    `error`. `score` from 0 (harmless) to 1 where the filter gives one, else None; `reason` says what was
    found, "" where the filter does not tell, under 200 characters.
    """

    blocked: bool | None
    score: float | None = None
    reason: str = ""
    error: CallError | None = None


@runtime_checkable
class TextFilter(Protocol):
    """The extension point: a name and one function, which must say the same of the same text each time.

    `decide` may block (it is called off the event loop) and does not raise for what a network or provider
    does: that is `FilterDecision.error`. A filter that is quicker on many texts at once may have
    `decide_many(texts: list[str]) -> list[FilterDecision]` besides; it must say what `decide` says of
    each text alone.
    """

    name: str  # "filter/NAME?option=value", as the user would write it

    def decide(self, text: str) -> FilterDecision: ...


@runtime_checkable
class ImageChecker(Protocol):
    """The extension point: a name and one function over a decoded picture and the prompt it came from.

    Args of `check`: an RGB `PIL.Image.Image` without metadata, and the prompt ("" where there is none).
    As with filters, `check` may block, never raises for a provider's faults, and may be joined by
    `check_many(images: list[Image], prompts: list[str]) -> list[FilterDecision]`.
    """

    name: str  # "checker/NAME?option=value"

    def check(self, image: Picture, prompt: str) -> FilterDecision: ...


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
