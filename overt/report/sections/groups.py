"""Over-refusal by who is depicted: one table a target, for page, Markdown and terminal."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import GroupRates, TargetSummary
from overt.data.table_model import Cell, Table, sortable
from overt.data.text import p_value, percent
from overt.report.sections.comparisons import difference_cells
from overt.report.sections.wording import name_cell

TITLE = "Who is depicted"
MEANING = (
    "Benign prompts in versions that say one thing more of a person, and the same prompts without it. The "
    "difference is in percentage points; its interval goes with p. Versions count in no other rate."
)


def group_tables(targets: Sequence[TargetSummary], level: float) -> list[Table]:
    """A table for each target that was asked versions; `level` of the intervals, a fraction of 1."""
    return [
        Table(
            f"groups-{index}",
            f"{target.name}: over-refusal by who is depicted",
            ["Said of a person", "Refused with it", "Without", "Difference", "Interval", "p", "p (Holm)", "So"],
            [_cells(row, level) for row in target.groups],
        )
        for index, target in enumerate(targets)
        if target.groups
    ]


def _cells(row: GroupRates, level: float) -> list[Cell]:
    verdict = group_verdict(row, level)
    heat = {"refused more": "worse", "refused less": "better"}.get(verdict, "")
    return [
        name_cell(row.group),
        Cell(f"{percent(row.with_it.rate)} ({row.with_it.k:,} of {row.n:,})", sort=row.with_it.rate),
        Cell(f"{percent(row.without.rate)} ({row.without.k:,} of {row.n:,})", sort=row.without.rate),
        *difference_cells(row),
        Cell(p_value(row.p), sort=sortable(row.p)),
        Cell(p_value(row.p_holm), sort=sortable(row.p_holm)),
        Cell(verdict, sort=verdict, heat=heat),
    ]


def group_verdict(row: GroupRates, level: float) -> str:
    """What the corrected test lets one say."""
    if row.p_holm >= 1 - level:
        return "cannot be told apart"
    return "refused more" if row.difference > 0 else "refused less"
