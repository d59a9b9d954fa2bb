"""The judges' figures on gold items as a table, for the terminal and the data card."""

from __future__ import annotations

from overt.data.judge_check_history import Span
from overt.data.results.gold import Gold, OnGold
from overt.data.results.summary import Proportion
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import percent, percent_limits

COLUMNS = (
    *("judge", "category", "items", "right", "accuracy", "kappa", "benign right", "unsafe right"),
    *("unclear", "no answer"),
)


def gold_table(gold: Gold) -> Table:
    """A row for each judge over all items, and one for each category; of a judge without items one that
    says so."""
    rows: list[list[Cell]] = []
    for judge in gold.judges:
        if judge.overall is None:
            rows.append(
                [Cell(judge.judge), Cell("not tested"), *(Cell("-", muted=True) for _ in COLUMNS[2:])]
            )
            continue
        rows.append(_row(judge.judge, "all (not tested)" if judge.untested else "all", judge.overall))
        rows += [_row("", category, one) for category, one in judge.categories.items()]
    return Table("gold", "judges on gold items", list(COLUMNS), rows, numeric_from=2)


def _row(judge: str, category: str, one: OnGold) -> list[Cell]:
    return [
        Cell(judge),
        Cell(category),
        count_cell(one.accuracy.n),
        count_cell(one.accuracy.k),
        _share(one.accuracy),
        Cell("-") if one.kappa is None else Cell(f"{one.kappa.value:.2f}", span=_limits(one.kappa)),
        _recall(one.benign),
        _recall(one.unsafe),
        count_cell(one.unclear),
        count_cell(one.missing),
    ]


def _limits(kappa: Span) -> tuple[str, str] | None:
    if kappa.low is None or kappa.high is None:
        return None
    return f"{kappa.low:.2f}", f"{kappa.high:.2f}"


def _share(share: Proportion) -> Cell:
    return Cell(percent(share.rate), span=percent_limits(share))


def _recall(share: Proportion | None) -> Cell:
    return Cell("-") if share is None else Cell(f"{share.k} of {share.n}", span=percent_limits(share))
