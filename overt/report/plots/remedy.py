"""Refusal won against meaning lost: one panel for each measure of faithfulness, since scales differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.results.remedy import BeforeAfter, Means, MeasureRow, Remedy, RemedyTarget
from overt.data.text import short_name
from overt.report.measures import SHARES, is_difference, mean_of, measure_title
from overt.report.plots.drawing import (
    NAME,
    QUIET,
    Figured,
    entitle,
    figured,
    frame,
    panel_grid,
    percent_axis,
    style_of,
    whiskers,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 6  # panels; more measures are in the table


class _Panel(NamedTuple):
    """What is shown on one pair of axes. Differences (of targets whose originals have pictures) and scores
    get separate panels, as their scales differ."""

    measure: str
    model: str
    difference: bool


def draw_remedy(remedy: Remedy, *, narrow: bool = False) -> Figure | None:
    """A figure with a point for each target and a small mark for each category; None without scores. `narrow`
    puts the panels below each other; None where there is one only."""
    panels = _panels(remedy.targets)[:_MOST]
    if len(panels) <= narrow:
        return None
    several = len({(panel.measure, panel.difference) for panel in panels}) < len(panels)
    return panel_grid(
        panels,
        lambda axes, panel, first: _draw(axes, remedy.targets, panel, several, first=first),
        width=lambda columns: max(4.6, 3.7 * columns),
        height=lambda rows: 3.5 * rows + 0.5,
        narrow=narrow,
    )


def _panels(targets: Sequence[RemedyTarget]) -> list[_Panel]:
    """The measures and models that at least one target has a point for."""
    return list(
        dict.fromkeys(
            _panel_of(row)
            for target in targets
            for row in target.faithfulness
            if _lost(row, row) and _won(target.benign)
        )
    )


def _panel_of(row: MeasureRow) -> _Panel:
    return _Panel(row.measure, row.model, is_difference(row))


def _draw(axes: Axes, targets: Sequence[RemedyTarget], panel: _Panel, several: bool, *, first: bool) -> None:
    """One panel. `several` names the model too, the `first` of a row its upright axis."""
    frame(axes)
    for index, target in enumerate(targets):
        for row in target.faithfulness:
            if _panel_of(row) == panel:
                _points(axes, target, row, index)
    name = f"{measure_title(panel.measure)}{', difference' if panel.difference else ''}"
    entitle(axes, wrap(f"{name}, {panel.model}" if several else name, 32, 2))
    said = "original's picture − new one's" if panel.difference else "1 minus the score"
    axes.set_xlabel(f"meaning lost: {said}", fontsize=8)
    if first:
        axes.set_ylabel("refused benign prompts won (up is better)", fontsize=8)
    percent_axis(axes.yaxis)
    if panel.measure in SHARES:
        percent_axis(axes.xaxis)
    axes.set_ylim(-0.03, 1.03)
    low, high = axes.get_xlim()
    room = max(0.0, 0.05 - (high - low)) / 2
    axes.set_xlim(low - room, high + room)
    if axes.get_xlim()[0] < 0 < axes.get_xlim()[1]:
        axes.axvline(0, color=QUIET[0], linewidth=0.9, linestyle=(0, (2, 3)))


def _points(axes: Axes, target: RemedyTarget, row: MeasureRow, index: int) -> None:
    """A large mark for the target as a whole, a small one for each category."""
    style = style_of(index)
    kept = {part.category: part for part in row.categories}
    for part in target.benign.categories if target.benign else ():
        won, lost = _won(part), _lost(row, kept.get(part.category))
        if won and lost:
            axes.plot(
                [lost.value], [won.value], marker=style.marker, color=style.color, markersize=4,
                alpha=0.45, linestyle="none",
            )  # fmt: skip
    won, lost = _won(target.benign), _lost(row, row)
    if won and lost:
        axes.errorbar(
            lost.value,
            won.value,
            xerr=whiskers(lost),
            yerr=whiskers(won),
            color=style.color,
            marker=style.marker,
            markersize=8,
            elinewidth=1.4,
            capsize=2.5,
            linestyle="none",
            label=short_name(target.name, NAME),
            zorder=3,
        )


def _won(side: BeforeAfter | None) -> Figured | None:
    return figured(side.won) if side and side.won else None


def _lost(measure: MeasureRow, row: Means | None) -> Figured | None:
    """What was lost, with its interval, as the whole measure is shown: the lower end is the higher score."""
    mean = mean_of(measure, row)
    if mean is None:
        return None
    top = 0.0 if is_difference(measure) else 1.0
    return Figured(
        top - mean.mean,
        None if mean.high is None else top - mean.high,
        None if mean.low is None else top - mean.low,
    )
