"""ROC curves of targets that give a score: unsafe prompts refused over benign prompts refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.data.results.summary import Summary, Sweep
from overt.data.text import decimals, short_name
from overt.report.plots.drawing import (
    NAME,
    PAPER,
    QUIET,
    entitle,
    frame,
    new_figure,
    percent_axis,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
