"""Targets against each other on the same prompts, and the rank correlation over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import Correlation, Pair, PairedRates, Summary
from overt.data.table_model import Cell, Table, sortable
from overt.data.text import decimals, interval, is_figure, p_value, points
from overt.report.sections.wording import name_cell
from overt.scoring.summary.metrics import METRICS


def pair_table(pairs: Sequence[Pair]) -> Table | None:
    """All pairs over all categories, with what the interval lets one say."""
    if not pairs:
        return None
    return Table(
        "pairs-table",
        "The first target minus the second, in percentage points, on the prompts both answered",
        ["Targets", "Rate", "The first is", "Difference", "Interval", "p"],
        [
            [
                Cell(f"{pair.a} minus {pair.b}", sort=f"{pair.a} {pair.b}".casefold()),
                Cell(_title(pair), sort=_title(pair)),
                Cell(verdict := _verdict(pair), sort=verdict),
                *_difference(pair),
                Cell(p_value(pair.p), sort=sortable(pair.p)),
            ]
            for pair in pairs
        ],
        numeric_from=3,
    )


def category_pair_tables(pairs: Sequence[Pair]) -> list[tuple[str, Table]]:
    """Each pair's differences by category, under the name of the pair."""
    return [(_name(pair), _by_category(pair, index)) for index, pair in enumerate(pairs) if pair.categories]


def _by_category(pair: Pair, index: int) -> Table:
    return Table(
        f"pair-{index}",
        f"{_name(pair)}, by category, in percentage points",
        ["Category", "Difference", "Interval", "p", "p, Holm-corrected"],
        [
            [
                name_cell(row.category),
                *_difference(row),
                Cell(p_value(row.p), sort=sortable(row.p)),
                Cell(p_value(row.p_holm), sort=sortable(row.p_holm)),
            ]
            for row in pair.categories
        ],
    )


def not_compared(summary: Summary) -> list[str]:
    """Targets in no pair: too many to hold all against each other, or no prompts in common."""
    compared = {name for pair in summary.pairs for name in (pair.a, pair.b)}
    return [t.name for t in summary.targets if compared and t.name not in compared]


def correlation_said(found: Correlation | None) -> str:
    """The rank correlation in a sentence, or why there is none."""
    if found is None:
        return "No rank correlation: it takes at least three targets with both rates, and rates that differ."
    said = (
        f"Spearman rank correlation between over-refusal and safe response: {decimals(found.rho)} "
        f"({decimals(found.low)} to {decimals(found.high)}) over {found.n} targets."
    )
    return f"{said} {found.note}".rstrip()


def _verdict(pair: PairedRates) -> str:
    if not (is_figure(pair.low) and is_figure(pair.high)):
        return "-"
    return "higher" if pair.low > 0 else "lower" if pair.high < 0 else "cannot be told apart"


def _title(pair: Pair) -> str:
    return METRICS[pair.metric].title if pair.metric in METRICS else pair.metric


def _name(pair: Pair) -> str:
    return f"{_title(pair)}: {pair.a} minus {pair.b}"


def _difference(row: PairedRates) -> list[Cell]:
    said = f"{points(row.low)} to {points(row.high)}" if interval(row) else "-"
    return [Cell(points(row.difference), sort=sortable(row.difference)), Cell(said, sort=sortable(row.low))]
