"""Near-duplicate search: which rows are too similar to an earlier row that stays.

`cosine_matches` takes unit vectors, `jaccard_matches` takes texts. Both walk the rows in order and match a
row against earlier rows without a match; a pair's threshold is the lower of the two rows'. Small inputs are
compared exactly. Large ones use an
index (semhash for vectors, rensa's MinHash for texts) whose candidates are scored exactly, so an index
can miss a pair but never invents one.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from overt.data.plugins.names import missing_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]  # numbers of rows
    Floats = NDArray[np.float32]

# Above these sizes an index takes over. A blocked matrix product over 200,000 vectors of 256 numbers
# takes about a minute on two cores, less than the graph index needs; 20,000 texts take seconds.
EXACT_VECTORS = 200_000
EXACT_TEXTS = 20_000

# Slack for float32 rounding: equal texts may score 0.9999999.
_ROUNDING = 1e-6
_BLOCK, _CHUNK = 1024, 16_384

_PERMUTATIONS, _SHORT = 384, 64
_MIN_RECALL = 0.9995
_WORD = re.compile(r"\w+")


class Match(NamedTuple):
    """The earlier near-duplicate of a row, and the similarity."""

    row: int
    score: float


def cosine_matches(
    vectors: NDArray[np.float32],
    thresholds: Sequence[float],
    fixed: int = 0,
    *,
    exact_limit: int = EXACT_VECTORS,
) -> tuple[list[Match | None], str]:
    """Returns for each row its most similar earlier near-duplicate or None, and the index used.

    Args:
        vectors: (n, d) float32 of unit length; overwritten to save memory (kept rows move to the front). A
            zero row has no near-duplicate.
        thresholds: n cosines in (0, 1].
        fixed: the first `fixed` rows always stay (an earlier set).
        exact_limit: above this many rows the semhash index proposes the candidates.

    Raises:
        InputError: there are more rows than that, and semhash is not installed.
    """
    import numpy as np

    if len(vectors) == 0:
        return [], "exact cosine"
    limits = np.asarray(thresholds, dtype=np.float32) - np.float32(_ROUNDING)
    if len(vectors) > exact_limit:
        return _cosine_indexed(vectors, limits, fixed), "semhash (approximate neighbours, exact scores)"
    return _cosine_exact(vectors, limits, fixed), "exact cosine"


def _cosine_exact(vectors: Floats, limits: Floats, fixed: int) -> list[Match | None]:
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
                matches[start + i] = Match(int(best_row[i]), _clip(best_score[i]))
        stay = np.flatnonzero(alive)
        vectors[staying : staying + len(stay)] = block[stay]
        rows[staying : staying + len(stay)] = start + stay
        staying += len(stay)
    return matches


def _cosine_indexed(vectors: Floats, limits: Floats, fixed: int) -> list[Match | None]:
    import numpy as np

    n = len(vectors)
    try:
        from semhash import SemHash
        from semhash.utils import MAX_NEIGHBORS
    except ModuleNotFoundError as error:
        raise missing_package(f"comparing the meaning of {n:,} prompts", error) from error
    # The rows' numbers stand in for the texts: the vectors are made already, and semhash would fold
    # equal texts, which the caller has done.
    index = SemHash.from_embeddings(vectors, records=[str(i) for i in range(n)], model=_NoEncoder()).index
    floor = max(float(limits.min()) - 0.02, 1e-3)  # the graph's distances are rounded to half floats
    matches: list[Match | None] = [None] * n
    alive = np.zeros(n, dtype=bool)
    alive[:fixed] = True
    for start in range(fixed, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        for i, (near, _) in enumerate(index.query_threshold(vectors[start:stop], threshold=floor), start):
            near = np.arange(i) if len(near) >= MAX_NEIGHBORS else near.astype(np.int64)
            near = near[near < i]
            near = near[alive[near]]
            if len(near):
                scores = vectors[near] @ vectors[i]
                scores = np.where(scores >= np.minimum(limits[i], limits[near]), scores, -2.0)
                j = int(scores.argmax())
                if scores[j] > -2.0:
                    matches[i] = Match(int(near[j]), _clip(scores[j]))
                    continue
            alive[i] = True
    return matches


class _NoEncoder:
    """A placeholder for the encoder that semhash requires."""

    def encode(self, inputs: Sequence[str], **_: object) -> Floats:
        raise RuntimeError("the vectors are made already")


def _clip(score: float) -> float:
    return min(float(score), 1.0)


def shingles(text: str) -> frozenset[str]:
    """Returns the words of a text and their letter triples: `^dog$`, and `^do`, `dog`, `og$`.

    Word order and punctuation are ignored. A changed ending ("soldier", "soldiers") changes few members. A
    text without words is its own single member.
    """
    words = _WORD.findall(text.casefold())
    if not words:
        return frozenset([text.strip().casefold()])
    return frozenset(token for word in words for token in _of_word(word))


def _of_word(word: str) -> set[str]:
    edged = f"^{word}$"
    return {edged, *(edged[i : i + 3] for i in range(len(edged) - 2))}


def jaccard(a: str, b: str) -> float:
    """Returns the Jaccard similarity of the two texts' shingles, 0 to 1."""
    first, second = shingles(a), shingles(b)
    return len(first & second) / len(first | second)


