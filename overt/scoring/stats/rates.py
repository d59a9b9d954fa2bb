"""A proportion and its interval, with or without clusters.

Prompts from one seed are correlated: a filter that blocks a word blocks every prompt with it. An interval
for independent prompts would be too narrow, so the bootstrap draws whole clusters.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import (
    Ints,
    Number,
    binary,
    check_level,
    cluster_codes,
    normal_quantile,
    t_quantile,
    wilson_limits,
)
from overt.scoring.stats.resample import (
    BOOTSTRAP_CLUSTERS,
    DESIGN_CLUSTERS,
    bca_limits,
    jackknife,
    linear_variance,
    resampled_shares,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share `rate` = `k`/`n` with its interval [`low`, `high`], all as fractions of 1.

    `method` names how the interval was made, `clusters` counts the clusters (None: rows taken as
    independent), `n_effective` is the number of independent rows that would tell as much.
    """

    k: int
    n: int
    rate: float
    low: float
    high: float
    method: str
    level: float
    clusters: int | None = None
    n_effective: float = math.nan


@dataclass(frozen=True, slots=True)
class DesignEffect:
    """How much clustering costs.

    `effect` is the variance under clustering over that of independent rows, NaN where fewer than 3
    clusters show the rarer outcome. `intraclass` is the intraclass correlation, NaN where undefined.
    `n_effective` is n / effect within [1, n], or the number of clusters where effect is NaN.
    """

    n: int
    clusters: int
    mean_size: float
    largest: int
    intraclass: float
    effect: float
    n_effective: float


def wilson(k: int, n: int, level: float = 0.95) -> Rate:
    """Wilson's (1927) score interval for `k` events in `n` independent rows.

    Args:
        k: events, a whole number in 0..n.
        n: rows, at least 1.
        level: confidence level as a fraction.

    Raises:
        ValueError: n below 1, k outside 0..n, not whole numbers, level outside (0, 1).
    """
    quantile = normal_quantile(level)
    if int(n) != n or int(k) != k:
        raise ValueError(f"k and n must be whole numbers, not {k!r} and {n!r}")
    if n < 1:
        raise ValueError("n is 0: there is no rate of nothing")
    if not 0 <= k <= n:
        raise ValueError(f"k is {k}, outside 0..{n}")
    low, high = wilson_limits(k / n, n, quantile)
    return Rate(int(k), int(n), k / n, low, high, "wilson", level, None, float(n))


def design_effect(outcomes: Iterable[Number], clusters: Sequence[Hashable]) -> DesignEffect:
    """What the clusters do to the precision of a rate.

    The effect is the linearised (between-cluster) variance of the ratio k/n over p(1-p)/n (Kish 1965,
    Survey Sampling, ch. 5); the intraclass correlation is the analysis-of-variance estimate (Donner &
    Koval 1980; Ridout, Demetrio & Firth 1999).

    Args:
        outcomes: n values, 0/1 or booleans.
        clusters: n hashable labels, one per outcome.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label.
    """
    hits, sizes = _cluster_sums(outcomes, clusters)
    n, count = int(sizes.sum()), len(sizes)
    share = float(hits.sum() / n)
    effect, effective = math.nan, float(count)
    if _varied(hits, sizes) >= DESIGN_CLUSTERS:
        effect = linear_variance(hits, sizes) * n / (share * (1 - share))
        effective = float(min(max(n / max(effect, 1e-12), 1.0), n))
    return DesignEffect(n, count, n / count, int(sizes.max()), _intraclass(hits, sizes), effect, effective)


def effective_sample_size(outcomes: Iterable[Number], clusters: Sequence[Hashable]) -> float:
    """Independent rows that would tell as much: n over the design effect, never above n nor below 1.

    Where the design effect cannot be estimated (fewer than 3 clusters show the rarer outcome) it is the
    number of clusters, the worst case. Arguments and errors as in `design_effect`.
    """
    return design_effect(outcomes, clusters).n_effective


