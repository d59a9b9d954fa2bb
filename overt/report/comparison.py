"""What `overt compare` found, as a page without a script."""

from __future__ import annotations

from overt.data.results.comparison import Comparison
from overt.report.html import render_page
from overt.scoring.summary.metrics import METRICS


def render_comparison(found: Comparison) -> str:
    """The page as text, to be written as UTF-8."""
    return render_page("compare.html.j2", style="compare.css", found=found, metrics=METRICS)
