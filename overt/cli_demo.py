"""`overt demo`: everything at once, on a tiny world of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overt import cli_options as options


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path("runs/demo-images"),
    quiet: options.Quiet = False,
) -> None:
    """Generate, run, score, rewrite and report on an embedded toy world: no key, no GPU, no download.

        overt demo

    A little policy forbids one drawing, a red blade. A word list in front of a tiny diffusion model refuses
    it, and a blade of grass with it; rewording wins most of those back and costs some faithfulness. The
    models are real and trained for this; what they show is how the tool works, nothing more.

    Needs the extra [local] (PyTorch).
    """
    from overt.demo import headline, run_demo
    from overt.progress import make_progress

    page = run_demo(out, make_progress(quiet), lambda line: print(f"$ {line}", flush=True))
    print()
    for line in headline(out / "run"):
        print(line)
    print(f"\nThe report: {page}")
