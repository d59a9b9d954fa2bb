"""`overt review`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_whole
from overt.data.errors import InputError
from overt.data.text import plain
from overt.tasks.config import Config, Option
from overt.web.loopback import check_installed

if TYPE_CHECKING:
    from rich.console import Console


class ReviewConfig(Config):
    kind: ClassVar[str] = "review"

    run: Annotated[Path, Option("Folder of a run of `overt generate` or `overt run`.", is_argument=True)]
    reviewer: Annotated[
        str, Option("Name to put into the page; it can be changed there.", metavar="NAME")
    ] = ""
    ask: Annotated[
        tuple[str, ...],
        Option(
            "prompts, outcomes, pictures or rewrites. Repeatable. Default: all that the run has.",
            metavar="QUESTION",
        ),
    ] = ()
    items: Annotated[
        int | None,
        Option("How many items to draw; more later adds to them.", min=1, max=1_000_000, shown_default="200"),
    ] = None
    by_outcome: Annotated[
        str | None,
        Option(
            "Draw benign prompts by outcome, half of them refused by this target of the run, half answered: "
            "their labels correct the over-refusal rate. `any`: refused by at least one target.",
            metavar="TARGET",
        ),
    ] = None
    by_category: Annotated[bool, Option("With --by-outcome: draw from each category too.")] = False
    overlap: Annotated[
        float | None,
        Option("Share of the items that every reviewer gets.", min=0, max=1, shown_default="0.2"),
    ] = None
    seed: Annotated[int | None, Option("Seed of the draw.", shown_default="0")] = None
    port: Annotated[int, Option("Port on 127.0.0.1. Default: any free one.", min=0, max=65535)] = 0
    browser: Annotated[bool, Option("Open the page.")] = True
    results: Annotated[bool, Option("Print what the labels say instead of serving the page.")] = False
    export: Annotated[
        Path | None,
        Option("Write the labels (.csv, .parquet) instead of serving the page.", metavar="FILE"),
    ] = None
    as_json: Annotated[bool, Option("With --results: print JSON.", flag="--json")] = False


@command(ReviewConfig)
def review(config: ReviewConfig) -> None:
    """
        overt review runs/first --reviewer Ada

        overt review runs/first --results

        overt review runs/tested --ask pictures --export labels.csv

        overt review runs/tested --by-outcome any --items 200

    A sample is drawn once, more often where judges disagree or a score is close to its threshold, and the
    figures weight it back. Every label is stored in RUN/review.sqlite when its key is pressed. Several
    people can review at once at the same address. The page can be reached from this machine only; from
    another one use `ssh -L PORT:127.0.0.1:PORT`.
    """
    if config.by_category and config.by_outcome is None:
        raise InputError(
            "--by-category goes with --by-outcome",
            fix=f"overt review {config.run} --by-outcome any --by-category",
        )
    if config.as_json and not config.results:
        raise InputError("--json goes with --results", fix=f"overt review {config.run} --results --json")
    if config.results or config.export is not None:
        _report(config)
    else:
        _serve(config)


def _serve(config: ReviewConfig) -> None:
    """Draws the sample where there is none yet, and serves the page until Ctrl-C."""
    check_installed("review")
    from overt.review.label_store import LabelStore
    from overt.review.population import ByOutcome, read_frame
    from overt.review.server import Server

    by = ByOutcome(config.by_outcome, config.by_category) if config.by_outcome is not None else None
    frame = read_frame(config.run, by)
    with LabelStore(config.run, make=True) as book:
        plan = book.plan
        if plan is not None and plan.by is not None and by is None:
            frame = read_frame(config.run, plan.by)
        told = (config.items, config.overlap, config.seed, by)
        if plan is None or any(value is not None for value in told) or config.ask:
            items, overlap, seed = (plan.items, plan.overlap, plan.seed) if plan else (200, 0.2, 0)
            book.set_up(
                frame,
                ask=config.ask,
                items=config.items or items,
                overlap=config.overlap if config.overlap is not None else overlap,
                seed=config.seed if config.seed is not None else seed,
            )
        server = Server(config.run, book, frame.policy, port=config.port, reviewer=config.reviewer)
        print(f"{len(book.queue()):,} items to review at\n\n    {server.address}\n", flush=True)
        print("Several people can use it at once. Ctrl-C ends it; every label is stored.", flush=True)
        server.serve(server.open_browser if config.browser else lambda: None)


def _report(config: ReviewConfig) -> None:
    """Prints what the labels say, and writes them to a file."""
    from overt.review.export import export as write
    from overt.review.results import results as figures

    if config.export is not None:
        for path, rows in write(config.run, config.export, config.ask):
            print(f"{path}  {rows:,} labels", file=sys.stderr if config.as_json else sys.stdout)
    if not config.results:
        return
    found = figures(config.run)
    if config.as_json:
        print_json(found)
        return
    _print(console(), found)


def _print(console: Console, found: dict[str, Any]) -> None:
    from rich.text import Text

    from overt.review.results import corrected_lines

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
    for line in corrected_lines(found["corrected"]):
        console.print(Text(line))
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
