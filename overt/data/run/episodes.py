"""Reads the episodes of a run, one at a time: a million of them are more than memory should hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overt.data import episodes
from overt.data.episodes import EpisodeState
from overt.data.run.brief import Stored
from overt.data.run.outcome_parts import EPISODES


@dataclass(frozen=True, slots=True)
class Episode:
    """What is to be known of an episode before it is read whole. The fields are those of the whole one."""

    id: str
    prompt_id: str
    target: str
    label: str
    category: str
    state: EpisodeState


def episodes_file(folder: Path) -> Path:
    return folder / "stages" / f"{EPISODES}.jsonl"


def stored_episodes(folder: Path) -> Stored[Episode, episodes.Episode]:
    """The episodes of a run; none where there are none."""
    return Stored(episodes_file(folder), Episode, episodes.Episode)


def episodes_of(folder: Path) -> Iterator[episodes.Episode]:
    """The episodes of a run in the order of its targets and tasks; none where there are none.

    Raises:
        InputError: a line is no episode; has the line number.
    """
    return stored_episodes(folder).wholes()
