"""`overt leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.cli.publish import confirm
from overt.data.progress import make_progress
from overt.tasks.config import Config, Option
from overt.tasks.import_log import run_of
from overt.tasks.leaderboard import push_leaderboard, write_leaderboard


class LeaderboardConfig(Config):
    kind: ClassVar[str] = "leaderboard"

    runs: Annotated[
        tuple[Path, ...],
        Option("Runs of `overt run`, or logs of Inspect.", metavar="RUN...", is_argument=True),
    ]
    out: Annotated[Path, Option("Folder of the page.")]
    title: Annotated[str, Option("Title of the page.")] = "Over-refusal leaderboard"
    push: Annotated[
        str | None, Option("Also serve it as a static Space of this name.", metavar="ORG/NAME")
    ] = None
    update: Annotated[bool, Option("The Space may hold something else: replace it.")] = False
    yes: Annotated[bool, Option("Do not ask before sending.", flag="--yes/-y")] = False


@command(LeaderboardConfig)
def leaderboard(config: LeaderboardConfig) -> None:
    """
        overt leaderboard runs/a runs/b runs/c --out board

        overt leaderboard runs/* --out board --push my-org/over-refusal

    Only runs over the same prompts under the same policy stand in one table; others get one of their own.
    """
    runs, progress = [run_of(path) for path in config.runs], make_progress(quiet=False)
    print(write_leaderboard(runs, config.out, title=config.title, progress=progress))
    if config.push is not None:
        confirm(config.yes)
        print(f"published   {push_leaderboard(config.out, config.push, update=config.update)}")
