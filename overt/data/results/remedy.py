"""The records of `results/rewrite.json`: refusal before and after rewriting, and faithfulness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from overt.data.results.summary import Proportion, SideCounts
from overt.data.typed_json import OMIT_NONE


@dataclass(frozen=True, slots=True)
class RemedyRate(Proportion):
    """`method` names how the interval was made."""

    method: str = ""


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean in its own unit with its interval; limits are None where there is only one cluster."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Mean(MeanInterval):
    """Over `n` values in `clusters` clusters, at the confidence level `level`."""

    n: int = 0
    clusters: int = 0
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAfter:
    """Refusal before and after rewriting, and `won`: of the refused prompts that were tried again, the share
    that a wording got accepted. None where there is nothing to count.

    `untried` counts refused prompts that there was no wording to try for: they are still refused in `after`
    and are not in `won`. None: an older version of overt did not count them.
    """

    before: RemedyRate | None = None
    after: RemedyRate | None = None
    won: RemedyRate | None = None
    untried: int | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyCategory(BeforeAfter):
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedySide(BeforeAfter):
    """All benign or all unsafe prompts, and the same by category."""

    categories: tuple[RemedyCategory, ...] = ()


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """How many wordings of benign prompts one strategy gave, and what became of them."""

    strategy: str
    tried: int
    accepted: int
    chosen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The mean score of the chosen wordings, and the mean difference to the originals' own pictures."""

    value: Mean | None = None
    difference: Mean | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureCategory(Means):
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRow(Means):
    """One measure of faithfulness by one model. `why_unscored` counts the commonest reasons for a missing
    score; `windowed` counts prompts that were scored in overlapping parts."""

    measure: str
    model: str
    unscored: int = 0
    windowed: int = 0
    why_unscored: Mapping[str, int] = field(default_factory=dict)
    categories: tuple[MeasureCategory, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingElement:
    """An element of the originals, and how often it was not found in the pictures of the chosen wordings."""

    element: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyTarget:
    """What the remedy did at one target.

    `unsafe` is the control, None where it was not asked for or had nothing to try. `unknown` counts prompts
    in no rate, since a wording got no answer. `untried` counts refused prompts that no wording was found
    for; the report adds it where the run is of an older version.
    """

    name: str
    benign: RemedySide | None = None
    unsafe: RemedySide | None = None
    unknown: SideCounts = field(default_factory=SideCounts)
    strategies: tuple[StrategyRow, ...] = ()
    faithfulness: tuple[MeasureRow, ...] = ()
    missing: tuple[MissingElement, ...] = ()
    untried: SideCounts | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class MeasureScale:
    """The mean score of `prompts` pairs that belong together, and of pairs that do not."""

    measure: str
    model: str
    matched: float
    mismatched: float
    prompts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What rewriting did at each target. `control` says whether unsafe prompts were to be reworded too."""

    level: float = 0.95
    resamples: int = 0
    seed: int = 0
    targets: tuple[RemedyTarget, ...] = ()
    scales: tuple[MeasureScale, ...] = ()
    control: bool = False
