"""Diversity of a set of prompts: distinct-n, self-BLEU and self-similarity."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Returns the lower-case words of a text."""
    return _WORD.findall(text.casefold())


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Returns distinct n-grams over all n-grams of the set, 0 to 1; 0 if no text has n words.

    After Li et al. 2016 (arXiv 1510.03055), who divide by the number of words; here the divisor is
    the number of n-grams, so that a set without repeats scores 1. N-grams do not cross texts. The figure
    falls as a set grows, so compare only sets of equal size.
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        tokens = words(text)
        grams = list(zip(*(tokens[i:] for i in range(n)), strict=False))
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else 0.0


_NO_MATCH = 0.1  # stands for a count of 0


def self_bleu(texts: Sequence[str], n: int = 4) -> float:
    """Returns the mean BLEU-n of each text against all others of the set, 0 to 1: the higher, the more alike.

    Self-BLEU is of Zhu et al. 2018 (arXiv 1802.01886), BLEU of Papineni et al. 2002 with equal weights for
    1- to n-grams, smoothed as Chen & Cherry 2014 do in their method 1: a count of 0 becomes 0.1. A text
    without a word in common with the others scores 0. The figure rises as a set grows, so compare only sets
    of equal size.

    Raises:
        ValueError: fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError("self-BLEU compares a text with others: give at least two")
    tokens = [words(text) for text in texts]
    counts = [[_grams(one, size) for one in tokens] for size in range(1, n + 1)]
    highest = [_two_highest(of_size) for of_size in counts]
    lengths = sorted(len(one) for one in tokens)
    total = 0.0
    for number, one in enumerate(tokens):
        logs = 0.0
        for of_size, tops in zip(counts, highest, strict=True):
            mine = of_size[number]
            # What the others hold at most: the second highest count where this text holds the highest.
            hits = sum(min(k, tops[g][1] if tops[g][0] == k else tops[g][0]) for g, k in mine.items())
            if not hits and of_size is counts[0]:
                break
            logs += math.log((hits or _NO_MATCH) / max(1, mine.total())) / n
        else:
            total += math.exp(logs + _brevity(len(one), lengths))
    return total / len(texts)


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _two_highest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int]]:
    """The two highest counts of each n-gram in a text; two texts may share the highest."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for one in counts:
        for gram, k in one.items():
            first, second = found.get(gram, (0, 0))
            found[gram] = (k, first) if k >= first else (first, max(k, second))
    return found


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """BLEU's logarithmic penalty for a text shorter than the nearest in length of the others (the shorter one
    where two are as near). lengths: of all texts, sorted, this one's among them."""
    place = bisect_left(lengths, length)
    others = [*lengths[max(0, place - 1) : place], *lengths[place + 1 : place + 2]]
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 0.0 if length >= nearest else 1 - nearest / max(1, length)


@dataclass(frozen=True, slots=True)
class SelfSimilarity:
    """Cosines within a set: the mean over all pairs, and statistics of the nearest neighbours.

    Figures are None for fewer than two members. `measure` names the vectors.
    """

    mean: float | None
    nearest_median: float | None
    nearest_p95: float | None
    nearest_max: float | None
    measure: str


def self_similarity(
    texts: Sequence[str], vectors: NDArray[np.float32] | None = None, measure: str = ""
) -> SelfSimilarity:
    """Computes exactly, in blocks, how similar the members of a set are.

    Args:
        texts: n texts; read only without `vectors`.
        vectors: (n, d) embeddings; None for TF-IDF of word n-grams (`ngram_vectors`).
        measure: the encoder's name.
    """
    import numpy as np

    unit = ngram_vectors(texts) if vectors is None else unit_rows(vectors)
    measure = measure or ("word n-grams" if vectors is None else "embeddings")
    n = len(unit)
    if n < 2:
        return SelfSimilarity(None, None, None, None, measure)
    nearest = np.empty(n, dtype=np.float64)
    for start in range(0, n, 1024):
        scores = unit[start : start + 1024] @ unit.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -2.0
        nearest[start : start + len(scores)] = scores.max(axis=1)
    # The sum over all pairs is the squared length of the sum of all vectors.
    total = unit.sum(axis=0, dtype=np.float64)
    own = float((unit.astype(np.float64) ** 2).sum())
    mean = (float(total @ total) - own) / (n * (n - 1))
    median, p95 = np.quantile(nearest, [0.5, 0.95])
    return SelfSimilarity(
        round(mean, 4), round(float(median), 4), round(float(p95), 4), round(float(nearest.max()), 4), measure
    )


def unit_rows(vectors: ArrayLike) -> NDArray[np.float32]:
    """Returns a float32 copy with unit rows; zero rows stay zero."""
    import numpy as np

    unit = np.array(vectors, dtype=np.float32, order="C")
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths == 0, np.float32(1), lengths)
    return np.asarray(unit, dtype=np.float32)


def ngram_vectors(texts: Sequence[str], size: int = 512) -> NDArray[np.float32]:
    """Returns (n, size) unit vectors: words and word pairs, weighted by TF-IDF, hashed with signs.

    Feature hashing after Weinberger et al. 2009 (arXiv 0902.2206): signs cancel collisions on
    average, so the product of two rows estimates their TF-IDF cosine.
    """
    import numpy as np

    ids: dict[str, int] = {}
    columns, counts = array("i"), array("i")
    for text in texts:
        tokens = words(text)
        grams = {*tokens, *(f"{a} {b}" for a, b in itertools.pairwise(tokens))}
        columns.extend(ids.setdefault(gram, len(ids)) for gram in sorted(grams))
        counts.append(len(grams))
    vectors = np.zeros((len(texts), size), dtype=np.float32)
    if not ids:
        return vectors
    column = np.frombuffer(columns, dtype=np.intc)
    holder = np.repeat(np.arange(len(texts)), np.frombuffer(counts, dtype=np.intc))
    idf = np.log((1 + len(texts)) / (1 + np.bincount(column, minlength=len(ids)))) + 1
    coded = (gram.encode("utf-8", "replace") for gram in ids)
    digests = b"".join(hashlib.blake2b(gram, digest_size=8).digest() for gram in coded)
    hashed = np.frombuffer(digests, dtype="<u8")
    place = (hashed % np.uint64(size)).astype(np.int64)
    sign = np.where(hashed >> np.uint64(63), 1.0, -1.0)
    np.add.at(vectors, (holder, place[column]), (sign * idf)[column].astype(np.float32))
    return unit_rows(vectors)
