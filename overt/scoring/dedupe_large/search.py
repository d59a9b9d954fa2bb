"""The steps in their order, and the walk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overt.scoring.dedupe_large import steps
from overt.scoring.dedupe_large.engines import Engine
from overt.scoring.near_duplicates import ROUNDING
from overt.scoring.neighbours.bands import make_plan
from overt.scoring.neighbours.minhash import HASHES, strangers
from overt.scoring.neighbours.walk import Match, Near, walked
from overt.scoring.neighbours.words import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

PART = 250_000  # texts of a part


@dataclass(frozen=True, slots=True)
class Found:
    """The repeats among `count` texts, by their numbers. `repeats`: of an exact repeat, the text that stays;
    `near`: of a near repeat, the text that stays and the similarity."""

    count: int
    repeats: dict[int, int]
    near: dict[int, Match]


def find_repeats(
    texts: Iterable[str], threshold: float, folder: Path, engine: Engine, *, part: int = PART
) -> Found:
    """Finds exact repeats, then near ones by the Jaccard similarity of shingles; the first text stays.

    What is found is what `overt.scoring.dedupe` finds in memory among more than 20,000 texts of one label.

    Args:
        threshold: similarity from which two texts are near, in (0, 1].
        folder: an empty folder that every machine of the engine sees. It takes some 500 bytes a text beside
            the texts.
        part: how many texts are hashed in one step.
    """
    import numpy as np

    sizes = _write(texts, folder, part)
    if not sizes:
        return Found(0, {}, {})
    every = list(range(len(sizes)))
    engine.take(steps.hash_repeats, folder, every)
    firsts = steps.first_of_repeats(folder, len(sizes))
    own = np.arange(len(firsts))
    fresh = own[firsts == own]
    steps.write_fresh(folder, fresh)
    steps.write_setup(folder, _setup(folder, sizes, fresh, threshold))
    engine.take(steps.hash_part, folder, every)
    matches = walked(_Spread(folder, engine), len(fresh), 0)
    repeats = {row: int(firsts[row]) for row in own[firsts != own].tolist()}
    near = {
        int(fresh[place]): Match(int(fresh[match.row]), match.score)
        for place, match in enumerate(matches)
        if match is not None
    }
    return Found(len(firsts), repeats, near)


def _write(texts: Iterable[str], folder: Path, part: int) -> list[int]:
    """Writes the texts in parts; returns how many each has."""
    sizes: list[int] = []
    held: list[str] = []
    for text in texts:
        held.append(text)
        if len(held) == part:
            steps.write_texts(folder, len(sizes), held)
            sizes.append(len(held))
            held = []
    if held:
        steps.write_texts(folder, len(sizes), held)
        sizes.append(len(held))
    return sizes


def _setup(folder: Path, sizes: list[int], fresh: Rows, threshold: float) -> steps.Setup:
    import numpy as np

    lowest = threshold - ROUNDING
    left, right = strangers(len(fresh))
    rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    words = Words(steps.texts_of(folder, sizes, fresh[rows]))
    strange = words.jaccard(place[: len(left)], place[len(left) :])
    plan = make_plan(len(fresh), HASHES, np.array([lowest]), strange)
    ends = np.searchsorted(fresh, np.cumsum(sizes))
    counts = np.diff(np.concatenate([[0], ends]))
    return steps.Setup(plan, lowest, tuple(sizes), tuple(counts.tolist()))


class _Spread:
    """The finder of the files, whose first search over all texts is spread by the engine."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder, self._engine = folder, engine
        self._count = sum(steps.read_setup(folder).fresh)
        self._finder = steps.finder_of(folder)
        self.touched, self.across = self._finder.touched, self._finder.across

    def within(self, rows: Rows) -> Near | None:
        import numpy as np

        if len(rows) < self._count:
            return self._finder.within(rows)
        bands = range(len(steps.read_setup(self._folder).plan.bands))
        self._engine.take(steps.pairs_of_band, self._folder, bands)
        codes = steps.all_pairs(self._folder)
        if codes is None:
            return None
        todo = steps.portions(codes)
        self._engine.take(steps.score_portion, self._folder, todo)
        found = [steps.scored(self._folder, portion) for portion in todo]
        if not found:
            return self._finder.near(codes)
        return Near(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
