"""Two targets on the same prompts, and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import (
    Floats,
    Ints,
    Number,
    binary,
    check_level,
    cluster_codes,
    normal_quantile,
    numbers,
    same_length,
    t_quantile,
)
from overt.scoring.stats.resample import (
    BOOTSTRAP_CLUSTERS,
    DESIGN_CLUSTERS,
    bca_limits,
    jackknife,
    linear_variance,
    resampled_shares,
)

# Direct convolution keeps tiny tails exact; above this many products the FFT is used, whose tails are
# right to about 1e-12 only.
_DIRECT = 100_000_000


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The share under `a` minus the share under `b` on the same rows, as fractions of 1.

    `both`, `a_only`, `b_only`, `neither` are the four cells. `p_value` is the mid-p value of `test`,
    `p_exact` the exact one, which never rejects too often and often too seldom. `method` names how
    [`low`, `high`] was made, `clusters` counts the clusters (None: rows taken as independent).
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
    p_exact: float
    test: str
    clusters: int | None = None


def paired_difference(
    a: Iterable[Number],
    b: Iterable[Number],
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """How much more often `a` than `b`, row by row, with an interval and a test of no difference.

    Independent rows: the adjusted Wald interval of Bonett & Price (2012, J. Educ. Behav. Stat. 37(4))
    and McNemar's test, exact and mid-p (Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91,
    who recommend mid-p).

    Clusters: BCa limits from resampled clusters as in `cluster_bootstrap_rate`, or the same adjusted
    Wald interval on the effective sample size where fewer than 10 clusters differ. The test turns the
    sign of each cluster's difference at random: under the null either target could have been either.
    Its distribution is computed whole (no draws); with clusters of one row it is McNemar's test. Few
    clusters cannot give a small p: G differing ones none below 2**(1-G).

    Args:
        a, b: n values each, 0/1 or booleans, in the same order. Leave out rows that either one lacks.
        clusters: n hashable labels; None, or all different, means independent.
        level: confidence level as a fraction.
        resamples: bootstrap draws, at least 100.
        seed: of the draws; the order of the rows does not matter.

    Raises:
        ValueError: lengths that differ, no rows, anything but 0/1, a missing label, a bad level.
    """
    check_level(level)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; below 100 the limits are noise")
    first, second = binary("a", a), binary("b", b)
    same_length("b", len(second), "a", len(first))
    gaps = first - second
    n = len(gaps)
    a_only, b_only = int((gaps > 0).sum()), int((gaps < 0).sum())
    both = int((first & second).sum())

    sums, sizes, groups = gaps, np.ones(n, dtype=np.int64), None
    if clusters is not None:
        codes = cluster_codes(clusters, n, "a")
        if int(codes.max()) + 1 < n:
            sums, sizes = _cluster_gaps(gaps, codes)
            groups = len(sums)
    p_value, p_exact = _sign_flip(np.abs(sums), int(sums.sum()))
    if groups is None:
        method, test = "bonett-price", "mcnemar mid-p"
        low, high = _bonett_price(a_only / n, b_only / n, n, normal_quantile(level))
    else:
        test = "cluster sign-flip mid-p"
        method, low, high = _cluster_limits(sums, sizes, a_only / n, b_only / n, level, resamples, seed)
    neither = n - both - a_only - b_only
    return PairedDifference(
        n, both, a_only, b_only, neither, (both + a_only) / n, (both + b_only) / n, (a_only - b_only) / n,
        low, high, level, method, p_value, p_exact, test, groups,
    )  # fmt: skip


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


def _cluster_gaps(gaps: Ints, codes: Ints) -> tuple[Ints, Ints]:
    """Differences and rows per cluster, sorted, so that the order of the rows cannot matter."""
    sizes = np.bincount(codes).astype(np.int64)
    sums = np.rint(np.bincount(codes, weights=gaps)).astype(np.int64)
    order = np.lexsort((sums, sizes))
    return sums[order], sizes[order]


def _bonett_price(up: float, down: float, n: float, quantile: float) -> tuple[float, float]:
    """Limits for up - down, two discordant shares of `n` (effective) pairs: one pair added to each."""
    more, less = (up * n + 1) / (n + 2), (down * n + 1) / (n + 2)
    half = quantile * math.sqrt((more + less - (more - less) ** 2) / (n + 2))
    middle = more - less
    # Shrinking by two pairs can leave the estimate outside where the shares are extreme.
    return max(-1.0, min(middle - half, up - down)), min(1.0, max(middle + half, up - down))


def _cluster_limits(
    sums: Ints, sizes: Ints, up: float, down: float, level: float, resamples: int, seed: int
) -> tuple[str, float, float]:
    groups, n = len(sums), int(sizes.sum())
    differing = int((sums != 0).sum())
    gap = up - down
    free = (up + down - gap**2) / n
    if min(differing, groups) < DESIGN_CLUSTERS or free <= 0:
        return "bonett-price-clusters", *_bonett_price(up, down, groups, normal_quantile(level))
    if differing < BOOTSTRAP_CLUSTERS:
        effective = n / max(1.0, linear_variance(sums, sizes) / free)
        return "bonett-price-design-effect", *_bonett_price(
            up, down, max(1.0, effective), t_quantile(level, groups - 1)
        )
    drawn = resampled_shares(sums, sizes, resamples, seed)
    low, high = bca_limits(drawn, gap, jackknife(sums, sizes), level)
    return "cluster-bca", min(low, gap), max(high, gap)


def _sign_flip(steps: Ints, total: int) -> tuple[float, float]:
    """Mid-p and exact two-sided p of |total| when each of `steps` (>= 0) has either sign by a coin."""
    from scipy import signal, stats

    steps = steps[steps > 0]
    if not len(steps):
        return 1.0, 1.0
    # With U the sum of the steps that came up positive, the signed sum is 2U - sum(steps).
    chances: Floats = np.ones(1)
    for step, many in zip(*np.unique(steps, return_counts=True), strict=True):
        kind = np.zeros(step * many + 1)
        kind[::step] = stats.binom.pmf(np.arange(many + 1), many, 0.5)
        if len(kind) * len(chances) <= _DIRECT or len(chances) == 1:
            chances = np.convolve(chances, kind)
        else:
            chances = np.maximum(signal.fftconvolve(chances, kind), 0.0)
    reach = np.abs(2 * np.arange(len(chances)) - int(steps.sum()))
    at = float(chances[reach == abs(total)].sum())
    exact = min(1.0, float(chances[reach > abs(total)].sum()) + at)
    return exact - at / 2, exact
