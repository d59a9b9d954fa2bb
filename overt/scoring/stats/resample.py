"""Resampling of clusters, for any ratio of sums over clusters.

Everything here takes two arrays of one number per cluster: `sums` (events, or differences, so they may
be negative) and `sizes` (rows, at least 1). The estimate is sum(sums) / sum(sizes).
"""

from __future__ import annotations

import math

import numpy as np

from overt.scoring.stats.inputs import Floats, Ints, t_quantile

# Clusters that must show the rarer outcome. Below the first count an interval on the effective sample size
# covers better than the bootstrap; below the second the design effect cannot be estimated, and every cluster
# counts as one observation. Both were set by simulation (tests/scoring/test_stats.py keeps a part of it).
BOOTSTRAP_CLUSTERS = 10
DESIGN_CLUSTERS = 3

# Numbers held at once by the resampling: 4 million counts are 32 MB.
_CELLS = 4_000_000


def linear_variance(sums: Ints, sizes: Ints) -> float:
    """Variance of sum(sums)/sum(sizes) over clusters, by linearisation of the ratio."""
    groups, n = len(sizes), sizes.sum()
    if groups < 2:
        return 0.0
    residual = sums - sizes * (sums.sum() / n)
    return float(groups / (groups - 1) * (residual @ residual) / n**2)


def resampled_shares(sums: Ints, sizes: Ints, resamples: int, seed: int) -> Floats:
    """`resamples` estimates, each from as many clusters as there are, drawn with replacement.

    Clusters of equal sum and size are interchangeable: drawing how often each kind comes up, by one
    multinomial, is the same bootstrap for a fraction of the numbers.
    """
    kinds, many = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    groups = len(sizes)
    step = max(1, _CELLS // len(kinds))
    out = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        counts = rng.multinomial(groups, many / groups, size=stop - start)
        totals = counts @ kinds
        out[start:stop] = totals[:, 0] / totals[:, 1]
    return out


def jackknife(sums: Ints, sizes: Ints) -> Floats:
    """The estimate without each cluster in turn; needs two clusters or more."""
    result: Floats = (sums.sum() - sums) / (sizes.sum() - sizes)
    return result


def bca_limits(drawn: Floats, estimate: float, left_out: Floats, level: float) -> tuple[float, float]:
    """BCa limits at t-expanded levels; `left_out` holds the jackknife values, one per cluster."""
    from scipy.special import ndtr, ndtri

    groups, draws = len(left_out), len(drawn)
    tail = math.sqrt(groups / (groups - 1)) * t_quantile(level, groups - 1)
    # Ties count half: a rate takes few values, and without this the bias would be theirs.
    below = float((drawn < estimate).mean() + 0.5 * (drawn == estimate).mean())
    bias = float(ndtri(min(max(below, 1 / draws), 1 - 1 / draws)))
    away = left_out.mean() - left_out
    spread = float(away @ away)
    bend = float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    levels = []
    for z in (bias - tail, bias + tail):
        slack = 1 - bend * z
        # Past this pole the formula reverses; the last draw on that side is used.
        levels.append(float(ndtr(bias + z / slack)) if slack > 0 else float(z > 0))
    low, high = np.quantile(drawn, levels)
    return float(low), float(high)