def jaccard_matches(
    texts: Sequence[str],
    thresholds: Sequence[float],
    fixed: int = 0,
    *,
    exact_limit: int = EXACT_TEXTS,
) -> tuple[list[Match | None], str]:
    """Like `cosine_matches`, for texts and the Jaccard similarity of their shingles.

    Up to `exact_limit` texts every pair is compared. Above, MinHash signatures in bands (Leskovec et
    al., Mining of Massive Datasets, 3.4) propose candidates; the bands are set so that a pair at the
    lowest threshold is proposed with probability 0.9995 or more.
    """
    import numpy as np

    if not texts:
        return [], "exact Jaccard"
    limits = np.asarray(thresholds, dtype=np.float64) - _ROUNDING
    sets = _Shingled(texts)
    exact = len(texts) <= exact_limit
    lowest = float(limits.min())
    propose: _Bounded | _MinHash = _Bounded(sets, lowest, fixed) if exact else _MinHash(sets, lowest)
    matches: list[Match | None] = []
    for i in range(len(texts)):
        if i >= fixed and len(near := propose.candidates(i)):
            scores = sets.jaccard(i, near)
            scores = np.where(scores >= np.minimum(limits[i], limits[near]), scores, -1.0)
            j = int(scores.argmax())
            if scores[j] >= 0:
                matches.append(Match(int(near[j]), float(scores[j])))
                continue
        matches.append(None)
        propose.add(i)
    return matches, "exact Jaccard" if exact else "rensa (MinHash candidates, exact Jaccard)"


