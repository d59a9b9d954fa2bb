"""What changed between two runs, as tables and as one HTML page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from overt.data.results.comparison import CategoryChange, Comparison, Flip, MetricChange, TermChange
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import percent, visible
from overt.data.versions import difference_of
from overt.report.html import render_page
from overt.scoring.compare import is_cost
from overt.scoring.summary.metrics import METRICS

MOST_FLIPS = 500  # of each direction on the page
MOST_TERMS = 200


def comparison_table(row: MetricChange) -> Table:
    """One metric of one pair of targets: the old rate and the new one by category, and in total.

    The difference is in percentage points, with the interval that goes with the corrected p-value. Its cell
    is tinted where a test says that something changed, and then the interval leaves out 0.
    """
    metric = METRICS[row.metric]
    return Table(
        f"{row.metric}-{row.b}",
        f"{metric.title} ({metric.counts}): {row.heading}",
        ["category", "prompts", "old", "new", "difference", "p (Holm)"],
        [_cells(part.category, row.metric, part) for part in row.categories],
        total=_cells("all", row.metric, row),
    )


def comparison_tables(found: Comparison) -> list[Table]:
    """The tables of a comparison: for each metric by category, and by who is depicted where that is known."""
    tables = []
    for row in found.differences:
        table = comparison_table(row)
        tables.append(table)
        if row.groups:
            words = difference_of(part.category for part in row.groups)
            tables.append(
                dataclasses.replace(
                    table,
                    id=f"{table.id}-groups",
                    caption=f"{table.caption}, by {words.what}",
                    columns=[words.head.lower(), *table.columns[1:]],
                    rows=[_cells(part.category, row.metric, part) for part in row.groups],
                    total=_cells("none of them", row.metric, row),
                )
            )
    return tables


def _cells(title: str, metric: str, part: CategoryChange | MetricChange) -> list[Cell]:
    # Comparisons of older versions have no corrected interval.
    low = part.low if part.low_holm is None else part.low_holm
    high = part.high if part.high_holm is None else part.high_holm
    tint = ("worse" if is_cost(metric, part) else "better") if part.changed else ""
    return [
        Cell(title),
        count_cell(part.n),
        Cell(percent(part.rate_a)),
        Cell(percent(part.rate_b)),
        Cell(
            _points(part.difference),
            sort=part.difference,
            heat=tint,
            span=(_points(low), _points(high)),
        ),
        Cell(f"{part.p_holm:.3g}", sort=part.p_holm),
    ]


def _points(difference: float) -> str:
    """Percentage points with a sign, as programs read it."""
    return f"{100 * difference:+.1f}"


def terms_table(changes: Sequence[TermChange]) -> Table:
    """The terms that the new version added or lost, and how many of the benign prompts with each are refused
    in the old run and in the new one."""
    several = len({(change.a, change.b) for change in changes}) > 1
    return Table(
        "terms",
        "Terms that the new version added or lost: for these benign prompts are refused in one run only",
        ["term", "", *(["target"] if several else []), "prompts", "refused in old", "refused in new"],
        [
            [
                Cell(visible(change.term)),
                Cell("added" if change.added else "lost", heat="worse" if change.added else "better"),
                *([Cell(visible(change.b))] if several else []),
                count_cell(change.prompts),
                count_cell(change.refused_a),
                count_cell(change.refused_b),
            ]
            for change in changes[:MOST_TERMS]
        ],
        numeric_from=3 if several else 2,
    )


def render_comparison(found: Comparison) -> str:
    """One self-contained HTML page, as text to be written as UTF-8; every text is escaped, nothing comes from
    outside, and there is no script."""
    return render_page(
        "compare.html.j2",
        style="compare.css",
        found=found,
        tables=comparison_tables(found),
        terms=terms_table(found.terms) if found.terms else None,
        sides=_sides(found.flips),
        differ_in=difference_of(flip.group for flip in found.flips if flip.group is not None).what,
        most=MOST_FLIPS,
        level=f"{100 * found.level:g}%",
    )


def _sides(flips: Sequence[Flip]) -> Mapping[str, Sequence[Flip]]:
    sides = {
        "Worse now": [flip for flip in flips if flip.worse],
        "Better now": [flip for flip in flips if not flip.worse],
    }
    return {title: found for title, found in sides.items() if found}
