"""Reads the episodes of a run, one at a time: a million of them are more than memory should hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from overt.data.episodes import Episode
from overt.data.run.files import placed_records
from overt.data.run.outcome_parts import EPISODES


def episodes_file(folder: Path) -> Path:
    return folder / "stages" / f"{EPISODES}.jsonl"


def episodes_of(folder: Path) -> Iterator[Episode]:
    """The episodes of a run in the order of its targets and tasks; none where there are none.

    Raises:
        InputError: a line is no episode; has the line number.
    """
    return (episode for _, _, episode in placed_records(episodes_file(folder), Episode))
