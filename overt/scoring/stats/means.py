"""The mean of scores with an interval by bootstrap over clusters (prompts of one seed go together)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Number, check_level, cluster_codes, numbers
from overt.scoring.stats.resample import bca_limits, jackknife, resampled_shares


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
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Mean:
    """BCa interval (Efron 1987, J. Am. Stat. Assoc. 82) of a mean, clusters drawn with replacement.

    Args:
        values: n finite numbers in any unit.
        clusters: n hashable labels.

    Raises:
        ValueError: lengths that differ, no values, NaN or infinite ones, a bad level.
    """
    check_level(level)
    array = numbers("values", values)
    if not np.isfinite(array).all():
        raise ValueError(f"values[{int((~np.isfinite(array)).argmax())}] is not finite")
    codes = cluster_codes(clusters, len(array))
    sizes = np.bincount(codes)
    sums = np.bincount(codes, weights=array)
    mean, groups = float(array.mean()), len(sizes)
    if groups < 2:
        return Mean(mean, math.nan, math.nan, len(array), groups, level)
    if float(np.ptp(sums / sizes)) == 0.0:  # all alike: nothing to draw from
        return Mean(mean, mean, mean, len(array), groups, level)
    drawn = resampled_shares(sums, sizes, resamples, seed)
    low, high = bca_limits(drawn, mean, jackknife(sums, sizes), level)
    return Mean(mean, min(low, mean), max(high, mean), len(array), groups, level)
