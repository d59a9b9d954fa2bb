"""Where a run keeps its results, and how they are read and written."""

from __future__ import annotations

from pathlib import Path

from overt.data.errors import InputError
from overt.data.results.remedy import Remedy
from overt.data.results.summary import SCHEMA, Summary
from overt.data.run.files import dump_json, read_json, write_atomic
from overt.data.typed_json import from_json, to_json

FOLDER = "results"


def summary_file(run: Path) -> Path:
    return run / FOLDER / "summary.json"


def remedy_file(run: Path) -> Path:
    return run / FOLDER / "rewrite.json"


def read_summary(run: Path) -> Summary:
    """The statistics of a run. Files of version 0.1.0 name no schema; they have the first one.

    Raises:
        InputError: there is none, it cannot be read, or a newer version of overt wrote it.
    """
    path = summary_file(run)
    found = from_json(Summary, read_json(path), where=str(path))
    if found.schema > SCHEMA:
        raise InputError(
            f"schema: this file has version {found.schema} and this overt reads up to {SCHEMA}",
            where=str(path),
            fix="Install the version of overt that made the run, or a newer one.",
        )
    return found


def write_summary(run: Path, summary: Summary) -> None:
    """Writes the statistics of a run.

    Raises:
        RunError: the file cannot be written.
    """
    write_atomic(summary_file(run), dump_json(to_json(summary)))


def read_remedy(run: Path) -> Remedy:
    """What `overt rewrite` found.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = remedy_file(run)
    return from_json(Remedy, read_json(path), where=str(path))


def write_remedy(run: Path, remedy: Remedy) -> None:
    """Writes what `overt rewrite` found.

    Raises:
        RunError: the file cannot be written.
    """
    write_atomic(remedy_file(run), dump_json(to_json(remedy)))
