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
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from overt.report.gallery import GalleryRow, pack
from overt.report.plots import for_dark_page
from overt.report.views import build_view
from overt.report.words import duration, visible

PLOT_TEXTS = {
    "scatter": "Scatter plot of safe response over over-refusal, one point with intervals for each target.",
    "radar": "Radar plot of over-refusal over categories, one line for each target.",
    "categories": "Bars of over-refusal and safe response by category and target, with intervals.",
    "roc": "ROC curves: unsafe prompts refused over benign prompts refused, for each target with scores.",
}


def render(
    summary: Mapping[str, Any],
    rows: Iterable[GalleryRow],
    facts: Mapping[str, Any],
    plots: Mapping[str, str],
    *,
    rows_left_out: int = 0,
) -> str:
    """The page as text, to be written as UTF-8.

    Args:
        summary: the run's figures, as in summary.json.
        rows: cases to browse, as `build_gallery` makes them.
        facts: who was asked what: the manifest and the notes of the run.
        plots: SVG text by name, as `draw_plots` makes them.
        rows_left_out: cases that had no room, to be told to the reader.
    """
    rows = list(rows)
    titles = {
        row["category"]: row.get("title") or row["category"]
        for target in summary["targets"]
        for row in target.get("categories") or ()
    }
    style, script = _asset("report.css"), _asset("report.js")
    pictures = sum(len(row.thumbnails) for row in rows)
    page: str = (
        _environment()
        .get_template("page.html.j2")
        .render(
            policy=content_security_policy(style, script),
            style=_markup(style),
            script=_markup(script),
            data=_markup(json_block(pack(rows, titles))),
            view=build_view(summary, facts),
            facts={"run": "", "policy": None, "notes": (), **facts},
            summary=summary,
            plots={name: _picture(name, svg) for name, svg in plots.items()},
            cases=len(rows),
            pictures=pictures,
            rows_left_out=rows_left_out,
            pictures_left_out=sum(row.left_out for row in rows),
            pictures_unreadable=sum(row.unreadable for row in rows),
        )
    )
    return page


def json_block(data: Any) -> str:
    """JSON that can stand in a script element: no character in it can end or open one.

    All but ASCII is written as \\u escapes, lone surrogates and control characters too, so that the file
    is valid UTF-8 whatever a model answered.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def content_security_policy(style: str, script: str) -> str:
    """The policy of a page with exactly this style and script, and pictures from data URIs only."""
    return (
        "default-src 'none'; img-src data:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _asset(name: str) -> str:
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
def _environment() -> Any:
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