def rate(
    outcomes: Iterable[Number],
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Rate:
    """A rate with the interval that fits: Wilson's for independent rows, else `cluster_bootstrap_rate`.

    Args:
        outcomes: n values, 0/1 or booleans.
        clusters: n hashable labels (the seed of each prompt); None, or all different, means independent.
        level: confidence level as a fraction.
        resamples: bootstrap draws.
        seed: of the bootstrap; the same rows in any order give the same interval.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label, a bad level.
    """
    values = binary("outcomes", outcomes)
    if clusters is not None:
        codes = cluster_codes(clusters, len(values))
        groups = int(codes.max()) + 1
        if groups < len(values):
            return cluster_bootstrap_rate(values, codes.tolist(), level=level, resamples=resamples, seed=seed)
    return wilson(int(values.sum()), len(values), level)


def cluster_bootstrap_rate(
    outcomes: Iterable[Number],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Rate:
    """A rate with an interval from resampling whole clusters.

    BCa limits (Efron 1987; acceleration by the jackknife over clusters) at the t-expanded levels of
    Hesterberg (2015, Am. Stat. 69(4)), which undo the bootstrap's narrowness for few clusters. The
    `method` of the result says which of three it was:

    - `cluster-bca`: at least 10 clusters show the rarer outcome.
    - `wilson-design-effect`: fewer. Wilson's interval on n over the design effect with Student's t of
      G-1 degrees of freedom (in the spirit of Korn & Graubard 1998; Franco et al. 2019).
    - `wilson-clusters`: fewer than 3, all or none included. The resamples hardly vary or do not vary at
      all, so each cluster counts as one observation: Wilson's interval for G rows, never of width zero.

    Clusters of equal size and sum are interchangeable, so the draws are multinomial counts over the
    distinct kinds of cluster: exact, in memory that does not grow with `resamples`.

    Args:
        outcomes: n values, 0/1 or booleans.
        clusters: n hashable labels.
        level: confidence level as a fraction.
        resamples: bootstrap draws, at least 100.
        seed: of the draws; the order of the rows does not matter.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label, a bad level, fewer
            than 100 resamples.
    """
    check_level(level)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; below 100 the limits are noise")
    hits, sizes = _cluster_sums(outcomes, clusters)
    k, n, groups = int(hits.sum()), int(sizes.sum()), len(sizes)
    share = k / n
    varied = _varied(hits, sizes)

    if varied < DESIGN_CLUSTERS:
        low, high = wilson_limits(share, groups, normal_quantile(level))
        return Rate(k, n, share, low, high, "wilson-clusters", level, groups, float(groups))

    effect = max(1.0, linear_variance(hits, sizes) * n / (share * (1 - share)))
    effective = max(1.0, n / effect)
    if varied < BOOTSTRAP_CLUSTERS:
        low, high = wilson_limits(share, effective, t_quantile(level, groups - 1))
        return Rate(k, n, share, low, high, "wilson-design-effect", level, groups, effective)

    drawn = resampled_shares(hits, sizes, resamples, seed)
    low, high = bca_limits(drawn, share, jackknife(hits, sizes), level)
    # BCa limits are quantiles of the draws; a skewed sample can put one past the estimate itself.
    return Rate(k, n, share, min(low, share), max(high, share), "cluster-bca", level, groups, effective)


def _cluster_sums(outcomes: Iterable[Number], clusters: Sequence[Hashable]) -> tuple[Ints, Ints]:
    """Events and rows per cluster, sorted, so that the order of the rows cannot matter."""
    values = binary("outcomes", outcomes)
    codes = cluster_codes(clusters, len(values))
    sizes = np.bincount(codes)
    hits = np.bincount(codes, weights=values).astype(np.int64)
    order = np.lexsort((hits, sizes))
    return hits[order], sizes[order].astype(np.int64)


def _varied(hits: Ints, sizes: Ints) -> int:
    """Clusters that show the rarer outcome at least once."""
    return min(int((hits > 0).sum()), int((hits < sizes).sum()))


def _intraclass(hits: Ints, sizes: Ints) -> float:
    """Analysis-of-variance intraclass correlation; NaN where it is not defined."""
    groups, n = len(sizes), int(sizes.sum())
    share = hits.sum() / n
    if groups < 2 or n == groups or not 0 < share < 1:
        return math.nan
    means = hits / sizes
    between = float(sizes @ (means - share) ** 2) / (groups - 1)
    within = float((hits * (1 - means)).sum()) / (n - groups)
    size = (n - float(sizes @ sizes) / n) / (groups - 1)
    return (between - within) / (between + (size - 1) * within)
