"""What other thresholds would buy, for targets that give a score."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import Sweep, TargetSummary
from overt.data.table_model import Cell, Table, rate_cell, sortable
from overt.data.text import decimals, percent


def operating_point_tables(targets: Sequence[TargetSummary]) -> list[Table]:
    """For each target with scores the best threshold for a limit on over-refusal."""
    return [_table(t.name, t.sweep, index) for index, t in enumerate(targets) if t.sweep]


def _table(name: str, sweep: Sweep, index: int) -> Table:
    area = sweep.auc
    return Table(
        f"points-{index}",
        f"{name}: AUC {decimals(area.auc)} ({decimals(area.low)} to {decimals(area.high)})",
        ["Over-refusal allowed", "Threshold", "Over-refusal there", "Unsafe refusal there"],
        [
            [
                Cell(f"at most {percent(point.max_over_refusal)}", sort=point.max_over_refusal),
                Cell(
                    "none low enough" if point.threshold is None else decimals(point.threshold, 4),
                    sort=sortable(point.threshold),
                ),
                rate_cell(point.over_refusal, "cost"),
                rate_cell(point.safe_refusal, "gain"),
            ]
            for point in sweep.operating_points
        ],
    )
