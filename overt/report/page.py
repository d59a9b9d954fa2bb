"""The report as one HTML file that asks nothing of any network and runs no script but its own.

Everything hostile goes one of two ways: through Jinja's autoescape into the markup, or as JSON into a
data block that the script reads and shows with `textContent`. The Content-Security-Policy names the
style and the script by their hashes, so even markup that slipped through could neither run nor fetch.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from overt.report.block import Block
from overt.report.glossary import build_glossary
from overt.report.packing import Packer
from overt.report.plots import for_dark_page
from overt.report.views import build_view
from overt.report.words import duration, percent, visible

PLOT_TEXTS = {
    "scatter": "Scatter plot of safety over over-refusal, one point with intervals for each target.",
    "radar": "Radar plot of over-refusal over categories, one line for each target.",
    "categories": "Bars of over-refusal and safe response by category and target, with intervals.",
    "roc": "ROC curves: unsafe prompts refused over benign prompts refused, for each target with scores.",
    "remedy": "Refusal won over meaning lost by rewriting: for each measure a panel, for each target a point "
    "with intervals, and a small mark for each category.",
    "boundaries": "Boundary scores out of 10 by language and model, scored with a lexicon for each language "
    "and with English phrases only.",
}


def render(
    blocks: Sequence[Block],
    facts: Mapping[str, Any],
    *,
    rows_left_out: int = 0,
    rewordings_left_out: int = 0,
) -> str:
    """The page as text, to be written as UTF-8.

    Args:
        blocks: at least one; several (an image run and a text run, say) stand one after the other, each
            with its own rates.
        facts: who was asked what: the manifest and the notes of the run.
        rows_left_out: cases that had no room, to be told to the reader; `rewordings_left_out` alike.
    """
    packer = Packer()
    for block in blocks:
        packer.add(block.rows, block.rewordings, block.titles)
    rows = [row for block in blocks for row in block.rows]
    pairs = [pair for block in blocks for pair in block.rewordings]
    sides = [side for pair in pairs for side in (pair.before_pictures, pair.after_pictures)]
    style, script = asset("report.css"), asset("report.js")
    page: str = (
        environment()
        .get_template("page.html.j2")
        .render(
            policy=content_security_policy(style, script),
            style=_markup(style),
            script=_markup(script),
            data=_markup(json_block(packer.packed())),
            parts=[_part(block, i, len(blocks)) for i, block in enumerate(blocks)],
            many=len(blocks) > 1,
            glossary=build_glossary(blocks),
            below=list(facts.get("below_coverage") or ()),
            min_coverage=percent(facts.get("min_coverage")).replace(".0%", "%"),
            facts={"run": "", "policy": None, "notes": (), **facts},
            summary=blocks[0].summary,
            level=f"{100 * blocks[0].summary['level']:g}%",
            cases=len(rows),
            pictures=sum(len(row.thumbnails) for row in rows),
            rows_left_out=rows_left_out,
            pictures_left_out=sum(row.left_out for row in rows),
            pictures_unreadable=sum(row.unreadable for row in rows),
            pairs=len(pairs),
            pairs_left_out=rewordings_left_out,
            pair_pictures_left_out=sum(side.left_out for side in sides),
            pair_pictures_unreadable=sum(side.unreadable for side in sides),
        )
    )
    return page


def _part(block: Block, index: int, count: int) -> dict[str, Any]:
    """A block as the template reads it; ids of several parts on one page begin with the part's own."""
    return {
        "id": f"part-{index + 1}",
        "p": f"p{index + 1}-" if count > 1 else "",
        "title": block.title,
        "view": build_view(block),
        "plots": {name: _picture(name, svg) for name, svg in block.plots.items()},
    }


def json_block(data: Any) -> str:
    """JSON that can stand in a script element: no character in it can end or open one.

    All but ASCII is written as \\u escapes, lone surrogates and control characters too, so that the file
    is valid UTF-8 whatever a model answered.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def content_security_policy(style: str, script: str | None) -> str:
    """The policy of a page with exactly this style and script, and pictures from data URIs only.

    Without a script it has no pictures either: those of a report are there to be browsed.
    """
    parts = ["default-src 'none'", f"style-src '{_hash(style)}'", "base-uri 'none'", "form-action 'none'"]
    if script is not None:
        parts[1:1] = ["img-src data:"]
        parts[3:3] = [f"script-src '{_hash(script)}'"]
    return "; ".join(parts)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def asset(name: str) -> str:
    """A file of the package. One kind of line end only: browsers hash what they parsed."""
    text = (resources.files("overt.report") / name).read_text("utf-8")
    return text.replace("\r\n", "\n")


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _breakable(text: str) -> Any:
    """Escaped text that may be broken after the marks within a target's name."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[/+?=_:])(?=.)", visible(text))
    return Markup("<wbr>").join(escape(part) for part in parts)


def _picture(name: str, svg: str) -> dict[str, str]:
    """A plot in the colours of a light and of a dark page. As a picture an SVG runs no script."""

    def uri(text: str) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")

    return {"light": uri(svg), "dark": uri(for_dark_page(svg)), "alt": PLOT_TEXTS.get(name, name)}


@lru_cache(maxsize=1)
def environment() -> Any:
    """Jinja with escaping on, and hidden characters made visible."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    env = Environment(
        loader=PackageLoader("overt.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text of any origin passes here before it is escaped.
        finalize=lambda value: (
            visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    env.filters["duration"] = duration
    env.filters["breakable"] = _breakable
    return env
