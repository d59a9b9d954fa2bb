"""Records of rewritten prompts and their faithfulness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from overt.data.json_types import JsonObject
from overt.data.records import Prompt, content_id

RewriteStrategy = Literal["plain", "replace", "context", "describe", "lexical"]
STRATEGIES: tuple[RewriteStrategy, ...] = ("plain", "replace", "context", "describe", "lexical")
# text_text: original against new wording. text_image: original wording against the new image. image_image:
# original against new image.
Measure = Literal["text_text", "text_image", "image_image", "vqa", "judge"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rewording. `prompt_id` is the id of the original, `text` the new wording."""

    id: str
    prompt_id: str
    text: str
    strategy: RewriteStrategy
    writer: str
    template: str


def candidate_id(prompt_id: str, text: str) -> str:
    """The id of a rewording, which does not depend on the writer."""
    return content_id("candidate", prompt_id, text)


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How much of the original a rewording keeps, by one measure and model.

    `value` is the score of the new image or wording against the ORIGINAL prompt, in the scale of the
    measure. It is None if nothing could be scored (no image, a black image, a failed judge); `detail` then
    has the reason. `baseline` is the score of the original's image with the same seed, if it exists. Report
    `value - baseline`, since a raw cosine means nothing alone. `missing` lists elements of the original that
    a question-answering measure did not find. `windows` is the number of overlapping windows for a prompt
    over the text encoder's limit.
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
        """`value - baseline`, or None if one is missing."""
        if self.value is None or self.baseline is None:
            return None
        return self.value - self.baseline


@dataclass(frozen=True, slots=True)
class Choice:
    """The most faithful accepted candidate for one prompt at one target, or None. It was chosen by `score`,
    which `model` gave by `measure`."""

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
    """A candidate to score at one target. `images` shows the new wording and `baseline` the original prompt
    with the same seed, as paths relative to the run folder; both may be empty."""

    candidate: Candidate
    prompt: Prompt
    target: str
    images: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()


class Kept(Protocol):
    """Where a scorer keeps results, so that a command that is typed again computes nothing twice."""

    def get(self, about: JsonObject) -> JsonObject | None:
        """The result that was kept under this, if any."""
        ...

    def put(self, rows: Iterable[tuple[JsonObject, JsonObject]]) -> None:
        """Keeps results, each under what it is about."""
        ...


@runtime_checkable
class FaithfulnessScorer(Protocol):
    """The extension point for faithfulness scorers.

    `score` yields for each case, in order, one record per measure. It reads images with `load` one case at a
    time, so that memory does not grow with the number of cases.

    Optional: `keep_in(kept)`, for one that keeps what it computes by itself. Of a class of the user's own
    without it and without a `scale` the records are kept case by case, as long as each has a value; `version`
    says what else changes them, where its file does not tell.
    """

    name: str  # "clip/MODEL:PRETRAINED", "text/minilm", ...

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]: ...
