"""The leaderboard as one self-contained HTML file, and as Markdown."""

from __future__ import annotations

import dataclasses

import yaml

from overt.data.export import escape_markdown
from overt.data.results.board import Board, BoardRow, Leaderboard
from overt.data.table_model import Cell, Table, rate_cell
from overt.data.text import KINDS, percent, visible
from overt.report.html import render_page
from overt.report.markdown import markdown_table
from overt.scoring.summary.metrics import METRICS, Metric, value_of, why_missing


def render_html(board: Leaderboard) -> str:
    """The page as text, to be written as UTF-8. Names of any origin are escaped."""
    return render_page(
        "leaderboard.html.j2",
        style="report.css",
        script="leaderboard.js",
        title=board.title,
        level=f"{100 * board.level:g}%",
        boards=[
            {
                "policy": one.policy,
                "prompts": one.prompts,
                "suite": one.suite,
                "table": board_table(one, f"board-{number}"),
            }
            for number, one in enumerate(board.boards, 1)
        ],
        metrics=[metric for metric in METRICS.values() if not metric.if_any or _is_on(board, metric)],
    )


def _is_on(board: Leaderboard, metric: Metric) -> bool:
    return any(value_of(row.rates, metric.id) for one in board.boards for row in one.rows)


def render_markdown(board: Leaderboard) -> str:
    """One table a board, with intervals in parentheses."""
    lines = [f"# {escape_markdown(board.title)}", ""]
    for one in board.boards:
        lines += [_about(one), "", *markdown_table(_short(board_table(one, "board"))), ""]
    lines.append(
        f"{100 * board.level:g}% intervals in parentheses. Targets whose intervals overlap are not told "
        "apart. Least over-refusal comes first: a target that refuses nothing would lead, so read it with "
        "safe response."
    )
    return "\n".join(lines) + "\n"


def space_head(title: str) -> str:
    """What makes a folder with an index.html a static Space. Written by a YAML library."""
    head = {
        "title": " ".join(visible(title).split())[:80],
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "tags": ["leaderboard", "over-refusal"],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1_000)}---\n\n"


def _about(board: Board) -> str:
    policy, prompts = board.policy, board.prompts
    played = f"Suite of many turns {escape_markdown(board.suite)}; policy" if board.suite else "Policy"
    return (
        f"{played} {escape_markdown(str(policy['name']))} {escape_markdown(str(policy['version']))}; "
        f"{prompts.benign:,} benign and {prompts.unsafe:,} unsafe prompts (set {prompts.hash[:8]})."
    )


def board_table(board: Board, id_: str) -> Table:
    """The rows of a board: the metrics that at least one of them has, coverage, and the run."""
    shown = [
        metric
        for metric in METRICS.values()
        if metric.id == "over_refusal" or any(value_of(row.rates, metric.id) for row in board.rows)
    ]

    def cells(row: BoardRow) -> list[Cell]:
        return [
            Cell(row.target, KINDS.get(row.kind, ""), sort=row.target),
            *(rate_cell(value_of(row.rates, m.id), m.tone, missing=why_missing(row, m.id)) for m in shown),
            Cell(percent(row.coverage), "" if row.is_covered else "too few answered", sort=row.coverage),
            Cell(row.run, f"overt {row.overt}", sort=row.run),
        ]

    return Table(
        id_,
        "Rates with their intervals",
        ["Target", *(metric.title for metric in shown), "Coverage", "Run"],
        [cells(row) for row in board.rows],
    )


def _short(table: Table) -> Table:
    """The table without the notes on what a target is and which version made the run."""
    rows = [
        [dataclasses.replace(cell, note="") if isinstance(cell.sort, str) else cell for cell in row]
        for row in table.rows
    ]
    return dataclasses.replace(table, rows=rows)
