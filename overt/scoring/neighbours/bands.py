"""Bands: which rows may be near, by keys that near rows are likely to share.

A row has many short hashes; two rows share each with a probability that grows with their similarity (MinHash,
random planes). `width` of them make a half, the halves are dealt into groups, and each two halves of a group
make a band (the trick of Andoni & Indyk 2006: few hashes, many bands). Rows that agree in a band are a
candidate pair. The plan with the least work is taken of those that propose enough of the near pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = NDArray[np.uint64]
    Halves = NDArray[np.uint32]
    Rows = NDArray[np.int64]
    Places = NDArray[Any]  # of 32 or 64 bits
    Chances = NDArray[np.float64]

# The share of pairs at the lowest threshold that a plan must propose.
LEAST_RECALL = 0.9995
_GROUPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)  # halves in a group
# Seconds, as measured: to sort one row into a band, and to look at one candidate pair.
_TO_SORT, _TO_LOOK = 1.2e-8, 1.6e-8
_FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
_PAIRS_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class Plan:
    """How hashes become bands. width: hashes of a half; group: halves of a group; groups: how many."""

    width: int
    group: int
    groups: int

    @property
    def halves(self) -> int:
        return self.group * self.groups

    @property
    def bands(self) -> list[tuple[int, int]]:
        """The two halves of each band; in groups of one, a half is a band."""
        if self.group == 1:
            return [(half, half) for half in range(self.groups)]
        firsts = range(0, self.halves, self.group)
        return [
            pair for first in firsts for pair in itertools.combinations(range(first, first + self.group), 2)
        ]

    def recall(self, alike: Chances) -> float:
        """The share of pairs that a band proposes. alike: for each pair, the chance that a hash agrees."""
        half = alike**self.width
        missed = (1 - half) ** self.group
        if self.group > 1:
            missed = missed + self.group * half * (1 - half) ** (self.group - 1)
        return float(1 - (missed**self.groups).mean())

    def seconds(self, rows: int, strange: Chances) -> float:
        """What the plan costs. strange: for pairs drawn at random, the chance that a hash agrees."""
        hashes = self.width * (1 if self.group == 1 else 2)
        pairs = rows * rows / 2 * float((strange**hashes).mean())
        return len(self.bands) * (rows * _TO_SORT + pairs * _TO_LOOK)


def make_plan(rows: int, hashes: int, alike: Chances, strange: Chances) -> Plan:
    """The quickest plan of sufficient recall; where there is none, the one with the best.

    Args:
        rows: how many rows are compared.
        hashes: how many hashes a row has.
        alike: of pairs at the lowest threshold, the chance that one hash agrees.
        strange: the same of pairs drawn at random; empty where there are none.
    """
    import numpy as np

    strange = strange if len(strange) else np.zeros(1)
    plans = [
        Plan(width, group, hashes // width // group)
        for width in range(1, 33)
        for group in _GROUPS
        if hashes // width // group
    ]
    good = [plan for plan in plans if plan.recall(alike) >= LEAST_RECALL]
    if good:
        return min(good, key=lambda plan: plan.seconds(rows, strange))
    return max(plans, key=lambda plan: plan.recall(alike))


def folded(hashes: NDArray[np.uint32], plan: Plan) -> Halves:
    """The halves of rows, (rows, plan.halves), from their hashes, (rows, at least width * halves)."""
    import numpy as np

    parts = hashes[:, : plan.width * plan.halves].reshape(len(hashes), plan.halves, plan.width)
    mixed = np.zeros((len(hashes), plan.halves), dtype=np.uint64)
    for place in range(plan.width):
        mixed = (mixed ^ parts[:, :, place]) * np.uint64(_FIRST)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def keys_of(first: Halves, second: Halves) -> Keys:
    """The 64-bit keys of rows in one band, from the two halves of each row."""
    import numpy as np

    keys: Keys = first * np.uint64(_FIRST)
    keys += second * np.uint64(_SECOND)
    return keys


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014, doi 10.1145/2660193.2660195) over uint64 arrays."""
    import numpy as np

    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Shared:
    """The rows of one band that share their key with another row, bucket by bucket.

    keys: of n rows. The number of a row takes the place of a key's last bits, so that one sort of plain
    numbers does all; 40 bits of the key are left among 16 million rows.
    """

    def __init__(self, keys: Keys) -> None:
        import numpy as np

        bits = np.uint64(max(1, (len(keys) - 1).bit_length()))
        ordered = keys >> bits
        ordered <<= bits
        ordered |= np.arange(len(keys), dtype=np.uint64)
        ordered.sort()
        bucket = ordered >> bits
        same = np.zeros(len(keys) + 1, dtype=bool)
        np.equal(bucket[1:], bucket[:-1], out=same[1:-1])
        kept = np.flatnonzero(same[1:] | same[:-1])
        self.rows: Rows = (ordered[kept] & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
        starts = np.flatnonzero(~same[kept])  # of the buckets, among the kept
        self.sizes: Rows = np.diff(np.append(starts, len(kept)))
        self.starts: Rows = starts

    def pairs_count(self) -> int:
        return int((self.sizes * (self.sizes - 1) // 2).sum())

    def pairs(self) -> Iterator[tuple[Rows, Rows]]:
        """Yields all pairs of one bucket as places in `rows`, the earlier row first, in portions."""
        import numpy as np

        places = np.arange(len(self.rows), dtype=np.int32)
        ends = np.repeat((self.starts + self.sizes).astype(np.int32), self.sizes)
        yield from _expanded(places, places + 1, ends)

    def pairs_across(self, first: int) -> Iterator[tuple[Rows, Rows]]:
        """Yields the pairs of one row below `first` and one from there on, as places in `rows`."""
        import numpy as np

        # Rows of a bucket are in order, so that those below `first` come first.
        below = (
            np.add.reduceat(self.rows < first, self.starts, dtype=np.int64) if len(self.rows) else self.sizes
        )
        middles = np.repeat(self.starts + below, self.sizes)
        places = np.flatnonzero(np.arange(len(self.rows)) < middles)
        ends = np.repeat(self.starts + self.sizes, self.sizes)
        yield from _expanded(places, middles[places], ends[places])


def _expanded(places: Places, starts: Places, ends: Places) -> Iterator[tuple[Rows, Rows]]:
    """Pairs each place with the places from its start to its end."""
    import numpy as np

    from overt.scoring.neighbours.words import spans

    counts = ends - starts
    total = np.cumsum(counts, dtype=np.int64)
    start = 0
    while start < len(places):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        some = slice(start, stop)
        yield np.repeat(places[some], counts[some]), spans(starts[some], counts[some])
        start = stop
