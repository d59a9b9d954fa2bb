"""Near-duplicates with every pair compared, for small sets: what the other ways are held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from overt.scoring.neighbours.bands import mix
from overt.scoring.neighbours.walk import Match
from overt.scoring.neighbours.words import Words, spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]  # numbers of rows
    Floats = NDArray[np.float32]

_BLOCK, _CHUNK = 1024, 16_384


def cosine_exact(vectors: Floats, limits: Floats, fixed: int) -> list[Match | None]:
    """The matches of unit vectors, which are overwritten: kept rows move to the front."""
    import numpy as np

    n, lowest = len(vectors), float(limits.min())
    matches: list[Match | None] = [None] * n
    rows = np.arange(n)  # rows[k]: the row whose vector lies in slot k
    staying = fixed
    for start in range(fixed, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        block, limit = vectors[start:stop].copy(), limits[start:stop]
        best_score = np.full(stop - start, -2.0, dtype=np.float32)
        best_row = np.full(stop - start, -1)
        for low in range(0, staying, _CHUNK):
            high = min(low + _CHUNK, staying)
            scores = block @ vectors[low:high].T
            theirs = limits[rows[low:high]]
            for i in np.flatnonzero(scores.max(axis=1) >= lowest).tolist():
                line = np.where(scores[i] >= np.minimum(limit[i], theirs), scores[i], -2.0)
                j = int(line.argmax())
                if line[j] > best_score[i]:
                    best_score[i], best_row[i] = line[j], rows[low + j]
        inside = block @ block.T
        alive = np.ones(stop - start, dtype=bool)
        for i in range(stop - start):
            if i:
                line = np.where(
                    alive[:i] & (inside[i, :i] >= np.minimum(limit[i], limit[:i])), inside[i, :i], -2.0
                )
                j = int(line.argmax())
                if line[j] > best_score[i]:
                    best_score[i], best_row[i] = line[j], start + j
            if best_row[i] >= 0:
                alive[i] = False
                matches[start + i] = Match(int(best_row[i]), min(float(best_score[i]), 1.0))
        stay = np.flatnonzero(alive)
        vectors[staying : staying + len(stay)] = block[stay]
        rows[staying : staying + len(stay)] = start + stay
        staying += len(stay)
    return matches


def jaccard_exact(words: Words, limits: NDArray[np.float64], fixed: int) -> list[Match | None]:
    """The matches of texts by the Jaccard similarity of their shingles."""
    import numpy as np

    sets = _Sets(words)
    propose = _Bounded(sets, words.members, float(limits.min()), fixed)
    matches: list[Match | None] = []
    for i in range(len(words)):
        if i >= fixed and len(near := propose.candidates(i)):
            scores = sets.jaccard(i, near)
            scores = np.where(scores >= np.minimum(limits[i], limits[near]), scores, -1.0)
            j = int(scores.argmax())
            if scores[j] >= 0:
                matches.append(Match(int(near[j]), float(scores[j])))
                continue
        matches.append(None)
        propose.add(i)
    return matches


def jaccard_pairs(words: Words, limit: float) -> Iterator[tuple[int, int]]:
    """Every pair of texts (later, earlier) whose shingles have at least this Jaccard similarity."""
    sets = _Sets(words)
    propose = _Bounded(sets, words.members, limit, 0)
    for i in range(len(words)):
        if len(near := propose.candidates(i)):
            for j in near[sets.jaccard(i, near) >= limit].tolist():
                yield i, j
        propose.add(i)


class _Sets:
    """The texts' shingles, each once, as numbers in one flat array."""

    def __init__(self, words: Words) -> None:
        import numpy as np

        self.tokens, self.ends = words.sets(np.arange(len(words)))
        self.sizes = np.diff(self.ends)
        self._mark = np.zeros(words.members, dtype=bool)

    def jaccard(self, i: int, others: Rows) -> NDArray[np.float64]:
        """Returns the Jaccard similarity of text i with each of `others` (row numbers)."""
        import numpy as np

        sizes = self.sizes[others]
        starts = np.cumsum(sizes) - sizes
        mine = self.tokens[self.ends[i] : self.ends[i + 1]]
        self._mark[mine] = True
        theirs = self._mark[self.tokens[spans(self.ends[others], sizes)]]
        shared = np.add.reduceat(theirs, starts, dtype=np.int64)
        self._mark[mine] = False
        similarity: NDArray[np.float64] = shared / (self.sizes[i] + sizes - shared)
        return similarity


class _Bounded:
    """Proposes all texts whose Jaccard similarity can reach `lowest`.

    Members are hashed to a few hundred buckets and counted. The product of two texts' counts is at
    least the number of members they share, and Jaccard t needs t / (1 + t) of the two sizes together
    to be shared. Both sizes are extra columns, so that one matrix product gives the margin.
    """

    BUCKETS = 512

    def __init__(self, sets: _Sets, members: int, lowest: float, fixed: int) -> None:
        import numpy as np

        n, share = len(sets.sizes), max(lowest, 0.0) / (1 + max(lowest, 0.0))
        bucket = (mix(np.arange(members, dtype=np.uint64)) % np.uint64(self.BUCKETS)).astype(np.int64)
        counts = np.zeros((n, self.BUCKETS + 2), dtype=np.float32)
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            owner = np.repeat(np.arange(stop - start), sets.sizes[start:stop])
            places = owner * self.BUCKETS + bucket[sets.tokens[sets.ends[start] : sets.ends[stop]]]
            table = np.bincount(places, minlength=(stop - start) * self.BUCKETS)
            counts[start:stop, : self.BUCKETS] = table.reshape(stop - start, self.BUCKETS)
        counts[:, -2], counts[:, -1] = -share * sets.sizes, 1.0
        self._counts = counts
        self._staying = np.zeros(n, dtype=bool)
        self._found: dict[int, Rows] = {}
        self._done = fixed

    def add(self, i: int) -> None:
        self._staying[i] = True

    def candidates(self, i: int) -> Rows:
        while i >= self._done:
            self._advance()
        near = self._found.pop(i)
        return near[self._staying[near]]

    def _advance(self) -> None:
        """Finds the earlier candidates of the next block of texts."""
        import numpy as np

        start = self._done
        self._done = stop = min(start + _BLOCK, len(self._counts))
        block = self._counts[start:stop].copy()
        block[:, [-2, -1]] = block[:, [-1, -2]]  # so that one's size meets the other's 1
        found: list[list[Rows]] = [[np.empty(0, dtype=np.int64)] for _ in range(start, stop)]
        for low in range(0, stop, _CHUNK):
            margin = block @ self._counts[low : min(low + _CHUNK, stop)].T
            # Slack for float32: extra candidates, never missing ones.
            for k in np.flatnonzero(margin.max(axis=1) >= -0.05).tolist():
                found[k].append(low + np.flatnonzero(margin[k] >= -0.05))
        for k, parts in enumerate(found):
            near = np.concatenate(parts)
            self._found[start + k] = near[near < start + k]
