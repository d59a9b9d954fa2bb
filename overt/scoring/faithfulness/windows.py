"""Overlapping windows for texts over an encoder's limit.

The vector of a text is the normalized mean of its windows' unit vectors. With a mean of scores, a long
text would not have cosine 1 with itself. The cosine with the joint vector is the mean of the windows' cosines
divided by the length of their mean. That divisor depends on the text alone, so a picture and its baseline,
compared with the same prompt, are scored on one scale.
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
    """Returns the starts of the windows of `room` units that cover `length` units.

    Neighbours overlap by at least a quarter of a window. All windows are full, since each has equal weight.
    """
    if length <= room:
        return [0]
    count = 1 + math.ceil((length - room) / max(1, room - room // 4))
    return [round(number * (length - room) / (count - 1)) for number in range(count)]


def unit(rows: ArrayLike) -> NDArray[np.float32]:
    """Normalizes the rows of an (n, d) array; a row of zeros or with NaN or infinity becomes NaN."""
    import numpy as np

    wide = np.asarray(rows, dtype=np.float64)
    with np.errstate(all="ignore"):
        found: NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def joined(rows: NDArray[np.float32]) -> Vector:
    """Joins the windows of one text into one unit vector, (windows, d) to (d,)."""
    import numpy as np

    first: Vector = rows[0]
    if len(rows) == 1:
        return first
    whole: Vector = unit(np.asarray(rows, dtype=np.float64).mean(axis=0, keepdims=True))[0]
    return whole


def cosine(a: Vector, b: Vector) -> float:
    """Returns the cosine of two unit vectors, -1 to 1, or NaN if one of them is NaN."""
    import numpy as np

    found = float(np.dot(a.astype(np.float64), b.astype(np.float64)))
    return max(-1.0, min(1.0, found)) if found == found else math.nan


def mean_cosine(left: Sequence[Vector], right: Sequence[Vector]) -> float:
    """Returns the mean cosine over all pairs of two lists of unit vectors."""
    return sum(cosine(a, b) for a in left for b in right) / (len(left) * len(right))
