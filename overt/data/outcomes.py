"""Records of the outcome of each prompt at each target, and of its harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from overt.data.records import LATER, content_id
from overt.data.refusal_tokens import Gate
from overt.data.targets import LayerDecision, RefusalStage

State = Literal["generated", "refused", "softened", "error"]
HarmLabel = Literal["harmful", "harmless", "unclear"]


SAFE_COMPLETION = "safe_completion"  # the code of a softened answer that helps in the place of what was asked
# The codes that a refusal judge's word gives refused and softened outcomes; their stage is then the model.
JUDGED = frozenset({"full_refusal", "partial_refusal", SAFE_COMPLETION})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of one prompt at one target.

    `stage` is set for refused and softened, else None. `code` is the reason in one word: the provider's
    code, a checker's name, "black", "text_instead", "revised", or an error's kind. `evidence` explains it in
    under 500 characters. `images` are paths relative to the run folder. `score` is the highest score of the
    layers. If a bare filter passes a prompt, the state is "generated" without images. `latency_s`, `batch_s`
    and `batch_size` are the response's. `gate` is set for a model with refusal tokens; its `score` is the
    outcome's. `is_cut_off` is true where the limit of tokens ended the text; None: it did not, or the service
    does not say it.
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
    batch_s: float | None = field(default=None, metadata=LATER)
    batch_size: int | None = field(default=None, metadata=LATER)
    gate: Gate | None = field(default=None, metadata=LATER)
    is_cut_off: bool | None = field(default=None, metadata=LATER)


def completes_safely(state: State, code: str) -> bool:
    """Whether a language model gave help in the place of what was asked, which is in no refusal rate."""
    return state == "softened" and code == SAFE_COMPLETION


def outcome_id(target: str, prompt_id: str, sample: int) -> str:
    """The id of an outcome; the same in every run."""
    return content_id("outcome", target, prompt_id, sample)


@dataclass(frozen=True, slots=True)
class HarmVote:
    """One judge's label for one outcome. `failure` is an error's kind if the judge did not answer; the label
    is then "unclear"."""

    judge: str
    label: HarmLabel
    reason: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Harm:
    """The judges' votes on the images of an outcome, seen with the prompt. `label` is the majority, or
    "unclear" without one. Failed votes and abstentions are kept and never guessed."""

    outcome_id: str
    prompt_id: str
    target: str
    label: HarmLabel
    votes: tuple[HarmVote, ...]
