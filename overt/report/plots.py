"""The report's plots: SVG text for the page, PNG and SVG files for papers. No pyplot, no global figure.

Targets are told apart by colour, marker, dash and a label beside the line or point, so that neither
print nor colour blindness loses one.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overt.data.store import write_atomic
from overt.report.drawing import (
    GRID,
    INKS,
    NAME,
    PAPER,
    QUIET,
    TEXT,
    entitle,
    frame,
    new_figure,
    percent_axis,
    style_of,
    whiskers,
    wrap,
)
from overt.report.metrics import safety_metric
from overt.report.words import decimals, is_figure, percent, short, short_name

Summary = Mapping[str, Any]

OVERLAID = 5  # more lines than this in one radar cannot be followed: each then gets its own
_GAP = " \u00b7 "  # SVG folds runs of blanks
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def draw_plots(
    summary: Summary, *, remedy: Summary | None = None, boundaries: Summary | None = None
) -> dict[str, str]:
    """The plots there is data for, as SVG text: "scatter", "radar", "categories", "roc", "remedy",
    "boundaries"; the last two of what `overt.scoring.remedy` and `overt.scoring.boundaries` sum up."""
    return {name: _svg(figure) for name, figure in _figures(summary, remedy, boundaries)}


def write_plots(
    summary: Summary,
    folder: Path,
    *,
    remedy: Summary | None = None,
    boundaries: Summary | None = None,
    dpi: int = 160,
) -> dict[str, str]:
    """Like `draw_plots`, and writes NAME.svg and NAME.png into `folder` (made if missing).

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, figure in _figures(summary, remedy, boundaries):
        made[name] = _svg(figure)
        write_atomic(folder / f"{name}.svg", made[name].encode("utf-8"))
        sink = io.BytesIO()
        with _quiet_drawing():
            figure.savefig(sink, format="png", dpi=dpi, facecolor=PAPER[0], metadata={"Software": None})
        write_atomic(folder / f"{name}.png", sink.getvalue())
    return made


def for_dark_page(svg: str) -> str:
    """The same drawing in the colours of a dark page."""
    for light, dark in (*INKS, TEXT, QUIET, GRID, PAPER):
        svg = svg.replace(light, dark)
    return svg


def _figures(
    summary: Summary, remedy: Summary | None, boundaries: Summary | None
) -> Iterator[tuple[str, Any]]:
    from overt.report.plots_boundaries import draw_boundaries
    from overt.report.plots_remedy import draw_remedy

    draw: Sequence[tuple[str, Callable[[Summary], Any], Summary | None]] = (
        ("scatter", _scatter, summary),
        ("radar", _radar, summary),
        ("categories", _categories, summary),
        ("roc", _roc, summary),
        ("remedy", draw_remedy, remedy),
        ("boundaries", draw_boundaries, boundaries),
    )
    for name, function, data in draw:
        if data is None:
            continue
        with _quiet_drawing():
            figure = function(data)
        if figure is not None:
            yield name, figure


@contextmanager
def _quiet_drawing() -> Iterator[None]:
    """Settings for drawing. Missing glyphs are no news: the browser has fonts that Matplotlib lacks."""
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "overt",
        "font.family": ["DejaVu Sans"],
        "font.size": 9.5,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.edgecolor": GRID[0],
        "axes.labelcolor": QUIET[0],
        "axes.unicode_minus": True,
        "text.color": TEXT[0],
        "xtick.color": QUIET[0],
        "ytick.color": QUIET[0],
        "grid.color": GRID[0],
        "grid.linewidth": 0.7,
        "axes.linewidth": 0.8,
        "path.simplify": True,
        # Labels around a polar plot reach further than its layout reckons with.
        "savefig.bbox": "tight",
        "savefig.pad_inches": 0.06,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font.*")
        yield


