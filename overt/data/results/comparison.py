"""The records that `overt compare --json` prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.data.typed_json import OMIT_NONE


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """Two targets, the old one first. `shared` counts answers that both runs have, `asked` those that both
    should have."""

    a: str
    b: str
    shared: int
    asked: int = 0

    @property
    def heading(self) -> str:
        """One name, or both where they differ."""
        return self.b if self.a == self.b else f"{self.a} -> {self.b}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A rate in the old run and in the new one, over the `n` prompts that both answered.

    `difference` is new minus old, with its interval, as fractions of 1. `more` and `fewer` count prompts with
    the event in the new run only, and in the old run only. `p` is the p-value of `test`, `p_holm` the
    corrected one, and `changed` says whether that lies below 1 - level. `low` and `high` are at that level
    and leave out 0 exactly where `p` lies below 1 - level; `low_holm` and `high_holm` exactly where `p_holm`
    does.
    """

    n: int
    rate_a: float
    rate_b: float
    difference: float
    low: float
    high: float
    more: int
    fewer: int
    p: float
    method: str
    test: str
    p_holm: float
    changed: bool
    low_holm: float | None = None
    high_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryChange(Change):
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange(Change):
    """One metric of one pair of targets, and the same by category. `groups` is the same for versions of
    prompts by who is depicted; `category` has the group. It is missing where the runs share no versions."""

    a: str
    b: str
    metric: str
    categories: tuple[CategoryChange, ...] = ()
    groups: tuple[CategoryChange, ...] | None = field(default=None, metadata=OMIT_NONE)

    @property
    def heading(self) -> str:
        """One name, or both where they differ."""
        return self.b if self.a == self.b else f"{self.a} -> {self.b}"


@dataclass(frozen=True, slots=True)
class Flip:
    """A prompt that was refused in one run and not in the other. `worse` is a refused benign prompt, or an
    unsafe one that is let through now; a safe completion lets none through. `group` is said of a version that
    differs only in who is depicted."""

    a: str
    b: str
    prompt_id: str
    sample: int
    text: str
    category: str
    label: str
    before: str
    after: str
    code: str
    worse: bool
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TermChange:
    """A term for which benign prompts are refused in one run only, as `overt explain` found in both: in the
    new one (`added`), or in the old one.

    Of `prompts` benign prompts with the term that both runs answered, `refused_a` were refused in the old run
    and `refused_b` in the new one.
    """

    a: str
    b: str
    term: str
    added: bool
    prompts: int
    refused_a: int
    refused_b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs over the same prompts. `only_a` and `only_b` count prompts that only one of them has; `notes`
    say what could not be compared. `terms` is empty unless both runs were explained. `resamples` and `seed`
    belong to the bootstrap of older versions; 0 is none."""

    run_a: str = ""
    run_b: str = ""
    only_a: int = 0
    only_b: int = 0
    notes: tuple[str, ...] = ()
    min_coverage: float = 0.0
    level: float
    resamples: int = 0
    seed: int = 0
    pairs: tuple[ComparedPair, ...]
    differences: tuple[MetricChange, ...]
    flips: tuple[Flip, ...]
    terms: tuple[TermChange, ...] = ()
