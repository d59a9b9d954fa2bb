"""What clusters do to the precision of a mean: the design effect.

Rows of one cluster (prompts of one seed, samples of one prompt) share their fate, so `n` of them tell as much
as fewer independent ones: `n` over the design effect (Kish 1965, Survey Sampling; Korn & Graubard 1998, Surv.
Methodol. 24). All functions take sums by cluster along the last axis, so that many samples can be computed at
once: benchmarks/interval_coverage.py simulates with the very code that makes the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Ints

# The correlation within clusters that is assumed of clusters that were not seen; see `precision`.
ASSUMED_INTRACLASS = 0.5


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the rows of each cluster, along the last axis: of the values, of their squares, of ones.

    `telling` counts the clusters that show more than the commonest outcome: only they tell of the design
    effect. One number for each sample.
    """

    values: Floats
    squares: Floats
    rows: Floats
    telling: Floats

    @property
    def n(self) -> Floats:
        total: Floats = self.rows.sum(axis=-1)
        return total

    @property
    def mean(self) -> Floats:
        share: Floats = self.values.sum(axis=-1) / self.n
        return share


@dataclass(frozen=True, slots=True)
class Precision:
    """`effect` is the design effect, at least 1; `freedom` the degrees of freedom it is known with;
    `intraclass` the analysis-of-variance correlation within clusters, NaN where undefined."""

    effect: Floats
    freedom: Floats
    intraclass: Floats


def by_cluster(values: Ints | Floats, codes: Ints) -> tuple[Floats, Floats, Floats]:
    """Sums of values and of squares, and rows, of each cluster; sorted, so that the order of the rows cannot
    matter."""
    rows = np.bincount(codes).astype(np.float64)
    sums: Floats = np.bincount(codes, weights=values).astype(np.float64)
    squares: Floats = np.bincount(codes, weights=values * values).astype(np.float64)
    order = np.lexsort((squares, sums, rows))
    return sums[order], squares[order], rows[order]


def linear_variance(values: Floats, rows: Floats) -> Floats:
    """Variance of sum(values)/sum(rows) over clusters, by linearisation of the ratio; 0 for one cluster."""
    groups = values.shape[-1]
    n = rows.sum(axis=-1)
    if groups < 2:
        return np.zeros(values.shape[:-1])
    residual = values - rows * (values.sum(axis=-1) / n)[..., None]
    variance: Floats = groups / (groups - 1) * (residual * residual).sum(axis=-1) / n**2
    return variance


def intraclass(sums: Sums) -> Floats:
    """The analysis-of-variance intraclass correlation (Donner & Koval 1980; Ridout, Demetrio & Firth 1999).

    NaN for fewer than two clusters, clusters of one row only, and values that are all alike.
    """
    groups, n = sums.values.shape[-1], sums.n
    if groups < 2:
        return np.full(sums.values.shape[:-1], np.nan)
    residual = sums.values - sums.rows * sums.mean[..., None]
    inside = sums.squares - sums.values * sums.values / sums.rows
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (residual * residual / sums.rows).sum(axis=-1) / (groups - 1)
        within = np.where(n > groups, np.maximum(inside, 0.0).sum(axis=-1) / (n - groups), np.nan)
        size = (n - _seen_size(sums.rows)) / (groups - 1)
        spread = between + (size - 1) * within
        return np.asarray(np.where(spread > 0, (between - within) / spread, np.nan))


def precision(sums: Sums, assumed_clusters: float) -> Precision:
    """The design effect of a mean and how well it is known.

    The estimate is the larger of two: the linearised variance over that of independent rows, which sees
    clusters whose size goes with their outcome, and 1 + (m - 1) times the intraclass correlation, which
    is steadier (m is the size of the cluster that a row is in, on average). From few telling clusters it is
    often too small, and where all rows are alike there is none. So it is averaged over the telling clusters
    and some assumed ones, as if they had been seen too. The degrees of freedom are Satterthwaite's (1946,
    Biometrics Bull. 2) for a sum of two parts, the estimated and the assumed one, with G - 1 each.

    Of a single cluster nothing is known but that it is one: all its rows count as one.

    Args:
        assumed_clusters: how many; each kind of interval needs its own number (set by simulation).
    """
    size, groups = _seen_size(sums.rows), sums.values.shape[-1]
    shape = sums.values.shape[:-1]
    correlation = intraclass(sums)
    if groups < 2:
        return Precision(np.broadcast_to(size, shape), np.full(shape, np.inf), correlation)
    free = (sums.squares.sum(axis=-1) / sums.n - sums.mean**2) / sums.n
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = np.where(free > 0, linear_variance(sums.values, sums.rows) / free, 0.0)
    told = np.maximum(linear, 1 + (size - 1) * np.nan_to_num(correlation))
    assumed = np.maximum(told, 1 + (size - 1) * ASSUMED_INTRACLASS)
    estimated = sums.telling * told
    whole = estimated + assumed_clusters * assumed
    part = estimated / whole
    freedom = (groups - 1) / (part**2 + (1 - part) ** 2)
    effect = np.maximum(whole / (sums.telling + assumed_clusters), 1.0)
    return Precision(effect, freedom, correlation)


def _seen_size(rows: Floats) -> Floats:
    """The mean size of a row's cluster: sum of squares over sum."""
    size: Floats = (rows * rows).sum(axis=-1) / rows.sum(axis=-1)
    return size
