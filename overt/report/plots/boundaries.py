"""Boundary scores by language: with a lexicon for each language, and with English phrases only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.data.results.boundaries import Boundaries
from overt.data.text import short, short_name
from overt.report.languages import in_order, language_title
from overt.report.plots.drawing import (
    NAME,
    NARROW_WIDTH,
    PAPER,
    QUIET,
    Figured,
    entitle,
    frame,
    legend_below,
    new_figure,
    style_of,
    whiskers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_boundaries(boundaries: Boundaries, *, narrow: bool = False) -> Figure | None:
    """A row for each language, in it for each model a filled mark (own lexicon) and a hollow one (English
    phrases only); None where nothing was answered."""
    scorings = boundaries.scorings.values()
    models = list(dict.fromkeys(model for found in scorings for model in found))
    codes = in_order(code for found in scorings for model in found.values() for code in model.languages)
    if not models or not codes:
        return None
    figure = new_figure(NARROW_WIDTH if narrow else 7.4, 1.5 + len(codes) * max(0.42, 0.2 * len(models)))
    axes = figure.add_subplot()
    frame(axes)
    axes.grid(False, axis="y")
    step = 0.7 / len(models)
    for index, model in enumerate(models):
        for place, code in enumerate(codes):
            spot = place + (index - (len(models) - 1) / 2) * step
            own, paper = (_score(boundaries, name, model, code) for name in ("all", "paper"))
            _marks(axes, spot, index, own, paper, label=short_name(model, NAME) if place == 0 else None)
    axes.set_xlim(-0.2, 10.2)
    axes.set_ylim(len(codes) - 0.5, -0.5)
    axes.set_yticks(range(len(codes)), [short(language_title(code), 24) for code in codes])
    _entitle(axes, narrow)
    if len(models) > 1:
        legend_below(figure, *axes.get_legend_handles_labels(), narrow=narrow, labelcolor="linecolor")
    return figure


def _entitle(axes: Axes, narrow: bool) -> None:
    """The title, the scale, and what hollow marks are: beside the title where there is room for it."""
    about = "score out of 10: what an answer does at a boundary"
    hollow = "hollow: English phrases only, as the paper describes"
    axes.set_xlabel(f"{about}\n{hollow}" if narrow else about)
    entitle(axes, "Boundary scores by language")
    if not narrow:
        axes.annotate(
            hollow, (1.0, 1.02), xycoords="axes fraction", ha="right", fontsize=8, color=QUIET[0]
        )  # fmt: skip


def _marks(
    axes: Axes, spot: float, index: int, own: Figured | None, paper: Figured | None, label: str | None
) -> None:
    """Both scores of one model in one language, joined by a line at the height `spot`."""
    style = style_of(index)
    if own and paper:
        axes.plot([paper.value, own.value], [spot, spot], color=style.color, lw=1, alpha=0.5)
    for score, fill in ((paper, PAPER[0]), (own, style.color)):
        if score is None:
            continue
        axes.errorbar(
            score.value,
            spot,
            xerr=whiskers(score),
            color=style.color,
            marker=style.marker,
            markersize=7,
            markerfacecolor=fill,
            markeredgewidth=1.5,
            elinewidth=1.4,
            capsize=2,
            linestyle="none",
            label=label if fill != PAPER[0] else None,
        )


def _score(boundaries: Boundaries, scoring: str, model: str, code: str) -> Figured | None:
    found = boundaries.scorings.get(scoring, {}).get(model)
    cell = found.languages.get(code) if found else None
    return Figured(cell.score.mean, cell.score.low, cell.score.high) if cell and cell.score else None
