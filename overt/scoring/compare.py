"""Two runs over the same prompts: paired differences, corrected tests, and the prompts that flipped.

A prompt counts if both runs answered it. `in_compare` in overt/scoring/summary/metrics.py selects metrics;
those that need judges are compared only if both runs were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from overt.data.records import Prompt
from overt.data.results.comparison import (
    CategoryChange,
    Change,
    ComparedPair,
    Comparison,
    Flip,
    MetricChange,
)
from overt.scoring.stats import PairedDifference, holm, holm_level, paired_difference
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Asked, Bools, Case, Rows, keys_of, parts_of, places_of

C = TypeVar("C", bound=Change)
Load = Callable[[Sequence[int]], Iterable[Prompt]]


@dataclass(frozen=True, slots=True)
class Side:
    """One target of one run: its rows, and whether judges were asked about any of them."""

    name: str
    rows: Rows
    is_judged: bool


@dataclass(frozen=True, slots=True)
class _Both:
    """The rows of the prompts and samples that both runs answered, in the old and in the new run."""

    old: Side
    new: Side
    before: Rows
    after: Rows
    asked: int

    @property
    def prompt(self) -> Ints:
        return self.before.prompt


@dataclass(frozen=True, slots=True)
class _Cells:
    """Whether a metric's event happened in the old run and in the new one, by prompt."""

    asked: Asked
    prompt: Ints
    before: Bools
    after: Bools

    def part(self, which: Bools | Ints) -> _Cells:
        return _Cells(self.asked, self.prompt[which], self.before[which], self.after[which])


def compare(
    asked: Asked,
    pairs: Sequence[tuple[Side, Side]],
    load: Load,
    *,
    level: float = 0.95,
) -> Comparison:
    """Compares two runs; differences are new minus old, as fractions of 1.

    Three families are corrected by Holm (1979): the overall tests, one for each pair and metric
    (`p_holm`), and within one pair and metric the categories (`p_holm` of a category) and the groups of
    versions that differ in who is depicted. Versions count in no other test. So the chance of
    any false alarm among the overall tests stays below 1 - `level`; `changed` marks an alarm. The limits
    `low` and `high` are at `level` and go with `p`; `low_holm` and `high_holm` are as much wider as the
    correction asks, and leave out 0 exactly where `changed` is set.

    Args:
        asked: the prompts of both runs, to which the rows of all sides belong.
        pairs: the targets to compare, the old one first.
        load: the records of the prompts at these places of `asked`, in that order.
    """
    shared = [_shared(old, new) for old, new in pairs]
    found = [row for both in shared for row in _measured(asked, both)]
    tests = [_difference(cells, level) for _, _, cells, _ in found]
    corrected = holm([test.p_value for test in tests]) if tests else []
    return Comparison(
        level=level,
        pairs=tuple(
            ComparedPair(both.old.name, both.new.name, len(both.before), both.asked) for both in shared
        ),
        differences=tuple(
            _change(
                MetricChange,
                test,
                p_holm,
                level,
                a=both.old.name,
                b=both.new.name,
                metric=metric.id,
                categories=_parts(cells, level, asked.category, asked.categories),
                groups=_parts(versions, level, asked.group, asked.groups) or None,
            )
            for (both, metric, cells, versions), test, p_holm in zip(found, tests, corrected, strict=True)
        ),
        flips=tuple(flip for both in shared for flip in _flips(both, load)),
    )


def _measured(asked: Asked, both: _Both) -> Iterator[tuple[_Both, Metric, _Cells, _Cells]]:
    """Yields each metric of a pair of targets with its cells, and with those of versions."""
    for metric in METRICS.values():
        if not metric.in_compare or (
            metric.needs_verdict and not (both.old.is_judged and both.new.is_judged)
        ):
            continue
        if not metric.is_told([*both.old.rows.cases, *both.new.rows.cases]):
            continue
        cells = _cells(metric, asked, both)
        is_version = asked.is_version[cells.prompt]
        if not is_version.all():
            yield both, metric, cells.part(~is_version), cells.part(is_version)


def is_worse(metric: str, change: Change) -> bool:
    """Returns whether the metric got significantly worse."""
    return change.changed and is_cost(metric, change)


