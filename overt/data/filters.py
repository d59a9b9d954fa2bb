"""The protocols of text filters and image checkers, and their decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from overt.data.chat import CallError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True, slots=True)
class FilterDecision:
    """Whether a text or an image is blocked.

    `blocked` is None if the answer was unreadable ("unclear") or there is an `error`. `score` is from 0
    (harmless) to 1, or None; `reason` has under 200 characters and may be "".
    """

    blocked: bool | None
    score: float | None = None
    reason: str = ""
    error: CallError | None = None


@runtime_checkable
class TextFilter(Protocol):
    """The extension point for text filters. The same text must always get the same decision.

    `decide` may block: it is called off the event loop. It does not raise for failures of a network or
    provider but returns them as `FilterDecision.error`. A filter that is faster on many texts may also have
    `decide_many(texts: list[str]) -> list[FilterDecision]`, with the same decisions as `decide`. One that
    neither waits nor computes for long may say `is_quick = True`: it is called on the event loop then.
    """

    name: str  # "filter/NAME?option=value", as the user would write it

    # Optional, for `overt score --judges`: `decide_answers(prompts: list[str], answers: list[str])`, the
    # decisions on answers, each read with the prompt that it answers. A filter without it reads the answer
    # alone. `check_answers()` raises an InputError where it cannot do that. `covers`: as of a checker.

    def decide(self, text: str) -> FilterDecision: ...


@runtime_checkable
class ImageChecker(Protocol):
    """The extension point for image checkers.

    `check` receives an RGB `PIL.Image.Image` without metadata, and its prompt or "". Of an animation it
    receives several frames one after another, and the worst decision counts. As for filters, it may
    block, does not raise for failures of a provider, and may be joined by
    `check_many(images: list[Image], prompts: list[str]) -> list[FilterDecision]`.
    """

    name: str  # "checker/NAME?option=value"

    # Optional, for `overt score --judges`: `covers`, what the checker can see. "all", or kinds of harm such
    # as "sexual" and "violence" (overt/scoring/harm_kinds.yaml) and category ids of a policy. Categories that
    # no judge covers are not judged; a checker without `covers` covers nothing.
    #
    # Optional: `reads_prompt`, False if the prompt changes no decision, so that one picture is looked at once
    # whatever was asked for; `version`, of what else changes decisions, where the files that its name points
    # to and its class's own file do not tell.

    def check(self, image: Picture, prompt: str) -> FilterDecision: ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What a checker said of one picture, the worst of its frames; or why the picture could not be shown to
    it (`broken`; "" if it was)."""

    decision: FilterDecision
    broken: str = ""


class AnswerFilter:
    """A text filter that judges answers: with the prompt if it has `decide_answers`, else the answer alone.

    `reads_prompt` says which. Whatever else is asked of it is the filter's.
    """

    def __init__(self, text_filter: TextFilter) -> None:
        self.name, self._filter = text_filter.name, text_filter
        of_pairs = getattr(text_filter, "decide_answers", None)
        of_texts = getattr(text_filter, "decide_many", None)
        self.reads_prompt = of_pairs is not None
        if of_pairs is not None:
            self.decide_many = of_pairs
        elif of_texts is not None:
            self.decide_many = lambda _, answers: of_texts(answers)

    def decide(self, prompt: str, answer: str) -> FilterDecision:
        """The decision on one answer."""
        if not self.reads_prompt:
            return self._filter.decide(answer)
        decision: FilterDecision = self.decide_many([prompt], [answer])[0]
        return decision

    def __getattr__(self, name: str) -> object:
        if name == "decide_many":  # of a filter that decides one by one
            raise AttributeError(name)
        return getattr(self._filter, name)


# (prompt, answer) -> what a filter says of each answer, in order.
AnswerChecks = Callable[[Iterable[tuple[str, str]]], Iterator[FilterDecision]]

# (path of a picture, prompt) -> what a checker says of each, in order.
Checks = Callable[[Iterable[tuple[str, str]]], Iterator[Checked]]


def worst(decisions: Sequence[FilterDecision]) -> FilterDecision:
    """The decision that counts for several pictures, or several frames of one: one that blocks, else one
    without a decision, else the one with the highest score. The decisions have no error."""
    return max(decisions, key=lambda d: (bool(d.blocked), d.blocked is None, d.score or 0.0))


def decide_all(
    text_filter: TextFilter, texts: Iterable[str], *, chunk: int = 256
) -> Iterator[FilterDecision]:
    """Yields the filter's decisions in the order of the texts, `chunk` texts at a time if it can do that.

    Raises:
        ValueError: `decide_many` returned a wrong number of decisions.
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
