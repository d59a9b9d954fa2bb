"""`overt report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.tasks.config import Config, Option
from overt.tasks.report import write_report


class ReportConfig(Config):
    kind: ClassVar[str] = "report"

    runs: Annotated[
        tuple[Path, ...],
        Option("Runs of `overt run`; several make one report.", metavar="RUN...", is_argument=True),
    ]
    out: Annotated[Path | None, Option("Folder of the report. Default: RUN/report of the first run.")] = None
    images: Annotated[bool, Option("Put thumbnails into the gallery.")] = True


@command(ReportConfig)
def report(config: ReportConfig) -> None:
    """overt report runs/mine

    overt report runs/filters runs/diffusers --out report
    """
    print(write_report(config.runs, config.out or config.runs[0] / "report", images=config.images))
