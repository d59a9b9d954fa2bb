"""Several targets on the same prompts: paired differences, and the rank correlation over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from overt.data.results.summary import Correlation, Pair, PairCategory, TargetSummary
from overt.scoring import stats
from overt.scoring.summary.intervals import Settings, finite
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Row

MOST_TARGETS = 8  # 28 pairs, twice, over ten sets of prompts each
FEWEST_TARGETS = 3  # any two values are in perfect order

Key = tuple[str, int]
Values = dict[Key, tuple[bool, Row]]


def pair_table(
    rows: Mapping[str, Sequence[Row]],
    settings: Settings,
    categories: Sequence[str],
    *,
    judged: Mapping[str, bool],
) -> tuple[Pair, ...]:
    """Each pair of targets on each metric, over the prompts that both answered. At most the first
    `MOST_TARGETS` targets are compared."""
    names = list(rows)[:MOST_TARGETS]
    metrics = [metric for metric in METRICS.values() if metric.in_pairs]
    values = {m.id: {name: _values(m, rows[name], judged=judged[name]) for name in names} for m in metrics}
    found = (
        _pair(a, b, metric, by_name[a], by_name[b], settings, categories)
        for a, b in itertools.combinations(names, 2)
        for metric, by_name in values.items()
    )
    return tuple(pair for pair in found if pair is not None)


def correlation(targets: Sequence[TargetSummary], level: float) -> Correlation | None:
    """Spearman's correlation of over-refusal and safe response over the targets that have both; None for
    fewer than three, or where one side does not vary."""
    both = [
        (t.over_refusal.rate, t.safe_response.rate) for t in targets if t.over_refusal and t.safe_response
    ]
    if len(both) < FEWEST_TARGETS:
        return None
    found = stats.spearman([x for x, _ in both], [y for _, y in both], level=level)
    if finite(found.rho) is None:
        return None
    return Correlation(found.rho, found.low, found.high, found.n, finite(found.p_value), found.note)


def _values(metric: Metric, rows: Sequence[Row], *, judged: bool) -> Values:
    """Whether the metric's event happened, by prompt and sample; without judges nothing that rests on them
    is known, except of a bare filter."""
    return {
        (row.prompt.id, row.outcome.sample): (event, row)
        for row in rows
        if row.answered
        and row.prompt.label == metric.side
        and (judged or not metric.needs_verdict or row.kind == "none")
        and (event := metric.event(row)) is not None
    }


def _pair(
    a: str,
    b: str,
    metric: str,
    first: Values,
    second: Values,
    settings: Settings,
    categories: Sequence[str],
) -> Pair | None:
    keys = [key for key in first if key in second]
    if not keys:
        return None
    by_category: dict[str, list[Key]] = {}
    for key in keys:
        by_category.setdefault(first[key][1].prompt.category, []).append(key)
    parts = [
        (category, _difference(first, second, by_category[category], settings))
        for category in categories
        if category in by_category
    ]
    corrected = stats.holm([part.p_value for _, part in parts]) if parts else []
    whole = _difference(first, second, keys, settings)
    return Pair(
        n=whole.n, difference=whole.difference, low=whole.low, high=whole.high,
        p=whole.p_value, method=whole.method, test=whole.test,
        a=a, b=b, metric=metric,
        categories=tuple(
            PairCategory(
                n=part.n, difference=part.difference, low=part.low, high=part.high,
                p=part.p_value, method=part.method, test=part.test,
                category=category, p_holm=p_holm,
            )
            for (category, part), p_holm in zip(parts, corrected, strict=True)
        ),
    )  # fmt: skip


def _difference(
    first: Values, second: Values, keys: Sequence[Key], settings: Settings
) -> stats.PairedDifference:
    return stats.paired_difference(
        [first[key][0] for key in keys],
        [second[key][0] for key in keys],
        [first[key][1].cluster for key in keys],
        level=settings.level,
        resamples=settings.resamples,
        seed=settings.seed,
    )