class _Shingled:
    """The texts' shingles as numbers in one flat array."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        ids: dict[str, int] = {}
        of_word: dict[str, tuple[int, ...]] = {}
        flat, ends = array("i"), array("q", [0])
        for text in texts:
            words = _WORD.findall(text.casefold())
            members: set[int] = set()
            for word in words:
                known = of_word.get(word)
                if known is None:
                    known = tuple(ids.setdefault(t, len(ids)) for t in sorted(_of_word(word)))
                    of_word[word] = known
                members.update(known)
            if not words:
                members.add(ids.setdefault(text.strip().casefold(), len(ids)))
            flat.extend(members)
            ends.append(len(flat))
        self.tokens = np.frombuffer(flat, dtype=np.intc)
        self.ends = np.frombuffer(ends, dtype=np.int64)
        self.sizes = np.diff(self.ends)
        self.members = len(ids)
        self._mark = np.zeros(len(ids), dtype=bool)

    def of(self, i: int) -> NDArray[np.intc]:
        return self.tokens[self.ends[i] : self.ends[i + 1]]

    def jaccard(self, i: int, others: Rows) -> NDArray[np.float64]:
        """Returns the Jaccard similarity of text i with each of `others` (row numbers)."""
        import numpy as np

        sizes = self.sizes[others]
        starts = np.cumsum(sizes) - sizes
        places = np.arange(int(sizes.sum())) + np.repeat(self.ends[others] - starts, sizes)
        mine = self.of(i)
        self._mark[mine] = True
        shared = np.add.reduceat(self._mark[self.tokens[places]], starts, dtype=np.int64)
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

    def __init__(self, sets: _Shingled, lowest: float, fixed: int) -> None:
        import numpy as np

        n, share = len(sets.sizes), max(lowest, 0.0) / (1 + max(lowest, 0.0))
        bucket = (_mix(np.arange(sets.members, dtype=np.uint64)) % np.uint64(self.BUCKETS)).astype(np.int64)
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


class _MinHash:
    """Candidates by MinHash: earlier texts whose signature agrees in all rows of one band."""

    def __init__(self, sets: _Shingled, lowest: float) -> None:
        self._sizes, self._lowest = sets.sizes, lowest
        self._buckets, self._signs = self._band(sets, self._rows_of_a_band(lowest))
        self._members: defaultdict[int, array[int]] = defaultdict(lambda: array("i"))

    @staticmethod
    def _rows_of_a_band(lowest: float) -> int:
        def recall(rows: int) -> float:
            return float(1 - (1 - lowest**rows) ** (_PERMUTATIONS // rows))

        return max((rows for rows in range(1, 33) if recall(rows) >= _MIN_RECALL), default=1)

    @staticmethod
    def _band(sets: _Shingled, width: int) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """(n, bands) bucket numbers, -1 where a text is alone in its bucket; (n, 64) short signatures."""
        import numpy as np
        from rensa import RMinHash

        n, bands = len(sets.sizes), _PERMUTATIONS // width
        keys = np.empty((n, bands), dtype=np.uint64)
        short = np.empty((n, _SHORT), dtype=np.uint16)
        hashes = _mix(np.arange(sets.members, dtype=np.uint64))
        for start in range(0, n, _CHUNK // 4):  # signatures come as Python lists: few at a time
            stop = min(start + _CHUNK // 4, n)
            ends = (sets.ends[start : stop + 1] - sets.ends[start]).astype(np.uint64)
            flat = hashes[sets.tokens[sets.ends[start] : sets.ends[stop]]]
            rows = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, _PERMUTATIONS, 42).to_rows()
            signs = np.array(rows, dtype=np.uint64)
            short[start:stop] = signs[:, -_SHORT:]  # the low 16 bits
            signs = signs[:, : bands * width].reshape(stop - start, bands, width)
            mixed = np.zeros((stop - start, bands), dtype=np.uint64)
            for column in range(width):
                mixed = _mix(mixed ^ signs[:, :, column])
            keys[start:stop] = mixed
        buckets = np.full((n, bands), -1, dtype=np.int32)
        used = 0
        for band in range(bands):
            _, bucket, count = np.unique(keys[:, band], return_inverse=True, return_counts=True)
            shared = count > 1
            number = np.cumsum(shared) - 1 + used
            buckets[:, band] = np.where(shared[bucket], number[bucket], -1)
            used += int(shared.sum())
        return buckets, short

    def add(self, i: int) -> None:
        for bucket in self._buckets[i].tolist():
            if bucket >= 0:
                self._members[bucket].append(i)

    def candidates(self, i: int) -> Rows:
        import numpy as np

        lists = [self._members[b] for b in self._buckets[i].tolist() if b in self._members]
        if not lists:
            return np.empty(0, dtype=np.int64)
        held = np.concatenate([np.frombuffer(rows, dtype=np.intc) for rows in lists])
        near = np.unique(held).astype(np.int64)
        sizes, size = self._sizes[near], self._sizes[i]
        near = near[(sizes >= self._lowest * size) & (size >= self._lowest * sizes)]
        # The share of equal signature entries estimates the Jaccard; five standard deviations of slack.
        likely = (self._signs[near] == self._signs[i]).mean(axis=1) >= self._lowest - 5 * 0.5 / _SHORT**0.5
        found: Rows = near[likely]
        return found


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014, doi 10.1145/2660193.2660195) over uint64 arrays."""
    import numpy as np

    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
