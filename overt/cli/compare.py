"""`overt compare`: the same targets over time, or two versions of a filter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    run_a: Annotated[Path, typer.Argument(help="The old run.")],
    run_b: Annotated[Path, typer.Argument(help="The new run.")],
    match: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=>NEW",
            help="Targets that belong together where their names differ. Repeatable.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write an HTML page here.")] = None,
    flips: Annotated[int, typer.Option(min=0, help="Print so many of the prompts that flipped.")] = 10,
    fail_on_worse: Annotated[
        bool,
        typer.Option(
            "--fail-on-worse", help="Exit with 1 where a test says that something got worse: for CI."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say what changed between two runs: paired differences with intervals, corrected tests, flips.

        overt compare runs/monday runs/friday --html friday.html

        overt compare runs/old runs/new --match "filter/keywords?path=v1.txt=>filter/keywords?path=v2.txt"

        overt compare runs/main runs/branch --fail-on-worse

    Only prompts that both runs answered count; where there is none, the exit code is 3. Together with
    `overt gate` this is a regression test.
    """
    import json as json_

    from overt.data.errors import InputError
    from overt.data.store import write_atomic
    from overt.data.typed_json import to_json
    from overt.report.comparison import render_comparison
    from overt.scoring.compare import is_worse
    from overt.tables_compare import print_comparison
    from overt.tasks.compare import compare_runs

    pairs = []
    for text in match or ():
        old, arrow, new = text.partition("=>")
        if not arrow or not old.strip() or not new.strip():
            raise InputError(f"--match {text!r} names no two targets", fix='Write it so: "OLD=>NEW"')
        pairs.append((old.strip(), new.strip()))
    found = compare_runs(run_a, run_b, pairs)
    worse = any(is_worse(row.metric, part) for row in found.differences for part in (row, *row.categories))
    # No answers in common are an outage: no regression, and no sign that there is none.
    empty = any(not pair.shared for pair in found.pairs)
    code = 1 if fail_on_worse and worse else 3 if empty else 0
    if html is not None:
        write_atomic(html, render_comparison(found).encode("utf-8", "replace"))
    if json:
        print(json_.dumps({**to_json(found), "exit_code": code}, indent=2, ensure_ascii=False))
    else:
        print_comparison(found, flips=flips)
    raise typer.Exit(code)
