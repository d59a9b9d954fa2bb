"""What all plots of the report share: colours that can be told apart, markers, frames, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overt.report.words import is_figure, short

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
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
NAME = 34  # characters of a target's name in a plot


def new_figure(width: float, height: float) -> Any:
    """A figure of that many inches that belongs to no window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_of(index: int) -> dict[str, Any]:
    return {
        "color": INKS[index % len(INKS)][0],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _DASHES[(index // 2 + index) % len(_DASHES)],
    }


def percent_axis(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 1):g}%"))


def frame(axes: Any) -> None:
    axes.grid(True)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def entitle(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=TEXT[0], pad=9)


def whiskers(rate: Mapping[str, Any]) -> list[list[float]] | None:
    low, high, middle = rate.get("low"), rate.get("high"), rate["rate"]
    if not (is_figure(low) and is_figure(high)):
        return None
    return [[max(0.0, middle - low)], [max(0.0, high - middle)]]


def wrap(text: str, width: int, lines: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(short(text, 90), width, max_lines=lines, placeholder="…"))
