"""The report as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from overt.data.text import percent
from overt.report.block import Block, category_titles
from overt.report.episode_data import packed_episode
from overt.report.glossary import build_glossary
from overt.report.html import json_block, render_page
from overt.report.page_data import Packer
from overt.report.plots import NARROW, for_dark_page
from overt.report.provenance import Provenance
from overt.report.sections import View, build_view
from overt.report.sections.episodes import MEANING as EPISODES_MEAN
from overt.report.sections.episodes import lines_said, plotted

PLOT_TEXTS = {
    "scatter": "Scatter plot of safety over over-refusal, one point with intervals for each target.",
    "radar": "Radar plot of over-refusal over categories, one line for each target.",
    "categories": "Bars of over-refusal and safe response by category and target, with intervals.",
    "roc": "ROC curves: unsafe prompts refused over benign prompts refused, for each target with scores.",
    "calibration": "For each calibrated target a panel: unsafe prompts refused over benign prompts refused "
    "on the calibration split and on the held-out one, the baseline, the limit, and the chosen threshold "
    "with its intervals.",
    "remedy": "Refusal won over meaning lost by rewriting: for each measure a panel, for each target a point "
    "with intervals, and a small mark for each category.",
    "boundaries": "Boundary scores out of 10 by language and model, scored with a lexicon for each language "
    "and with English phrases only.",
}


class _Plot(NamedTuple):
    """A plot as data URIs, for a light and a dark page; of the narrow ones "" where there is none."""

    light: str
    dark: str
    narrow_light: str
    narrow_dark: str
    alt: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A block as the template reads it; ids of several parts on one page begin with the part's own `p`."""

    id: str
    p: str
    title: str
    view: View
    plots: Mapping[str, _Plot]


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many cases the page shows, and what had no room or could not be read."""

    rows: int
    left_out: int
    pictures: int
    pictures_left_out: int
    pictures_unreadable: int


def render(blocks: Sequence[Block], provenance: Provenance) -> str:
    """The page as text, to be written as UTF-8.

    Args:
        blocks: at least one; several (an image run and a text run, say) stand one after the other, each
            with its own rates.
        provenance: who was asked what.
    """
    packer = Packer()
    for block in blocks:
        titles = category_titles(block.summary.targets)
        packer.add(block.rows, block.rewordings, titles)
        for one in block.episode_cases:
            pack = partial(packed_episode, one.episode, one.pictures, one.replay)
            packer.add_episode(one.prompt, one.episode.target, titles, pack)
    summary = blocks[0].summary
    return render_page(
        "page.html.j2",
        style="report.css",
        script="report.js",
        data=json_block(packer.packed()),
        parts=[_part(block, i, len(blocks)) for i, block in enumerate(blocks)],
        many=len(blocks) > 1,
        glossary=build_glossary(blocks),
        below=provenance.below_coverage,
        min_coverage=percent(provenance.min_coverage).replace(".0%", "%"),
        about=provenance,
        summary=summary,
        level=f"{100 * summary.level:g}%",
        gallery=_gallery_counts(blocks),
        rewordings=_rewording_counts(blocks),
        episodes=_episode_counts(blocks),
        episodes_mean=EPISODES_MEAN,
    )


def _part(block: Block, index: int, count: int) -> _Part:
    drawn = plotted(block.episodes) if block.episodes else {}
    texts = {**PLOT_TEXTS, **{name: lines_said(section) for name, section in drawn.items()}}
    return _Part(
        f"part-{index + 1}",
        f"p{index + 1}-" if count > 1 else "",
        block.title,
        build_view(block),
        {name: _plot(name, block.plots, texts) for name in block.plots if not name.endswith(NARROW)},
    )


def _gallery_counts(blocks: Sequence[Block]) -> _Counts:
    rows = [row for block in blocks for row in block.rows]
    return _Counts(
        len(rows),
        sum(block.rows_left_out for block in blocks),
        sum(len(row.pictures.uris) for row in rows),
        sum(row.pictures.left_out for row in rows),
        sum(row.pictures.unreadable for row in rows),
    )


def _rewording_counts(blocks: Sequence[Block]) -> _Counts:
    pairs = [pair for block in blocks for pair in block.rewordings]
    sides = [side for pair in pairs for side in (pair.before_pictures, pair.after_pictures)]
    return _Counts(
        len(pairs),
        sum(block.rewordings_left_out for block in blocks),
        sum(len(side.uris) for side in sides),
        sum(side.left_out for side in sides),
        sum(side.unreadable for side in sides),
    )


def _episode_counts(blocks: Sequence[Block]) -> _Counts:
    cases = [case for block in blocks for case in block.episode_cases]
    shown = [pictures for case in cases for pictures in case.pictures]
    return _Counts(
        len(cases),
        sum(block.episodes_left_out for block in blocks),
        sum(len(pictures.uris) for pictures in shown),
        sum(pictures.left_out for pictures in shown),
        sum(pictures.unreadable for pictures in shown),
    )


def _plot(name: str, plots: Mapping[str, str], texts: Mapping[str, str]) -> _Plot:
    """A plot for the page. As a picture an SVG runs no script."""

    def uri(text: str) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")

    svg, narrow = plots[name], plots.get(name + NARROW)
    return _Plot(
        uri(svg),
        uri(for_dark_page(svg)),
        uri(narrow) if narrow else "",
        uri(for_dark_page(narrow)) if narrow else "",
        texts.get(name, name),
    )
