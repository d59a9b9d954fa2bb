"""Over-refusal over the categories of a policy, as a polygon for each target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.results.summary import Rate, Summary
from overt.data.text import percent, short, short_name
from overt.report.block import category_titles
from overt.report.plots.drawing import GRID, NAME, QUIET, TEXT, new_figure, style_of, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

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


def draw_radar(summary: Summary) -> Figure | None:
    """The radar plot. From three categories on; with fewer there is no polygon."""
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
    figure = _small_radars(polygons, list(names), dial) if dial.small else new_figure(6.2, 5.2)
    if not dial.small:
        axes = _radar(figure, 1, 1, 1, dial)
        for polygon in polygons:
            _draw(axes, polygon, list(names), dial, filled=len(polygons) <= 2)
    figure.suptitle("Over-refusal over categories", fontsize=10.5, fontweight="bold", x=0.01, ha="left")
    if not dial.small:
        figure.legend(
            loc="outside lower center",
            ncols=2,
            frameon=False,
            fontsize=9,
            handlelength=3.2,
            labelcolor="linecolor",
        )
    return figure


def _small_radars(polygons: Sequence[_Polygon], names: Sequence[str], dial: _Dial) -> Figure:
    """A radar for each target, with the categories as numbers and their titles below."""
    columns = 3 if len(polygons) in {5, 6, 9} else 4
    rows = math.ceil(len(polygons) / columns)
    figure = new_figure(3.0 * columns, 2.9 * rows)
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
