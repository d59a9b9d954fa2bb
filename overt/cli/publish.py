"""`overt publish`."""

from __future__ import annotations

import shlex
import sys

import typer

from overt.cli.options import command
from overt.data.errors import InputError
from overt.data.text import plain
from overt.publish.scan import in_words
from overt.tasks.publish import UNSAFE_OPEN, Publication, PublishConfig, prepare
from overt.tasks.publish import publish as send


@command(PublishConfig)
def publish(config: PublishConfig) -> None:
    """Look first, send later:

        overt publish runs/news --repo my-org/news --dry-run

        overt publish runs/news --repo my-org/news --license cc-by-4.0

    Unsafe prompts, and pictures that a judge found harmful, go to a gated repository of their own. Texts are
    scanned for keys and addresses, pictures are encoded anew without metadata. Each repository gets all of it
    in one commit, or nothing; a command that was cut off goes on when it is given again.
    """
    if config.unsafe_open:
        print(f"overt: {UNSAFE_OPEN}", file=sys.stderr)
    publication = prepare(config)
    if config.dry_run:
        for one in publication.prepared:
            print((one.folder / "README.md").read_text(encoding="utf-8"))
    _print(publication)
    if config.dry_run:
        print("nothing was sent (--dry-run)")
        return
    confirm(config.yes)
    for address in send(publication, private=config.private, update=config.update, say=print):
        print(f"published   {address}")


def _print(publication: Publication) -> None:
    for note in publication.notes:
        print(f"note        {plain(note)}")
    if publication.findings:
        print(f"allowed     {in_words(publication.findings)}")
    for one in publication.prepared:
        open_ = "OPEN, with unsafe prompts" if one.repo.holds_unsafe else "open"
        kind = "gated" if one.repo.is_gated else open_
        configs = ", ".join(f"{t.config} ({len(t.rows):,})" for t in one.repo.tables)
        print(f"{one.repo.id}: {kind}; {configs}; {one.size / 1e6:,.1f} MB in {one.folder}")
    _print_pages(publication)


def _print_pages(publication: Publication) -> None:
    """Where the results for the pages of models are, and the command that offers each; overt sends none."""
    if not publication.pages:
        return
    folder = publication.prepared[0].folder
    print("results for the pages of models; nobody is sent them. A pull request is opened by:")
    for page in publication.pages:
        words = ["hf", "upload", page.model, str(folder / page.file), page.there, "--create-pr"]
        print(f"  {shlex.join(words)}")


def confirm(yes: bool) -> None:
    """Asks whether to send.

    Raises:
        InputError: nobody is there to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to ask whether to send it", fix="Say it with --yes.")
    if not typer.confirm("Send it?"):
        raise typer.Exit(1)
