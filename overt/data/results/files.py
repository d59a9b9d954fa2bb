"""Reads and writes the result files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from overt.data.errors import InputError
from overt.data.results import calibration, episodes, explanation
from overt.data.results.calibration import Calibration
from overt.data.results.episodes import EpisodesSummary
from overt.data.results.explanation import Explanation
from overt.data.results.remedy import Remedy
from overt.data.results.summary import SCHEMA, Summary
from overt.data.run.files import dump_json, read_json, write_atomic
from overt.data.typed_json import from_json, to_json

T = TypeVar("T", Summary, Calibration, EpisodesSummary)

FOLDER = "results"


def summary_file(run: Path) -> Path:
    return run / FOLDER / "summary.json"


def remedy_file(run: Path) -> Path:
    return run / FOLDER / "rewrite.json"


def explanation_file(run: Path) -> Path:
    return run / FOLDER / "explain.json"


def calibration_file(run: Path) -> Path:
    return run / FOLDER / "calibration.json"


def episodes_summary_file(run: Path) -> Path:
    return run / FOLDER / "episodes.json"


def read_summary(run: Path) -> Summary:
    """Reads the statistics of a run. Files of version 0.1.0 name no schema; they have the first one.

    Raises:
        InputError: the file does not exist, cannot be read, or is of a newer version of overt.
    """
    return _read(Summary, summary_file(run), SCHEMA)


def _read(kind: type[T], path: Path, known: int) -> T:
    """Reads a record that names its schema, of which versions up to `known` can be read."""
    found = from_json(kind, read_json(path), where=str(path))
    _refuse_newer(found.schema, known, path)
    return found


def _write(path: Path, record: object) -> None:
    write_atomic(path, dump_json(to_json(record)))


def _refuse_newer(found: int, known: int, path: Path) -> None:
    if found > known:
        raise InputError(
            f"schema: this file has version {found} and this overt reads up to {known}",
            where=str(path),
            fix="Install the version of overt that made the run, or a newer one.",
        )


def write_summary(run: Path, summary: Summary) -> None:
    """Writes the statistics of a run.

    Raises:
        RunError: the file cannot be written.
    """
    _write(summary_file(run), summary)


def read_remedy(run: Path) -> Remedy:
    """Reads the results of `overt rewrite`.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    path = remedy_file(run)
    return from_json(Remedy, read_json(path), where=str(path))


def write_remedy(run: Path, remedy: Remedy) -> None:
    """Writes the results of `overt rewrite`.

    Raises:
        RunError: the file cannot be written.
    """
    _write(remedy_file(run), remedy)


def read_explanation(run: Path) -> Explanation:
    """Reads the results of `overt explain`.

    Raises:
        InputError: the file does not exist, cannot be read, or is of a newer version of overt.
    """
    path = explanation_file(run)
    try:
        found = from_json(Explanation, read_json(path), where=str(path))
    except InputError as error:
        anew = f"Make it anew, its calls are in the journal: overt explain {run}"
        raise InputError(error.what, where=error.where or str(path), fix=error.fix or anew) from error
    _refuse_newer(found.schema, explanation.SCHEMA, path)
    return found


def write_explanation(run: Path, found: Explanation) -> None:
    """Writes the results of `overt explain`.

    Raises:
        RunError: the file cannot be written.
    """
    _write(explanation_file(run), found)


def read_calibration(run: Path) -> Calibration:
    """Reads the results of `overt calibrate`.

    Raises:
        InputError: the file does not exist, cannot be read, or is of a newer version of overt.
    """
    return _read(Calibration, calibration_file(run), calibration.SCHEMA)


def write_calibration(run: Path, found: Calibration) -> None:
    """Writes the results of `overt calibrate`.

    Raises:
        RunError: the file cannot be written.
    """
    _write(calibration_file(run), found)


def read_episodes(run: Path) -> EpisodesSummary | None:
    """Reads the figures of a run's episodes; None where it has none.

    Raises:
        InputError: the file cannot be read, or is of a newer version of overt.
    """
    path = episodes_summary_file(run)
    return _read(EpisodesSummary, path, episodes.SCHEMA) if path.exists() else None


def write_episodes(run: Path, found: EpisodesSummary) -> None:
    """Writes the figures of a run's episodes.

    Raises:
        RunError: the file cannot be written.
    """
    _write(episodes_summary_file(run), found)
