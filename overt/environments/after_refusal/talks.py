"""What is kept of the episodes, as numbers: the state of each turn, by target and condition."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from overt.data.episodes import Episode, Step

Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Ints = NDArray[np.int64]

# What became of a turn. A softened answer gives something of what was asked: it is no refusal.
MISSING, ANSWERED, SOFTENED, BY_MODEL, BY_SERVICE = -1, 0, 1, 2, 3


def code_of(step: Step) -> int:
    """What became of a turn."""
    if step.state == "refused":
        return BY_MODEL if step.stage in (None, "model") else BY_SERVICE
    return {"answered": ANSWERED, "softened": SOFTENED}.get(step.state, MISSING)


def refused(codes: Codes) -> Bools:
    found: Bools = codes >= BY_MODEL
    return found


@dataclass(frozen=True)
class Talks:
    """The episodes of one condition of one target, in their order.

    prompts, states: of shape (episodes, K): the prompt that was asked at each distance, and what became of
    it. samples, clusters, first: of shape (episodes,): the draw, the cluster of the prompt at distance 1, and
    what became of the turn before it (MISSING alone, where there is none).
    """

    prompts: Ints
    states: Codes
    samples: Ints
    clusters: Ints
    first: Codes

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def depth(self) -> int:
        return int(self.states.shape[1])

    def at(self, distance: int) -> Codes:
        """What became of the prompts at a distance."""
        found: Codes = self.states[:, distance - 1]
        return found

    def keys(self, distance: int) -> list[tuple[int, int]]:
        """Prompt and draw at a distance, by which it is joined to other episodes."""
        return list(zip(self.prompts[:, distance - 1].tolist(), self.samples.tolist(), strict=True))


def beside(mine: Talks, distance: int, other: Talks | None, *, is_alone: bool) -> Codes:
    """What became of the prompts at a distance of `mine` in the episodes of another condition: of each prompt
    alone, or of the same distance after what else was said. MISSING where there is none."""
    if other is None:
        return np.full(len(mine), MISSING, dtype=np.int8)
    codes = other.at(1 if is_alone else distance)
    found = dict(zip(other.keys(1), codes.tolist(), strict=True))
    keys = mine.keys(distance if is_alone else 1)
    return np.array([found.get(key, MISSING) for key in keys], dtype=np.int8)


@dataclass(frozen=True)
class Read:
    """All that figures need: the talks by target and condition, what the data set had (`pairs.Data`), and how
    many prompts of a language were explained in English."""

    talks: dict[str, dict[str, Talks]]
    data: dict[str, int]
    foreign: dict[str, int]


@dataclass
class _Growing:
    depth: int
    prompts: array[int] = field(default_factory=lambda: array("q"))
    samples: array[int] = field(default_factory=lambda: array("q"))
    clusters: array[int] = field(default_factory=lambda: array("q"))
    first: array[int] = field(default_factory=lambda: array("b"))
    states: array[int] = field(default_factory=lambda: array("b"))

    def done(self) -> Talks:
        return Talks(
            np.array(self.prompts, dtype=np.int64).reshape(-1, self.depth),
            np.array(self.states, dtype=np.int8).reshape(-1, self.depth),
            np.array(self.samples, dtype=np.int64),
            np.array(self.clusters, dtype=np.int64),
            np.array(self.first, dtype=np.int8),
        )


def read(episodes: Iterable[Episode]) -> Read:
    """Reads the episodes once, and keeps numbers alone."""
    growing: dict[str, dict[str, _Growing]] = {}
    names: dict[str, int] = {}
    data: dict[str, int] = {}
    foreign: dict[str, set[int]] = {}
    for episode in episodes:
        task = episode.task
        data = data or dict(task["data"])
        turns = list(task["turns"])
        asked = [turn for turn in turns if turn["distance"]]
        opening = len(turns) - len(asked)
        # A turn that was not reached is missing.
        codes = [*map(code_of, episode.steps), *[MISSING] * (len(turns) - len(episode.steps))]
        prompts = [names.setdefault(str(turn["prompt"]), len(names)) for turn in asked]
        mine = growing.setdefault(episode.target, {})
        talks = mine.setdefault(str(task["condition"]), _Growing(len(asked)))
        talks.prompts.extend(prompts)
        talks.states.extend(codes[opening:])
        talks.samples.append(episode.sample)
        talks.clusters.append(names.setdefault(f"cluster {episode.cluster}", len(names)))
        talks.first.append(codes[0] if opening else MISSING)
        if task.get("in_english"):
            foreign.setdefault(str(task["language"]), set()).add(prompts[0])
    return Read(
        {target: {name: one.done() for name, one in mine.items()} for target, mine in growing.items()},
        data,
        {language: len(found) for language, found in foreign.items()},
    )
