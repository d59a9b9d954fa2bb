"""Texts over an encoder's limit, in overlapping windows: where they begin, and what they come to together.

One vector stands for a text of several windows: the mean of the windows' unit vectors, at unit length. The
alternative, a mean of scores, would need a rule of its own for two texts of different lengths, and under it
a long text would not be at cosine 1 to itself. The cosine with the joint vector is the mean of the windows'
cosines divided by the length of their mean. That divisor belongs to the text alone, so a picture and its
baseline, both held against the same prompt, are scored on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float32]


def starts(length: int, room: int) -> list[int]:
    """Where the windows of `room` units begin that cover `length` of them.

    Neighbours share a quarter of a window at least. All windows are full, so that each weighs the same:
    a last window of three words would have as much of a say as one of seventy.
    """
    if length <= room:
        return [0]
    count = 1 + math.ceil((length - room) / max(1, room - room // 4))
    return [round(number * (length - room) / (count - 1)) for number in range(count)]


def unit(rows: ArrayLike) -> NDArray[np.float32]:
    """The rows of an (n, d) array at unit length; a row of zeros or with a NaN or an infinity becomes NaN."""
    import numpy as np

    wide = np.asarray(rows, dtype=np.float64)
    with np.errstate(all="ignore"):
        found: NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def joined(rows: NDArray[np.float32]) -> Vector:
    """One unit vector for the windows of one text, (windows, d) to (d,)."""
    import numpy as np

    first: Vector = rows[0]
    if len(rows) == 1:
        return first
    whole: Vector = unit(np.asarray(rows, dtype=np.float64).mean(axis=0, keepdims=True))[0]
    return whole


def cosine(a: Vector, b: Vector) -> float:
    """The cosine of two unit vectors, -1 to 1; NaN where one of them is."""
    import numpy as np

    found = float(np.dot(a.astype(np.float64), b.astype(np.float64)))
    return max(-1.0, min(1.0, found)) if found == found else math.nan


def mean_cosine(left: Sequence[Vector], right: Sequence[Vector]) -> float:
    """The mean cosine over all pairs of two lists of unit vectors."""
    return sum(cosine(a, b) for a in left for b in right) / (len(left) * len(right))
