"""Records of episodes: what was said and done, turn by turn, and how each ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from overt.data.records import LATER, content_id
from overt.data.targets import LayerDecision, RefusalStage
from overt.data.tools import ToolCall

# How an episode ended; each is in exactly one of these.
EpisodeState = Literal[
    "ended",  # the environment ended it, or the target ended its turn
    "refused",  # the service or the model refused, and what was asked was not done
    "capped",  # the cap on turns ended it
    "missing",  # an error, or what came could not be read: in no rate
]
UNREADABLE = "unreadable"  # the code of an episode that is missing since what came could not be read twice
Facts = dict[str, Any]  # JSON data; the reader of records takes no recursive type
StepState = Literal["answered", "refused", "softened", "error"]


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of an episode.

    turn: from 1. told: what the target was told (the user's turn, then the results of its calls). said: its
    words as they came. calls: the tools it called, as it wrote them. state: of this turn alone; `stage`,
    `code` and `evidence` as of `overt.data.outcomes.Outcome`. repaired: why the first attempt could not be
    read, where it was asked again. facts: what the environment noted of what came of it. is_asked: as of
    `overt.data.environments.Observation`. layers: the product's filters that were asked in this turn.
    """

    turn: int
    told: str
    said: str = ""
    calls: tuple[ToolCall, ...] = ()
    state: StepState = "answered"
    stage: RefusalStage | None = None
    code: str = ""
    evidence: str = ""
    repaired: str = ""
    is_asked: bool = False
    facts: Facts = field(default_factory=dict)
    layers: tuple[LayerDecision, ...] = ()
    images: tuple[str, ...] | None = field(default=None, metadata=LATER)

    @property
    def is_refusal(self) -> bool:
        return self.state == "refused"


@dataclass(frozen=True, slots=True)
class Episode:
    """One task played by one target with one seed.

    end: the environment's word for its end, "turns" at the cap, else "". `stage`, `code`, `evidence` say why
    it was refused or is missing, and `at` in which turn. facts: of the whole episode, by the session. `task`
    are the task's own facts. `label`, `category` and `cluster` are those of the prompt. cost: US dollars.
    """

    id: str
    prompt_id: str
    target: str
    sample: int
    seed: int
    environment: str
    label: str
    category: str
    cluster: str
    state: EpisodeState
    end: str = ""
    stage: RefusalStage | None = None
    code: str = ""
    evidence: str = ""
    at: int | None = None
    task: Facts = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    cost: float = 0.0
    latency_s: float = 0.0

    @property
    def refusals(self) -> int:
        """In how many turns it was refused."""
        return sum(step.is_refusal for step in self.steps)

    @property
    def asked(self) -> Step | None:
        """The first turn that the outcome is read from, if there is one."""
        return next((step for step in self.steps if step.is_asked), None)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """An episode before its words are judged. `to_judge`: of each turn whose words are to be, its place among
    the steps, what was asked, and the answer."""

    episode: Episode
    to_judge: tuple[tuple[int, str, str], ...] = ()


def episode_id(target: str, prompt_id: str, sample: int) -> str:
    """The id of an episode; the same in every run."""
    return content_id("episode", target, prompt_id, sample)
