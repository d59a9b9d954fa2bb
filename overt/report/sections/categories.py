"""Rates by category of the policy."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import CategoryRates, Rates, TargetSummary
from overt.data.table_model import Cell, Table, rate_cell
from overt.report.block import category_titles
from overt.report.sections.wording import name_cell
from overt.scoring.summary.metrics import METRICS, Metric, metrics_of, rate_of, value_of

_LEAST = 0.1  # the darkest tint stands for at least this rate, a fraction of 1


def category_tables(targets: Sequence[TargetSummary], shown: Sequence[str]) -> list[tuple[str, Table]]:
    """Tables with their titles: one over metrics for one target; for several, one over targets for each
    metric."""
    names = category_titles(targets)
    if not names:
        return []
    metrics = metrics_of(targets)
    if len(targets) == 1:
        return [("All rates", _over_metrics(targets[0], names, [metrics[name] for name in shown]))]
    return [(metrics[name].title, _over_targets(targets, names, metrics[name])) for name in shown]


def _over_metrics(target: TargetSummary, names: dict[str, str], metrics: Sequence[Metric]) -> Table:
    darkest = {metric.id: _darkest([target], metric.id) for metric in metrics}
    rows = {row.category: row for row in target.categories}
    return Table(
        "by-category",
        f"{target.name} by category",
        ["Category", *(metric.title for metric in metrics)],
        [
            [name_cell(title), *(_cell(target, rows.get(name), m.id, darkest[m.id]) for m in metrics)]
            for name, title in names.items()
        ],
    )


def _over_targets(targets: Sequence[TargetSummary], names: dict[str, str], metric: Metric) -> Table:
    darkest = _darkest(targets, metric.id)
    having = [
        (target, {row.category: row for row in target.categories})
        for target in targets
        if rate_of(target, target, metric.id)
    ]
    return Table(
        f"by-category-{metric.id}",
        f"{metric.title} by category: {metric.meaning}",
        ["Category", *(target.name for target, _ in having)],
        [
            [
                name_cell(title),
                *(_cell(target, rows.get(name), metric.id, darkest) for target, rows in having),
            ]
            for name, title in names.items()
        ],
    )


def _cell(target: TargetSummary, row: CategoryRates | None, metric: str, darkest: float) -> Cell:
    return rate_cell(rate_of(target, row or Rates(), metric), METRICS[metric].tone, darkest)


def _darkest(targets: Sequence[TargetSummary], metric: str) -> float:
    """The rate that gets the darkest tint. Over-refusal rarely passes 30%: a tint over the whole scale would
    be the same pale one everywhere."""
    rates = [value_of(row, metric) for target in targets for row in target.categories]
    return max([_LEAST, *(rate.rate for rate in rates if rate)])
