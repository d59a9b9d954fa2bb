"""Two groups of rows: how much more often something happens in one than in the other.

Interval and test are one statistic turned around, so they never contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import (
    Floats,
    Number,
    binary,
    check_level,
    cluster_codes,
    same_length,
    t_quantile,
    t_tails,
)

METHOD = "agresti-caffo, linearised over clusters, welch"


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """The share among the marked rows minus the share among the others, as fractions of 1.

    `k` of `n` rows are those marked, `k_other` of `n_other` the others. `error` is the standard error of
    `centre` (the difference after the added rows), `freedom` the degrees of freedom that it is known with.
    """

    k: int
    n: int
    k_other: int
    n_other: int
    difference: float
    low: float
    high: float
    p_value: float
    centre: float
    error: float
    freedom: float
    method: str = METHOD

    def at(self, level: float) -> tuple[float, float]:
        """The limits at another confidence level."""
        return _limits(self.difference, self.centre, self.error, self.freedom, level)


def group_difference(
    outcomes: Iterable[Number],
    marked: Iterable[Number],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
) -> GroupDifference:
    """How much more often the outcome is 1 among the marked rows, with an interval and a test of none.

    One event and one row without it are added to each group (Agresti & Caffo 2000, Am. Stat. 54), so that a
    group where all rows are alike is not taken for certain. The variance is linearised over clusters, as of a
    difference of two ratios (Cochran 1977, Sampling Techniques, ch. 6): a cluster with rows in both groups
    counts in both. Degrees of freedom after Welch (1947, Biometrika 34), by the clusters of each group: a
    term that only two seeds have is known as badly as two seeds tell it.

    Args:
        outcomes: n values, 0/1 or booleans.
        marked: n values, 0/1 or booleans: whether the row is in the first group.
        clusters: n hashable labels.
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no rows, a group without rows, anything but 0/1, a bad level.
    """
    check_level(level)
    values, marks = binary("outcomes", outcomes), binary("marked", marked)
    same_length("marked", len(marks), "outcomes", len(values))
    n, n_other = int(marks.sum()), int(len(marks) - marks.sum())
    if not n or not n_other:
        raise ValueError("marked: each of the two groups needs a row")
    k = int(values[marks == 1].sum())
    k_other = int(values.sum()) - k
    codes = cluster_codes(clusters, len(values))
    # The added rows are clusters of their own.
    places = np.concatenate([codes, codes.max() + 1 + np.arange(4)])
    rows = np.concatenate([values, [1, 0, 1, 0]]).astype(np.float64)
    sides = np.concatenate([marks, [1, 1, 0, 0]]).astype(bool)
    share, first, groups = _spread(rows, sides, places)
    other, second, groups_other = _spread(rows, ~sides, places)
    residual = first - second
    error = math.sqrt(float((residual * residual).sum()))
    parts = [(float((part * part).sum()), count) for part, count in ((first, groups), (second, groups_other))]
    freedom = sum(v for v, _ in parts) ** 2 / sum(v * v / (count - 1) for v, count in parts)
    centre, difference = share - other, k / n - k_other / n_other
    low, high = _limits(difference, centre, error, freedom, level)
    p_value = float(t_tails(centre / error, freedom)) if error > 0 else 1.0
    return GroupDifference(
        k, n, k_other, n_other, difference, low, high, p_value, centre, error, freedom
    )  # fmt: skip


def _spread(rows: Floats, inside: np.ndarray, places: np.ndarray) -> tuple[float, Floats, int]:
    """The mean of a group, what each cluster adds to its error, and the clusters that have rows of it."""
    n = float(inside.sum())
    mean = float(rows[inside].mean())
    residual: Floats = np.bincount(places, weights=np.where(inside, rows - mean, 0.0)) / n
    groups = len(np.unique(places[inside]))
    return mean, residual * math.sqrt(groups / (groups - 1)), groups


def _limits(
    difference: float, centre: float, error: float, freedom: float, level: float
) -> tuple[float, float]:
    half = float(t_quantile(level, freedom)) * error
    # The added rows can leave the estimate outside where the shares are extreme.
    low, high = min(centre - half, difference), max(centre + half, difference)
    return max(low, -1.0), min(high, 1.0)
