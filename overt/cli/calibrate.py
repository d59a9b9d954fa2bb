"""`overt calibrate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import typer

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_lines, print_table
from overt.data.progress import make_progress
from overt.data.results.calibration import CalibratedTarget, Calibration
from overt.data.run.finished import Run
from overt.data.run.shards import part_said
from overt.data.table_model import Cell, Table
from overt.data.text import plain, short_percent
from overt.data.typed_json import to_json
from overt.report.sections.calibration import (
    about_said,
    categories_table,
    grid_table,
    notes_of,
    target_said,
    thresholds_table,
    tokens_table,
    warnings_of,
)
from overt.tasks import calibrate as task
from overt.tasks.calibrate import CalibrateConfig


def exit_code(found: Calibration, short: Sequence[str] = ()) -> int:
    """0 if each target with scores, and each of its parts that was asked for, has a threshold that can be
    used; 3 where too little is known, or nothing has scores; 1 where no threshold keeps the limit.

    Args:
        short: targets with scores that answered too few prompts for their run's --min-coverage.
    """
    parts = [
        one
        for target in found.targets
        for one in (target.whole, *target.categories, *target.tokens)
        if one is not None
    ]
    states = {one.status for one in parts}
    if "none keeps it" in states or "contradicted" in states:
        return 1
    return 3 if short or not parts or "too few" in states else 0


def short_of(run: Run, found: Calibration) -> list[str]:
    """The targets with scores that answered too few prompts to say anything, as for `overt gate`."""
    scored = [target.name for target in found.targets if not target.why]
    return [name for name in scored if name in run.results.below_coverage]


def print_calibration(run: Run, found: Calibration, short: Sequence[str] = ()) -> None:
    """What was split, and per target the threshold, what it gives, and what speaks against it."""
    to = console()
    for note in part_said(run.folder, run.record):
        print_lines(to, [f"note   {plain(note)}"], style="yellow")
    print_lines(to, [about_said(found)], folded=True)
    for target in found.targets:
        to.print()
        print_lines(to, [plain(target.name)], style="bold")
        print_lines(to, [plain(said) for said in target_said(found, target)], folded=True)
        for table in _tables(target):
            to.print()
            print_table(to, table)
        warnings = [plain(said) for said in (*warnings_of(found, target), *notes_of(target))]
        if target.name in short:
            warnings.append(
                f"Too few prompts were answered (the run's --min-coverage is "
                f"{short_percent(run.min_coverage)}), so the figures say little: let the run answer the rest."
            )
        print_lines(to, warnings, style="yellow", folded=True)
    to.print()
    print_lines(to, [f"next   overt report {run.folder}"])


def _tables(target: CalibratedTarget) -> list[Table]:
    made = (
        thresholds_table(target, 0, {}) if target.categories or target.tokens else None,
        grid_table(target, 0),
        categories_table(target, 0, {}),
        tokens_table(target.facts, 0) if target.facts else None,
    )
    return [_for_terminal(table) for table in made if table is not None]


def _for_terminal(table: Table) -> Table:
    """The table with what stands below a figure beside it, since the terminal has one line for a cell."""

    def beside(cell: Cell) -> Cell:
        if not cell.note:
            return cell
        return dataclasses.replace(cell, text=f"{cell.text} ({cell.note})", muted=False)

    rows = [[beside(cell) for cell in row] for row in table.rows]
    return dataclasses.replace(table, columns=[c.lower() for c in table.columns], rows=rows)


@command(CalibrateConfig)
def calibrate(config: CalibrateConfig) -> None:
    """The threshold of a filter, a guard or a refusal token that refuses at most so many benign prompts, also
    of those that are not in the run:

        overt run prompts.csv --target filter/semantic --out runs/filter

        overt calibrate runs/filter --max-over-refusal 5%

    It is found on one half of the seeds and tried on the other, which took no part: what the held-out half
    gives is printed with intervals. Beside it stands a linear model on the prompts' embeddings, fitted on the
    same half.

    Exit code 0: a threshold was found and can be used. 3: too few benign seeds (73 on the calibration split
    for 5%, 35 for 10%), too few prompts answered, or no target gives a score. 1: no threshold keeps the
    limit, or the held-out half contradicts it.
    """
    run, found = task.calibrate(config, make_progress(config.quiet))
    short = short_of(run, found)
    code = exit_code(found, short)
    if config.as_json:
        print_json(
            {
                "run": str(run.folder),
                "calibration": to_json(found),
                "below_coverage": short,
                "notes": part_said(run.folder, run.record),
                "exit_code": code,
            }
        )
        raise typer.Exit(code)
    print_calibration(run, found, short)
    raise typer.Exit(code)