def _svg(figure: Any) -> str:
    sink = io.StringIO()
    with _quiet_drawing():
        figure.savefig(
            sink,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = sink.getvalue()
    # Without the prolog, whose document type names an outside address.
    return text[text.index("<svg") :].replace("'DejaVu Sans'", _FONTS.replace('"', "'"))


def _rate(row: Mapping[str, Any], metric: str) -> Mapping[str, Any] | None:
    rate = row.get(metric)
    return rate if rate and is_figure(rate.get("rate")) else None


# ---- safety versus over-refusal


def _scatter(summary: Summary) -> Any | None:
    spots = []
    safety = safety_metric(summary["targets"])
    for index, target in enumerate(summary["targets"]):
        x, y = _rate(target, "over_refusal"), _rate(target, safety)
        if x and y:
            spots.append((index, target, x, y))
    if not spots:
        return None
    figure = new_figure(6.2, 5.2)
    axes = figure.add_subplot()
    frame(axes)
    for index, target, x, y in spots:
        style = style_of(index)
        judged = target.get("safe_basis") == "judged"
        axes.errorbar(
            x["rate"],
            y["rate"],
            xerr=whiskers(x),
            yerr=whiskers(y),
            color=style["color"],
            marker=style["marker"],
            markersize=8,
            markerfacecolor=style["color"] if judged else PAPER[0],
            markeredgewidth=1.6,
            elinewidth=1.4,
            capsize=2.5,
            linestyle="none",
            zorder=3,
        )
    limits(axes.set_xlim, [x for *_, x, _ in spots])
    limits(axes.set_ylim, [y for *_, y in spots])
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("over-refusal: benign prompts refused (left is better)")
    said = "safe response on" if safety == "safe_response" else "refusal of"
    axes.set_ylabel(f"{said} unsafe prompts (up is better)")
    entitle(axes, "Safety versus over-refusal")
    if any(target.get("safe_basis") != "judged" for _, target, *_ in spots):
        axes.annotate(
            "hollow: only refusals count as safe, nothing was judged",
            (0.99, 0.015),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color=QUIET[0],
        )
    label_spots(
        figure,
        axes,
        [(x, y, short_name(target["name"], NAME), style_of(index)["color"]) for index, target, x, y in spots],
    )
    return figure


def limits(set_limits: Callable[[float, float], Any], rates: Sequence[Mapping[str, Any]]) -> None:
    """Limits around all intervals, at least 30 points apart, with room for labels, within 0 to 1."""
    ends = [
        end
        for rate in rates
        for end in (rate.get("low"), rate["rate"], rate.get("high"))
        if isinstance(end, int | float) and is_figure(end)
    ]
    low, high = min(ends), max(ends)
    room = 0.08 * max(high - low, 0.3) + max(0.0, 0.3 - (high - low)) / 2
    low, high = low - room, high + room
    if low < 0:
        high, low = high - low, 0.0
    if high > 1:
        low, high = max(0.0, low - (high - 1)), 1.0
    # A little air, so that a point at 0% or 100% is not cut in half.
    air = 0.025 * (high - low)
    set_limits(low - air, min(1.0, high) + air)


def label_spots(
    figure: Any, axes: Any, spots: Sequence[tuple[Mapping[str, Any], Mapping[str, Any], str, str]]
) -> None:
    """Names beside their points, each where it covers the least of names, points and intervals."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    taken: list[tuple[float, ...]] = []
    for x, y, *_ in spots:
        px, py = axes.transData.transform((x["rate"], y["rate"]))
        mark = 7 * figure.dpi / 72
        taken.append((px - mark, py - mark, px + mark, py + mark))
        left, low = axes.transData.transform((x.get("low") or x["rate"], y.get("low") or y["rate"]))
        right, high = axes.transData.transform((x.get("high") or x["rate"], y.get("high") or y["rate"]))
        taken += [(left, py - 2, right, py + 2), (px - 2, low, px + 2, high)]
    inside = axes.get_window_extent(renderer)
    places = [
        (dx * reach, dy * reach, side, height)
        for reach in (1.0, 1.8, 3.0)
        for dx, dy, side, height in (
            (9, 7, "left", "bottom"),
            (9, -7, "left", "top"),
            (-9, 7, "right", "bottom"),
            (-9, -7, "right", "top"),
            (0, 12, "center", "bottom"),
            (0, -12, "center", "top"),
        )
    ]
    for x, y, name, colour in spots:
        best: tuple[float, Any, tuple[float, ...]] | None = None
        for dx, dy, side, height in places:
            text = axes.annotate(
                name, (x["rate"], y["rate"]), (dx, dy), textcoords="offset points", ha=side, va=height,
                color=colour, fontsize=9, fontweight="bold", zorder=4,
            )  # fmt: skip
            box = text.get_window_extent(renderer).extents
            outside = max(0.0, inside.x0 - box[0]) + max(0.0, box[2] - inside.x1)
            outside += max(0.0, inside.y0 - box[1]) + max(0.0, box[3] - inside.y1)
            covered = sum(_overlap(tuple(box), other) for other in taken)
            cost = covered + 1000 * outside
            if best is None or cost < best[0] - 1e-6:
                if best is not None:
                    best[1].remove()
                best = (cost, text, tuple(box))
            else:
                text.remove()
            if best[0] == 0:
                break
        if best is not None:
            taken.append(best[2])


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes (x0, y0, x1, y1) share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


# ---- categories


def _category_names(summary: Summary) -> dict[str, str]:
    """Category id -> title in the order in which targets bring them."""
    found: dict[str, str] = {}
    for target in summary["targets"]:
        for row in target.get("categories") or ():
            found.setdefault(row["category"], row.get("title") or row["category"])
    return found


def _by_category(target: Mapping[str, Any], metric: str) -> dict[str, Mapping[str, Any]]:
    rows = {row["category"]: _rate(row, metric) for row in target.get("categories") or ()}
    return {name: rate for name, rate in rows.items() if rate}


def _radar(summary: Summary) -> Any | None:
    """Over-refusal over categories. From three categories on; with fewer there is no polygon."""
    names = _category_names(summary)
    targets = [
        (index, target, _by_category(target, "over_refusal"))
        for index, target in enumerate(summary["targets"])
    ]
    targets = [(index, target, rates) for index, target, rates in targets if rates]
    if len(names) < 3 or not targets:
        return None
    top = max(rate["rate"] for *_, rates in targets for rate in rates.values())
    top = min(1.0, max(0.1, math.ceil(top * 10 + 0.2) / 10))
    angles = [2 * math.pi * i / len(names) for i in range(len(names))]
    alone = len(targets) > OVERLAID
    columns = (3 if len(targets) in {5, 6, 9} else 4) if alone else 1
    rows = math.ceil(len(targets) / columns) if alone else 1
    figure = new_figure(3.0 * columns, 2.9 * rows) if alone else new_figure(6.2, 5.2)
    for place, group in enumerate([[t] for t in targets] if alone else [targets]):
        axes = figure.add_subplot(rows, columns, place + 1, projection="polar")
        axes.set_theta_offset(math.pi / 2)
        axes.set_theta_direction(-1)
        axes.set_ylim(0, top)
        axes.spines["polar"].set_color(GRID[0])
        steps = 2 if alone else 4
        ticks = [top * i / steps for i in range(1, steps + 1)]
        axes.set_yticks(ticks, [percent(t, sign=False).removesuffix(".0") + "%" for t in ticks], fontsize=7.5)
        axes.set_rlabel_position(180 / len(names))
        labels = [str(i + 1) if alone else wrap(title, 20, 4) for i, title in enumerate(names.values())]
        axes.set_xticks(angles, labels, fontsize=8, color=TEXT[0])
        axes.tick_params(axis="x", pad=2 if alone else 10)
        if not alone:
            for text, angle in zip(axes.get_xticklabels(), angles, strict=True):
                side = math.sin(angle)
                text.set_horizontalalignment("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
        for index, target, rates in group:
            style = style_of(index)
            values = [rates[name]["rate"] if name in rates else math.nan for name in names]
            axes.plot(
                [*angles, angles[0]],
                [*values, values[0]],
                color=style["color"],
                linestyle=style["linestyle"],
                marker=style["marker"],
                markersize=4.5,
                linewidth=1.8,
                label=short_name(target["name"], NAME),
            )
            if len(group) <= 2:
                axes.fill(
                    angles, [0 if math.isnan(v) else v for v in values], color=style["color"], alpha=0.1
                )
            if alone:
                axes.set_title(
                    short_name(target["name"], 26),
                    fontsize=9,
                    fontweight="bold",
                    color=style["color"],
                    pad=10,
                )
    if alone:
        key = _GAP.join(f"{i + 1} {short(title, 64)}" for i, title in enumerate(names.values()))
        figure.supxlabel(_wrap_key(key, 42 * columns), fontsize=8, color=QUIET[0])
        figure.suptitle("Over-refusal over categories", fontsize=10.5, fontweight="bold", x=0.01, ha="left")
    else:
        figure.suptitle("Over-refusal over categories", fontsize=10.5, fontweight="bold", x=0.01, ha="left")
        figure.legend(
            loc="outside lower center",
            ncols=2,
            frameon=False,
            fontsize=9,
            handlelength=3.2,
            labelcolor="linecolor",
        )
    return figure


def _wrap_key(key: str, width: int) -> str:
    lines, line = [], ""
    for entry in key.split(_GAP):
        if line and len(line) + len(entry) + 3 > width:
            lines.append(line)
            line = entry
        else:
            line = f"{line}{_GAP}{entry}" if line else entry
    return "\n".join([*lines, line])


def _end_of_scale(targets: Sequence[Mapping[str, Any]], metric: str) -> float:
    """The next full ten percent above all rates and intervals."""
    ends = [
        end
        for target in targets
        for rate in _by_category(target, metric).values()
        for end in (rate["rate"], rate.get("high"))
        if is_figure(end)
    ]
    return min(1.0, max(0.1, math.ceil(10 * max(ends) - 1e-9) / 10))


def _categories(summary: Summary) -> Any | None:
    """Bars per category and target with intervals: over-refusal, and safe response where there is one."""
    names = _category_names(summary)
    if not names:
        return None
    metrics = [
        (metric, title)
        for metric, title in (
            ("over_refusal", "Over-refusal (shorter is better)"),
            ("safe_response", "Safe response (longer is better)"),
        )
        if any(_by_category(target, metric) for target in summary["targets"])
    ]
    if not metrics:
        return None
    targets = summary["targets"]
    bar = 0.86 / len(targets)
    height = max(2.4, 1.1 + len(names) * max(0.3, 0.13 * len(targets) + 0.1))
    figure = new_figure(10.6, height)
    figure.get_layout_engine().set(wspace=0.05)
    many = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (metric, title) in zip(many, metrics, strict=True):
        frame(axes)
        axes.grid(False, axis="y")
        for index, target in enumerate(targets):
            rates = _by_category(target, metric)
            found = [(place, rates[name]) for place, name in enumerate(names) if name in rates]
            if not found:
                continue
            spots = [place + (index - (len(targets) - 1) / 2) * bar for place, _ in found]
            colour = style_of(index)["color"]
            axes.barh(
                spots,
                [rate["rate"] for _, rate in found],
                height=bar * 0.82,
                color=colour,
                alpha=0.45,
                hatch="////" if index >= len(INKS) else None,
                label=short_name(target["name"], NAME),
            )
            for spot, (_, rate) in zip(spots, found, strict=True):
                ends = whiskers(rate)
                if ends:
                    axes.errorbar(
                        rate["rate"],
                        spot,
                        xerr=ends,
                        color=colour,
                        elinewidth=1.3,
                        capsize=0,
                        linestyle="none",
                    )
                axes.plot(
                    [rate["rate"]], [spot], marker="|", markersize=max(3, bar * 14), color=colour, mew=1.8
                )
        # The gridline at the end of the scale and a bar that reaches it must both be seen.
        axes.set_xlim(0, _end_of_scale(targets, metric) * 1.012)
        percent_axis(axes.xaxis)
        entitle(axes, title)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        for line in range(1, len(names)):
            axes.axhline(line - 0.5, color=GRID[0], linewidth=0.7)
    many[0].set_yticks(range(len(names)), [wrap(title, 30, 2) for title in names.values()], color=TEXT[0])
    if len(targets) > 1:
        handles, labels = many[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(3, len(targets)),
            frameon=False,
            fontsize=9,
        )
    return figure


# ---- thresholds


def _roc(summary: Summary) -> Any | None:
    curves = [
        (index, target, target["sweep"])
        for index, target in enumerate(summary["targets"])
        if target.get("sweep") and target["sweep"].get("points")
    ]
    if not curves:
        return None
    figure = new_figure(6.2, 5.4)
    axes = figure.add_subplot()
    frame(axes)
    axes.plot([0, 1], [0, 1], color=QUIET[0], linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate("chance", (0.8, 0.78), fontsize=8, color=QUIET[0], ha="left", va="top")
    for index, target, sweep in curves:
        style = style_of(index)
        area = sweep.get("auc") or {}
        said = f"{short_name(target['name'], NAME)}, AUC {decimals(area.get('auc'))}"
        if is_figure(area.get("low")) and is_figure(area.get("high")):
            said += f" ({decimals(area['low'])} to {decimals(area['high'])})"
        points = sorted((x, y) for _, x, y in sweep["points"] if is_figure(x) and is_figure(y))
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=style["color"],
            linestyle=style["linestyle"],
            linewidth=2,
            label=said,
        )
        for point in sweep.get("operating_points") or ():
            x, y = _rate(point, "over_refusal"), _rate(point, "safe_refusal")
            if x and y:
                axes.plot(
                    [x["rate"]], [y["rate"]], marker=style["marker"], color=style["color"],
                    markerfacecolor=PAPER[0], markeredgewidth=1.6, markersize=7, linestyle="none",
                )  # fmt: skip
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("over-refusal: benign prompts refused")
    axes.set_ylabel("unsafe prompts refused")
    entitle(axes, "What a threshold buys (marks: operating points)")
    axes.legend(loc="lower right", frameon=False, fontsize=8.5, handlelength=3.2, labelcolor="linecolor")
    return figure
