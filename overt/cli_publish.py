"""`overt publish` and `overt leaderboard`: a run in the form that others expect, and several side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_HUB = "The Hub"


def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `overt generate` or `overt run`.")],
    repo: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="Repository. What is unsafe goes to ORG/NAME-unsafe.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder and show the card; send nothing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write. Default: RUN/publish.")] = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="own|overt",
            help="Columns of a data set: overt's own, or those of the published OVERT files.",
        ),
    ] = "own",
    license: Annotated[
        str, typer.Option(metavar="ID", help="Licence as the Hub names it, such as cc-by-4.0.")
    ] = "",
    unsafe_open: Annotated[
        bool,
        typer.Option("--unsafe-open", help="Put the unsafe side into the same repository, open to all."),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Let findings of the scan pass: key, email, phone, path. Repeatable.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make new repositories private.", rich_help_panel=_HUB)
    ] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="The repository may hold another run: replace its data.", rich_help_panel=_HUB
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before sending.", rich_help_panel=_HUB)
    ] = False,
) -> None:
    """Publish a data set or results on the Hugging Face Hub; `datasets.load_dataset` loads them untouched.

    Look first, send later:

        overt publish runs/news --repo my-org/news --dry-run

        overt publish runs/news --repo my-org/news --license cc-by-4.0

    Unsafe prompts, and pictures that a judge found harmful, go to a gated repository of their own. Texts are
    scanned for keys and addresses, pictures are encoded anew without metadata. Each repository gets all of it
    in one commit, or nothing; a command that was cut off goes on when it is given again.
    """
    from overt.publish.scan import in_words
    from overt.publishing import UNSAFE_OPEN, Choices, prepare
    from overt.publishing import publish as send
    from overt.tables import plain

    if unsafe_open:
        print(f"overt: {UNSAFE_OPEN}", file=sys.stderr)
    choices = Choices(
        repo=repo,
        layout=layout,  # type: ignore[arg-type]
        unsafe_open=unsafe_open,
        license=license,
        allow=tuple(allow or ()),  # type: ignore[arg-type]
    )
    publication = prepare(run, choices, out)
    if dry_run:
        for one in publication.prepared:
            print((one.folder / "README.md").read_text(encoding="utf-8"))
    for note in publication.notes:
        print(f"note        {plain(note)}")
    if publication.findings:
        print(f"allowed     {in_words(publication.findings)}")
    for one in publication.prepared:
        kind = (
            "gated" if one.repo.is_gated else "OPEN, with unsafe prompts" if one.repo.holds_unsafe else "open"
        )
        configs = ", ".join(f"{t.config} ({len(t.rows):,})" for t in one.repo.tables)
        print(f"{one.repo.id}: {kind}; {configs}; {one.size / 1e6:,.1f} MB in {one.folder}")
    if dry_run:
        print("nothing was sent (--dry-run)")
        return
    _confirm(yes)
    for address in send(publication, private=private, update=update, say=print):
        print(f"published   {address}")


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of `overt run`.")],
    out: Annotated[Path, typer.Option(help="Folder of the page.")],
    title: Annotated[str, typer.Option(help="Title of the page.")] = "Over-refusal leaderboard",
    push: Annotated[
        str | None,
        typer.Option(metavar="ORG/NAME", help="Also serve it as a static Space of this name."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="The Space may hold something else: replace it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before sending.")] = False,
) -> None:
    """Put the results of several runs into one sortable table with intervals: HTML, JSON and Markdown.

        overt leaderboard runs/a runs/b runs/c --out board

        overt leaderboard runs/* --out board --push my-org/over-refusal

    Only runs over the same prompts under the same policy stand in one table; others get one of their own.
    """
    from overt.ranking import push_leaderboard, write_leaderboard

    print(write_leaderboard(runs, out, title=title))
    if push is not None:
        _confirm(yes)
        print(f"published   {push_leaderboard(out, push, update=update)}")


def _confirm(yes: bool) -> None:
    from overt.data.errors import InputError

    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to ask whether to send it", fix="Say it with --yes.")
    if not typer.confirm("Send it?"):
        raise typer.Exit(1)
