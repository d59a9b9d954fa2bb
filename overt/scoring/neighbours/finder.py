"""Near pairs by bands: candidates, a look at their signatures, and the exact score of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from overt.scoring.neighbours.bands import Plan, Shared, keys_of
from overt.scoring.neighbours.walk import Near

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from overt.scoring.neighbours.bands import Halves, Rows

    Scores = NDArray[np.float64]
    Codes = NDArray[np.uint64]

_STAGES = (2, 6)  # 64-bit words of a signature that are looked at first, and next
# Candidates for each row in one band, and likely pairs of all bands, above which rows are taken by halves.
_MOST_PER_ROW, _MOST_LIKELY = 256, 1 << 23
_DEVIATIONS = 4.5  # of a near pair's signature, which one pair in 300,000 exceeds


def packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(k, rows) numbers of (rows, 64 * k) bits."""
    import numpy as np

    words: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64).T
    return np.ascontiguousarray(words)


def distinct(*codes: Codes) -> Codes:
    """All codes, each once, in order.

    They are sorted, which takes a tenth of what `np.unique` takes to hash them (NumPy 2.4, 8 million codes).
    """
    import numpy as np

    found = np.concatenate(codes)
    found.sort()
    first = np.ones(len(found), dtype=bool)
    np.not_equal(found[1:], found[:-1], out=first[1:])
    return found[first]


def most_unlike(alike: float, bits: int) -> int:
    """How many of `bits` may differ in a pair of which each bit agrees with probability `alike`."""
    return int(bits * (1 - alike) + _DEVIATIONS * (bits * alike * (1 - alike)) ** 0.5 + 1)


@dataclass(frozen=True, slots=True)
class Looks:
    """Signatures of rows, (k, rows) of 64 bits; alike: the chance that a bit of two near rows agrees."""

    signs: NDArray[np.uint64]
    alike: float

    def likely(self, rows: Rows, pairs: Iterator[tuple[Rows, Rows]]) -> Iterator[tuple[Rows, Rows]]:
        """The pairs whose signatures are those of near rows. pairs: of places in `rows`.

        Few words are looked at first, in the order of the places: this is most of the work.
        """
        import numpy as np

        first = [word[rows] for word in self.signs[: _STAGES[0]]]
        for left, right in pairs:
            kept = np.flatnonzero(_unlike(first, left, right) <= self._most(len(first)))
            left, right = rows[left[kept]], rows[right[kept]]
            for words in (self.signs[: _STAGES[1]], self.signs[_STAGES[1] :]):
                if len(words):
                    kept = np.flatnonzero(_unlike(words, left, right) <= self._most(len(words)))
                    left, right = left[kept], right[kept]
            yield left, right

    def _most(self, words: int) -> int:
        return most_unlike(self.alike, 64 * words)


def _unlike(signs: Iterable[NDArray[np.uint64]], left: Rows, right: Rows) -> NDArray[np.int16]:
    """The number of bits by which the signatures of each pair differ."""
    import numpy as np

    unlike = np.zeros(len(left), dtype=np.int16)
    for word in signs:
        unlike += np.bitwise_count(word[left] ^ word[right])
    return unlike


class HalvesOnDisk(Protocol):
    """Halves that are read when they are asked for."""

    shape: tuple[int, int]

    def __getitem__(self, half: int) -> Halves: ...


class BandFinder:
    """Finds near pairs of n rows.

    Args:
        halves: (plan.halves, n); see `bands.folded`.
        looks: signatures of the rows.
        limits: n thresholds; a pair is near if its score reaches the lower of its rows'.
        score: the exact scores of pairs.
    """

    def __init__(
        self,
        plan: Plan,
        halves: Halves | HalvesOnDisk,
        looks: Looks,
        limits: NDArray[np.floating],
        score: Callable[[Rows, Rows], Scores],
    ) -> None:
        self._plan, self._halves, self._looks = plan, halves, looks
        self._limits, self._score = limits, score

    def within(self, rows: Rows) -> Near | None:
        likely = _Codes()
        every = len(rows) == self._halves.shape[1]
        for band in self._plan.bands:
            if not self._collect(likely, self._shared(band, None if every else rows), rows):
                return None
        return self.near(likely.all())

    def likely_in(self, band: int) -> Codes | None:
        """The likely pairs of all rows in one band; None where they are too many."""
        import numpy as np

        likely, count = _Codes(), self._halves.shape[1]
        shared = self._shared(self._plan.bands[band], None)
        return likely.all() if self._collect(likely, shared, np.arange(count)) else None

    def _collect(self, likely: _Codes, shared: Shared, rows: Rows) -> bool:
        """Adds the likely pairs of one band, unless they are too many."""
        if shared.pairs_count() > _MOST_PER_ROW * len(rows):
            return False
        for left, right in self._looks.likely(rows[shared.rows], shared.pairs()):
            likely.add(left, right)
        return len(likely) <= _MOST_LIKELY

    def touched(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        import numpy as np

        hit = np.zeros(len(second), dtype=bool)
        known: Codes = np.empty(0, dtype=np.uint64)  # pairs that were looked at, near or not
        for band in self._plan.bands:
            rows = np.concatenate([first, second[~hit]])
            shared = self._shared(band, rows)
            likely = _Codes()
            for left, right in self._looks.likely(rows[shared.rows], shared.pairs_across(len(first))):
                likely.add(left, right)
            fresh = np.setdiff1d(likely.all(), known, assume_unique=True)
            hit[np.searchsorted(second, self.near(fresh).right)] = True
            known = distinct(known, fresh)
        return hit

    def across(self, first: Rows, second: Rows) -> Iterator[Near]:
        import numpy as np

        rows = np.concatenate([first, second])
        likely = _Codes()
        for band in self._plan.bands:
            shared = self._shared(band, rows)
            for left, right in self._looks.likely(rows[shared.rows], shared.pairs_across(len(first))):
                likely.add(left, right)
        codes = likely.all()
        for start in range(0, len(codes), _MOST_LIKELY):
            yield self.near(codes[start : start + _MOST_LIKELY])

    def _shared(self, band: tuple[int, int], rows: Rows | None) -> Shared:
        """The buckets of some rows, or of all."""
        first, second = (self._halves[half] if rows is None else self._halves[half][rows] for half in band)
        return Shared(keys_of(first, second))

    def near(self, codes: Codes) -> Near:
        """Those of the pairs whose exact score reaches the lower of their limits."""
        import numpy as np

        left = (codes >> np.uint64(32)).astype(np.int64)
        right = (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
        score = self._score(left, right)
        near = np.flatnonzero(score >= np.minimum(self._limits[left], self._limits[right]))
        return Near(left[near], right[near], score[near])


class _Codes:
    """Pairs of rows, each once and as one number: the earlier row, then the later."""

    def __init__(self) -> None:
        import numpy as np

        self._known: Codes = np.empty(0, dtype=np.uint64)
        self._fresh: list[Codes] = []
        self._waiting = 0

    def add(self, left: Rows, right: Rows) -> None:
        """Takes pairs of which some may be here; those whose left row is the later one are left out."""
        import numpy as np

        kept = left < right
        code = left[kept].astype(np.uint64) << np.uint64(32) | right[kept].astype(np.uint64)
        self._fresh.append(code)
        self._waiting += len(code)
        if self._waiting > _MOST_LIKELY:
            self.all()

    def all(self) -> Codes:
        self._known = distinct(self._known, *self._fresh)
        self._fresh, self._waiting = [], 0
        return self._known

    def __len__(self) -> int:
        """At most what is here, without a look for repeats."""
        return len(self._known)
