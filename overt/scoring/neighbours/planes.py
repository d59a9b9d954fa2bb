"""Random planes (Charikar 2002): on which side of each plane a vector lies tells which vectors may be near.

The planes go through the mean of the vectors, since vectors of one encoder share a direction: seen from
there, strangers are apart. How often near vectors and strangers are on one side is read from the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from overt.scoring.neighbours.bands import LEAST_RECALL, Plan, make_plan
from overt.scoring.neighbours.finder import BandFinder, Looks, packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Rows = NDArray[np.int64]
    Chances = NDArray[np.float64]

PLANES = 1536
_SIGN_WORDS = 16  # 64-bit words of a signature
_SEED = 42
_AT_ONCE = 8_192  # rows
_DRAWN = 20_000  # rows, and pairs of them, to see how the vectors lie


def plane_finder(vectors: Floats, limits: Floats) -> BandFinder:
    """A finder of unit vectors whose cosine reaches their limits. A zero row is near no row."""
    import numpy as np

    draw = np.random.default_rng(_SEED)
    planes = draw.standard_normal((vectors.shape[1], PLANES), dtype=np.float32)
    middle, alike, strange = _seen_from_middle(vectors, float(limits.min()), draw)
    plan = make_plan(len(vectors), PLANES, alike, strange)
    used = max(plan.width * plan.halves, 64 * _SIGN_WORDS)
    halves = np.empty((plan.halves, len(vectors)), dtype=np.uint32)
    signs = np.empty((_SIGN_WORDS, len(vectors)), dtype=np.uint64)
    for start, sides in _sides(vectors, planes[:, :used], middle):
        halves[:, start : start + len(sides)] = _folded(sides, plan).T
        signs[:, start : start + len(sides)] = packed(sides[:, : 64 * _SIGN_WORDS])

    def score(left: Rows, right: Rows) -> NDArray[np.float64]:
        found = np.empty(len(left))
        for start in range(0, len(left), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            found[some] = np.einsum("ij,ij->i", vectors[left[some]], vectors[right[some]])
        return found

    rarely = float(np.quantile(alike, (1 - LEAST_RECALL) / 2))
    return BandFinder(plan, halves, Looks(signs, rarely), limits, score)


def _seen_from_middle(
    vectors: Floats, lowest: float, draw: np.random.Generator
) -> tuple[Floats, Chances, Chances]:
    """The mean, and the chances that one side of a plane holds both of a near pair, and both of any pair."""
    import numpy as np

    rows = draw.integers(0, len(vectors), (2, _DRAWN))
    rows = rows[:, rows[0] != rows[1]]
    first, second = vectors[rows[0]], vectors[rows[1]]
    there = first.any(axis=1) & second.any(axis=1)
    first, second = first[there], second[there]
    middle = np.asarray(first.mean(axis=0) if len(first) else np.zeros(vectors.shape[1]), dtype=np.float32)
    # Of x and y with x.y = lowest, both as far along the mean as a drawn x is.
    square, along = float(middle @ middle), (first @ middle).astype(np.float64)
    length = np.maximum(1 - 2 * along + square, 1e-6)
    alike = _one_side(1 - (1 - lowest) / length)
    first, second = first - middle, second - middle
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    strange = _one_side(np.einsum("ij,ij->i", first, second) / np.maximum(lengths, 1e-6))
    return (
        (middle, alike, strange) if len(first) else (middle, _one_side(np.array([lowest])), np.array([0.5]))
    )


def _one_side(cosines: NDArray[np.floating]) -> Chances:
    import numpy as np

    chances: Chances = 1 - np.arccos(np.clip(cosines.astype(np.float64), -1, 1)) / np.pi
    return chances


def _sides(vectors: Floats, planes: Floats, middle: Floats) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yields (the first row's number, (k, planes) sides) in portions."""
    at = middle @ planes
    for start in range(0, len(vectors), _AT_ONCE):
        yield start, vectors[start : start + _AT_ONCE] @ planes > at


def _folded(sides: NDArray[np.bool_], plan: Plan) -> NDArray[np.uint32]:
    """(k, plan.halves): the sides of each half as one number."""
    import numpy as np

    parts = sides[:, : plan.width * plan.halves].reshape(len(sides), plan.halves, plan.width)
    narrow = np.packbits(parts, axis=2)
    wide = np.zeros((len(sides), plan.halves, 4), dtype=np.uint8)
    wide[:, :, : narrow.shape[2]] = narrow
    numbers: NDArray[np.uint32] = wide.view(np.uint32)[:, :, 0]
    return numbers
