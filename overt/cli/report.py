"""`overt report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.data.progress import make_progress
from overt.tasks.config import Config, Option
from overt.tasks.import_log import run_of
from overt.tasks.report import write_report


class ReportConfig(Config):
    kind: ClassVar[str] = "report"

    runs: Annotated[
        tuple[Path, ...],
        Option(
            "Runs of `overt run`, or logs of Inspect; several make one report.",
            metavar="RUN...",
            is_argument=True,
        ),
    ]
    out: Annotated[Path | None, Option("Folder of the report. Default: RUN/report of the first run.")] = None
    images: Annotated[bool, Option("Put thumbnails into the gallery.")] = True


@command(ReportConfig)
def report(config: ReportConfig) -> None:
    """overt report runs/mine

    overt report runs/filters runs/diffusers --out report

    overt report logs/2026-11-29_refusal_G8HB.eval
    """
    runs = [run_of(path) for path in config.runs]
    out = config.out or runs[0] / "report"
    print(write_report(runs, out, images=config.images, progress=make_progress(quiet=False)))
