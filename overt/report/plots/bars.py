"""Bars by category and target with their intervals: over-refusal, and safe response where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from overt.data.results.summary import Rate, Summary, TargetSummary
from overt.data.text import short_name
from overt.report.block import category_titles
from overt.report.plots.drawing import (
    GRID,
    INKS,
    NAME,
    TEXT,
    entitle,
    figured,
    frame,
    new_figure,
    percent_axis,
    style_of,
    whiskers,
    wrap,
)
from overt.scoring.summary.metrics import rate_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = (
    ("over_refusal", "Over-refusal (shorter is better)"),
    ("safe_response", "Safe response (longer is better)"),
)


def draw_categories(summary: Summary) -> Figure | None:
    """A panel for each of the two rates; None without categories."""
    targets = summary.targets
    names = category_titles(targets)
    panels = [
        (title, rates)
        for metric, title in _PANELS
        if any(rates := [_by_category(target, metric) for target in targets])
    ]
    if not names or not panels:
        return None
    bar = 0.86 / len(targets)
    figure = new_figure(10.6, max(2.4, 1.1 + len(names) * max(0.3, 0.13 * len(targets) + 0.1)))
    engine = figure.get_layout_engine()
    assert engine is not None  # new_figure sets one
    engine.set(wspace=0.05)  # type: ignore[call-arg]
    many = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, by_target) in zip(many, panels, strict=True):
        frame(axes)
        axes.grid(False, axis="y")
        for index, mine in enumerate(by_target):
            offset = (index - (len(targets) - 1) / 2) * bar
            found = [(place + offset, mine[name]) for place, name in enumerate(names) if name in mine]
            if found:
                _bars(axes, found, index, short_name(targets[index].name, NAME), bar)
        # The gridline at the end of the scale and a bar that reaches it must both be seen.
        axes.set_xlim(0, _end_of_scale(by_target) * 1.012)
        percent_axis(axes.xaxis)
        entitle(axes, title)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        for line in range(1, len(names)):
            axes.axhline(line - 0.5, color=GRID[0], linewidth=0.7)
    many[0].set_yticks(range(len(names)), [wrap(title, 30, 2) for title in names.values()], color=TEXT[0])
    if len(targets) > 1:
        handles, labels = many[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(3, len(targets)),
            frameon=False,
            fontsize=9,
        )
    return figure


def _by_category(target: TargetSummary, metric: str) -> dict[str, Rate]:
    rates = {row.category: rate_of(target, row, metric) for row in target.categories}
    return {name: rate for name, rate in rates.items() if rate}


def _bars(axes: Axes, found: Sequence[tuple[float, Rate]], index: int, name: str, bar: float) -> None:
    """One target's bars. `found` has the height at which each stands, and its rate."""
    colour = style_of(index).color
    axes.barh(
        [spot for spot, _ in found],
        [rate.rate for _, rate in found],
        height=bar * 0.82,
        color=colour,
        alpha=0.45,
        hatch="////" if index >= len(INKS) else None,
        label=name,
    )
    for spot, rate in found:
        axes.errorbar(
            rate.rate,
            spot,
            xerr=whiskers(figured(rate)),
            color=colour,
            elinewidth=1.3,
            capsize=0,
            linestyle="none",
        )
        axes.plot([rate.rate], [spot], marker="|", markersize=max(3, bar * 14), color=colour, mew=1.8)


def _end_of_scale(by_target: Sequence[dict[str, Rate]]) -> float:
    """The next full ten percent above all rates and intervals, as a fraction of 1."""
    ends = [end for rates in by_target for rate in rates.values() for end in (rate.rate, rate.high)]
    return min(1.0, max(0.1, math.ceil(10 * max(ends) - 1e-9) / 10))
