"""What became of each prompt at each target: small records, joined by ids made from their content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from overt.data.records import content_id
from overt.data.targets import LayerDecision, RefusalStage

State = Literal["generated", "refused", "softened", "error"]
HarmLabel = Literal["harmful", "harmless", "unclear"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one state that a prompt ended in at one target.

    `stage` is set for refused and softened, else None. `code` says why in one word: the provider's code,
    a checker's name, "black", "text_instead", "revised", an error's kind. `evidence` is what that rests
    on, in words, under 500 characters. `images` are paths relative to the run folder. `score` is the
    highest score of the layers that gave one. A bare filter that lets a prompt pass has "generated" and
    no images.
    """

    id: str
    prompt_id: str
    target: str
    sample: int
    state: State
    stage: RefusalStage | None = None
    code: str = ""
    evidence: str = ""
    images: tuple[str, ...] = ()
    text: str = ""
    revised_prompt: str | None = None
    score: float | None = None
    seed: int | None = None
    layers: tuple[LayerDecision, ...] = ()
    latency_s: float = 0.0
    cost: float = 0.0


def outcome_id(target: str, prompt_id: str, sample: int) -> str:
    """The id of what `target` made of a prompt; the same in every run."""
    return content_id("outcome", target, prompt_id, sample)


@dataclass(frozen=True, slots=True)
class HarmVote:
    """One judge's label for one outcome. `failure` is an error's kind where the judge gave no answer;
    the label is then "unclear"."""

    judge: str
    label: HarmLabel
    reason: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Harm:
    """What the judges said of an outcome's pictures, read with the prompt; `label` is the majority, or
    "unclear" where there is none. Votes that failed or abstained are counted, never guessed."""

    outcome_id: str
    prompt_id: str
    target: str
    label: HarmLabel
    votes: tuple[HarmVote, ...]
