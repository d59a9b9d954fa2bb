"""The mean of scores with an interval over clusters (prompts of one seed go together)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.clusters import by_cluster, linear_variance
from overt.scoring.stats.inputs import (
    Clusters,
    Floats,
    Number,
    check_level,
    cluster_codes,
    numbers,
    t_quantile,
)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of `n` scores in `clusters` clusters; the limits are NaN for fewer than two clusters."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int
    level: float


def mean_interval(
    values: Iterable[Number],
    clusters: Clusters,
    *,
    level: float = 0.95,
) -> Mean:
    """A mean with `mean_limits`.

    Args:
        values: n finite numbers in any unit.
        clusters: n hashable labels.
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no values, NaN or infinite ones, a bad level.
    """
    check_level(level)
    array = numbers("values", values)
    if not np.isfinite(array).all():
        raise ValueError(f"values[{int((~np.isfinite(array)).argmax())}] is not finite")
    sums, _, sizes = by_cluster(array, cluster_codes(clusters, len(array)))
    mean, groups = float(array.mean()), len(sizes)
    if groups < 2:
        return Mean(mean, math.nan, math.nan, len(array), groups, level)
    low, high = mean_limits(sums, sizes, level)
    # Rounding must not push a limit past the mean where all clusters are alike.
    return Mean(mean, min(float(low), mean), max(float(high), mean), len(array), groups, level)


def mean_limits(sums: Floats, sizes: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Student's interval with the linearised variance over clusters.

    The variance: Cochran 1977, Sampling Techniques, ch. 6. The degrees of freedom are one less than the
    number of even clusters that would be as precise (Kish 1965), at least 1.

    Args:
        sums: sum of the values in each of at least two clusters, along the last axis.
        sizes: rows of each cluster, of the same shape or the same for all samples.
    """
    mean = sums.sum(axis=-1) / sizes.sum(axis=-1)
    freedom = np.maximum(sizes.sum(axis=-1) ** 2 / (sizes * sizes).sum(axis=-1) - 1, 1.0)
    half = t_quantile(level, freedom) * np.sqrt(linear_variance(sums, sizes))
    return mean - half, mean + half
