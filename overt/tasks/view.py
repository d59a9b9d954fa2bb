"""`overt view`: the page over all runs of a folder, with what it takes from other commands."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overt.data.json_types import Json
from overt.data.text import percent, visible
from overt.view.desk import Desk
from overt.view.made import MadePage, Makers


def open_desk(root: Path, cache: Path) -> Desk:
    """The requests of the page.

    Args:
        cache: where indexes are put.

    Raises:
        InputError: there is no such folder.
    """
    return Desk(root, cache, Makers(_report, _comparison, _review))


def _report(run: Path) -> MadePage:
    from overt.report.html import asset, content_security_policy
    from overt.tasks.report import write_report

    with tempfile.TemporaryDirectory(prefix="overt-view-") as folder:
        page = write_report([run], Path(folder)).read_text("utf-8")
    return MadePage(page, content_security_policy(asset("report.css"), asset("report.js")))


def _comparison(old: Path, new: Path) -> MadePage:
    from overt.report.comparison import render_comparison
    from overt.report.html import asset, content_security_policy
    from overt.tasks.compare import compare_runs

    page = render_comparison(compare_runs(old, new))
    return MadePage(page, content_security_policy(asset("compare.css"), None))


def _review(run: Path) -> Mapping[str, Json]:
    """What people's labels say: of each question how many are labelled and how often people confirm the run,
    as text with intervals; the corrected rates as lines."""
    from overt.review.results import corrected_lines, results

    found: Any = results(run)
    return {
        "questions": [
            {
                "title": f"{question['question']}: "
                f"{question['labelled']:,} of {question['items']:,} labelled",
                "rows": [
                    [
                        visible(row["part"]),
                        f"{percent(row['value'])} [{percent(row['low'])}, {percent(row['high'])}]",
                        f"{row['n']:,} of about {row['population']:,.0f}",
                    ]
                    for row in question["precision"]
                ],
            }
            for question in found["questions"]
        ],
        "corrected": [visible(line) for line in corrected_lines(found["corrected"])],
        "reviewers": [
            f"{visible(name)}: {person['labels']:,} labels" for name, person in found["reviewers"].items()
        ],
    }
