"""The leaderboard as one HTML file that asks nothing of any network, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from overt.data.export import escape_markdown
from overt.data.table_model import Cell, Table
from overt.data.text import KINDS, interval, percent, visible
from overt.report.page import content_security_policy, environment
from overt.scoring.summary.metrics import METRICS, rate_of, shown_metrics, why_missing


def render_html(board: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8. Names of any origin are escaped.

    Args:
        board: as `overt.ranking.build_leaderboard` makes it.
    """
    from markupsafe import Markup

    style, script = _asset("report.css"), _asset("leaderboard.js")
    page: str = (
        environment()
        .get_template("leaderboard.html.j2")
        .render(
            csp=content_security_policy(style, script),
            style=Markup(style),
            script=Markup(script),
            title=board["title"],
            level=f"{100 * board['level']:g}%",
            boards=[
                {**one, "table": _table(one, f"board-{number}")}
                for number, one in enumerate(board["boards"], 1)
            ],
            metrics=[METRICS[name] for name in METRICS],
        )
    )
    return page


def render_markdown(board: Mapping[str, Any]) -> str:
    """One table a board, with intervals in parentheses."""
    lines = [f"# {escape_markdown(board['title'])}", ""]
    for one in board["boards"]:
        shown = shown_metrics([row["rates"] for row in one["rows"]])
        head = ["Target", *(METRICS[name].title for name in shown), "Coverage", "Run"]
        lines += [
            _about(one),
            "",
            "| " + " | ".join(head) + " |",
            "|---|" + "---:|" * (len(shown) + 1) + "---|",
        ]
        for row in one["rows"]:
            cells = [escape_markdown(row["target"])]
            for name in shown:
                rate = row["rates"][name]
                span = interval(rate)
                figure = f"{percent(rate['rate'])} ({span})" if rate and span else ""
                cells.append(figure or (percent(rate["rate"]) if rate else why_missing(row, name)))
            note = "" if row["is_covered"] else " (too low)"
            cells += [f"{percent(row['coverage'])}{note}", escape_markdown(row["run"])]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines.append(
        f"{100 * board['level']:g}% intervals in parentheses. Targets whose intervals overlap are not told "
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


def _asset(name: str) -> str:
    """A file of the package. One kind of line end only: browsers hash what they parsed."""
    return (resources.files("overt.report") / name).read_text("utf-8").replace("\r\n", "\n")


def _about(board: Mapping[str, Any]) -> str:
    policy, prompts = board["policy"], board["prompts"]
    return (
        f"Policy {escape_markdown(policy['name'])} {escape_markdown(policy['version'])}; "
        f"{prompts['benign']:,} benign and {prompts['unsafe']:,} unsafe prompts "
        f"(set {prompts['hash'][:8]})."
    )


def _table(board: Mapping[str, Any], id_: str) -> Table:
    shown = shown_metrics([row["rates"] for row in board["rows"]])
    rows = []
    for row in board["rows"]:
        cells = [Cell(row["target"], KINDS.get(row["kind"], ""), sort=str(row["target"]))]
        for name in shown:
            rate = rate_of(row, row["rates"], name)
            if rate is None:
                cells.append(Cell("–", why_missing(row, name), muted=True))
                continue
            span = interval(rate)
            note = f"{span} · n {rate['n']:,}" if span else f"n {rate['n']:,}"
            heat = f"{METRICS[name].tone}-{round(10 * rate['rate'])}"
            cells.append(Cell(percent(rate["rate"]), note, sort=rate["rate"], heat=heat))
        note = "" if row["is_covered"] else "too few answered"
        cells.append(Cell(percent(row["coverage"]), note, sort=row["coverage"]))
        cells.append(Cell(row["run"], f"overt {row['overt']}", sort=str(row["run"])))
        rows.append(cells)
    columns = ["Target", *(METRICS[name].title for name in shown), "Coverage", "Run"]
    return Table(id_, "Rates with their intervals", columns, rows)
