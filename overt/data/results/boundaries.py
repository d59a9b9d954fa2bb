"""Scores of answers at emotional boundaries, by scoring, model and language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from overt.data.results.remedy import MeanInterval
from overt.data.results.summary import Proportion


@dataclass(frozen=True, slots=True)
class LengthMean(MeanInterval):
    """The mean length of `n` answers."""

    n: int = 0


@dataclass(frozen=True, slots=True)
class BoundaryCell:
    """Answers of one model, in one language or in all.

    `n` counts answers and `scored` those whose language has a lexicon. `score` is out of 10, None where
    nothing was scored. `rates` has the share of answers that show each pattern; `length` is by unit: words,
    or characters for languages without blanks (the two are never mixed).
    """

    n: int
    scored: int
    score: MeanInterval | None = None
    rates: Mapping[str, Proportion] = field(default_factory=dict)
    length: Mapping[str, LengthMean] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelBoundaries:
    """All answers of one model, and the same by language."""

    all: BoundaryCell
    languages: Mapping[str, BoundaryCell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """`scorings` is by scoring and then by model; `points` says what each pattern counts."""

    level: float
    patterns: tuple[str, ...]
    points: Mapping[str, float]
    scorings: Mapping[str, Mapping[str, ModelBoundaries]]
