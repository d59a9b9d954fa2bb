"""`overt doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import typer

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_lines, print_table
from overt.data.plugins.packages import Package
from overt.data.table_model import Cell, Table
from overt.data.text import plain
from overt.data.typed_json import to_json
from overt.tasks.config import Config, Option
from overt.tasks.doctor import Extra, Health, Machine, examine


class DoctorConfig(Config):
    kind: ClassVar[str] = "doctor"

    seconds: Annotated[
        float, Option("Import the packages of each extra for at most so long; 0 imports nothing.", min=0)
    ] = 30.0
    online: Annotated[bool, Option("Ask, too, whether the Hugging Face Hub can be reached.")] = False
    as_json: Annotated[bool, Option("Print JSON for programs.", flag="--json")] = False


def print_health(found: Health) -> None:
    """What there is, then what is wrong."""
    to = console()
    print_lines(
        to, [f"overt {found.overt}, installed from: {plain(found.installed)}", *_machine(found.machine)]
    )
    if found.hub is not None:
        print_lines(to, [f"{'Hub':10} {plain(found.hub)}"])
    print_lines(to, ["", "extras"], style="bold")
    for extra in found.extras:
        print_lines(to, list(_extra(extra)))
    print_lines(to, ["", "keys (looked for by name; no value is read out)"], style="bold")
    rows = [[Cell(key.name), Cell(key.state), Cell(", ".join(key.used_by))] for key in found.keys]
    print_table(to, Table("keys", "keys", ["variable", "", "used by"], rows, numeric_from=3))
    print_lines(to, [""])
    print_lines(to, [f"problem    {plain(problem)}" for problem in found.problems], style="bold red")
    if not found.problems:
        print_lines(to, ["no problem found"], style="green")


def _machine(of: Machine) -> Iterator[str]:
    inside = "in an environment of its own" if of.in_environment else "in the system's Python"
    devices = "not asked" if of.devices is None else ", ".join(of.devices) or "none but the processor"
    fts = "with" if of.has_fts5 else "without"
    rows = {
        "Python": f"{of.python}, {inside}",
        "machine": f"{of.platform}, {of.processors} processors",
        "devices": devices,
        "runs": f"{of.folder}: {of.folder_problem or 'can be written'}, {of.free_gb:,.1f} GB free",
        "SQLite": f"{of.sqlite}, {fts} FTS5",
        "terminal": f"{of.encoding}, {'a terminal' if of.is_terminal else 'a file or a pipe'}",
    }
    yield from (f"{name:10} {plain(said)}" for name, said in rows.items())


def _extra(of: Extra) -> Iterator[str]:
    name = f"[{of.name}]" if of.name else "overt"
    yield f"{name:12} {of.state:14} {of.adds}"
    if there := ", ".join(_package(one) for one in of.packages if one.state != "missing"):
        yield f"{'':12} {there}"
    missing = [one.name for one in of.packages if one.state == "missing"]
    if missing and len(missing) < len(of.packages):
        yield f"{'':12} missing: {', '.join(missing)}"
    if of.late:
        yield f"{'':12} not imported in time: {', '.join(of.late)}"
    if of.state != "installed":
        yield f"{'':12} {of.command}"


def _package(one: Package) -> str:
    said = {"other version": f" (wanted {one.wanted})", "broken": " (broken)"}
    return f"{one.name} {one.version}{said.get(one.state, '')}"


@command(DoctorConfig)
def doctor(config: DoctorConfig) -> None:
    """
        overt doctor

        overt doctor --online

        overt doctor --seconds 0 --json

    For the first look when something does not work, and for a report of a problem: no key's value and no path
    is in it. Packages are imported in a process of their own, so that a broken one is told. The exit code is
    1 where something is broken or too old; an extra that is not installed is no problem.
    """
    found = examine(seconds=config.seconds, online=config.online)
    if config.as_json:
        print_json(to_json(found))
    else:
        print_health(found)
    raise typer.Exit(1 if found.problems else 0)
