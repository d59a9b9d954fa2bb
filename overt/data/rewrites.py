"""Rewordings of prompts, and what they cost: small records, joined by ids made from their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from overt.data.records import Prompt, content_id

RewriteStrategy = Literal["plain", "replace", "context", "describe", "lexical"]
STRATEGIES: tuple[RewriteStrategy, ...] = ("plain", "replace", "context", "describe", "lexical")
# text_text: original wording against new wording. text_image: original wording against the picture of the
# new one. image_image: picture of the original against picture of the new wording.
Measure = Literal["text_text", "text_image", "image_image", "vqa", "judge"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rewording. `prompt_id` is the original's, `text` the new wording."""

    id: str
    prompt_id: str
    text: str
    strategy: RewriteStrategy
    writer: str
    template: str


def candidate_id(prompt_id: str, text: str) -> str:
    """The id of a rewording; the same text for the same prompt is one candidate, whoever wrote it."""
    return content_id("candidate", prompt_id, text)


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How much of the original a rewording keeps, by one measure and model.

    `value` is the score of the new picture or wording against the ORIGINAL prompt, in the scale that the
    measure's docstring names; None where there is nothing to score (no picture, a black one, a judge that
    failed), and `detail` then says why. `baseline` is the score of the original's own picture with the
    same seed, where one exists: report `value - baseline`, since a raw cosine means nothing by itself.
    `missing` lists elements of the original that a question-answering measure did not find. `windows` is
    how many overlapping windows a prompt over the text encoder's limit was scored in.
    """

    candidate_id: str
    prompt_id: str
    target: str
    measure: Measure
    model: str
    value: float | None
    baseline: float | None = None
    windows: int = 1
    missing: tuple[str, ...] = ()
    detail: str = ""

    @property
    def difference(self) -> float | None:
        """`value - baseline`, None where one is missing."""
        if self.value is None or self.baseline is None:
            return None
        return self.value - self.baseline


@dataclass(frozen=True, slots=True)
class Choice:
    """What the remedy made of one prompt at one target: the most faithful candidate that was accepted, or
    None. `score` is what it was chosen by, `measure` and `model` whose score that is."""

    prompt_id: str
    target: str
    tried: int
    accepted: int
    candidate_id: str | None
    measure: str
    model: str
    score: float | None


@dataclass(frozen=True, slots=True)
class FaithfulnessCase:
    """A candidate to be scored at one target. `images` are the pictures of the new wording, `baseline`
    those of the original prompt with the same seed: paths relative to the run folder, empty if none."""

    candidate: Candidate
    prompt: Prompt
    target: str
    images: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()


@runtime_checkable
class FaithfulnessScorer(Protocol):
    """The extension point: a name, and one function over a stream of cases.

    `score` yields, for each case in order, the records of each measure that it has. It reads pictures
    with `load` as it needs them, so that memory does not grow with the number of cases.
    """

    name: str  # "clip/MODEL:PRETRAINED", "text/minilm", ...

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]: ...
