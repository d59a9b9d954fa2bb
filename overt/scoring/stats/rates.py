"""A proportion and its interval, with or without clusters.

Prompts from one seed are correlated: a filter that blocks a word blocks every prompt with it. An interval
for independent prompts would be too narrow, so the rows count as so many independent ones as tell as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.clusters import Precision, Sums, by_cluster, precision
from overt.scoring.stats.inputs import (
    Clusters,
    Floats,
    Number,
    Quantile,
    binary,
    check_level,
    cluster_codes,
    normal_quantile,
    t_quantile,
    wilson_limits,
)

# Set by simulation: without it an interval covers 89% where 6 of 200 clusters of 10 show the rarer outcome.
ASSUMED_CLUSTERS = 2.0


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

    `effect` is the variance under clustering over that of independent rows, as intervals use it: at least 1.
    `intraclass` is the intraclass correlation, NaN where undefined. `n_effective` is n / effect, `freedom`
    the degrees of freedom that the effect is known with.
    """

    n: int
    clusters: int
    mean_size: float
    largest: int
    intraclass: float
    effect: float
    n_effective: float
    freedom: float


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
    return Rate(int(k), int(n), k / n, float(low), float(high), "wilson", level, None, float(n))


def design_effect(outcomes: Iterable[Number], clusters: Clusters) -> DesignEffect:
    """What the clusters do to the precision of a rate (`precision` in overt/scoring/stats/clusters.py).

    Args:
        outcomes: n values, 0/1 or booleans.
        clusters: n hashable labels, one per outcome.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label.
    """
    hits, sizes = _cluster_sums(outcomes, clusters)
    n, groups = int(sizes.sum()), len(sizes)
    found = _precision(hits, sizes)
    effect = float(found.effect)
    return DesignEffect(
        n,
        groups,
        n / groups,
        int(sizes.max()),
        float(found.intraclass),
        effect,
        n / effect,
        float(found.freedom),
    )


def effective_sample_size(outcomes: Iterable[Number], clusters: Clusters) -> float:
    """Independent rows that would tell as much: n over the design effect, never above n nor below 1.

    Arguments and errors as in `design_effect`.
    """
    return design_effect(outcomes, clusters).n_effective


def rate(
    outcomes: Iterable[Number],
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
) -> Rate:
    """A rate with its interval. The `method` of the result is one of three:

    - `wilson`: independent rows (no two share a cluster).
    - `wilson-design-effect`: `cluster_limits`.
    - `wilson-clusters`: a single cluster, which counts as one observation.

    Args:
        outcomes: n values, 0/1 or booleans.
        clusters: n hashable labels (the seed of each prompt); None, or all different, means independent.
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label, a bad level.
    """
    check_level(level)
    values = binary("outcomes", outcomes)
    k, n = int(values.sum()), len(values)
    if clusters is None:
        return wilson(k, n, level)
    hits, sizes = _cluster_sums(values, clusters)
    groups = len(sizes)
    if groups == n:
        return wilson(k, n, level)
    low, high, effective = cluster_limits(hits, sizes, level)
    method = "wilson-design-effect" if groups > 1 else "wilson-clusters"
    return Rate(k, n, k / n, float(low), float(high), method, level, groups, float(effective))


def cluster_limits(
    hits: Floats, sizes: Floats, level: float = 0.95, quantile: Quantile = t_quantile
) -> tuple[Floats, Floats, Floats]:
    """Wilson's interval on n over the design effect, with Student's t: both limits, and that effective n.

    In the spirit of Korn & Graubard (1998, Surv. Methodol. 24) and Franco et al. (2019, J. Surv. Stat.
    Methodol. 7). docs/metrics.md has its coverage.

    Args:
        hits: events in each cluster, along the last axis; leading axes are samples.
        sizes: rows of each cluster, at least 1, of the same shape or the same for all samples.
        level: confidence level as a fraction.
        quantile: of Student's t; a quicker one where many samples are simulated.
    """
    n = sizes.sum(axis=-1)
    found = _precision(hits, sizes)
    effective = np.maximum(n / found.effect, 1.0)
    low, high = wilson_limits(hits.sum(axis=-1) / n, effective, quantile(level, found.freedom))
    return low, high, effective


def _precision(hits: Floats, sizes: Floats) -> Precision:
    telling = np.minimum((hits > 0).sum(axis=-1), (hits < sizes).sum(axis=-1))
    # The square of 0 or 1 is itself.
    return precision(Sums(hits, hits, sizes, telling), ASSUMED_CLUSTERS)


def _cluster_sums(outcomes: Iterable[Number], clusters: Clusters) -> tuple[Floats, Floats]:
    """Events and rows per cluster, sorted, so that the order of the rows cannot matter."""
    values = binary("outcomes", outcomes)
    hits, _, sizes = by_cluster(values, cluster_codes(clusters, len(values)))
    return hits, sizes
