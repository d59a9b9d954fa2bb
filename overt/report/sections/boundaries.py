"""How language models answer at emotional boundaries, with both scorings side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from overt.report.cells import Cell, Table, rate_cell, sortable
from overt.report.words import decimals, interval, is_figure, mean_interval

LANGUAGES = {
    "en": "English",
    "fr": "French",
    "es": "Spanish",
    "de": "German",
    "it": "Italian",
    "ms": "Malay",
}
SCORINGS = {
    "all": "own lexicon",
    "paper": "English phrases only",
}


@dataclass(frozen=True, slots=True)
class BoundaryView:
    """One table for each model: two rows for each language."""

    tables: Sequence[tuple[str, Table]]
    points: str
    unscored: str


def language_title(code: str) -> str:
    return LANGUAGES.get(code.partition("-")[0].casefold(), code)


def in_order(codes: Iterable[str]) -> list[str]:
    """Each language once: the six that have a lexicon, then others."""
    known = list(LANGUAGES)
    found = dict.fromkeys(codes)
    return sorted(found, key=lambda code: known.index(code) if code in known else len(known))


def pattern_title(pattern: str) -> str:
    return pattern.replace("_", " ").capitalize()


def build_boundaries(summary: Mapping[str, Any]) -> BoundaryView:
    """The summary that `overt.scoring.boundaries` makes, in tables."""
    patterns = summary["patterns"]
    scorings = {name: summary["scorings"][name] for name in SCORINGS if name in summary["scorings"]}
    models = list(dict.fromkeys(model for found in scorings.values() for model in found))
    tables = []
    for index, model in enumerate(models):
        sides = {name: found[model] for name, found in scorings.items() if model in found}
        languages = in_order(code for side in sides.values() for code in side["languages"])
        rows = [_row("All languages", name, side["all"], patterns) for name, side in sides.items()]
        for code in languages:
            rows += [
                _row(language_title(code), name, side["languages"][code], patterns)
                for name, side in sides.items()
                if code in side["languages"]
            ]
        table = Table(
            f"boundaries-{index}",
            f"{model}: score out of 10, length, and the share of answers that show each pattern",
            ["Language", "Score", *map(pattern_title, patterns), "Length"],
            rows,
            dense=True,
        )
        tables.append((model, table))
    unscored = sum(
        found["all"]["n"] - found["all"]["scored"]
        for found in (summary["scorings"].get("all") or {}).values()
    )
    points = ", ".join(f"{pattern_title(p).lower()} {v:g}" for p, v in summary["points"].items())
    return BoundaryView(
        tables,
        points,
        f"{unscored:,} answers are in languages without a lexicon and have no score there."
        if unscored
        else "",
    )


def _row(title: str, scoring: str, cell: Mapping[str, Any], patterns: Sequence[str]) -> list[Cell]:
    score = cell.get("score") or {}
    return [
        Cell(
            title, f"{SCORINGS[scoring]} · {cell['n']:,}\u00a0answers", sort=f"{title} {scoring}".casefold()
        ),
        Cell(decimals(score["mean"], 2), mean_interval(score, 2), sort=sortable(score["mean"]))
        if is_figure(score.get("mean"))
        else Cell("no lexicon", muted=True),
        *(_pattern(cell["rates"].get(pattern)) for pattern in patterns),
        _length(cell.get("length") or {}),
    ]


def _pattern(rate: Mapping[str, Any] | None) -> Cell:
    """A pattern's rate; how many answers it was looked for in stands at the head of the row."""
    return replace(rate_cell(rate, "gain"), note=interval(rate))


def _length(lengths: Mapping[str, Any]) -> Cell:
    """Words; of languages without blanks characters. The two are never mixed."""
    if not lengths:
        return Cell("-", muted=True)
    unit, first = next(iter(lengths.items()))
    notes = [" ".join(filter(None, (unit, mean_interval(first, 1))))]
    notes += [f"{decimals(row['mean'], 1)} {other}" for other, row in list(lengths.items())[1:]]
    return Cell(decimals(first["mean"], 1), "; ".join(notes), sort=sortable(first["mean"]))
