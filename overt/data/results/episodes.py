"""The records of `results/episodes.json`: the figures of a run of episodes, whatever the environment.

A figure is a number with what it was counted from. Terminal, report and JSON show all figures of all
environments from these records alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SCHEMA = 1  # raised if a field changes its meaning or is removed, but not for a new field

# A share of 1; a difference of two shares; a number.
Unit = Literal["share", "difference", "number"]
Tone = Literal["cost", "gain", "plain"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    value: None where it is undefined; `note` then says why. low, high: its interval. k, n: what it was
    counted from: `k` of `n`, or over `n` units. missing: how many belong to it and could not be counted.
    note: a word beside it, such as "ours".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    k: int | None = None
    n: int = 0
    missing: int = 0
    unit: Unit = "share"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of figures: of one target and one group, in the order of the section's columns."""

    target: str
    group: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `means` says in a sentence what is counted, over what; `tone` whether much of it is bad."""

    id: str
    title: str
    means: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Section:
    """A table of figures. `text` says what it shows and what to beware of, in whole sentences. `group` is
    the title of the rows' groups. `plot`: "lines" draws a line for each target, over the groups in order."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    text: tuple[str, ...] = ()
    group: str = "group"
    plot: Literal["", "lines"] = ""


@dataclass(frozen=True, slots=True)
class Played:
    """How the episodes of one target ended, and what they took. `states` counts them by `EpisodeState`,
    `missing` those that are missing by reason, `ends` those that ended by the environment's word.
    `refused_turns` counts refusals within all episodes, by who refused ("model", or a filter's stage)."""

    target: str
    episodes: int
    turns: int
    states: Mapping[str, int]
    ends: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    refused_turns: Mapping[str, int] = field(default_factory=dict)
    repaired: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class EpisodesSummary:
    """All figures of a run. `warnings` are what a reader must know before the first figure."""

    environment: str
    version: int
    suite: str
    title: str
    targets: tuple[Played, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    level: float = 0.95
    schema: int = SCHEMA
