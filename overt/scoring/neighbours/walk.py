"""The walk: which rows stay, given which rows are near.

Rows are taken in order; one that is near an earlier row that stays goes, and its match is the most similar of
those, the first of several. The first `fixed` rows always stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_LISTED = 1 << 20  # pairs that are made Python numbers at once


class Match(NamedTuple):
    """The earlier near-duplicate of a row, and the similarity."""

    row: int
    score: float


class Near(NamedTuple):
    """Pairs of near rows, `left` before `right`, with their exact similarity."""

    left: Rows
    right: Rows
    score: NDArray[np.float64]


class Finder(Protocol):
    """Finds near pairs among given rows (numbers in rising order)."""

    def within(self, rows: Rows) -> Near | None:
        """All near pairs of these rows; None where they are so many that halves should be taken."""
        ...

    def touched(self, first: Rows, second: Rows) -> NDArray[np.bool_]:
        """For each row of `second`, whether an earlier row of `first` is near."""
        ...

    def across(self, first: Rows, second: Rows) -> Iterator[Near]:
        """The near pairs of one row of `first` and a later one of `second`, in portions, each pair once."""
        ...


def walked(finder: Finder, count: int, fixed: int) -> list[Match | None]:
    """The match of each of `count` rows, or None for those that stay."""
    import numpy as np

    rows = np.arange(count)
    best = _Best(count)
    near = finder.within(rows)
    if near is not None:
        stays = np.zeros(count, dtype=bool)
        stays[_greedy(rows, near, fixed)] = True
        best.take(near, stays)
        return best.matches()
    stays = np.zeros(count, dtype=bool)
    stays[_staying(finder, rows, fixed)] = True
    for near in finder.across(np.flatnonzero(stays), np.flatnonzero(~stays)):
        best.take(near, stays)
    return best.matches()


def _staying(finder: Finder, rows: Rows, fixed: int) -> Rows:
    """The rows that stay. Where many are alike, the first half is decided first: what it touches goes at
    once, and no pairs of it are made."""
    import numpy as np

    near = finder.within(rows)
    if near is not None:
        return _greedy(rows, near, fixed)
    half = len(rows) // 2
    first = _staying(finder, rows[:half], fixed)
    second = rows[half:]
    loose = second[second >= fixed]
    gone = loose[finder.touched(first, loose)]
    rest = _staying(finder, second[~np.isin(second, gone, assume_unique=True)], fixed)
    return np.concatenate([first, rest])


def _greedy(rows: Rows, near: Near, fixed: int) -> Rows:
    import numpy as np

    order = np.lexsort((near.left, near.right))
    order = order[near.right[order] >= fixed]
    top = int(rows[-1]) + 1 if len(rows) else 0
    stays = bytearray(b"\1") * top
    for start in range(0, len(order), _LISTED):
        some = order[start : start + _LISTED]
        for left, right in zip(near.left[some].tolist(), near.right[some].tolist(), strict=True):
            if stays[left]:
                stays[right] = 0
    return rows[np.frombuffer(stays, dtype=np.uint8)[rows] > 0] if top else rows


class _Best:
    """The most similar row that stays, for each row that goes."""

    def __init__(self, count: int) -> None:
        import numpy as np

        self._row = np.full(count, -1, dtype=np.int64)
        self._score = np.full(count, -1.0)

    def take(self, near: Near, stays: NDArray[np.bool_]) -> None:
        import numpy as np

        used = np.flatnonzero(stays[near.left] & ~stays[near.right])
        left, right, score = near.left[used], near.right[used], near.score[used]
        order = np.lexsort((left, -score, right))
        right = right[order]
        first = order[np.concatenate([[True], right[1:] != right[:-1]])] if len(order) else order
        mine, row, value = near.right[used][first], left[first], score[first]
        known = self._score[mine]
        better = (value > known) | ((value == known) & (row < self._row[mine]))
        self._row[mine[better]], self._score[mine[better]] = row[better], value[better]

    def matches(self) -> list[Match | None]:
        pairs = zip(self._row.tolist(), self._score.tolist(), strict=True)
        return [Match(row, min(score, 1.0)) if row >= 0 else None for row, score in pairs]
