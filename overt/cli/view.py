"""`overt view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.tasks.config import Config, Option
from overt.web.loopback import check_installed


class ViewConfig(Config):
    kind: ClassVar[str] = "view"

    folder: Annotated[
        Path,
        Option("Folder with runs, at any depth; or one run.", is_argument=True, metavar="FOLDER"),
    ] = Path("runs")
    port: Annotated[
        int,
        Option(
            "Port on 127.0.0.1. Default: any free one. With the same port links stay good.",
            min=0,
            max=65535,
        ),
    ] = 0
    browser: Annotated[bool, Option("Open the page.")] = True
    cache: Annotated[
        Path | None, Option("Folder of the indexes. Default: ~/.cache/overt/view.", metavar="FOLDER")
    ] = None


@command(ViewConfig)
def view(config: ViewConfig) -> None:
    """
        overt view

        overt view runs/tested --port 8400

    Runs at work are shown with their progress. Of each run: every prompt at every target, with filters by
    category, label, state, stage and reason, and a search; the report, the review, and the comparison with
    another run. It reads runs and writes nothing into them: its indexes are in ~/.cache/overt/view. The page
    can be reached from this machine only; from another one use `ssh -L PORT:127.0.0.1:PORT`.
    """
    check_installed("view")
    from overt.tasks.view import open_desk
    from overt.view.server import make_app
    from overt.view.shelf import default_cache
    from overt.web.loopback import Loopback

    desk = open_desk(config.folder, config.cache or default_cache())
    page = Loopback("view", config.port)
    print(f"the runs below {config.folder} at\n\n    {page.address}\n", flush=True)
    print("Ctrl-C ends it.", flush=True)
    try:
        page.serve(make_app(desk), page.open_browser if config.browser else lambda: None)
    finally:
        desk.close()
