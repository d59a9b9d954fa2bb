"""Tails of Student's t and of the binomial distribution, and midranks: all that the statistics need of scipy,
which takes 140 MB.

Both tails are the regularised incomplete beta function: the continued fraction of the NIST Digital Library of
Mathematical Functions, 8.17.22, behind a factor that Loader (2000, "Fast and accurate computation of binomial
probabilities") keeps exact where the parameters are large. `tests/scoring/test_tails.py` holds them against
scipy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-300  # stands in for a zero denominator (Lentz)
_MOST = 100_000  # terms of the continued fraction; a million degrees of freedom take some hundreds
_SURE = 5e-15  # relative step of a quantile at which the search ends


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ranks of n numbers from 1 to n; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return ranks[place]


def normal_tail(x: float) -> float:
    """The chance of a standard normal number of at most x."""
    return math.erfc(-x / math.sqrt(2)) / 2


@lru_cache(maxsize=4096)
def t_tail(t: float, freedom: float) -> float:
    """The chance of a Student's t of at most t.

    Args:
        freedom: degrees of freedom, above 0 and not necessarily whole; infinitely many are the normal one.
    """
    if math.isnan(t) or not freedom > 0:
        return math.nan
    if math.isinf(freedom) or math.isinf(t):
        return normal_tail(t)
    square = t * t
    if math.isinf(square):
        return 0.0 if t < 0 else 1.0
    # Each share by itself: the smaller one would be lost in 1 - x.
    beyond = _beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square)) / 2
    return beyond if t < 0 else 1 - beyond


@lru_cache(maxsize=4096)
def t_point(share: float, freedom: float) -> float:
    """The t that a share of Student's distribution lies below: 12.7 for 0.975 and one degree of freedom.

    Args:
        share: between 0 and 1, both left out.
        freedom: as in `t_tail`.
    """
    if math.isnan(freedom) or not (freedom > 0 and 0 < share < 1):
        return math.nan
    if share == 0.5:
        return 0.0
    if math.isinf(freedom):
        return NormalDist().inv_cdf(share)
    lower = min(share, 1 - share)
    z = NormalDist().inv_cdf(lower)
    t = z + (z**3 + z) / (4 * freedom)  # Cornish and Fisher's first term: near, where freedom is not small
    low, high = min(t, -1.0), 0.0  # of the lower half: the chance below `low` is at most `lower`
    while t_tail(low, freedom) > lower:
        low, high = 2 * low, low
    t = t if low < t < high else (low + high) / 2
    # Newton's step where it stays between the two, else the middle.
    for _ in range(200):
        off = t_tail(t, freedom) - lower
        low, high = (t, high) if off < 0 else (low, t)
        following = t - off / _t_density(t, freedom)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - t) <= _SURE * abs(following):
            t = following
            break
        t = following
    return t if share < 0.5 else -t


def binomial_tail(k: int, n: int, share: float) -> float:
    """The chance of at most k events in n independent trials, each with the chance `share`."""
    if k >= n or share <= 0:
        return 1.0
    if k < 0 or share >= 1:
        return 0.0
    return _beta(n - k, k + 1, 1 - share, share)


def _t_density(t: float, freedom: float) -> float:
    square = t * t
    a, x, y = freedom / 2, freedom / (freedom + square), square / (freedom + square)
    # x^a y^b / B(a, b) with b = 1/2 is the density times |t|.
    return _power_share(a, 0.5, x, y) / abs(t)


def _beta(a: float, b: float, x: float, y: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for y = 1 - x."""
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # there the fraction of the other side converges
        return 1 - _beta_below(b, a, y, x)
    return _beta_below(a, b, x, y)


def _beta_below(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b) for x below its mean, by the continued fraction as Lentz evaluates it."""
    # 1 - (a + b) x / (a + 1), as the rest without its cancellation.
    c, d = 1.0, (a + 1) / _apart(1 + a * y - b * x)
    fraction = d
    for m in range(1, _MOST):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _apart(1 + term * d)
            c = _apart(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return _power_share(a, b, x, y) * fraction / a


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _power_share(a: float, b: float, x: float, y: float) -> float:
    """x^a y^b / B(a, b): by Loader's saddle point, since the logarithms of large factors would cancel."""
    n = a + b
    size = _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
    gap = a * y - b * x
    size -= _deviance(a, n * x, gap) + _deviance(b, n * y, -gap)
    return math.exp(size) * math.sqrt(a * b / (2 * math.pi * n))


def _stirling_error(n: float) -> float:
    """log(n!) less Stirling's formula for it."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = n * n
    tail = 1 / 1680 - 1 / 1188 / square
    return (1 / 12 - (1 / 360 - (1 / 1260 - tail / square) / square) / square) / n


def _deviance(seen: float, mean: float, gap: float) -> float:
    """seen * log(seen / mean) - gap, also where the gap, seen - mean, is small."""
    if abs(gap) >= 0.1 * (seen + mean):
        return seen * math.log(seen / mean) - gap
    ratio = gap / (seen + mean)
    total, term, square = gap * ratio, 2 * seen * ratio, ratio * ratio
    for j in range(1, 1000):
        term *= square
        following = total + term / (2 * j + 1)
        if following == total:
            break
        total = following
    return total
