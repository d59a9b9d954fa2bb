"""`overt demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.data.progress import make_progress
from overt.tasks.config import RUN, Config, Option
from overt.tasks.demo import headline, run_demo


class DemoConfig(Config):
    kind: ClassVar[str] = "demo"

    out: Annotated[Path, Option("Folder for the runs and the report.")] = Path("runs/demo-images")
    quiet: Annotated[bool, Option("No progress.", RUN, flag="--quiet/-q")] = False


@command(DemoConfig)
def demo(config: DemoConfig) -> None:
    """
        overt demo

    A little policy forbids one drawing, a red blade. A word list in front of a tiny diffusion model refuses
    it, and a blade of grass with it; rewording wins most of those back and costs some faithfulness. The
    models are real and trained for this; what they show is how the tool works, nothing more.

    Needs the extra [local] (PyTorch).
    """
    page = run_demo(config.out, make_progress(config.quiet), lambda line: print(f"$ {line}", flush=True))
    print()
    for line in headline(config.out / "run"):
        print(line)
    print(f"\nThe report: {page}")
