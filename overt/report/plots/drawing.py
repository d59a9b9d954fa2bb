"""What all plots of the report share: colours that can be told apart, markers, frames, labels."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from overt.data.results.summary import Proportion
from overt.data.text import short

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

T = TypeVar("T")

# (colour on white, colour on a dark page): at least 4.5 and 6 to 1 against the ground, and apart for
# people who see no red or no green, at least by lightness.
INKS = (
    ("#0068a8", "#63b8f5"),
    ("#b84a00", "#ff9c5f"),
    ("#00755a", "#4ecfa3"),
    ("#9b2f73", "#eb94c9"),
    ("#7a5d00", "#e0bb4a"),
    ("#5a4bc4", "#b0a5ff"),
    ("#55606b", "#b4bec9"),
    ("#a3201b", "#ff9189"),
)
TEXT = ("#1c2128", "#e6eaef")
QUIET = ("#5b6570", "#a7b1bc")
GRID = ("#d9dee4", "#3a424c")
PAPER = ("#fefefe", "#171c22")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
NAME = 34  # characters of a target's name in a plot
NARROW_WIDTH = (
    5.2  # inches of a plot for a telephone, which shows its letters about as large as the text around it
)

Dash = Literal["-"] | tuple[float, tuple[float, ...]]


class Style(NamedTuple):
    """How one target is drawn in every plot."""

    color: str
    marker: str
    dash: Dash


class Figured(NamedTuple):
    """A figure with its interval, in the unit of its axis; the limits are None where there is no interval."""

    value: float
    low: float | None
    high: float | None


def figured(rate: Proportion) -> Figured:
    return Figured(rate.rate, rate.low, rate.high)


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches that belongs to no window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_of(index: int) -> Style:
    """The style of a target by its place in the summary."""
    return Style(
        INKS[index % len(INKS)][0],
        _MARKERS[index % len(_MARKERS)],
        _DASHES[(index // 2 + index) % len(_DASHES)],
    )


def percent_axis(axis: Axis) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 1):g}%"))


def frame(axes: Axes) -> None:
    axes.grid(True)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def entitle(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=TEXT[0], pad=9)


def size_of(width: float, height: float, panels: int, *, narrow: bool) -> tuple[float, float, int, int]:
    """Width, height, rows and columns of a figure of that size with its panels side by side; `narrow` puts
    them below each other."""
    return (NARROW_WIDTH, height * panels, panels, 1) if narrow else (width, height, 1, panels)


def legend_below(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, narrow: bool, **more: str
) -> None:
    """The names of targets below all panels, in up to three columns where there is room."""
    figure.legend(
        handles, labels, loc="outside lower center", ncols=1 if narrow else min(3, len(labels)),
        frameon=False, fontsize=9, **more,
    )  # fmt: skip


def panel_grid(
    panels: Sequence[T],
    draw: Callable[[Axes, T, bool], None],
    *,
    width: Callable[[int], float],
    height: Callable[[int], float],
    narrow: bool,
) -> Figure:
    """Panels of one kind with one legend: up to three beside each other; `narrow` puts all below each other.

    Args:
        draw: draws a panel; its last argument says whether it is the first of its row.
        width, height: of the figure in inches, by the number of columns and of rows.
    """
    columns = 1 if narrow else min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(width(columns), height(rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    found: dict[str, Artist] = {}
    for place, axes in enumerate(grid.flat):
        if place < len(panels):
            draw(axes, panels[place], place % columns == 0)
            found.update(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        else:
            axes.set_axis_off()
    legend_below(figure, list(found.values()), list(found), narrow=narrow, labelcolor="linecolor")
    return figure


def whiskers(point: Figured) -> list[list[float]] | None:
    """How far an interval reaches below and above its figure, as Matplotlib's error bars want it."""
    if point.low is None or point.high is None:
        return None
    return [[max(0.0, point.value - point.low)], [max(0.0, point.high - point.value)]]


def wrap(text: str, width: int, lines: int) -> str:
    return "\n".join(textwrap.wrap(short(text, 90), width, max_lines=lines, placeholder="…"))


# -- labels --------------------------------------------------------------------------------------------------


class Label(NamedTuple):
    """A name and the point that it belongs to."""

    x: Figured
    y: Figured
    name: str
    color: str


class _Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


class _Place(NamedTuple):
    """Where a label stands: so many points from its mark, and which of its sides faces the mark."""

    dx: float
    dy: float
    side: Literal["left", "right", "center"]
    height: Literal["bottom", "top"]


_DIRECTIONS = (
    _Place(9, 7, "left", "bottom"),
    _Place(9, -7, "left", "top"),
    _Place(-9, 7, "right", "bottom"),
    _Place(-9, -7, "right", "top"),
    _Place(0, 12, "center", "bottom"),
    _Place(0, -12, "center", "top"),
)
_PLACES = [
    _Place(it.dx * reach, it.dy * reach, it.side, it.height)
    for reach in (1.0, 1.8, 3.0)
    for it in _DIRECTIONS
]


def label_spots(figure: Figure, axes: Axes, labels: Sequence[Label]) -> None:
    """Writes the names beside their points, where they cover the least of names, points and intervals."""
    figure.draw_without_rendering()
    occupied = [box for label in labels for box in _boxes_of(axes, label, figure.dpi)]
    for label in labels:
        occupied.append(_write(axes, label, occupied))


def _boxes_of(axes: Axes, label: Label, dpi: float) -> list[_Box]:
    """The boxes that a point and its two intervals cover."""
    x, y = label.x, label.y
    px, py = axes.transData.transform((x.value, y.value))
    mark = 7 * dpi / 72
    left, low = axes.transData.transform((x.low or x.value, y.low or y.value))
    right, high = axes.transData.transform((x.high or x.value, y.high or y.value))
    return [
        _Box(px - mark, py - mark, px + mark, py + mark),
        _Box(left, py - 2, right, py + 2),
        _Box(px - 2, low, px + 2, high),
    ]


def _write(axes: Axes, label: Label, occupied: Sequence[_Box]) -> _Box:
    """Writes one name at its best place. Returns the box that it covers."""
    inside = _Box(*axes.get_window_extent().extents)
    best: tuple[float, Annotation, _Box] | None = None
    for place in _PLACES:
        text = axes.annotate(
            label.name, (label.x.value, label.y.value), (place.dx, place.dy), textcoords="offset points",
            ha=place.side, va=place.height, color=label.color, fontsize=9, fontweight="bold", zorder=4,
        )  # fmt: skip
        box = _Box(*text.get_window_extent().extents)
        cost = sum(_overlap(box, other) for other in occupied) + 1000 * _outside(box, inside)
        if best is None or cost < best[0] - 1e-6:
            if best is not None:
                best[1].remove()
            best = (cost, text, box)
        else:
            text.remove()
        if best[0] == 0:
            break
    assert best is not None  # there is more than one place
    return best[2]


def _outside(box: _Box, inside: _Box) -> float:
    """How many pixels a box sticks out of the axes, over all sides."""
    return (
        max(0.0, inside.x0 - box.x0)
        + max(0.0, box.x1 - inside.x1)
        + max(0.0, inside.y0 - box.y0)
        + max(0.0, box.y1 - inside.y1)
    )


def _overlap(a: _Box, b: _Box) -> float:
    """The area that two boxes share, in square pixels."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0
