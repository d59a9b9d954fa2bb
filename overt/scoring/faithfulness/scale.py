"""The scale of a model's scores: the mean score of mismatched pairs.

A cosine of 0.2 is a good match for one model and below chance for another. So the scored data is also paired
wrongly, each prompt with every other prompt's picture (or wording), and the mean is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from overt.scoring.faithfulness.windows import Vector


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean cosine of `prompts` matched pairs, and of all mismatched pairs of these prompts."""

    matched: float
    mismatched: float
    prompts: int

    def __str__(self) -> str:
        return (
            f"pairs that do not belong together: {self.mismatched:.3f}, "
            f"those that do: {self.matched:.3f} ({self.prompts} prompts)"
        )


class WrongPairs:
    """Accumulates one matched pair of unit vectors for each prompt in constant memory.

    The sum over all pairs is the product of the two sums; the matched pairs are subtracted.
    """

    def __init__(self) -> None:
        self._sums: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._matched = 0.0
        self._count = 0

    def add(self, left: Vector, right: Vector) -> None:
        import numpy as np

        wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
        if not (np.isfinite(wide_left).all() and np.isfinite(wide_right).all()):
            return
        left_sum, right_sum = self._sums or (0.0, 0.0)
        self._sums = (left_sum + wide_left, right_sum + wide_right)
        self._matched += float(wide_left @ wide_right)
        self._count += 1

    def scale(self) -> Scale | None:
        """Returns the scale, or None for fewer than two prompts."""
        n = self._count
        if self._sums is None or n < 2:
            return None
        left_sum, right_sum = self._sums
        wrong = (float(left_sum @ right_sum) - self._matched) / (n * (n - 1))
        return Scale(self._matched / n, wrong, n)
