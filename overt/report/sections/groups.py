"""Over-refusal by what versions of prompts differ in: one table a target, for page, Markdown and terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from overt.data.results.summary import GroupRates, TargetSummary
from overt.data.table_model import Cell, Table, sortable
from overt.data.text import p_value, percent, plain, points
from overt.data.versions import Difference, difference_of
from overt.report.sections.comparisons import difference_cells
from overt.report.sections.wording import name_cell

ALIKE = "cannot be told apart"


def difference_in(targets: Sequence[TargetSummary]) -> Difference:
    """What the versions that targets were asked differ in."""
    return difference_of(
        group
        for target in targets
        for group in (*(row.group for row in target.groups or ()), *(target.groups_unanswered or ()))
    )


def group_tables(targets: Sequence[TargetSummary], level: float) -> list[Table]:
    """A table for each target that was asked versions; `level` of the intervals, a fraction of 1."""
    words = difference_in(targets)
    return [
        Table(
            f"groups-{index}",
            f"{target.name}: over-refusal by {words.what}",
            [
                words.head,
                "Refused with it",
                "Without",
                "Difference",
                "Interval",
                "p",
                "p (Holm)",
                "So",
            ],
            [_cells(row, level) for row in target.groups],
        )
        for index, target in enumerate(targets)
        if target.groups
    ]


def _cells(row: GroupRates, level: float) -> list[Cell]:
    verdict = group_verdict(row, level)
    missing = f"; {row.missing:,} missing" if row.missing else ""
    heat = {"refused more": "cost-6", "refused less": "gain-6"}.get(verdict, "")
    return [
        name_cell(row.group),
        Cell(f"{percent(row.with_it.rate)} ({row.with_it.k:,} of {row.n:,}{missing})", sort=row.with_it.rate),
        Cell(f"{percent(row.without.rate)} ({row.without.k:,} of {row.n:,})", sort=row.without.rate),
        *difference_cells(row),
        Cell(p_value(row.p), sort=sortable(row.p)),
        Cell(p_value(row.p_holm), sort=sortable(row.p_holm)),
        Cell(verdict, sort=verdict, heat=heat),
    ]


def group_lines(target: TargetSummary, level: float) -> tuple[TargetSummary, list[str]]:
    """For the terminal: the target with the groups that differ alone, and a line about the others."""
    rows = target.groups or ()
    differing = tuple(row for row in rows if group_verdict(row, level) != ALIKE)
    others = [row for row in rows if row not in differing]
    silent = [f"no version was answered: {plain(', '.join(target.groups_unanswered or ()))}"]
    silent = silent if target.groups_unanswered else []
    if not others:
        return target, silent
    widest = max(others, key=lambda row: abs(row.difference))
    what = difference_in([target]).what
    said = (
        f"{what}: {len(others)} of {len(rows)} groups cannot be told apart from the same prompts "
        f"without it; the widest difference of theirs is {points(widest.difference)} points "
        f"[{points(widest.low)}, {points(widest.high)}] ({plain(widest.group)}). overt report shows all"
    )
    return dataclasses.replace(target, groups=differing), [said.replace("\u2212", "-"), *silent]


def group_verdict(row: GroupRates, level: float) -> str:
    """What the corrected test lets one say."""
    if row.p_holm >= 1 - level:
        return ALIKE
    return "refused more" if row.difference > 0 else "refused less"
