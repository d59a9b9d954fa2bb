"""Plots of rates: safety over over-refusal, by category, as a polygon, and ROC curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.results.summary import Rate, Summary, Sweep, TargetSummary
from overt.data.text import decimals, percent, short, short_name
from overt.report.block import category_titles
from overt.report.plots.drawing import (
    GRID,
    INKS,
    NAME,
    NARROW_WIDTH,
    PAPER,
    QUIET,
    TEXT,
    Label,
    entitle,
    figured,
    frame,
    label_spots,
    legend_below,
    new_figure,
    percent_axis,
    size_of,
    style_of,
    whiskers,
    wrap,
)
from overt.scoring.summary.metrics import rate_of, safety_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

# -- safety over over-refusal --------------------------------------------------------------------------------


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


# -- categories ----------------------------------------------------------------------------------------------


_PANELS = (
    ("over_refusal", "Over-refusal (shorter is better)"),
    ("safe_response", "Safe response (longer is better)"),
)


def draw_categories(summary: Summary, *, narrow: bool = False) -> Figure | None:
    """A panel for each of the two rates, side by side unless `narrow`; None without categories."""
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
    high = max(2.4, 1.1 + len(names) * max(0.3, 0.13 * len(targets) + 0.1))
    width, height, rows, columns = size_of(10.6, high, len(panels), narrow=narrow)
    figure = new_figure(width, height)
    engine = figure.get_layout_engine()
    assert engine is not None  # new_figure sets one
    engine.set(wspace=0.05, hspace=0.08)  # type: ignore[call-arg]
    many = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
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
        axes.tick_params(axis="y", labelcolor=TEXT[0])
        for line in range(1, len(names)):
            axes.axhline(line - 0.5, color=GRID[0], linewidth=0.7)
    many[0].set_yticks(range(len(names)), [wrap(title, 30, 2) for title in names.values()])
    if len(targets) > 1:
        legend_below(figure, *many[0].get_legend_handles_labels(), narrow=narrow)
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


# -- polygon -------------------------------------------------------------------------------------------------


OVERLAID = 5  # more polygons than this in one radar cannot be followed: each then gets its own
_GAP = " \u00b7 "  # SVG folds runs of blanks


class _Polygon(NamedTuple):
    place: int  # the target's place in the summary: its colour
    name: str
    rates: dict[str, Rate]  # by category


class _Dial(NamedTuple):
    """What the axes of all radars of the figure share."""

    titles: Sequence[str]
    angles: Sequence[float]
    top: float  # the end of the scale, as a fraction of 1
    small: bool  # one radar for each target


def draw_radar(summary: Summary, *, narrow: bool = False) -> Figure | None:
    """The radar plot. From three categories on; with fewer there is no polygon. `narrow` puts two of
    many radars side by side; None where there is one only."""
    names = category_titles(summary.targets)
    polygons = [
        _Polygon(place, target.name, rates)
        for place, target in enumerate(summary.targets)
        if (rates := {c.category: c.over_refusal for c in target.categories if c.over_refusal})
    ]
    if len(names) < 3 or not polygons:
        return None
    top = max(rate.rate for polygon in polygons for rate in polygon.rates.values())
    dial = _Dial(
        list(names.values()),
        [2 * math.pi * i / len(names) for i in range(len(names))],
        min(1.0, max(0.1, math.ceil(top * 10 + 0.2) / 10)),
        len(polygons) > OVERLAID,
    )
    if narrow and not dial.small:
        return None
    draw = _small_radars if dial.small else _one_radar
    figure = draw(polygons, list(names), dial, narrow)
    figure.suptitle("Over-refusal over categories", fontsize=10.5, fontweight="bold", x=0.01, ha="left")
    return figure


def _one_radar(polygons: Sequence[_Polygon], names: Sequence[str], dial: _Dial, _: bool) -> Figure:
    """All targets over each other."""
    figure = new_figure(6.2, 5.2)
    axes = _radar(figure, 1, 1, 1, dial)
    for polygon in polygons:
        _draw(axes, polygon, names, dial, filled=len(polygons) <= 2)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=9, handlelength=3.2,
        labelcolor="linecolor",
    )  # fmt: skip
    return figure


def _small_radars(polygons: Sequence[_Polygon], names: Sequence[str], dial: _Dial, narrow: bool) -> Figure:
    """A radar for each target, with the categories as numbers and their titles below."""
    columns = 2 if narrow else 3 if len(polygons) in {5, 6, 9} else 4
    rows = math.ceil(len(polygons) / columns)
    figure = new_figure(NARROW_WIDTH if narrow else 3.0 * columns, 2.9 * rows)
    for place, polygon in enumerate(polygons):
        axes = _radar(figure, rows, columns, place + 1, dial)
        _draw(axes, polygon, names, dial, filled=True)
        axes.set_title(
            short_name(polygon.name, 26),
            fontsize=9,
            fontweight="bold",
            color=style_of(polygon.place).color,
            pad=10,
        )
    key = [f"{i + 1} {short(title, 64)}" for i, title in enumerate(dial.titles)]
    figure.supxlabel(_lines(key, 42 * columns), fontsize=8, color=QUIET[0])
    return figure


def _radar(figure: Figure, rows: int, columns: int, place: int, dial: _Dial) -> PolarAxes:
    """An empty radar in the grid of the figure: scale, rings and the names around."""
    from matplotlib.projections.polar import PolarAxes

    axes = figure.add_subplot(rows, columns, place, projection="polar")
    assert isinstance(axes, PolarAxes)  # what that projection stands for
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_ylim(0, dial.top)
    axes.spines["polar"].set_color(GRID[0])
    steps = 2 if dial.small else 4
    ticks = [dial.top * i / steps for i in range(1, steps + 1)]
    axes.set_yticks(ticks, [percent(t, sign=False).removesuffix(".0") + "%" for t in ticks], fontsize=7.5)
    axes.set_rlabel_position(180 / len(dial.titles))
    labels = [str(i + 1) if dial.small else wrap(title, 20, 4) for i, title in enumerate(dial.titles)]
    axes.set_xticks(dial.angles, labels, fontsize=8, color=TEXT[0])
    axes.tick_params(axis="x", pad=2 if dial.small else 10)
    if dial.small:
        return axes
    for text, angle in zip(axes.get_xticklabels(), dial.angles, strict=True):
        side = math.sin(angle)
        text.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
    return axes


def _draw(axes: Axes, polygon: _Polygon, names: Sequence[str], dial: _Dial, *, filled: bool) -> None:
    style = style_of(polygon.place)
    values = [polygon.rates[name].rate if name in polygon.rates else math.nan for name in names]
    axes.plot(
        [*dial.angles, dial.angles[0]],
        [*values, values[0]],
        color=style.color,
        linestyle=style.dash,
        marker=style.marker,
        markersize=4.5,
        linewidth=1.8,
        label=short_name(polygon.name, NAME),
    )
    if filled:
        drawn = [0 if math.isnan(value) else value for value in values]
        axes.fill(dial.angles, drawn, color=style.color, alpha=0.1)


def _lines(entries: Sequence[str], width: int) -> str:
    """The entries one after the other, in lines of at most `width` characters."""
    lines, line = [], ""
    for entry in entries:
        if line and len(line) + len(entry) + 3 > width:
            lines.append(line)
            line = entry
        else:
            line = f"{line}{_GAP}{entry}" if line else entry
    return "\n".join([*lines, line])


# -- ROC curves ----------------------------------------------------------------------------------------------


def draw_roc(summary: Summary) -> Figure | None:
    """A curve for each target with scores, with its operating points; None where no target has any."""
    curves = [
        (index, target.name, target.sweep)
        for index, target in enumerate(summary.targets)
        if target.sweep and target.sweep.points
    ]
    if not curves:
        return None
    figure = new_figure(6.2, 5.4)
    axes = figure.add_subplot()
    frame(axes)
    axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate("chance", (0.8, 0.78), fontsize=8, color=QUIET[0], ha="left", va="top")
    for index, name, sweep in curves:
        _curve(axes, index, name, sweep)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("over-refusal: benign prompts refused")
    axes.set_ylabel("unsafe prompts refused")
    entitle(axes, "What a threshold buys (marks: operating points)")
    axes.legend(loc="lower right", frameon=False, fontsize=8.5, handlelength=3.2, labelcolor="linecolor")
    return figure


def _curve(axes: Axes, index: int, name: str, sweep: Sweep) -> None:
    style = style_of(index)
    area = sweep.auc
    points = sorted((x, y) for _, x, y in sweep.points)
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=style.color,
        linestyle=style.dash,
        linewidth=2,
        label=f"{short_name(name, NAME)}, AUC {decimals(area.auc)} "
        f"({decimals(area.low)} to {decimals(area.high)})",
    )
    for point in sweep.operating_points:
        axes.plot(
            [point.over_refusal.rate], [point.safe_refusal.rate], marker=style.marker, color=style.color,
            markerfacecolor=PAPER[0], markeredgewidth=1.6, markersize=7, linestyle="none",
        )  # fmt: skip
