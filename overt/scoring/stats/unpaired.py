"""Two groups of rows: how much more often something happens in one than in the other.

Interval and test are one statistic turned around, so they never contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from overt.scoring.stats.inputs import Number, binary, check_level, same_length, t_quantile, t_tails
from overt.scoring.stats.rates import effective_sample_size

METHOD = "agresti-caffo on n over the design effect, welch"


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """The share among the marked rows minus the share among the others, as fractions of 1.

    `k` of `n` rows are those marked, `k_other` of `n_other` the others. `centre` is the difference after the
    added rows, `error` its standard error, `freedom` the degrees of freedom that it is known with.
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
    group where all rows are alike is not taken for certain. The rows of a group count as n over their design
    effect, as in `rate`: those of a single cluster as one. Degrees of freedom after Welch (1947, Biometrika
    34), by these numbers. Clusters with rows in both groups are not made use of: they would make the interval
    narrower.

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
    same_length("clusters", len(clusters), "outcomes", len(values))
    n = int(marks.sum())
    n_other = len(marks) - n
    if not n or not n_other:
        raise ValueError("marked: each of the two groups needs a row")
    sides = [[place for place, mark in enumerate(marks) if mark == side] for side in (1, 0)]
    shares, variances, freedoms = [], [], []
    for rows in sides:
        mine = values[rows]
        groups = [clusters[place] for place in rows]
        independent = len(set(groups)) == len(groups)
        effective = float(len(rows)) if independent else effective_sample_size(mine, groups)
        share = (float(mine.mean()) * effective + 1) / (effective + 2)
        shares.append(share)
        variances.append(share * (1 - share) / (effective + 1))
        freedoms.append(effective + 1)
    k, k_other = (int(values[rows].sum()) for rows in sides)
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / sum(v * v / f for v, f in zip(variances, freedoms, strict=True))
    centre, difference = shares[0] - shares[1], k / n - k_other / n_other
    low, high = _limits(difference, centre, error, freedom, level)
    p_value = float(t_tails(centre / error, freedom))
    return GroupDifference(k, n, k_other, n_other, difference, low, high, p_value, centre, error, freedom)


def _limits(
    difference: float, centre: float, error: float, freedom: float, level: float
) -> tuple[float, float]:
    half = float(t_quantile(level, freedom)) * error
    # The added rows can leave the estimate outside where the shares are extreme.
    low, high = min(centre - half, difference), max(centre + half, difference)
    return max(low, -1.0), min(high, 1.0)
