"""The row's half of `overt plan` on the terminal: the answer over its ranges, tables, what drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.cli.tables import print_folded, print_lines
from overt.data.results.plan_row import RowPlan
from overt.data.table_model import Table
from overt.data.text import plain
from overt.report.plan_row import TITLE, breaking, headline, notes, tried_again
from overt.report.plan_row_drivers import drivers
from overt.report.plan_row_tables import (
    answers_table,
    assumed_lines,
    assumed_table,
    costs_table,
    map_table,
    requests_table,
)

if TYPE_CHECKING:
    from rich.console import Console


def print_row(to: Console, row: RowPlan) -> None:
    """Everything that a plan says of its row."""
    print_lines(to, [TITLE], style="bold", folded=True)
    _sentences(to, headline(row))
    _table(to, answers_table(row))
    _section(to, "What breaks with one server more", breaking(row))
    _section(to, "The same rows on other draws, which took no part in finding them", tried_again(row))
    _table(to, costs_table(row))
    _table(to, requests_table(row))
    _section(to, "What drives the answer", drivers(row))
    _table(to, assumed_table(row))
    _sentences(to, assumed_lines(row))
    _table(to, map_table(row))
    print_lines(to, ["", *(f"note   {plain(note)}" for note in notes(row))], style="yellow", folded=True)


def _table(to: Console, table: Table) -> None:
    if table.rows:
        print_lines(to, ["", plain(table.caption)], style="bold", folded=True)
        print_folded(to, table)


def _section(to: Console, title: str, lines: list[str]) -> None:
    if lines:
        print_lines(to, ["", title], style="bold", folded=True)
        _sentences(to, lines)


def _sentences(to: Console, lines: list[str]) -> None:
    print_lines(to, [plain(line) for line in lines], folded=True)
