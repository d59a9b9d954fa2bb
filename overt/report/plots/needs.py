"""What a planned run needs: hours and cost by stage with their intervals, and the power over the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.results.plan import Amount, Decided, Needs, PromptNeed, StageNeed
from overt.data.text import short_name, short_percent
from overt.report.plots.drawing import (
    INKS,
    NAME,
    QUIET,
    Figured,
    entitle,
    figured,
    frame,
    new_figure,
    percent_axis,
    style_of,
    whiskers,
)
from overt.scoring.summary.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_STAGES = 12
MOST_CURVES = 8  # a line's marker tells no more of them apart
_BAR = 0.42  # inches of a stage


class _Panel(NamedTuple):
    """A panel of curves: a decision, and the targets and categories of one colour each."""

    decided: Decided
    curves: Sequence[PromptNeed]


def draw_plan(needs: Needs) -> Figure | None:
    """Bars above curves; None where there is neither."""
    curves = [(one, [need for need in one.needs if need.curve][:MOST_CURVES]) for one in needs.decided]
    panels = [_Panel(one, some) for one, some in curves if some]
    stages = needs.run.stages[:MOST_STAGES] if needs.run is not None else ()
    bars = [name for name in ("hours", "cost") if any(getattr(stage, name).value for stage in stages)]
    if not panels and not bars:
        return None
    heights = [0.9 + _BAR * len(stages)] * bool(bars) + [3.4] * len(panels)
    figure = new_figure(9.2, sum(heights))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if bars:
        _stages(parts[0], bars, stages)
    for panel, part in zip(panels, parts[bool(bars) :], strict=True):
        _curves(part.subplots(), panel)
    return figure


def _stages(part: SubFigure, bars: Sequence[str], stages: Sequence[StageNeed]) -> None:
    grid = part.subplots(1, len(bars), sharey=True, squeeze=False)[0]
    for place, name in enumerate(bars):
        _bars(grid[place], name, stages)
    grid[0].invert_yaxis()  # once: the panels share it


def _bars(axes: Axes, name: str, stages: Sequence[StageNeed]) -> None:
    """One amount of all stages, and a word where it is not known."""
    frame(axes)
    color = INKS[0 if name == "hours" else 1][0]
    ends = [end for stage in stages for end in (getattr(stage, name).value, getattr(stage, name).high) if end]
    most = max(ends)
    title, unit = ("US dollars", 1.0) if name == "cost" else _time_unit(most)
    for place, stage in enumerate(stages):
        _bar(axes, place, getattr(stage, name), unit, color)
    axes.set_yticks(range(len(stages)), [short_name(stage.title or "the target", NAME) for stage in stages])
    axes.set_xlim(0, most * unit * 1.22)
    axes.set_ylim(-0.6, len(stages) - 0.4)
    axes.grid(False, axis="y")
    entitle(axes, title)


def _bar(axes: Axes, place: int, amount: Amount, unit: float, color: str) -> None:
    if amount.value is None:
        axes.text(0.0, place, " not known", color=QUIET[0], fontsize=8.5, va="center")
        return
    value = amount.value * unit
    low, high = (None if end is None else end * unit for end in (amount.low, amount.high))
    axes.barh(place, value, height=0.55, color=color, alpha=0.75)
    reach = whiskers(Figured(value, low, high))
    if reach is not None:
        axes.errorbar(value, place, xerr=reach, color=QUIET[0], elinewidth=1.3, capsize=3)
    said = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    axes.annotate(
        said, (value if high is None else high, place), (6, 0), textcoords="offset points", color=color,
        fontsize=8.5, va="center",
    )  # fmt: skip


def _time_unit(most: float) -> tuple[str, float]:
    """A unit of time in which so many hours are a number that can be read, and how many make an hour."""
    if most >= 1:
        return "Hours", 1.0
    return ("Minutes", 60.0) if most >= 1 / 60 else ("Seconds", 3600.0)


def _curves(axes: Axes, panel: _Panel) -> None:
    """The power over the prompts of a category, with the intervals of the simulation, and what was asked."""
    frame(axes)
    asked = panel.decided.asked
    for place, need in enumerate(panel.curves):
        style = style_of(place)
        xs = [point.prompts for point in need.curve]
        powers = [figured(point.power) for point in need.curve]
        names = (need.category,) if asked.between else (need.target, need.category)
        label = short_name(", ".join(filter(None, names)) or "a category", NAME)
        axes.plot(
            xs, [power.value for power in powers], color=style.color, marker=style.marker, ls=style.dash,
            markersize=4.5, lw=1.6, label=label,
        )  # fmt: skip
        for x, power in zip(xs, powers, strict=True):
            reach = whiskers(power)
            if reach is not None:
                axes.errorbar(
                    x, power.value, yerr=reach, color=style.color, elinewidth=1, capsize=2, alpha=0.6
                )
        if need.prompts is not None:
            axes.axvline(need.prompts, color=style.color, lw=0.9, ls=(0, (2, 3)))
    axes.axhline(asked.power, color=QUIET[0], lw=1.1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if str(int(value))[0] in "25" else "")
    axes.set_ylim(-0.02, 1.02)
    percent_axis(axes.yaxis)
    axes.legend(loc="lower right", frameon=False, fontsize=8.5, labelcolor="linecolor")
    axes.set_xlabel("prompts of a category", fontsize=8.5)
    axes.set_ylabel("chance to decide", fontsize=8.5)
    entitle(axes, f"Power: {decision_title(panel.decided)}")


def decision_title(decided: Decided) -> str:
    """What is to be decided, in a line."""
    asked = decided.asked
    title = METRICS[asked.metric].title.lower()
    if asked.decision == "difference" and asked.difference is not None:
        return f"a difference in {title} of {short_percent(asked.difference)}"
    limit, expected = short_percent(asked.limit or 0.0), short_percent(asked.expected or 0.0)
    word, half = (
        "at most" if asked.at_most else "at least",
        " (assumed: half-way)" if asked.is_default else "",
    )
    return f"{title} {word} {limit}, if it is truly {expected}{half}"
