"""Two targets on the same prompts, and many tests at once.

Interval and test are one statistic turned around, so they never contradict each other: p lies below 5%
exactly where 0 lies outside the 95% interval, and likewise at every other level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overt.scoring.stats.clusters import Sums, precision
from overt.scoring.stats.inputs import (
    Clusters,
    Floats,
    Ints,
    Number,
    Quantile,
    binary,
    check_level,
    cluster_codes,
    numbers,
    same_length,
    t_quantile,
    t_tails,
)

Bools = NDArray[np.bool_]

# Fewer than of a rate: the pairs that Bonett and Price add make an interval of few differences wide already.
ASSUMED_CLUSTERS = 0.5


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The share under `a` minus the share under `b` on the same rows, as fractions of 1.

    `both`, `a_only`, `b_only`, `neither` are the four cells. `method` names how [`low`, `high`] was made,
    `test` how `p_value`; `clusters` counts the clusters (None: rows taken as independent). `at` gives the
    interval at another level, from the same numbers.
    """

    n: int
    both: int
    a_only: int
    b_only: int
    neither: int
    rate_a: float
    rate_b: float
    difference: float
    low: float
    high: float
    level: float
    method: str
    p_value: float
    test: str
    clusters: int | None = None
    n_effective: float = 0.0
    freedom: float = math.inf

    def at(self, level: float) -> tuple[float, float]:
        """The limits at another confidence level."""
        low, high = _limits(self.a_only / self.n, self.b_only / self.n, self.n_effective, self.freedom, level)
        return float(low), float(high)


def paired_difference(
    a: Iterable[Number],
    b: Iterable[Number],
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
) -> PairedDifference:
    """How much more often `a` than `b`, row by row, with an interval and a test of no difference.

    One pair is added to each of the two cells that differ (Bonett & Price 2012, J. Educ. Behav. Stat. 37(4)).
    The interval is the quadratic one of May & Johnson (1997, Stat. Med. 16), which is to a difference what
    Wilson's is to a rate: a limit is a difference from which the data are just as far as the level allows, by
    the variance that holds there. The p-value is the level at which it just touches 0: McNemar's statistic
    with two pairs more, (b - c)**2 / (b + c + 2). Of few pairs it is close to the exact test: 5 against 0
    give 0.059, and exactly 0.063. Clusters: the same on n over the design effect, with Student's t
    (`cluster_limits`).

    Args:
        a, b: n values each, 0/1 or booleans, in the same order. Leave out rows that either one lacks.
        clusters: n hashable labels; None, or all different, means independent.
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label, a bad level.
    """
    check_level(level)
    first, second = binary("a", a), binary("b", b)
    same_length("b", len(second), "a", len(first))
    gaps = first - second
    n = len(gaps)
    a_only, b_only = int((gaps > 0).sum()), int((gaps < 0).sum())
    both = int((first & second).sum())
    neither = n - both - a_only - b_only

    effective, freedom, groups = float(n), math.inf, None
    if clusters is not None:
        codes = cluster_codes(clusters, n, "a")
        if int(codes.max()) + 1 < n:
            up, down, sizes = _cluster_gaps(gaps, codes)
            groups = len(sizes)
            effective, freedom = (float(x) for x in _precision(up, down, sizes))
    low, high = _limits(a_only / n, b_only / n, effective, freedom, level)
    p_value = _p_value(a_only / n, b_only / n, effective, freedom)
    method = "bonett-price-score" if groups is None else "bonett-price-score-design-effect"
    return PairedDifference(
        n, both, a_only, b_only, neither, (both + a_only) / n, (both + b_only) / n, (a_only - b_only) / n,
        float(low), float(high), level, method, float(p_value), f"{method} inverted", groups, effective,
        freedom,
    )  # fmt: skip


