"""What was answered, in which states prompts ended, which stage refused and with which code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from overt.data.results.summary import SIDES, Side, TargetSummary
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import STAGES, STATES, percent
from overt.report.sections.wording import name_cell
from overt.scoring.summary.metrics import metrics_of


def coverage_table(targets: Sequence[TargetSummary]) -> Table:
    return Table(
        "coverage-table",
        "Prompts asked and answered. Errors are missing answers, never refusals",
        ["Target", "Asked", "Answered", "Coverage", "Errors by kind"],
        [
            [
                name_cell(target.name),
                count_cell(target.coverage.asked),
                count_cell(target.coverage.answered),
                Cell(percent(target.coverage.share), sort=target.coverage.share),
                _errors(target.coverage.errors),
            ]
            for target in targets
        ],
    )


def _errors(errors: Mapping[str, int]) -> Cell:
    said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(errors.items(), key=lambda e: -e[1]))
    return Cell(said or "none", sort=sum(errors.values()))


def state_table(targets: Sequence[TargetSummary]) -> Table:
    names = {**STATES, "softened": metrics_of(targets)["softened"].title}
    columns = {state: names[state].capitalize() for state in ("refused", "softened", "generated", "error")}
    return Table(
        "states-table",
        "The state each prompt ended in",
        ["Target", "Prompts", *columns.values()],
        [
            [name_cell(target.name), Cell(side, sort=side), *(count_cell(counts.get(k, 0)) for k in columns)]
            for target, side in _sides(targets)
            if (counts := target.states.get(side))
        ],
        numeric_from=2,
    )


def stage_table(targets: Sequence[TargetSummary]) -> Table | None:
    """None where nothing was refused."""
    rows = [
        [name_cell(target.name), Cell(side, sort=side), *(count_cell(counts.get(k, 0)) for k in STAGES)]
        for target, side in _sides(targets)
        if any((counts := target.stages.get(side, {})).values())
    ]
    if not rows:
        return None
    return Table(
        "stages-table",
        "The stage that refused",
        ["Target", "Prompts", *(name.capitalize() for name in STAGES.values())],
        rows,
        numeric_from=2,
    )


def reason_table(targets: Sequence[TargetSummary]) -> Table | None:
    """None where nothing was refused."""
    rows = [
        [
            name_cell(target.name),
            Cell(reason.label, sort=reason.label),
            Cell(STAGES.get(reason.stage, reason.stage or "-")),
            name_cell(reason.code or "-"),
            count_cell(reason.count),
        ]
        for target in targets
        for reason in target.reasons
    ]
    if not rows:
        return None
    return Table(
        "reasons-table",
        "Reason codes of refusals",
        ["Target", "Prompts", "Stage", "Code", "Count"],
        rows,
        numeric_from=4,
    )


def _sides(targets: Sequence[TargetSummary]) -> Iterator[tuple[TargetSummary, Side]]:
    return ((target, side) for target in targets for side in SIDES)
