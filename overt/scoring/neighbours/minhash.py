"""MinHash signatures of texts, by their words (Leskovec et al., Mining of Massive Datasets, 3.3 and 3.4).

A word's smallest hashes are worked out once; those of a text are the smallest of its words'. They depend on
the shingles' letters alone, so that the parts of a set may be hashed on different machines.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from overt.scoring.neighbours.bands import folded, make_plan
from overt.scoring.neighbours.finder import BandFinder, Looks, packed
from overt.scoring.neighbours.words import Words, spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

HASHES = 384
_SEED = 42
_AT_ONCE = 256  # texts whose signatures stay in the processor's cache
_KEPT_WORDS = 65_536  # whose signatures are kept: 100 MB
_TOKENS = 8_192  # shingles that are hashed at once: 12 MB
_DRAWN = 20_000  # pairs
_LONG = 256  # words, above which a text is worked on alone


def minhash_finder(words: Words, limits: NDArray[np.float64]) -> BandFinder:
    """A finder of texts whose Jaccard similarity reaches their limits."""
    import numpy as np

    lowest = max(float(limits.min()), 0.0)
    plan = make_plan(len(words), HASHES, np.array([lowest]), words.jaccard(*strangers(len(words))))
    halves = np.empty((plan.halves, len(words)), dtype=np.uint32)
    signs = np.empty((HASHES // 64, len(words)), dtype=np.uint64)
    for start, hashes in signatures(words):
        halves[:, start : start + len(hashes)] = folded(hashes, plan).T
        signs[:, start : start + len(hashes)] = signed(hashes)
    # The bits of two hashes that differ agree in one case of two.
    return BandFinder(plan, halves, Looks(signs, (1 + lowest) / 2), limits, words.jaccard)


def signed(hashes: Hashes) -> NDArray[np.uint64]:
    """One bit of each hash: (HASHES / 64, rows) of 64 bits."""
    import numpy as np

    return packed((hashes * np.uint32(0x9E3779B1) >> np.uint32(31)).astype(bool))


def strangers(count: int) -> tuple[Numbers, Numbers]:
    """Pairs of `count` texts, to see how alike strangers are: drawn at random, or all where they are few."""
    import numpy as np

    if count * (count - 1) // 2 <= _DRAWN:
        first, second = np.triu_indices(count, 1)
        return first, second
    left, right = np.random.default_rng(_SEED).integers(0, count, (2, _DRAWN))
    return left[left != right], right[left != right]


def signatures(words: Words) -> Iterator[tuple[int, Hashes]]:
    """Yields the signatures of the texts in portions: (the first one's number, (k, HASHES))."""
    import numpy as np

    of_word = _OfWords(words)
    for start in range(0, len(words), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(words))
        table, numbers = of_word.table(words.flat[words.ends[start] : words.ends[stop]])
        starts, counts = words.ends[start:stop] - words.ends[start], words.counts[start:stop]
        smallest = np.empty((stop - start, HASHES), dtype=np.uint32)
        for row in np.flatnonzero(counts > _LONG).tolist():
            mine = np.unique(numbers[starts[row] : starts[row] + counts[row]])
            smallest[row] = _least(table, mine)
        rows = np.flatnonzero(counts <= _LONG)
        rows = rows[np.argsort(-counts[rows], kind="stable")]
        if len(rows):
            smallest[rows] = _by_place(table, numbers, starts[rows], counts[rows])
        yield start, smallest


def _by_place(table: Hashes, numbers: Numbers, starts: Numbers, counts: Numbers) -> Hashes:
    """The smallest hashes of texts, the longest text first: all first words, then all second words, ..."""
    import numpy as np

    smallest = table[numbers[starts]]
    room = np.empty_like(smallest)
    for place in range(1, int(counts[0])):
        there = int(np.searchsorted(-counts, -place, side="left"))
        np.take(table, numbers[starts[:there] + place], axis=0, out=room[:there], mode="clip")
        np.minimum(smallest[:there], room[:there], out=smallest[:there])
    return smallest


def _least(table: Hashes, rows: Numbers) -> Hashes:
    import numpy as np

    parts = [table[rows[k : k + _AT_ONCE]].min(axis=0) for k in range(0, len(rows), _AT_ONCE)]
    least: Hashes = np.min(parts, axis=0)
    return least


class _OfWords:
    """The signatures of words: kept for those that came first, worked out anew for the others."""

    def __init__(self, words: Words) -> None:
        import numpy as np

        self._words = words
        draw = np.random.default_rng(_SEED)
        self._factors = draw.integers(0, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
        self._terms = draw.integers(0, 2**32, HASHES, dtype=np.uint32)
        self._short = (words.hashes >> np.uint64(32)).astype(np.uint32)
        self._kept = self._signed(np.arange(min(len(words.token_ends) - 1, _KEPT_WORDS)))

    def table(self, flat: NDArray[np.intc]) -> tuple[Hashes, Numbers]:
        """A table of signatures, and the row of each word in it."""
        import numpy as np

        numbers = flat.astype(np.int64)
        if not len(flat) or int(numbers.max()) < len(self._kept):
            return self._kept, numbers
        mine, place = np.unique(numbers, return_inverse=True)
        known = int(np.searchsorted(mine, len(self._kept)))
        return np.concatenate([self._kept[mine[:known]], self._signed(mine[known:])]), place

    def _signed(self, words: Numbers) -> Hashes:
        import numpy as np

        first, widths = self._words.token_ends[words], np.diff(self._words.token_ends)[words]
        signed = np.empty((len(words), HASHES), dtype=np.uint32)
        ends = np.cumsum(widths)
        start = 0
        while start < len(words):
            done = int(ends[start] - widths[start])
            stop = max(start + 1, int(np.searchsorted(ends, done + _TOKENS, side="right")))
            some = slice(start, stop)
            if int(widths[start]) > _TOKENS:
                signed[start] = self._of_wide(int(first[start]), int(widths[start]))
            else:
                hashes = self._hashed(spans(first[some], widths[some]))
                starts = np.cumsum(widths[some]) - widths[some]
                signed[some] = np.minimum.reduceat(hashes, starts, axis=0)
            start = stop
        return signed

    def _of_wide(self, first: int, width: int) -> Hashes:
        """The signature of one word of very many shingles, such as a book without a space."""
        import numpy as np

        cuts = [*range(first, first + width, _TOKENS), first + width]
        parts = [self._hashed(np.arange(a, b)).min(axis=0) for a, b in itertools.pairwise(cuts)]
        least: Hashes = np.min(parts, axis=0)
        return least

    def _hashed(self, places: Numbers) -> Hashes:
        """(k, HASHES): every hash of the shingles at these places."""
        mine = self._short[self._words.tokens[places], None]
        hashed: Hashes = mine * self._factors + self._terms
        return hashed
