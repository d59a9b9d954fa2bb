"""What all plots of the report share: colours that can be told apart, markers, frames, labels."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal, NamedTuple

from overt.data.results.summary import Proportion
from overt.data.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

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


def whiskers(point: Figured) -> list[list[float]] | None:
    """How far an interval reaches below and above its figure, as Matplotlib's error bars want it."""
    if point.low is None or point.high is None:
        return None
    return [[max(0.0, point.value - point.low)], [max(0.0, point.high - point.value)]]


def wrap(text: str, width: int, lines: int) -> str:
    return "\n".join(textwrap.wrap(short(text, 90), width, max_lines=lines, placeholder="…"))