def cluster_limits(
    up: Floats, down: Floats, sizes: Floats, level: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """The interval on n over the design effect, with Student's t: both limits, and the p-value.

    Args:
        up, down: rows of each cluster that only the first, only the second target has, along the last axis;
            leading axes are samples.
        sizes: rows of each cluster, at least 1, of the same shape or the same for all samples.
        level: confidence level as a fraction.
    """
    n = sizes.sum(axis=-1)
    more, fewer = up.sum(axis=-1) / n, down.sum(axis=-1) / n
    effective, freedom = _precision(up, down, sizes)
    low, high = _limits(more, fewer, effective, freedom, level)
    return low, high, _p_value(more, fewer, effective, freedom)


def is_different(
    up: Floats, down: Floats, sizes: Floats, level: float = 0.95, quantile: Quantile = t_quantile
) -> Bools:
    """Whether `cluster_limits` leaves out 0, on either side. Arguments as there.

    Args:
        quantile: of Student's t; a quicker one where many samples are simulated.
    """
    n = sizes.sum(axis=-1)
    effective, freedom = _precision(up, down, sizes)
    return shares_differ(up.sum(axis=-1) / n, down.sum(axis=-1) / n, effective, freedom, level, quantile)


def shares_differ(
    up: Floats,
    down: Floats,
    n: float | Floats,
    freedom: float | Floats = math.inf,
    level: float = 0.95,
    quantile: Quantile = t_quantile,
) -> Bools:
    """Whether the interval of `paired_difference` leaves out 0, by the discordant shares of so many
    (effective) pairs, one decision for each place."""
    low, high = _limits(up, down, n, freedom, level, quantile)
    found: Bools = (low > 0) | (high < 0)
    return found


def holm(pvalues: Iterable[float]) -> list[float]:
    """p-values adjusted by Holm's step-down (1979, Scand. J. Stat. 6), in the order given.

    The chance of any false alarm among all tests stays below the level, however they depend on each
    other.

    Args:
        pvalues: one or more, each in 0..1.

    Raises:
        ValueError: none given, NaN, outside 0..1.
    """
    values = numbers("pvalues", pvalues)
    bad = (values < 0) | (values > 1)
    if bad.any():
        place = int(bad.argmax())
        raise ValueError(f"pvalues[{place}] is {values[place]:g}, outside 0..1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def holm_level(p_value: float, adjusted: float, level: float = 0.95) -> float:
    """The level of the interval that goes with a p-value adjusted by `holm`.

    At this level the interval leaves out 0 exactly where the adjusted p-value lies below 1 - `level`: the
    adjustment asks of each p-value to be smaller by a factor, and the interval to err as much more seldom.
    """
    factor = p_value / adjusted if adjusted > 0 else 1.0
    # Never 0 nor 1, which are no levels: a p-value of 0 times anything stays below every limit.
    return 1 - min(max((1 - check_level(level)) * factor, 1e-15), 1 - 1e-15)


def _cluster_gaps(gaps: Ints, codes: Ints) -> tuple[Floats, Floats, Floats]:
    """Rows up, rows down and rows of each cluster, sorted, so that the order of the rows cannot matter."""
    sizes = np.bincount(codes).astype(np.float64)
    up: Floats = np.bincount(codes, weights=gaps > 0).astype(np.float64)
    down: Floats = np.bincount(codes, weights=gaps < 0).astype(np.float64)
    order = np.lexsort((down, up, sizes))
    return up[order], down[order], sizes[order]


def _precision(up: Floats, down: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """The effective number of pairs, and the degrees of freedom that it is known with."""
    # A cluster tells something where not all of its pairs fall as the most common kind does.
    other = np.stack([up < sizes, down < sizes, up + down > 0]).sum(axis=-1).min(axis=0)
    found = precision(Sums(up - down, up + down, sizes, other), ASSUMED_CLUSTERS)
    return np.maximum(sizes.sum(axis=-1) / found.effect, 1.0), found.freedom


def _adjusted(up: float | Floats, down: float | Floats, n: float | Floats) -> tuple[Floats, Floats, Floats]:
    """The difference of two discordant shares of `n` (effective) pairs and their sum, with one pair added to
    each, and the number of pairs then."""
    more, fewer = np.multiply(up, n) + 1, np.multiply(down, n) + 1
    pairs = np.add(n, 2)
    return (more - fewer) / pairs, (more + fewer) / pairs, pairs


def _limits(
    up: float | Floats,
    down: float | Floats,
    n: float | Floats,
    freedom: float | Floats,
    level: float,
    find: Quantile = t_quantile,
) -> tuple[Floats, Floats]:
    """The roots of (gap - x)**2 = q**2 (apart - x**2) / pairs, where `apart` is the share that differs."""
    gap, apart, pairs = _adjusted(up, down, n)
    quantile = find(level, freedom)
    scale = 1 + quantile**2 / pairs
    half = quantile * np.sqrt((apart * scale - gap * gap) / pairs)
    seen = np.subtract(up, down)
    # The added pairs can leave the estimate outside where the shares are extreme.
    return np.minimum((gap - half) / scale, seen), np.maximum((gap + half) / scale, seen)


def _p_value(up: float | Floats, down: float | Floats, n: float | Floats, freedom: float | Floats) -> Floats:
    gap, apart, pairs = _adjusted(up, down, n)
    return t_tails(gap / np.sqrt(apart / pairs), freedom)
