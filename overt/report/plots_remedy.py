"""Refusal won against meaning lost: one panel for each measure of faithfulness, since scales differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from overt.report.drawing import (
    NAME,
    QUIET,
    entitle,
    frame,
    new_figure,
    percent_axis,
    style_of,
    whiskers,
    wrap,
)
from overt.report.remedy_view import is_difference, measure_title
from overt.report.words import is_figure, short_name

_MOST = 6  # panels; more measures are in the table
_SHARES = {"vqa", "judge"}
_Panel = tuple[str, str, bool]  # measure, model, whether differences are shown


def draw_remedy(remedy: Mapping[str, Any]) -> Any | None:
    """A figure with a point for each target and a small mark for each category; None without scores."""
    panels = _panels(remedy["targets"])[:_MOST]
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(max(4.6, 3.7 * columns), 3.5 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    several = len({(measure, kind) for measure, _, kind in panels}) < len(panels)
    for place, axes in enumerate(grid.flat):
        if place < len(panels):
            _panel(axes, remedy["targets"], panels[place], several, first=place % columns == 0)
        else:
            axes.set_axis_off()
    found: dict[str, Any] = {}
    for axes in grid.flat:
        found.update(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        found.values(),
        found.keys(),
        loc="outside lower center",
        ncols=min(3, len(found)),
        frameon=False,
        fontsize=9,
        labelcolor="linecolor",
    )
    return figure


def _panels(targets: Sequence[Mapping[str, Any]]) -> list[_Panel]:
    """The measures and models that at least one target has a point for. Targets whose originals have
    pictures lie on another axis than those whose have none."""
    found: dict[_Panel, None] = {}
    for target in targets:
        for row in target.get("faithfulness") or ():
            if _lost(row, row) and _won(target.get("benign")):
                found[_panel_of(row)] = None
    return list(found)


def _panel_of(row: Mapping[str, Any]) -> _Panel:
    return row["measure"], row["model"], is_difference(row)


def _panel(
    axes: Any,
    targets: Sequence[Mapping[str, Any]],
    panel: _Panel,
    several: bool,
    *,
    first: bool,
) -> None:
    frame(axes)
    rows: list[Mapping[str, Any]] = []
    for index, target in enumerate(targets):
        for row in target.get("faithfulness") or ():
            if _panel_of(row) != panel:
                continue
            rows.append(row)
            _points(axes, target, row, index)
    measure = rows[0]
    difference = is_difference(measure)
    name = f"{measure_title(measure)}, difference" if difference else measure_title(measure)
    entitle(axes, wrap(f"{name}, {measure['model']}" if several else name, 32, 2))
    axes.set_xlabel(
        "meaning lost: original's picture − new one's" if difference else "meaning lost: 1 minus the score",
        fontsize=8,
    )
    if first:
        axes.set_ylabel("refused benign prompts won (up is better)", fontsize=8)
    percent_axis(axes.yaxis)
    if measure["measure"] in _SHARES:
        percent_axis(axes.xaxis)
    axes.set_ylim(-0.03, 1.03)
    low, high = axes.get_xlim()
    room = max(0.0, 0.05 - (high - low)) / 2
    axes.set_xlim(low - room, high + room)
    if axes.get_xlim()[0] < 0 < axes.get_xlim()[1]:
        axes.axvline(0, color=QUIET[0], linewidth=0.9, linestyle=(0, (2, 3)))


def _points(axes: Any, target: Mapping[str, Any], row: Mapping[str, Any], index: int) -> None:
    style = style_of(index)
    kept = {part["category"]: part for part in row.get("categories") or ()}
    for part in (target.get("benign") or {}).get("categories") or ():
        won, lost = _won(part), _lost(row, kept.get(part["category"]) or {})
        if won and lost:
            axes.plot(
                [lost["rate"]], [won["rate"]], marker=style["marker"], color=style["color"], markersize=4,
                alpha=0.45, linestyle="none",
            )  # fmt: skip
    won, lost = _won(target.get("benign")), _lost(row, row)
    if won and lost:
        axes.errorbar(
            lost["rate"],
            won["rate"],
            xerr=whiskers(lost),
            yerr=whiskers(won),
            color=style["color"],
            marker=style["marker"],
            markersize=8,
            elinewidth=1.4,
            capsize=2.5,
            linestyle="none",
            label=short_name(target["name"], NAME),
            zorder=3,
        )


def _won(side: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    won: Mapping[str, Any] | None = (side or {}).get("won")
    return won if won and is_figure(won.get("rate")) else None


def _lost(measure: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float | None] | None:
    """What was lost, with its interval, as the whole measure is shown: the lower end is the higher score."""
    difference = is_difference(measure)
    mean = row.get("difference" if difference else "value")
    if not mean or not is_figure(mean.get("mean")):
        return None
    top = 0.0 if difference else 1.0

    def turned(value: Any) -> float | None:
        return top - value if is_figure(value) else None

    return {
        "rate": top - mean["mean"],
        "low": turned(mean.get("high")),
        "high": turned(mean.get("low")),
    }
