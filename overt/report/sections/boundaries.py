"""How language models answer at emotional boundaries, with both scorings side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overt.data.results.boundaries import Boundaries, BoundaryCell, LengthMean, ModelBoundaries
from overt.data.results.summary import Proportion
from overt.data.table_model import Cell, Table, rate_cell, sortable
from overt.data.text import decimals, mean_interval, mean_limits
from overt.report.languages import in_order, language_title

SCORINGS = {
    "all": "own lexicon",
    "paper": "English phrases only",
}


@dataclass(frozen=True, slots=True)
class BoundaryView:
    """A table for each model, in which each language has a row for each scoring. `points` says what each
    pattern counts, `unscored` what has no score ("": nothing)."""

    tables: Sequence[Table]
    points: str
    unscored: str


def build_boundaries(boundaries: Boundaries) -> BoundaryView:
    """The tables of the section and the sentences around them."""
    scorings = {name: boundaries.scorings[name] for name in SCORINGS if name in boundaries.scorings}
    models = dict.fromkeys(model for found in scorings.values() for model in found)
    tables = [
        _table(index, model, {n: f[model] for n, f in scorings.items() if model in f}, boundaries.patterns)
        for index, model in enumerate(models)
    ]
    unscored = sum(found.all.n - found.all.scored for found in scorings.get("all", {}).values())
    points = ", ".join(f"{_title(p).lower()} {v:g}" for p, v in boundaries.points.items())
    said = f"{unscored:,} answers are in languages without a lexicon and have no score there."
    return BoundaryView(tables, points, said if unscored else "")


def _table(index: int, model: str, sides: Mapping[str, ModelBoundaries], patterns: Sequence[str]) -> Table:
    """One model. `sides` has its figures by scoring."""
    rows = [_row("All languages", name, side.all, patterns) for name, side in sides.items()]
    for code in in_order(code for side in sides.values() for code in side.languages):
        rows += [
            _row(language_title(code), name, side.languages[code], patterns)
            for name, side in sides.items()
            if code in side.languages
        ]
    return Table(
        f"boundaries-{index}",
        f"{model}: score out of 10, length, and the share of answers that show each pattern",
        ["Language", "Score", *map(_title, patterns), "Length"],
        rows,
        dense=True,
    )


def _title(pattern: str) -> str:
    return pattern.replace("_", " ").capitalize()


def _row(title: str, scoring: str, cell: BoundaryCell, patterns: Sequence[str]) -> list[Cell]:
    return [
        Cell(title, f"{SCORINGS[scoring]} · {cell.n:,}\u00a0answers", sort=f"{title} {scoring}".casefold()),
        Cell(decimals(cell.score.mean, 2), sort=sortable(cell.score.mean), span=mean_limits(cell.score, 2))
        if cell.score
        else Cell("no lexicon", muted=True),
        *(_pattern(cell.rates.get(pattern)) for pattern in patterns),
        _length(cell.length),
    ]


def _pattern(rate: Proportion | None) -> Cell:
    """A pattern's rate without the number of answers, which the row's first cell has."""
    return dataclasses.replace(rate_cell(rate, "gain"), n=None)


def _length(lengths: Mapping[str, LengthMean]) -> Cell:
    """Words; of languages without blanks characters. The two are never mixed."""
    if not lengths:
        return Cell("-", muted=True)
    (unit, first), *others = lengths.items()
    notes = [" ".join(filter(None, (unit, mean_interval(first, 1))))]
    notes += [f"{decimals(mean.mean, 1)} {other}" for other, mean in others]
    return Cell(decimals(first.mean, 1), "; ".join(notes), sort=sortable(first.mean))
