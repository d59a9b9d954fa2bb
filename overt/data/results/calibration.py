"""The records of `results/calibration.json`: a threshold for a limit on over-refusal, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from overt.data.results.remedy import Mean
from overt.data.results.summary import Area, Rate, SideCounts
from overt.data.typed_json import OMIT_NONE

SCHEMA = 1  # raised if a field changes its meaning or is removed, but not for a new field

# What came of the search for a threshold:
#   found         it keeps the limit on the calibration split, and the held-out split does not contradict it
#   too few       so few benign seeds that a threshold would say more of them than of the target
#   none keeps it no score may be refused, or the limit is broken even where nothing is refused by score
#   contradicted  on the held-out split the whole interval of over-refusal lies above the limit
Status = Literal["found", "too few", "none keeps it", "contradicted"]
# What a score is: of the only layer that gives one, or the probability of the refuse token.
ScoreKind = Literal["layer", "tokens"]

_NONE = SideCounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one threshold gives on some rows, as fractions of 1.

    `unsafe_compliance` is the share of unsafe prompts that are let through or answered: the cost. A safe
    completion (help in the place of what was asked) is neither refusal nor compliance. Where it is not known
    what the target would have said (a continuation that was not asked for), a row counts against the
    threshold: a benign one as refused, an unsafe one as answered. `unknown` counts these, and the rates
    without them in the numerator are `over_refusal_least` and `unsafe_refusal_most`.
    """

    over_refusal: Rate | None = None
    unsafe_refusal: Rate | None = None
    unsafe_compliance: Rate | None = None
    unknown: SideCounts = _NONE
    over_refusal_least: float | None = None
    unsafe_refusal_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold for all prompts, for a category of prompts, or for prompts whose highest refuse token is
    `name`.

    `threshold` is None without one; `why` then says why, in a sentence. `clusters` counts the benign seeds
    (or pairs) on the calibration split, `needed` how many it takes. `allowed` is how many of their rows may
    be refused.
    """

    name: str = ""
    status: Status
    threshold: float | None = None
    why: str = ""
    clusters: int = 0
    needed: int = 0
    allowed: int = 0
    calibration: Measured = Measured()
    held_out: Measured = Measured()


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one threshold gives: the shares of benign and of unsafe prompts refused. Threshold None: nothing
    is refused by score."""

    threshold: float | None
    over_refusal: float
    unsafe_refusal: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """One row of the table: a round threshold on the held-out split."""

    threshold: float
    held_out: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryAt:
    """One category of prompts (of a suite: one type), on the held-out split, at the threshold for all
    prompts."""

    category: str
    held_out: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Logistic regression on embeddings of the prompts, fitted on the calibration split: what any text
    classifier gets.

    `encoder` made the vectors. `fitted` and `held_out` count prompts. `difference` is the target's area minus
    the baseline's on the same held-out rows, with its interval; `verdict` says what that means.
    """

    encoder: str
    version: str = ""
    fitted: SideCounts = _NONE
    held_out: SideCounts = _NONE
    auc: Area
    target_auc: Area
    difference: float
    low: float
    high: float
    method: str = ""
    verdict: Literal["better", "worse", "not better"]
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True, slots=True)
class BySide:
    """A rate of benign and one of unsafe prompts."""

    benign: Rate | None = None
    unsafe: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """How a model uses its refusal tokens, over all its scored rows.

    `refused_in_words`: of forced respond tokens, how often the judge still found a refusal behind them.
    `answered_anyway`: of forced refuse tokens, how often it found none. `mass` is the mean probability of all
    tokens together, `thin` the share of rows where it is below one half; `bounds` counts rows whose p is an
    upper bound, since the service did not list the token. `one_sided` counts rows with one continuation only
    (see --both).
    """

    refused_in_words: BySide = BySide()
    answered_anyway: BySide = BySide()
    mass: Mean | None = None
    thin: Rate | None = None
    bounds: int = 0
    one_sided: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedTarget:
    """One target. `why` says why nothing could be calibrated, "" where there are scores.

    `layer` gave the score, `others` are layers that decide without one: what they refuse comes on top.
    `whole` is the threshold for all prompts; `categories` has one for each category of prompts
    (--by-category), `tokens` one for each refuse token. `by_category` is the held-out split at the threshold
    for all. `unscored` counts answered rows without a score, `missing` rows without an answer. `regardless`
    counts rows that the layer blocked although it let through a row with a higher score: since it decides by
    more than its score, what it blocked counts as refused at every threshold. `no_baseline` says why there is
    none.
    """

    name: str
    score: ScoreKind = "layer"
    layer: str = ""
    others: tuple[str, ...] = ()
    why: str = ""
    rows: SideCounts = _NONE
    unscored: int = 0
    missing: int = 0
    regardless: int = 0
    whole: Threshold | None = None
    categories: tuple[Threshold, ...] = ()
    tokens: tuple[Threshold, ...] = ()
    by_category: tuple[CategoryAt, ...] = ()
    grid: tuple[GridRow, ...] = ()
    calibration: tuple[CurvePoint, ...] = ()
    held_out: tuple[CurvePoint, ...] = ()
    auc: Area | None = None
    baseline: Baseline | None = None
    no_baseline: str = ""
    facts: TokenFacts | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Thresholds of the targets of one run. `limit`, `share` and `level` are fractions of 1; `share` of the
    seeds (or pairs) are the calibration split, drawn by `seed`. `clusters` counts those of both splits."""

    schema: int = SCHEMA
    limit: float
    level: float = 0.95
    share: float = 0.5
    seed: int = 0
    by_category: bool = False
    clusters: tuple[int, int] = (0, 0)
    targets: tuple[CalibratedTarget, ...] = ()
