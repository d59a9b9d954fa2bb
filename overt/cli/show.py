"""`overt show`: what a run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    samples: Annotated[int, typer.Option(min=0, max=1000, help="Sample prompts per category.")] = 2,
    drops: Annotated[int, typer.Option(min=0, max=100_000, help="Also show so many dropped records.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show a run: what went in and out of each stage, what it cost, and sample prompts.

    overt show runs/first

    overt show runs/first --samples 5 --drops 20

    overt show runs/first --json | jq .counts
    """
    from overt.data.errors import InputError
    from overt.data.store import RunStore
    from overt.tables_generate import print_samples, print_summary, print_unfinished

    identity = RunStore.identity(run)
    if identity is None:
        raise InputError("this is not a run of overt (no run.json)", where=str(run))
    manifest = RunStore(run).manifest()
    if manifest is None:
        print_unfinished(run, identity, as_json=json)
        return
    if identity.get("kind") == "run":
        from overt.tables_run import print_run

        print_run(run, manifest, as_json=json)
        return
    print_summary(run, manifest, as_json=json)
    if not json:
        print_samples(run, samples, drops)