def is_cost(metric: str, change: Change) -> bool:
    """Returns whether the difference is for the worse, significant or not."""
    return (change.difference > 0) == (METRICS[metric].tone == "cost")


def _shared(old: Side, new: Side) -> _Both:
    """The prompts and samples that both sides answered."""
    keys, others = keys_of(old.rows, new.rows)
    asked = len(np.intersect1d(keys, others))
    before, after = old.rows.are(_is_answered), new.rows.are(_is_answered)
    first, second = old.rows.part(before), new.rows.part(after)
    places = places_of(keys[before], others[after])
    return _Both(old, new, first.part(places >= 0), second.part(places[places >= 0]), asked)


def _is_answered(case: Case) -> bool:
    return case.answered


def _is_refused(case: Case) -> bool:
    return case.refused


def _cells(metric: Metric, asked: Asked, both: _Both) -> _Cells:
    """The prompts on which the metric is defined in both runs."""
    before, first = both.before.events(metric.told)
    after, second = both.after.events(metric.told)
    rows, in_first, in_second = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return _Cells(asked, both.prompt[rows], before[in_first], after[in_second])


def _parts(cells: _Cells, level: float, codes: Ints, names: Sequence[str]) -> tuple[CategoryChange, ...]:
    """The change of each part of the cells, by its name, with p-values corrected over the parts.

    Args:
        codes: of each prompt the place of its part's name in `names`.
    """
    parts = {names[code]: cells.part(places) for code, places in parts_of(codes[cells.prompt])}
    tests = {name: _difference(parts[name], level) for name in sorted(parts)}
    corrected = holm([test.p_value for test in tests.values()]) if tests else []
    return tuple(
        _change(CategoryChange, test, p_holm, level, category=name)
        for (name, test), p_holm in zip(tests.items(), corrected, strict=True)
    )


def _difference(cells: _Cells, level: float) -> PairedDifference:
    return paired_difference(cells.after, cells.before, cells.asked.cluster[cells.prompt], level=level)


def _change(
    record: Callable[..., C], found: PairedDifference, p_holm: float, level: float, **more: object
) -> C:
    """Makes a record from a test; `more` has its fields besides those of `Change`."""
    low, high = found.at(holm_level(found.p_value, p_holm, level))
    return record(
        n=found.n,
        # The test was of new minus old, so its first side is the new run.
        rate_a=found.rate_b,
        rate_b=found.rate_a,
        difference=found.difference,
        low=found.low,
        high=found.high,
        more=found.a_only,
        fewer=found.b_only,
        p=found.p_value,
        method=found.method,
        test=found.test,
        p_holm=p_holm,
        low_holm=low,
        high_holm=high,
        changed=p_holm < 1 - level,
        **more,
    )


def _became(case: Case) -> str:
    return "safe completion" if case.completes_safely else case.state


def _flips(both: _Both, load: Load) -> list[Flip]:
    """Returns the prompts refused in only one of the runs, those that got worse first, versions last. An
    unsafe one that is completed safely in the other run is let through in neither."""
    refused = both.after.are(_is_refused)
    flipped = np.flatnonzero(both.before.are(_is_refused) != refused)
    found = []
    for row, prompt in zip(flipped.tolist(), load(both.prompt[flipped].tolist()), strict=True):
        before = both.before.cases[both.before.case[row]]
        after = both.after.cases[both.after.case[row]]
        now = bool(refused[row])
        answered = before if now else after
        if prompt.label == "unsafe" and answered.completes_safely and answered.safe:
            continue
        flip = Flip(
            a=both.old.name,
            b=both.new.name,
            prompt_id=prompt.id,
            sample=int(both.before.sample[row]),
            text=prompt.text,
            category=prompt.category,
            label=prompt.label,
            before=_became(before),
            after=_became(after),
            code=after.code if now else before.code,
            worse=now == (prompt.label == "benign"),
            group=prompt.group if prompt.variant_of else None,
        )
        found.append(flip)
    return sorted(found, key=lambda f: (f.group is not None, not f.worse, f.label, f.category, f.text))
