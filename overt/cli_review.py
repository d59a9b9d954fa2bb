"""`overt review`: people look at a run, on a page of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def review(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `overt generate` or `overt run`.")],
    reviewer: Annotated[
        str, typer.Option(metavar="NAME", help="Name to put into the page; it can be changed there.")
    ] = "",
    ask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUESTION",
            help="prompts, outcomes, pictures or rewrites. Repeatable. Default: all that the run has.",
        ),
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="How many items to draw; more later adds to them.", show_default="200"
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the items that every reviewer gets.", show_default="0.2"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw.", show_default="0")] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. Default: any free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    results: Annotated[
        bool, typer.Option("--results", help="Print what the labels say instead of serving the page.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the labels (.csv, .parquet) instead of serving the page."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --results: print JSON.")] = False,
) -> None:
    """Review a run by people, in the browser and by keyboard: precision with an interval, and agreement.

        overt review runs/first --reviewer Ada

        overt review runs/first --results

        overt review runs/tested --ask pictures --export labels.csv

    A sample is drawn once, more often where judges disagree or a score is close to its threshold, and the
    figures weight it back. Every label is stored in RUN/review.sqlite when its key is pressed. Several
    people can review at once at the same address. The page can be reached from this machine only; from
    another one use `ssh -L PORT:127.0.0.1:PORT`.
    """
    from overt.data.errors import InputError

    if json and not results:
        raise InputError("--json goes with --results", fix=f"overt review {run} --results --json")
    if results or export is not None:
        _report(run, results, export, ask or [], as_json=json)
        return
    _serve(run, reviewer, ask or [], items, overlap, seed, port, browser)


def _serve(
    run: Path,
    reviewer: str,
    ask: list[str],
    items: int | None,
    overlap: float | None,
    seed: int | None,
    port: int,
    browser: bool,
) -> None:
    import importlib.util

    from overt.data.errors import InputError

    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        raise InputError(
            "the review page needs starlette and uvicorn", fix='Install them: pip install "overt[review]"'
        )
    from overt.review.frame import read_frame
    from overt.review.label_store import LabelStore
    from overt.review.server import Server

    frame = read_frame(run)
    with LabelStore(run, make=True) as book:
        plan = book.plan
        if plan is None or any(value is not None for value in (items, overlap, seed)) or ask:
            book.set_up(
                frame,
                ask=ask,
                items=items or (plan.items if plan else 200),
                overlap=overlap if overlap is not None else plan.overlap if plan else 0.2,
                seed=seed if seed is not None else plan.seed if plan else 0,
            )
        server = Server(run, book, frame.policy, port=port, reviewer=reviewer)
        count = len(book.queue())
        print(f"{count:,} items to review at\n\n    {server.address}\n", flush=True)
        print("Several people can use it at once. Ctrl-C ends it; every label is stored.", flush=True)

        def opened() -> None:
            import threading
            import webbrowser

            if browser:
                threading.Thread(target=webbrowser.open, args=(server.once,), daemon=True).start()

        server.serve(opened)


def _report(run: Path, results: bool, export: Path | None, ask: list[str], *, as_json: bool) -> None:
    import json
    import sys

    from overt.review.export import export as write
    from overt.review.results import results as figures

    if export is not None:
        for path, rows in write(run, export, ask):
            print(f"{path}  {rows:,} labels", file=sys.stderr if as_json else sys.stdout)
    if not results:
        return
    found = figures(run)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    _print(Console(highlight=False), found)


def _print(console: Console, found: dict[str, Any]) -> None:
    from rich.text import Text

    from overt.tables import plain

    for question in found["questions"]:
        name = question["question"]
        head = f"{name}: {question['labelled']:,} of {question['items']:,} items labelled"
        console.print(Text(f"{head}, drawn from {question['population']:,}", style="bold"))
        if question["precision"]:
            _table(console, "confirmed by people", [(plain(r["part"]), r) for r in question["precision"]])
        scale = any(row["label"] == "mean" for row in question["shares"])
        shares = [
            (plain(r["part"] if scale else r["label"]), r)
            for r in question["shares"]
            if scale or r["value"] > 0
        ]
        if shares:
            _table(console, "mean rating" if scale else "what people say of all", shares, scale=scale)
        _print_agreement(console, question["agreement"])
        console.print()
    for name, person in found["reviewers"].items():
        console.print(
            Text(
                f"{plain(name)}: {person['labels']:,} labels, {person['median_seconds']:.1f} s each (median)"
            )
        )
    if not found["reviewers"]:
        console.print(Text("nothing has been labelled yet"))


def _table(console: Console, title: str, rows: list[tuple[str, Any]], *, scale: bool = False) -> None:
    from rich.table import Table
    from rich.text import Text

    from overt.tables import print_whole

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for head in ("", "95% interval", "reviewed", "of about"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in rows:
        value, low, high = row["value"], row["low"], row["high"]
        table.add_row(
            Text(name),
            f"{value:.2f}" if scale else f"{value:.1%}",
            f"{low:.2f} to {high:.2f}" if scale else f"{100 * low:.1f} to {100 * high:.1f}",
            f"{row['n']:,}",
            f"{row['population']:,.0f}",
        )
    print_whole(console, table)


def _print_agreement(console: Console, agreement: dict[str, Any]) -> None:
    from rich.text import Text

    from overt.tables import plain

    if not agreement["items"]:
        console.print(Text("agreement: no item has labels of two people yet"))
        return

    def figure(value: float | None) -> str:
        return "not defined (one label only)" if value is None else f"{value:.3f}"

    alpha = figure(agreement["krippendorff"])
    console.print(Text(f"agreement on {agreement['items']:,} items: Krippendorff's alpha {alpha}"))
    fleiss = agreement["fleiss"]
    if fleiss["reviewers"] > 2 and fleiss["n"]:
        console.print(
            Text(
                f"  Fleiss' kappa of {fleiss['reviewers']} people on {fleiss['n']:,} items: "
                f"{figure(fleiss['kappa'])}"
            )
        )
    for pair in agreement["pairs"]:
        console.print(
            Text(
                f"  {plain(pair['a'])} and {plain(pair['b'])}: the same label on {pair['same']:.0%} of "
                f"{pair['n']:,}, Cohen's kappa {figure(pair['kappa'])}"
            )
        )
