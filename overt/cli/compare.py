"""`overt compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_lines, print_table
from overt.data.errors import InputError
from overt.data.progress import make_progress
from overt.data.results.comparison import Comparison, Flip
from overt.data.run.files import text_bytes, write_atomic
from overt.data.text import plain
from overt.data.typed_json import to_json
from overt.data.versions import difference_of
from overt.report.comparison import comparison_tables, render_comparison, terms_table
from overt.report.sections.wording import counted
from overt.scoring.compare import is_worse
from overt.tasks.compare import compare_runs
from overt.tasks.config import Config, Option
from overt.tasks.import_log import run_of

# -- what is printed -----------------------------------------------------------------------------------------


def print_comparison(found: Comparison, *, flips: int) -> None:
    """All tables, the notes, and the first `flips` prompts that flipped."""
    to = console()
    for table in comparison_tables(found):
        print_lines(to, [plain(table.caption)], style="bold")
        print_table(to, table)
        to.print()
    if found.terms:
        print_lines(to, ["terms that the new version added or lost"], style="bold")
        print_table(to, terms_table(found.terms))
        to.print()
    print_lines(to, [f"note   {plain(note)}" for note in found.notes], style="yellow")
    if any(pair.shared for pair in found.pairs):
        print_lines(to, [flips_said(found.flips)])
    for flip in found.flips[:flips]:
        mark, style = ("worse ", "red") if flip.worse else ("better", "green")
        said = f"{mark} {flip.label:6} {flip.before} -> {flip.after}: {plain(flip.text)}"
        print_lines(to, [said], style=style, folded=True)


def flips_said(flips: Sequence[Flip]) -> str:
    """How many prompts flipped; versions of prompts are counted apart."""
    groups = [flip.group for flip in flips if flip.group is not None]
    versions = len(groups)
    said = f"{counted(len(flips) - versions, 'prompt')} flipped"
    if not versions:
        return said
    return f"{said}, and {counted(versions, 'version')} that differ only in {difference_of(groups).what}"


# -- the command ---------------------------------------------------------------------------------------------


class CompareConfig(Config):
    kind: ClassVar[str] = "compare"

    run_a: Annotated[Path, Option("The old run, or a log of Inspect.", is_argument=True)]
    run_b: Annotated[Path, Option("The new run, or a log of Inspect.", is_argument=True)]
    match: Annotated[
        tuple[str, ...],
        Option("Targets that belong together where their names differ. Repeatable.", metavar="OLD=>NEW"),
    ] = ()
    html: Annotated[Path | None, Option("Also write an HTML page here.")] = None
    flips: Annotated[int, Option("Print so many of the prompts that flipped.", min=0)] = 10
    fail_on_worse: Annotated[
        bool, Option("Exit with 1 where a test says that something got worse: for CI.")
    ] = False
    as_json: Annotated[bool, Option("Print JSON for programs.", flag="--json")] = False

    def matches(self) -> list[tuple[str, str]]:
        """Parses --match into pairs (old name, new name).

        Raises:
            InputError: a --match does not name two targets.
        """
        pairs = []
        for text in self.match:
            old, arrow, new = text.partition("=>")
            if not arrow or not old.strip() or not new.strip():
                raise InputError(f"--match {text!r} names no two targets", fix='Write it so: "OLD=>NEW"')
            pairs.append((old.strip(), new.strip()))
        return pairs


@command(CompareConfig)
def compare(config: CompareConfig) -> None:
    """
        overt compare runs/monday runs/friday --html friday.html

        overt compare runs/old runs/new --match "filter/keywords?path=v1.txt=>filter/keywords?path=v2.txt"

        overt compare runs/main runs/branch --fail-on-worse

    Only prompts that both runs answered count; where there is none, the exit code is 3. Together with
    `overt gate` this is a regression test. Where both runs were explained (`overt explain`), the terms
    that the new version added or lost are shown.
    """
    runs = run_of(config.run_a), run_of(config.run_b)
    found = compare_runs(*runs, config.matches(), progress=make_progress(quiet=False))
    worse = any(
        is_worse(row.metric, part)
        for row in found.differences
        for part in (row, *row.categories, *(row.groups or ()))
    )
    # Without shared answers a regression can neither be shown nor ruled out.
    empty = any(not pair.shared for pair in found.pairs)
    code = 1 if config.fail_on_worse and worse else 3 if empty else 0
    if config.html is not None:
        write_atomic(config.html, text_bytes(render_comparison(found)))
    if config.as_json:
        print_json({**to_json(found), "exit_code": code})
    else:
        print_comparison(found, flips=config.flips)
    raise typer.Exit(code)
