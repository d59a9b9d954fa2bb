"""How many servers a power budget carries: the power of the row over time, the answers by policy, the map of
thresholds, and what moves the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from overt.data.results.plan_row import Course, RowPlan
from overt.data.text import short, short_percent
from overt.report.plan_row import (
    PAPER_MORE,
    POLCA,
    days_text,
    policy_title,
    value_text,
)
from overt.report.plan_row_drivers import Moved, moved, paper_servers
from overt.report.plan_row_tables import map_heat, map_text, thresholds
from overt.report.plots.drawing import INKS, PAPER, QUIET, TEXT, entitle, frame, new_figure, percent_axis
from overt.report.sections.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_WIDTH = 11.0  # inches
_POWER = 3.6  # inches of the power over time, with the caps below it
_HERE, _FREE, _PAPER, _LOW, _HIGH = INKS[0][0], INKS[6][0], INKS[1][0], INKS[4][0], INKS[3][0]
_KEPT, _BROKEN = INKS[2][0], INKS[7][0]
_DASHED = (0, (5, 1.6))
_BEHIND = {"facecolor": PAPER[0], "edgecolor": "none", "pad": 0.8}  # so that no line crosses a figure


def draw_row_plan(row: RowPlan) -> Figure | None:
    """The power above the answers, the map and the ranges; None where there is nothing to draw."""
    ranges = moved(row)
    answered = bool(row.answers)
    t2s = len(thresholds(row)[1])
    lefts = [0.9 + 0.42 * len(row.answers)] * answered + [1.1 + 0.42 * t2s] * bool(t2s)
    right = 0.9 + 0.4 * len(ranges) if ranges else 0.0
    lower = max(sum(lefts), right)
    upper = _POWER if row.courses else 0.0
    if not lower + upper:
        return None
    figure = new_figure(_WIDTH, upper + lower)
    heights = [height for height in (upper, lower) if height]
    parts: list[SubFigure] = list(
        figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    )
    if upper:
        _power(parts[0], row)
    if lower:
        _lower(parts[-1], row, lefts, ranges, answered=answered, is_mapped=bool(t2s))
    return figure


def _lower(
    part: SubFigure,
    row: RowPlan,
    lefts: Sequence[float],
    ranges: Sequence[Moved],
    *,
    answered: bool,
    is_mapped: bool,
) -> None:
    """The answers and the map below each other, the ranges beside them."""
    sides = [bool(lefts), bool(ranges)]
    columns = list(part.subfigures(1, sum(sides), squeeze=False)[0])
    if lefts:
        axes = list(columns[0].subplots(len(lefts), 1, squeeze=False, height_ratios=lefts)[:, 0])
        if answered:
            _answers(axes[0], row)
        if is_mapped:
            _map(axes[-1], row)
    if ranges:
        _ranges(columns[-1].subplots(), row, ranges)


# -- power over time ---------------------------------------------------------------------------------------


def _power(part: SubFigure, row: RowPlan) -> None:
    """The highest readings of the row and of the same row without a budget; below, when it was capped."""
    first = row.courses[0]
    is_capped = bool(first.low_capped)
    grid = part.subplots(1 + is_capped, 1, squeeze=False, sharex=True, height_ratios=[6, 1][: 1 + is_capped])
    axes = grid[0, 0]
    frame(axes)
    lines = [(short_percent(row.figures["t1"]), row.figures["t1"], "T1")]
    lines += [(short_percent(row.figures["t2"]), row.figures["t2"], "T2"), ("", 1.0, "budget")]
    for said, share, name in lines:
        color = _BROKEN if share == 1 else QUIET[0]
        axes.axhline(share, color=color, lw=1.1, ls="-" if share == 1 else _DASHED, zorder=1.5)
        axes.annotate(
            f" {name} {said}".rstrip(), (1, share), xycoords=("axes fraction", "data"), color=color,
            fontsize=8.5, va="center",
        )  # fmt: skip
    for course, color in reversed(list(zip(row.courses, (_HERE, _FREE), strict=False))):
        axes.plot(
            course.hours, course.highest, color=color, lw=1.0,
            label=f"{policy_title(course.name)}: highest of each {_bin_text(course)}",
        )  # fmt: skip
    axes.plot(first.hours, first.mean, color=_HERE, lw=0.9, ls=(0, (1.2, 1.2)), label="its mean", alpha=0.9)
    highest = max(max(course.highest, default=0.0) for course in row.courses)
    lowest = min(min(course.mean, default=0.0) for course in row.courses)
    axes.set_ylim(lowest - 0.04, max(1.0, highest) + 0.04)
    hours = first.hours
    if hours:
        edge = (hours[1] - hours[0]) / 2 if len(hours) > 1 else 0.5
        axes.set_xlim(hours[0] - edge, hours[-1] + edge)
    percent_axis(axes.yaxis)
    axes.set_ylabel("share of the budget", fontsize=8.5)
    axes.legend(
        loc="upper right", bbox_to_anchor=(1, 1.16), ncols=3, frameon=False, fontsize=8.5,
        labelcolor="linecolor",
    )  # fmt: skip
    entitle(axes, f"Power of {counted(first.servers, 'server')}, after POLCA")
    if is_capped:
        _caps(grid[1, 0], first)
    grid[-1, 0].set_xlabel(f"hours; requests of {short(row.load, 70)}", fontsize=8.5)


def _bin_text(course: Course) -> str:
    """How long a bin of the course is."""
    if len(course.hours) < 2:
        return "bin"
    seconds = (course.hours[1] - course.hours[0]) * 3600
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.2g} s"


def _caps(axes: Axes, course: Course) -> None:
    """Two strips: for which share of each bin low and high priority ran below the top clock."""
    hours = course.hours
    width = hours[1] - hours[0] if len(hours) > 1 else 1.0
    for place, (shares, color) in enumerate(((course.high_capped, _HIGH), (course.low_capped, _LOW))):
        for start, end, share in _runs(shares):
            left = hours[0] + (start - 0.5) * width
            axes.barh(place, (end - start) * width, left=left, height=0.7, color=color, alpha=share, lw=0)
    known = len(course.low_capped)
    if known < len(hours):
        axes.text(
            hours[known], 0.5, " not kept from here on", color=QUIET[0], fontsize=8, va="center", ha="left"
        )
    axes.set_yticks((0, 1), ("high capped", "low capped"), fontsize=8)
    axes.set_ylim(-0.6, 1.6)
    axes.tick_params(length=0)
    axes.grid(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _runs(shares: Sequence[float]) -> list[tuple[int, int, float]]:
    """Neighbouring bins of like shares (in fifths), as (first, one past the last, share); none of zero."""
    steps = [min(1.0, round(share * 5) / 5 or (0.2 if share else 0.0)) for share in shares]
    starts = [place for place, step in enumerate(steps) if not place or step != steps[place - 1]]
    ends = [*starts[1:], len(steps)]
    return [(start, end, steps[start]) for start, end in zip(starts, ends, strict=True) if steps[start]]


# -- servers -----------------------------------------------------------------------------------------------


def _answers(axes: Axes, row: RowPlan) -> None:
    """The answer of each policy with its range, beside the row as built and the paper's share more."""
    frame(axes)
    paper = paper_servers(row)
    _marks(
        axes,
        (float(row.row), QUIET[0], f"built for {row.row:,}"),
        (paper, _PAPER, f"paper +{PAPER_MORE:.0%}: {paper:,.4g}"),
    )
    highest, lowest = paper, float(row.row)
    for place, answer in enumerate(row.answers):
        color = _HERE if answer.policy == POLCA else _FREE
        said = f"{answer.servers:,}"
        right = answer.servers
        if row.varied and answer.policy in row.span:
            low, high = row.span[answer.policy]
            axes.plot((low, high), (place, place), color=color, lw=6, alpha=0.3, solid_capstyle="round")
            said += f" ({low:,} to {high:,})"
            right, lowest = max(right, high), min(lowest, low)
        axes.plot(answer.servers, place, color=color, marker="o", markersize=6.5)
        axes.annotate(
            said, (right, place), (8, 0), textcoords="offset points", color=color, fontsize=8.5, va="center",
            bbox=_BEHIND,
        )  # fmt: skip
        highest, lowest = max(highest, right), min(lowest, answer.servers)
    room = max(1.0, highest - lowest)
    axes.set_xlim(max(-0.06 * room, lowest - 0.12 * room), highest + 0.4 * room)
    axes.set_yticks(range(len(row.answers)), [policy_title(answer.policy) for answer in row.answers])
    axes.set_ylim(len(row.answers) - 0.5, -0.6)
    axes.grid(False, axis="y")
    title = "Servers by policy" + (", with the range over assumptions" if row.varied else "")
    entitle(axes, title)


