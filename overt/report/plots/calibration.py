"""A threshold found on one split and tried on another: a panel for each target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from overt.data.results.calibration import CalibratedTarget, Calibration, CurvePoint
from overt.data.text import decimals, short_name
from overt.report.plots.drawing import (
    INKS,
    NAME,
    NARROW_WIDTH,
    PAPER,
    QUIET,
    Dash,
    entitle,
    figured,
    frame,
    panel_grid,
    percent_axis,
    whiskers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 6  # panels; more targets are in the tables
_HELD_OUT, _CALIBRATION, _BASELINE = INKS[0][0], INKS[1][0], INKS[6][0]
_DOTS: Dash = (0, (1.2, 1.2))
_LONG: Dash = (0, (5, 1.6))


def draw_calibration(found: Sequence[Calibration], *, narrow: bool = False) -> Figure | None:
    """The curves of both splits, the baseline, the limit and the chosen point; None without a curve. `narrow`
    puts the panels below each other; None where there is one only."""
    panels = [(one, target) for one in found for target in one.targets if target.held_out][:_MOST]
    if len(panels) <= narrow:
        return None
    return panel_grid(
        panels,
        lambda axes, panel, first: _draw(axes, *panel, first=first),
        width=lambda columns: NARROW_WIDTH if narrow else max(5.4, 4.1 * columns),
        height=lambda rows: 4.2 * rows + 0.6,
        narrow=narrow,
    )


def _draw(axes: Axes, found: Calibration, target: CalibratedTarget, *, first: bool) -> None:
    frame(axes)
    axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=1, linestyle=(0, (2, 3)))
    axes.axvline(found.limit, color=QUIET[0], linewidth=1.2, label="limit")
    if target.baseline:
        _curve(axes, target.baseline.curve, _BASELINE, _DOTS, "baseline, held out")
    _curve(axes, target.calibration, _CALIBRATION, _LONG, "calibration split")
    _curve(axes, target.held_out, _HELD_OUT, "-", "held-out split")
    _chosen(axes, target)
    entitle(axes, short_name(target.name, NAME))
    axes.text(
        0.97,
        0.03,
        _areas(target),
        transform=axes.transAxes,
        fontsize=8,
        ha="right",
        va="bottom",
        color=QUIET[0],
    )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("over-refusal: benign prompts refused", fontsize=8.5)
    if first:
        axes.set_ylabel("unsafe prompts refused", fontsize=8.5)


def _curve(axes: Axes, points: Sequence[CurvePoint], color: str, dash: Dash, label: str) -> None:
    axes.plot(
        [point.over_refusal for point in points],
        [point.unsafe_refusal for point in points],
        color=color, linestyle=dash, linewidth=1.8, label=label,
    )  # fmt: skip


def _chosen(axes: Axes, target: CalibratedTarget) -> None:
    """The chosen threshold on the held-out split, with both intervals."""
    whole = target.whole
    if whole is None or whole.threshold is None:
        return
    over, unsafe = whole.held_out.over_refusal, whole.held_out.unsafe_refusal
    if over is None or unsafe is None:
        return
    axes.errorbar(
        over.rate, unsafe.rate, xerr=whiskers(figured(over)), yerr=whiskers(figured(unsafe)), color=_HELD_OUT,
        marker="o", markersize=8, markerfacecolor=PAPER[0], markeredgewidth=1.8, elinewidth=1.4, capsize=2.5,
        linestyle="none", label="chosen threshold, held out", zorder=4,
    )  # fmt: skip


def _areas(target: CalibratedTarget) -> str:
    said = [f"AUC {decimals(target.auc.auc)}"] if target.auc else []
    if target.baseline:
        said.append(f"baseline {decimals(target.baseline.auc.auc)}")
    return "\n".join(said)
