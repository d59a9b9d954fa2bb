"""`overt show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.generate import print_samples, print_summary, print_unfinished
from overt.cli.options import command
from overt.cli.run import print_run
from overt.data.run.finished import open_run
from overt.tasks.config import Config, Option
from overt.tasks.import_log import run_of


class ShowConfig(Config):
    kind: ClassVar[str] = "show"

    run: Annotated[Path, Option("Folder of a run.", is_argument=True)]
    samples: Annotated[int, Option("Sample prompts per category.", min=0, max=1000)] = 2
    drops: Annotated[int, Option("Also show so many dropped records.", min=0, max=100_000)] = 0
    as_json: Annotated[bool, Option("Print the summary as JSON.", flag="--json")] = False


@command(ShowConfig)
def show(config: ShowConfig) -> None:
    """overt show runs/first

    overt show runs/first --samples 5 --drops 20

    overt show runs/first --json | jq .counts
    """
    run = open_run(run_of(config.run), "generate", "run", complete=False, played=True)
    if not run.is_complete:
        print_unfinished(run, as_json=config.as_json)
    elif run.kind == "run":
        print_run(run, as_json=config.as_json)
    else:
        print_summary(run, as_json=config.as_json)
        if not config.as_json:
            print_samples(run.folder, config.samples, config.drops)
