"""The records of `results/summary.json`, the statistics of a run.

A new metric is one field of `Rates` and one entry of `overt.scoring.summary.metrics.METRICS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from overt.data.results.likeness import AsAskedTable
from overt.data.typed_json import OMIT_NONE

SCHEMA = 1  # raised if a field changes its meaning or is removed, but not for a new field

Kind = Literal["image", "text", "none"]  # the output of a target; "none" is a bare filter
Side = Literal["benign", "unsafe"]
SIDES: tuple[Side, Side] = ("benign", "unsafe")
SafeBasis = Literal["judged", "refused only"]


@dataclass(frozen=True, slots=True)
class Proportion:
    """The share `rate` = `k`/`n` with its interval [`low`, `high`], all three as fractions of 1."""

    k: int
    n: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate(Proportion):
    """`method` names how the interval was made. `clusters` counts the clusters, None where the rows were
    taken as independent."""

    method: str = ""
    clusters: int | None = None


@dataclass(frozen=True, slots=True)
class SideCounts:
    """How many prompts of each side."""

    benign: int = 0
    unsafe: int = 0

    def of(self, side: str) -> int:
        return self.unsafe if side == "unsafe" else self.benign


@dataclass(frozen=True, slots=True)
class PromptCounts(SideCounts):
    """`clusters` counts the seeds (or pairs) that the prompts come from. `versions` counts the versions that
    differ only in who is depicted; they are no part of `benign`."""

    clusters: int | None = None
    versions: int | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many prompts were asked and answered. `errors` counts missing answers by the kind of error."""

    asked: int
    answered: int
    share: float
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The metrics of some rows of one target; None where there is nothing to count. `not_as_asked` is left
    out of a summary where no scorer looked at the pictures, the two rates of safe completions where no answer
    of the target is one."""

    over_refusal: Rate | None = None
    softened: Rate | None = None
    unsafe_refusal: Rate | None = None
    harmful: Rate | None = None
    safe_response: Rate | None = None
    safe_completion: Rate | None = field(default=None, metadata=OMIT_NONE)
    benign_safe_completion: Rate | None = field(default=None, metadata=OMIT_NONE)
    not_as_asked: Rate | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class LabelledPart:
    """`labelled` of `of` benign prompts (or of their answers) have a label by people; `share` of all of them,
    as estimated, are what the run says: truly benign, or truly refused. None where nothing was labelled."""

    labelled: int
    of: int
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The over-refusal rate as people's labels correct it: refused and truly benign, over truly benign.

    `rate`, `low` and `high` are fractions of 1, None where the labels do not tell it; `why` says why.
    `refused` and `answered` are the prompts that the run says were refused, and the others: which share is
    truly benign. `refusals` and `answers` are these prompts' answers: which share is a refusal; None where
    people were not asked. `unclear` counts labelled prompts that most reviewers could not place: they do not
    count as benign.
    """

    rate: float | None = None
    low: float | None = None
    high: float | None = None
    refused: LabelledPart
    answered: LabelledPart
    refusals: LabelledPart | None = None
    answers: LabelledPart | None = None
    unclear: int = 0
    why: str = ""
    method: str = "two-phase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures(Rates):
    """Rates, and what they rest on.

    `corrected` is the over-refusal rate by people's labels (`overt review`), missing where there are none.
    `safe_basis` says what a safe response is: "judged" (refused, completed safely or judged harmless),
    "refused only" (a bare filter), None where it cannot be told. `unjudged` counts answers to unsafe prompts
    of which it cannot be told whether they are safe, since there is no verdict.
    """

    coverage: Coverage
    safe_basis: SafeBasis | None = None
    unjudged: int = 0
    corrected: Corrected | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRates(Figures):
    """One category of the policy at one target."""

    category: str
    title: str = ""

    @property
    def heading(self) -> str:
        """The title, or the id where the policy has no title for it."""
        return self.title or self.category


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRates(Figures):
    """The prompts of one attack at one target; `attack` is "" for those without an attack.

    `safe_response` is the defence success rate (arXiv 2509.11629): of its unsafe prompts the share whose
    answer is safe, judged on the vanilla prompt. `own_text` counts unsafe prompts that were judged on what
    was sent, since no vanilla prompt is known.
    """

    attack: str
    own_text: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacks:
    """What became of adversarial prompts: `each` attack, prompts without one first, in the order in which
    they were asked; `together` are all attacks, None where there is one alone."""

    each: tuple[AttackRates, ...]
    together: AttackRates | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """How many refusals of one side came from one stage with one code."""

    label: str
    stage: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Without:
    """The rates if a layer were dropped. `unknown` counts prompts of which that cannot be told."""

    over_refusal: Rate | None = None
    unsafe_refusal: Rate | None = None
    safe_response: Rate | None = None
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one layer of a product refuses alone.

    `benign` and `unsafe` are its own refusal rates, `only` counts prompts that no other layer refuses,
    `missing` counts prompts on which it did not decide.
    """

    layer: str
    stage: str
    benign: Rate | None = None
    unsafe: Rate | None = None
    only: SideCounts = SideCounts()
    without: Without = Without()
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Area:
    """The area under the ROC curve with its interval, in 0..1."""

    auc: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The lowest threshold that keeps over-refusal at or below a limit; None where no score does."""

    max_over_refusal: float
    threshold: float | None
    over_refusal: Rate
    safe_refusal: Rate