def _marks(axes: Axes, *marks: tuple[float, str, str]) -> None:
    """Two lines across an axis of servers, whose numbers go to its top: (servers, colour, name). The names
    stand below, on the outer sides of the lines."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    sides: tuple[tuple[Literal["left", "right"], int], ...] = (("right", 3), ("left", -3))
    for (value, color, said), (side, shift) in zip(sorted(marks, key=lambda it: it[0]), sides, strict=True):
        axes.axvline(value, color=color, lw=1.2, ls=_DASHED, zorder=1.5)
        axes.annotate(
            said, (value, 0), (shift, -5), xycoords=("data", "axes fraction"), textcoords="offset points",
            color=color, fontsize=8, ha=side, va="top",
        )  # fmt: skip
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 0 else ""))
    axes.spines["bottom"].set_visible(False)


def _ranges(axes: Axes, row: RowPlan, ranges: Sequence[Moved]) -> None:
    """POLCA's answer at both ends of each range, the strongest on top."""
    frame(axes)
    base = ranges[0].base
    ends = [count for one in ranges for count in one.servers()] + [base]
    paper = paper_servers(row)
    low, high = min([*ends, paper]), max([*ends, paper])
    room = max(1.0, high - low)
    for place, one in enumerate(ranges):
        for number, end in enumerate(one.ends):
            servers = end.servers.get(POLCA)
            if servers is None:
                continue
            y = place + (-0.19, 0.19)[min(number, 1)]
            color = (_LOW, _HERE)[min(number, 1)]
            axes.barh(y, servers - base, left=base, height=0.34, color=color, alpha=0.75)
            is_left = servers < base
            axes.annotate(
                f"{value_text(one.assumed, end.value)}: {servers:,}", (servers, y), (-4 if is_left else 4, 0),
                textcoords="offset points", fontsize=7.5, color=color, va="center",
                ha="right" if is_left else "left", bbox=_BEHIND,
            )  # fmt: skip
    _marks(
        axes,
        (base, TEXT[0], f"as it stands: {base:,}"),
        (paper, _PAPER, f"paper +{PAPER_MORE:.0%}: {paper:,.4g}"),
    )
    axes.set_xlim(low - 0.28 * room, high + 0.28 * room)
    axes.set_yticks(range(len(ranges)), [one.assumed.name for one in ranges])
    axes.set_ylim(len(ranges) - 0.5, -0.6)
    axes.grid(False, axis="y")
    entitle(axes, f"POLCA at both ends of each range, {days_text(ranges[0].ends[0].days)}")


def _map(axes: Axes, row: RowPlan) -> None:
    """A cell for each pair of thresholds: how many servers, and what ends it."""
    t1s, t2s = thresholds(row)
    colors = {"better": _KEPT, "worse": _BROKEN, "": QUIET[0]}
    for cell in row.map:
        x, y = t1s.index(cell.t1), t2s.index(cell.t2)
        color = colors[map_heat(row, cell)]
        axes.fill_between((x - 0.47, x + 0.47), y - 0.45, y + 0.45, color=color, alpha=0.16, lw=0)
        names = map_text(cell).split(", ")
        said = names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")
        axes.text(
            x, y, f"{cell.answer.servers:,} ({said})", color=color, fontsize=8, ha="center", va="center"
        )
    axes.set_xticks(range(len(t1s)), [f"T1 {short_percent(t1)}" for t1 in t1s])
    axes.set_yticks(range(len(t2s)), [f"T2 {short_percent(t2)}" for t2 in t2s])
    axes.set_xlim(-0.5, len(t1s) - 0.5)
    axes.set_ylim(len(t2s) - 0.5, -0.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("servers, and what breaks with one more", fontsize=8.5)
    entitle(axes, "POLCA's servers with other thresholds")
