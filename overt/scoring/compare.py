"""Two runs over the same prompts: paired differences, corrected tests, and the prompts that flipped.

A prompt counts if both runs answered it. `in_compare` in overt/scoring/summary/metrics.py selects metrics;
those that need judges are compared only if both runs were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from overt.data.outcomes import Harm, Outcome
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
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Row

C = TypeVar("C", bound=Change)


@dataclass(frozen=True)
class Side:
    """One target of one run: its outcomes, and the judges' labels by outcome id."""

    name: str
    outcomes: Sequence[Outcome]
    harms: Mapping[str, Harm]


@dataclass(frozen=True, slots=True)
class _Both:
    """The outcomes of one prompt and sample in the old and the new run."""

    prompt: Prompt
    before: Outcome
    after: Outcome


@dataclass(frozen=True, slots=True)
class _Cell:
    """Whether a metric's event happened in the old run and in the new one."""

    prompt: Prompt
    before: bool
    after: bool


def compare(
    prompts: Sequence[Prompt],
    pairs: Sequence[tuple[Side, Side]],
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
        prompts: the prompts of both runs.
        pairs: the targets to compare, the old one first.
    """
    by_id = {p.id: p for p in prompts}
    shared = [(old, new, _shared(old, new, by_id)) for old, new in pairs]
    found = [row for old, new, both in shared for row in _measured(old, new, both)]
    tests = [_difference(cells, level) for _, _, _, cells, _ in found]
    corrected = holm([test.p_value for test in tests]) if tests else []
    return Comparison(
        level=level,
        pairs=tuple(ComparedPair(old.name, new.name, len(both)) for old, new, both in shared),
        differences=tuple(
            _change(
                MetricChange,
                test,
                p_holm,
                level,
                a=a,
                b=b,
                metric=metric.id,
                categories=_parts(cells, level, lambda prompt: prompt.category),
                groups=_parts(versions, level, lambda prompt: prompt.group or "") or None,
            )
            for (a, b, metric, cells, versions), test, p_holm in zip(found, tests, corrected, strict=True)
        ),
        flips=tuple(flip for old, new, both in shared for flip in _flips(both, old.name, new.name)),
    )


def _measured(
    old: Side, new: Side, shared: Sequence[_Both]
) -> Iterator[tuple[str, str, Metric, list[_Cell], list[_Cell]]]:
    """Yields each metric of a pair of targets with its cells, and with those of versions."""
    for metric in METRICS.values():
        cells, versions = _apart(_cells(metric, old, new, shared)) if metric.in_compare else ([], [])
        if cells:
            yield old.name, new.name, metric, cells, versions


def is_worse(metric: str, change: Change) -> bool:
    """Returns whether the metric got significantly worse."""
    return change.changed and is_cost(metric, change)


def is_cost(metric: str, change: Change) -> bool:
    """Returns whether the difference is for the worse, significant or not."""
    return (change.difference > 0) == (METRICS[metric].tone == "cost")


def _shared(old: Side, new: Side, by_id: Mapping[str, Prompt]) -> list[_Both]:
    """Returns the prompts and samples that both sides answered."""
    later = {(o.prompt_id, o.sample): o for o in new.outcomes if o.state != "error"}
    return [
        _Both(by_id[o.prompt_id], o, later[o.prompt_id, o.sample])
        for o in old.outcomes
        if o.state != "error" and (o.prompt_id, o.sample) in later and o.prompt_id in by_id
    ]


def _cells(metric: Metric, old: Side, new: Side, shared: Sequence[_Both]) -> list[_Cell]:
    """Returns the prompts on which the metric is defined in both runs."""
    if metric.needs_verdict and not (old.harms and new.harms):
        return []
    return [
        _Cell(both.prompt, before, after)
        for both in shared
        if both.prompt.label == metric.side
        and (before := metric.event(_row(both.prompt, both.before, old))) is not None
        and (after := metric.event(_row(both.prompt, both.after, new))) is not None
    ]


def _row(prompt: Prompt, outcome: Outcome, side: Side) -> Row:
    harm = side.harms.get(outcome.id)
    return Row(outcome, prompt, 0, None if harm is None else harm.label, "image")


def _apart(cells: Sequence[_Cell]) -> tuple[list[_Cell], list[_Cell]]:
    """The cells of prompts, and those of their versions."""
    versions = [cell for cell in cells if cell.prompt.variant_of]
    return [cell for cell in cells if not cell.prompt.variant_of], versions


def _parts(cells: Sequence[_Cell], level: float, name: Callable[[Prompt], str]) -> tuple[CategoryChange, ...]:
    """The change of each part of the cells, by its name, with p-values corrected over the parts."""
    parts: dict[str, list[_Cell]] = {}
    for cell in cells:
        parts.setdefault(name(cell.prompt), []).append(cell)
    tests = {category: _difference(parts[category], level) for category in sorted(parts)}
    corrected = holm([test.p_value for test in tests.values()]) if tests else []
    return tuple(
        _change(CategoryChange, test, p_holm, level, category=category)
        for (category, test), p_holm in zip(tests.items(), corrected, strict=True)
    )


def _difference(cells: Sequence[_Cell], level: float) -> PairedDifference:
    return paired_difference(
        [cell.after for cell in cells],
        [cell.before for cell in cells],
        [cell.prompt.cluster for cell in cells],
        level=level,
    )


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


def _flips(shared: Sequence[_Both], a: str, b: str) -> list[Flip]:
    """Returns the prompts refused in only one of the runs, those that got worse first, versions last."""
    found = []
    for both in shared:
        prompt, before, after = both.prompt, both.before, both.after
        now = after.state == "refused"
        if (before.state == "refused") == now:
            continue
        flip = Flip(
            a=a,
            b=b,
            prompt_id=prompt.id,
            sample=before.sample,
            text=prompt.text,
            category=prompt.category,
            label=prompt.label,
            before=before.state,
            after=after.state,
            code=after.code if now else before.code,
            worse=now == (prompt.label == "benign"),
            group=prompt.group if prompt.variant_of else None,
        )
        found.append(flip)
    return sorted(found, key=lambda f: (f.group is not None, not f.worse, f.label, f.category, f.text))
