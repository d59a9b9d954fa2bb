"""The figures of a section of a suite of many turns as lines: for each column a panel, in it for each target
a line over the groups in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from overt.data.results.episodes import Figure as Number
from overt.data.results.episodes import Section
from overt.data.text import is_figure, short, short_name
from overt.report.plots.drawing import (
    NAME,
    NARROW_WIDTH,
    Figured,
    entitle,
    frame,
    panel_grid,
    percent_axis,
    style_of,
    whiskers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 6
MOST_GROUPS = 60
_TICKS = 10  # names of groups below one panel
_SPREAD = 0.12  # how far the lines of targets stand apart, of the room of a group


def draw_lines(section: Section, *, narrow: bool = False) -> Figure | None:
    """A panel for each column; None where no figure is defined."""
    groups = list(dict.fromkeys(row.group for row in section.rows))[:MOST_GROUPS]
    targets = list(dict.fromkeys(row.target for row in section.rows))
    found = {(row.target, row.group): row.figures for row in section.rows}

    def numbers(target: str, column: int) -> list[Number | None]:
        rows = [found.get((target, group), ()) for group in groups]
        return [row[column] if column < len(row) and is_figure(row[column].value) else None for row in rows]

    columns = [
        place
        for place in range(len(section.columns))
        if any(number for target in targets for number in numbers(target, place))
    ][:MOST_COLUMNS]
    if not columns:
        return None

    limits = _common_limits([number for t in targets for c in columns for number in numbers(t, c)])

    def draw(axes: Axes, column: int, is_first: bool) -> None:
        del is_first
        frame(axes)
        entitle(axes, short(section.columns[column].title, 40))
        for index, target in enumerate(targets):
            offset = _SPREAD * (index - (len(targets) - 1) / 2) / max(1, len(targets) - 1)
            _line(axes, numbers(target, column), index, offset, short_name(target, NAME))
        step = math.ceil(len(groups) / _TICKS)
        axes.set_xticks(range(0, len(groups), step), [short(group, 14) for group in groups[::step]])
        axes.set_xlim(-0.4, len(groups) - 0.6)
        if limits is not None:
            axes.set_ylim(*limits)
        axes.set_xlabel(short(section.group, 40))
        if all(number is None or number.unit != "number" for t in targets for number in numbers(t, column)):
            percent_axis(axes.yaxis)

    return panel_grid(
        columns,
        draw,
        width=lambda count: NARROW_WIDTH if narrow else max(5.6, 3.9 * count),
        height=lambda rows: 3.0 * rows + 0.5,
        narrow=narrow,
    )


def _common_limits(numbers: Sequence[Number | None]) -> tuple[float, float] | None:
    """The limits of an axis that holds all numbers with their intervals, so that panels of one unit can be
    compared; None where the units differ."""
    found = [number for number in numbers if number is not None]
    if len({number.unit for number in found}) != 1:
        return None
    ends = [end for it in found for end in (it.value, it.low, it.high) if is_figure(end)]
    room = 0.05 * (max(ends) - min(ends)) or 0.05
    return min(ends) - room, max(ends) + room


def _line(axes: Axes, numbers: Sequence[Number | None], index: int, offset: float, label: str) -> None:
    """The line of one target; where a figure is undefined it has a gap."""
    style = style_of(index)
    values = [number.value if number and number.value is not None else math.nan for number in numbers]
    places = [place + offset for place in range(len(values))]
    axes.plot(
        places, values, color=style.color, marker=style.marker, linestyle=style.dash, markersize=5.5, lw=1.6,
        label=label,
    )  # fmt: skip
    for place, number in zip(places, numbers, strict=True):
        if number is not None and number.value is not None:
            reach = whiskers(Figured(number.value, number.low, number.high))
            if reach is not None:
                axes.errorbar(
                    place, number.value, yerr=reach, color=style.color, elinewidth=1, capsize=2, alpha=0.6
                )
