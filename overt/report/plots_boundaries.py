"""Boundary scores by language: with a lexicon for each language, and with English phrases only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overt.report.boundary_view import in_order, language_title
from overt.report.drawing import NAME, PAPER, QUIET, entitle, frame, new_figure, style_of, whiskers
from overt.report.words import is_figure, short, short_name


def draw_boundaries(summary: Mapping[str, Any]) -> Any | None:
    """A row for each language, in it a filled mark (own lexicon) and a hollow one (the paper's) a model."""
    scorings = summary["scorings"]
    models = list(dict.fromkeys(model for found in scorings.values() for model in found))
    codes = in_order(c for found in scorings.values() for m in found.values() for c in m["languages"])
    if not models or not codes:
        return None
    figure = new_figure(7.4, 1.5 + len(codes) * max(0.42, 0.2 * len(models)))
    axes = figure.add_subplot()
    frame(axes)
    axes.grid(False, axis="y")
    step = 0.7 / len(models)
    for index, model in enumerate(models):
        style = style_of(index)
        for place, code in enumerate(codes):
            spot = place + (index - (len(models) - 1) / 2) * step
            own, paper = (_score(scorings, name, model, code) for name in ("all", "paper"))
            if own and paper:
                axes.plot([paper["rate"], own["rate"]], [spot, spot], color=style["color"], lw=1, alpha=0.5)
            for score, fill in ((paper, PAPER[0]), (own, style["color"])):
                if score:
                    axes.errorbar(
                        score["rate"],
                        spot,
                        xerr=whiskers(score),
                        color=style["color"],
                        marker=style["marker"],
                        markersize=7,
                        markerfacecolor=fill,
                        markeredgewidth=1.5,
                        elinewidth=1.4,
                        capsize=2,
                        linestyle="none",
                        label=short_name(model, NAME) if place == 0 and fill != PAPER[0] else None,
                    )
    axes.set_xlim(-0.2, 10.2)
    axes.set_ylim(len(codes) - 0.5, -0.5)
    axes.set_yticks(range(len(codes)), [short(language_title(code), 24) for code in codes])
    axes.set_xlabel("score out of 10: what an answer does at a boundary")
    entitle(axes, "Boundary scores by language")
    axes.annotate(
        "hollow: English phrases only, as the paper describes",
        (1.0, 1.02),
        xycoords="axes fraction",
        ha="right",
        fontsize=8,
        color=QUIET[0],
    )
    if len(models) > 1:
        figure.legend(
            loc="outside lower center",
            ncols=min(3, len(models)),
            frameon=False,
            fontsize=9,
            labelcolor="linecolor",
        )
    return figure


def _score(scorings: Mapping[str, Any], name: str, model: str, code: str) -> dict[str, Any] | None:
    cell = ((scorings.get(name) or {}).get(model) or {}).get("languages", {}).get(code) or {}
    score = cell.get("score")
    if not score or not is_figure(score.get("mean")):
        return None
    return {"rate": score["mean"], "low": score.get("low"), "high": score.get("high")}
