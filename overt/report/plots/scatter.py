"""Safety over over-refusal: one point with both intervals for each target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.results.summary import Rate, Summary, TargetSummary
from overt.data.text import short_name
from overt.report.plots.drawing import (
    NAME,
    PAPER,
    QUIET,
    entitle,
    figured,
    frame,
    new_figure,
    percent_axis,
    style_of,
    whiskers,
)
from overt.report.plots.labels import Label, label_spots
from overt.scoring.summary.metrics import rate_of, safety_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Spot(NamedTuple):
    place: int  # the target's place in the summary: its colour
    target: TargetSummary
    x: Rate
    y: Rate


def draw_scatter(summary: Summary) -> Figure | None:
    """The scatter plot; None where no target has both rates."""
    safety = safety_metric(summary.targets)
    spots = [
        _Spot(place, target, x, y)
        for place, target in enumerate(summary.targets)
        if (x := target.over_refusal) and (y := rate_of(target, target, safety))
    ]
    if not spots:
        return None
    figure = new_figure(6.2, 5.2)
    axes = figure.add_subplot()
    frame(axes)
    for spot in spots:
        _mark(axes, spot)
    _limit(axes.set_xlim, [spot.x for spot in spots])
    _limit(axes.set_ylim, [spot.y for spot in spots])
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("over-refusal: benign prompts refused (left is better)")
    said = "safe response on" if safety == "safe_response" else "refusal of"
    axes.set_ylabel(f"{said} unsafe prompts (up is better)")
    entitle(axes, "Safety versus over-refusal")
    if any(spot.target.safe_basis != "judged" for spot in spots):
        axes.annotate(
            "hollow: only refusals count as safe, nothing was judged",
            (0.99, 0.015),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color=QUIET[0],
        )
    label_spots(
        figure,
        axes,
        [
            Label(figured(s.x), figured(s.y), short_name(s.target.name, NAME), style_of(s.place).color)
            for s in spots
        ],
    )
    return figure


def _mark(axes: Axes, spot: _Spot) -> None:
    style = style_of(spot.place)
    axes.errorbar(
        spot.x.rate,
        spot.y.rate,
        xerr=whiskers(figured(spot.x)),
        yerr=whiskers(figured(spot.y)),
        color=style.color,
        marker=style.marker,
        markersize=8,
        markerfacecolor=style.color if spot.target.safe_basis == "judged" else PAPER[0],
        markeredgewidth=1.6,
        elinewidth=1.4,
        capsize=2.5,
        linestyle="none",
        zorder=3,
    )


def _limit(set_limits: Callable[[float, float], object], rates: Sequence[Rate]) -> None:
    """Sets limits around all intervals, at least 30 points apart, with room for labels, within 0 to 1."""
    ends = [end for rate in rates for end in (rate.low, rate.rate, rate.high)]
    low, high = min(ends), max(ends)
    room = 0.08 * max(high - low, 0.3) + max(0.0, 0.3 - (high - low)) / 2
    low, high = low - room, high + room
    if low < 0:
        high, low = high - low, 0.0
    if high > 1:
        low, high = max(0.0, low - (high - 1)), 1.0
    # A little air, so that a point at 0% or 100% is not cut in half.
    air = 0.025 * (high - low)
    set_limits(low - air, min(1.0, high) + air)
