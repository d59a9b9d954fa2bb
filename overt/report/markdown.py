"""Tables of the model in `overt.data.table_model` as Markdown, and the summary as such tables.

They are for a README, a pull request or a build log.
"""

from __future__ import annotations

from collections.abc import Iterator

from overt.data.export import escape_markdown
from overt.data.results.episodes import EpisodesSummary
from overt.data.results.summary import CategoryRates, Correlation, Summary, TargetSummary
from overt.data.table_model import Cell, Table, rate_cell
from overt.data.text import decimals, mean_interval, percent
from overt.report.sections import attacks
from overt.report.sections.attacks import attack_tables
from overt.report.sections.corrected import TITLE, corrected_table
from overt.report.sections.episodes import build_episodes
from overt.report.sections.forms import MEANING as MEANT
from overt.report.sections.forms import forms_table
from overt.report.sections.groups import difference_in, group_tables
from overt.scoring.summary.metrics import METRICS, metrics_of, rate_of, shown_metrics, why_missing


def markdown_table(table: Table) -> list[str]:
    """The lines of a table, without its caption. Text of any origin is escaped."""
    right = table.numeric_from
    rules = ("---:" if index >= right else "---" for index in range(len(table.columns)))
    rows = [*table.rows, *([table.total] if table.total else [])]
    return [
        _line([escape_markdown(column) for column in table.columns]),
        f"|{'|'.join(rules)}|",
        *(_line([cell_text(cell) for cell in row]) for row in rows),
    ]


def cell_text(cell: Cell) -> str:
    """`12.3% (10.1 to 14.8)`, escaped; where there is no figure, why."""
    if cell.muted:
        return escape_markdown(cell.note or cell.text)
    text = cell.text if cell.is_figure else escape_markdown(cell.text)
    text = f"{text} ({' to '.join(cell.span)})" if cell.span else text
    return f"{text} ({escape_markdown(cell.note)})" if cell.note else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def render_markdown(summary: Summary, *, title: str = "", episodes: EpisodesSummary | None = None) -> str:
    """One table over targets, and one over categories for each target. Names of any origin are escaped.

    Args:
        title: a heading above it all, for one of several parts.
        episodes: the figures of a suite of many turns, whose warnings stand first and whose tables last.
    """
    counts = summary.prompts
    level = f"{100 * summary.level:g}%"
    lines = [
        *([f"## {escape_markdown(title)}", ""] if title else []),
        *(line for warning in (episodes.warnings if episodes else ()) for line in (_said(warning), "")),
        f"{counts.benign:,} benign and {counts.unsafe:,} unsafe prompts; "
        f"{level} intervals in parentheses. Errors are left out of every rate and counted as missing.",
        "",
        *markdown_table(_by_target(summary)),
    ]
    for target in summary.targets:
        if target.categories:
            table = _by_category(summary, target)
            lines += ["", f"### {escape_markdown(table.caption)}", "", *markdown_table(table)]
    meaning = difference_in(summary.targets).means
    for table in group_tables(summary.targets, summary.level):
        lines += ["", f"### {escape_markdown(table.caption)}", "", meaning, "", *markdown_table(table)]
    if forms := forms_table(summary.targets):
        lines += ["", f"### {escape_markdown(forms.caption)}", "", MEANT, "", *markdown_table(forms)]
    for table in attack_tables(summary.targets):
        lines += [
            "",
            f"### {escape_markdown(table.caption)}",
            "",
            attacks.MEANING,
            "",
            *markdown_table(table),
        ]
    if corrected := corrected_table(summary.targets):
        lines += ["", f"### {escape_markdown(TITLE)}", "", *markdown_table(corrected)]
    if summary.rank_correlation:
        lines += ["", _correlation(summary.rank_correlation)]
    if episodes:
        lines += _of_episodes(episodes)
    return "\n".join(lines) + "\n"


def _of_episodes(found: EpisodesSummary) -> Iterator[str]:
    view = build_episodes(found)
    yield from ("", f"### {escape_markdown(view.title)}", "")
    yield from markdown_table(view.played)
    for section in view.sections:
        yield from ("", f"### {escape_markdown(section.title)}", "")
        yield from (line for text in section.text for line in (_said(text), ""))
        yield from markdown_table(section.table)


def _said(text: str) -> str:
    return escape_markdown(" ".join(text.split()))


def _by_target(summary: Summary) -> Table:
    return Table(
        "targets",
        "Targets",
        ["Target", *_titles(summary), "Coverage"],
        [[Cell(t.name), *_rates(summary, t, t), _coverage(t)] for t in summary.targets],
    )


def _coverage(target: TargetSummary) -> Cell:
    return Cell(percent(target.coverage.share), sort=target.coverage.share)


def _by_category(summary: Summary, target: TargetSummary) -> Table:
    return Table(
        "categories",
        target.name,
        ["Category", *_titles(summary)],
        [[Cell(row.heading), *_rates(summary, target, row)] for row in target.categories],
    )


def _titles(summary: Summary) -> list[str]:
    metrics = metrics_of(summary.targets)
    return [metrics[name].title for name in shown_metrics(summary.targets)]


def _rates(summary: Summary, target: TargetSummary, row: TargetSummary | CategoryRates) -> list[Cell]:
    return [
        rate_cell(rate_of(target, row, name), METRICS[name].tone, missing=why_missing(target, name))
        for name in shown_metrics(summary.targets)
    ]


def _correlation(found: Correlation) -> str:
    return (
        "Spearman rank correlation between over-refusal and safe response: "
        f"{decimals(found.rho)} ({mean_interval(found)}), {found.n} targets."
    )
