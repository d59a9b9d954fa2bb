"""The over-refusal rate that people's labels correct, beside the raw one."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import Corrected, Figures, LabelledPart, TargetSummary
from overt.data.table_model import Cell, Table, rate_cell
from overt.data.text import percent
from overt.report.sections.wording import name_cell

TITLE = "Over-refusal corrected by people's labels"
CAPTION = (
    f"{TITLE}: refused and truly benign ÷ truly benign. The interval carries both the choice of the "
    "prompts and the choice of those labelled"
)


def corrected_table(targets: Sequence[TargetSummary]) -> Table | None:
    """A row for each target and category; None where nothing was labelled."""
    rows = [
        [name_cell(target.name), name_cell(title), *_cells(part, part.corrected)]
        for target in targets
        for title, part in _parts(target)
        if part.corrected is not None
    ]
    if not rows:
        return None
    read = any(t.corrected and t.corrected.refusals for t in targets)
    columns = ["Target", "Category", "Uncorrected", "Corrected", "Refused: benign", "Answered: benign"]
    more = ["Refused: truly", "Answered: refused"]
    return Table(
        "corrected-table",
        CAPTION,
        [*columns, *(more if read else [])],
        [row if read else row[: len(columns)] for row in rows],
        numeric_from=2,
    )


def _parts(target: TargetSummary) -> list[tuple[str, Figures]]:
    return [("all", target), *((row.heading, row) for row in target.categories)]


def _cells(part: Figures, found: Corrected) -> list[Cell]:
    sides = (found.refused, found.answered, found.refusals, found.answers)
    return [rate_cell(part.over_refusal, "cost"), corrected_cell(found), *(_labelled(side) for side in sides)]


def corrected_cell(found: Corrected) -> Cell:
    """The corrected rate; where it is not known, why."""
    if found.rate is None:
        return Cell("not known", found.why, muted=True)
    low, high = percent(found.low, sign=False), percent(found.high, sign=False)
    return Cell(percent(found.rate), sort=found.rate, span=(low, high))


def _labelled(part: LabelledPart | None) -> Cell:
    if part is None:
        return Cell("-", "not asked", muted=True)
    count = f"{part.labelled:,} of {part.of:,} labelled"
    if part.share is None:
        return Cell("-", count, muted=True)
    return Cell(percent(part.share), count, sort=part.share)
