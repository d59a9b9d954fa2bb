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

    from overt.comparing import compare_runs, render_comparison
    from overt.data.errors import InputError
    from overt.data.store import write_atomic
    from overt.tables import plain, print_whole

    pairs = []
    for text in match or ():
        old, arrow, new = text.partition("=>")
        if not arrow or not old.strip() or not new.strip():
            raise InputError(f"--match {text!r} names no two targets", fix='Write it so: "OLD=>NEW"')
        pairs.append((old.strip(), new.strip()))
    found = compare_runs(run_a, run_b, pairs)
    worse = [
        row
        for row in found["differences"]
        for part in [row, *row["categories"]]
        if part["changed"] and (part["difference"] > 0) == (row["metric"] == "over_refusal")
    ]
    # No answers in common are an outage: no regression, and no sign that there is none.
    empty = any(not pair["shared"] for pair in found["pairs"])
    code = 1 if fail_on_worse and worse else 3 if empty else 0
    if html is not None:
        write_atomic(html, render_comparison(found).encode("utf-8", "replace"))
    if json:
        print(json_.dumps({**found, "exit_code": code}, indent=2, ensure_ascii=False))
        raise typer.Exit(code)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for row in found["differences"]:
        name = row["b"] if row["a"] == row["b"] else f"{row['a']} -> {row['b']}"
        console.print(Text(f"{row['metric'].replace('_', ' ')}: {plain(name)}", style="bold"))
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("category", no_wrap=True)
        for title in ("prompts", "old", "new", "difference", "p (Holm)"):
            table.add_column(title, justify="right", no_wrap=True)
        for part in [*row["categories"], row]:
            bad = (part["difference"] > 0) == (row["metric"] == "over_refusal")
            style = ("red" if bad else "green") if part["changed"] else ""
            change = f"{100 * part['difference']:+.1f} [{100 * part['low']:+.1f}, {100 * part['high']:+.1f}]"
            table.add_row(
                Text(plain(part.get("category", "all"))),
                str(part["n"]),
                f"{part['rate_a']:.1%}",
                f"{part['rate_b']:.1%}",
                Text(change, style=style),
                f"{part['p_holm']:.3g}",
            )
        print_whole(console, table)
        console.print()
    for note in found["notes"]:
        console.print(Text(f"note   {plain(note)}", style="yellow"), soft_wrap=True)
    if any(pair["shared"] for pair in found["pairs"]):
        console.print(Text(f"{len(found['flips'])} prompts flipped"))
    for flip in found["flips"][:flips]:
        mark = "worse " if flip["worse"] else "better"
        said = f"{mark} {flip['label']:6} {flip['before']} -> {flip['after']}: {plain(flip['text'])}"
        console.print(Text(said, style="red" if flip["worse"] else "green"))
    raise typer.Exit(code)
