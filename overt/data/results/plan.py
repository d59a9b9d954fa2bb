"""The records of `plan.json`: what a run to come needs, by what it was found, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from overt.data.results.plan_row import RowPlan
from overt.data.results.summary import Rate
from overt.data.typed_json import OMIT_NONE

SCHEMA = 1  # raised if a field changes its meaning or is removed, but not for a new field

# By what an amount is known:
#   measured    the calls, the clock or the power of a pilot
#   stated      what the user says
#   price list  tokens or pictures of a pilot, or stated ones, at listed prices
#   free        a model of this machine, which nobody bills
#   counted     the prompts of a data set, or of a pilot
#   exact       a formula without a simulation
#   simulated   draws of data sets
By = Literal["measured", "stated", "price list", "free", "counted", "exact", "simulated"]
Unit = Literal["prompts", "episodes", "rows", "calls", "tokens", "hours", "seconds", "US dollars", "kWh"]
Decision = Literal["limit", "difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount in its unit, with an interval where there is one.

    `by` says by what it is known; None with no value. Of a stated range the limits are its ends and the value
    is its middle. `n` counts the units of the pilot that it rests on. `why` says why there is no value, or no
    interval; `how` in a sentence how it was found.
    """

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    by: By | None = None
    n: int | None = None
    why: str = ""
    how: str = ""


# -- prompts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPoint:
    """The power with so many prompts: in `power.k` of `power.n` simulated data sets the decision fell."""

    prompts: int
    power: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A decision that is planned; rates are fractions of 1.

    limit: `limit` and `at_most` (False: at least) on `metric`, with the true rate `expected` (`is_default`:
        nobody gave it, so it is half-way from the limit to the best rate).
    difference: the true difference `difference` of two targets, `between` (none: of no pilot).
    """

    decision: Decision
    metric: str
    power: float
    level: float
    limit: float | None = None
    at_most: bool = True
    expected: float | None = None
    is_default: bool = False
    difference: float | None = None
    between: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptNeed:
    """How many prompts one category of one target needs; without a pilot both names are "".

    `answers` of the pilot tell something of the decision: those to its `n` prompts of the category, less
    those that failed or that no judge could place; several of a prompt where it was asked several times. They
    lie in `clusters` clusters and show the design effect `effect`, which makes the intraclass correlation
    `correlation` of the simulated clusters. `seen` is the pilot's rate, of a limit. `apart` is the share of
    answers in which two targets differ. `prompts` brings so many answers as the decision needs if each
    prompt brings as many as in the pilot; None with a reason in `why`. `formula` is the same by the number of
    independent answers times the design effect, where there is such a formula. `found` is the power on
    fresh draws.
    """

    target: str
    category: str
    n: int = 0
    answers: int = 0
    clusters: int = 0
    seen: Rate | None = None
    effect: float = 1.0
    correlation: float = 0.0
    apart: float | None = None
    prompts: int | None = None
    by: By | None = None
    formula: int | None = None
    found: PowerPoint | None = None
    curve: tuple[PowerPoint, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision needs, by target and category."""

    asked: Asked
    needs: tuple[PromptNeed, ...]


# -- the run ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNeed:
    """What the calls of one model for one purpose take.

    `is_target` says that they ask what is tested. `calls_per_prompt` and `seconds_per_call` are those of the
    pilot, or stated; `in_flight` how many calls were under way at once, on average, None where nobody knows.
    `failed` is the share of calls without an answer, `tried_again` the retries for each call.
    """

    stage: str
    model: str
    is_target: bool
    calls: Amount
    hours: Amount
    cost: Amount
    input_tokens: Amount
    output_tokens: Amount
    seconds_per_call: Amount
    calls_per_prompt: float
    in_flight: float | None = None
    failed: Rate | None = None
    tried_again: float | None = None

    @property
    def title(self) -> str:
        """The stage, with its model where the name of the stage does not say it."""
        named = self.is_target or self.model.partition("?")[0] in self.stage
        return self.stage if named else f"{self.stage} ({self.model})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNeed:
    """What a run of `prompts`, each asked `samples` times, takes on `servers` servers. The totals add up the
    stages, the limits of their intervals too: stages hang together, and so the interval is rather too
    wide. `hours` are those of all stages one after the other, `longest` those of the longest alone, which is
    what it takes where all others go beside it."""

    prompts: Amount
    samples: int
    servers: int
    concurrency: int | None
    stages: tuple[StageNeed, ...]
    calls: Amount
    hours: Amount
    longest: Amount
    cost: Amount
    energy: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a run needs. `source` is what was named, `pilot` the folder whose journal was read."""

    source: str = ""
    pilot: str = ""
    decided: tuple[Decided, ...] = ()
    run: RunNeed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `overt plan` found. `level` is that of all intervals, `seed` of all draws."""

    schema: int = SCHEMA
    overt: str = ""
    level: float = 0.95
    seed: int = 0
    needs: Needs | None = field(default=None, metadata=OMIT_NONE)
    row: RowPlan | None = field(default=None, metadata=OMIT_NONE)
    notes: tuple[str, ...] = ()