@dataclass(frozen=True, slots=True)
class Sweep:
    """What other thresholds would buy.

    `points` are (threshold, over-refusal, unsafe refusal), the first with threshold None: nothing is refused.
    `unscored` counts answered prompts without a score.
    """

    points: tuple[tuple[float | None, float, float], ...]
    auc: Area
    operating_points: tuple[OperatingPoint, ...] = ()
    unscored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForms:
    """How a target keeps to the format of answer-then-check (overt/scoring/answer_forms.py).

    `well_formed` is over all answers that came, `contradicting` over those of them of which can be told
    whether they contradict their own check: `answers_unsafe` plus `refuses_safe` answers do. `unclear` counts
    the well-formed ones of which it cannot be told, `plain` those without any tag, which are in form where
    `is_adaptive`. None where there is nothing to count.
    """

    well_formed: Rate | None = None
    contradicting: Rate | None = None
    answers_unsafe: int = 0
    refuses_safe: int = 0
    unclear: int = 0
    plain: int = 0
    is_adaptive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSummary(Figures):
    """One target. `states` and `stages` count by side and then by state, or by the stage that refused.

    `groups` is over-refusal by who is depicted, missing where no versions of prompts were asked. Versions are
    in `coverage`, and in no other figure. `attacks` is missing where no adversarial prompt was asked.
    """

    name: str
    kind: Kind = "image"
    states: Mapping[Side, Mapping[str, int]] = field(default_factory=dict)
    stages: Mapping[Side, Mapping[str, int]] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    categories: tuple[CategoryRates, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    sweep: Sweep | None = None
    groups: tuple[GroupRates, ...] | None = field(default=None, metadata=OMIT_NONE)
    # Groups that were asked, of which no version got an answer together with its prompt.
    groups_unanswered: tuple[str, ...] | None = field(default=None, metadata=OMIT_NONE)
    # Of targets that answer in the format of answer-then-check.
    forms: AnswerForms | None = field(default=None, metadata=OMIT_NONE)
    attacks: Attacks | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRates:
    """A rate of one target minus that of another on the `n` prompts that both answered.

    `difference`, `low` and `high` are fractions of 1; `method` made the interval and `test` the p-value.
    """

    n: int = 0
    difference: float
    low: float
    high: float
    p: float
    method: str = ""
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCategory(PairedRates):
    """One category of a pair; `p_holm` is corrected over the categories of the pair (Holm 1979)."""

    category: str
    p_holm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates(PairedRates):
    """Versions of benign prompts that say one thing more of a person (`group`, as "attribute: wording"),
    minus the same prompts without it: over-refusal, where both were answered.

    `with_it` and `without` are the two rates over the same `n`; `missing` counts versions without an answer
    of their own or of their prompt. `p_holm` is corrected over the groups of the target (Holm 1979).
    """

    group: str
    with_it: Rate
    without: Rate
    missing: int = 0
    p_holm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(PairedRates):
    """Two targets on one metric: target `a` minus target `b`."""

    a: str
    b: str
    metric: str
    categories: tuple[PairCategory, ...] = ()


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of over-refusal and safe response over `n` targets."""

    rho: float
    low: float
    high: float
    n: int
    p: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """One judge: its own rate of harmful answers to unsafe prompts, and the votes that it did not cast."""

    judge: str
    harmful_rate: Rate | None
    failed: int = 0
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class JudgeTable:
    """The judges of harm and how far they agree.

    `judged` counts outcomes that were shown to judges, `complete` those that all judges labelled,
    `majority_missing` those without a majority and `ties` those of them on which judges disagreed.
    """

    names: tuple[str, ...] = ()
    each: tuple[JudgeRow, ...] = ()
    fleiss_kappa: float | None = None
    krippendorff_alpha: float | None = None
    judged: int = 0
    complete: int = 0
    majority_missing: int = 0
    ties: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All rates of all targets of a run. `level` is the confidence level as a fraction of 1; `resamples` and
    `seed` belong to the bootstrap of older versions, 0 is none. `schema` is the version of this record."""

    schema: int = SCHEMA
    level: float
    resamples: int = 0
    seed: int = 0
    prompts: PromptCounts
    targets: tuple[TargetSummary, ...]
    pairs: tuple[Pair, ...] = ()
    rank_correlation: Correlation | None = None
    judges: JudgeTable | None = None
    as_asked: AsAskedTable | None = field(default=None, metadata=OMIT_NONE)
