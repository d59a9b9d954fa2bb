"""Rank correlation over targets. Its interval and its p-value always agree on whether the sign is open."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Number, normal_quantile, numbers, same_length
from overt.scoring.stats.tails import midranks

# 8! = 40,320 orders are ranked in a moment; 9! would be 26 MB for what a formula gives to two digits.
_EXACT = 8
_FEW = 10


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's `rho` over `n` pairs with its interval and the p-value of no association.

    `method` names how interval and `p_value` were made. `note` is a sentence for the reader where the
    interval must be read with care, else empty. `rho` and `p_value` are NaN where one side does not vary.
    """

    rho: float
    n: int
    low: float
    high: float
    level: float
    p_value: float
    method: str
    note: str


def spearman(x: Iterable[Number], y: Iterable[Number], *, level: float = 0.95) -> Correlation:
    """Spearman's rank correlation, ties given their mean rank.

    The interval is `spearman_interval`. The p-value is over all orders of y (twice the smaller tail) for at
    most 8 pairs, else by the same Fisher's z. Either way it lies below 1 - `level` exactly where the interval
    leaves out 0.

    Args:
        x, y: n numbers each, row by row (one row per target).
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no rows, NaN, a bad level.
    """
    first, second = numbers("x", x), numbers("y", y)
    same_length("y", len(second), "x", len(first))
    normal_quantile(level)
    n = len(first)
    ranks: list[Floats] = [midranks(side) - (n + 1) / 2 for side in (first, second)]
    scale = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    if scale == 0:
        reason = "one target only" if n == 1 else "all values of one side are equal"
        note = f"no rank correlation: {reason}"
        return Correlation(math.nan, n, -1.0, 1.0, level, math.nan, "none", note)
    seen = float(ranks[0] @ ranks[1])
    rho = min(1.0, max(-1.0, seen / scale))
    if n <= _EXACT:
        orders = _Orders(*ranks)
        method, p_value = "all orders", orders.p_value(seen)
        low, high = _agreeing(rho, n, level, orders, seen)
    else:
        method, p_value = "fisher z", _fisher_p(rho, n)
        low, high = spearman_interval(rho, n, level)
    return Correlation(rho, n, low, high, level, p_value, method, _note(n, low, high, level))


def spearman_interval(rho: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Limits of a Spearman correlation, also of a published one of which only `rho` and `n` are known.

    Fisher's z with the variance (1 + rho**2 / 2) / (n - 3) of Bonett & Wright (2000, Psychometrika 65,
    23-28). Over at most 8 pairs the normal distribution is too rough to say whether the sign is open: where
    it disagrees with the test over all orders, the limit next to 0 is that of `_Orders`. Fewer than 4 pairs
    allow no interval: (-1, 1). At |rho| = 1 the formula would give width zero; the limit on the open side is
    then that of the next smaller |rho| that n ranks without ties can have, 1 - 12/(n(n**2-1)).

    Args:
        rho: in -1..1.
        n: pairs, at least 1.
        level: confidence level as a fraction.

    Raises:
        ValueError: rho outside -1..1 or NaN, n below 1, a bad level.
    """
    quantile = normal_quantile(level)
    if not -1 <= rho <= 1:
        raise ValueError(f"rho is {rho!r}, outside -1..1")
    if n < 1:
        raise ValueError("n is 0: there is no correlation of nothing")
    if n < 4:
        return -1.0, 1.0
    if n <= _EXACT:
        ranks: Floats = np.arange(n, dtype=np.float64) - (n - 1) / 2
        return _agreeing(rho, n, level, _Orders(ranks, ranks), rho * float(ranks @ ranks))
    return _fisher_limits(rho, n, quantile)


def _agreeing(rho: float, n: int, level: float, orders: _Orders, seen: float) -> tuple[float, float]:
    """Limits over a few pairs: Fisher's, with the sign as open as the test over all orders says."""
    if n < 4:
        return -1.0, 1.0
    low, high = _fisher_limits(rho, n, normal_quantile(level))
    is_open = orders.p_value(seen) >= 1 - level
    if is_open == (low <= 0 <= high):
        return low, high
    own = orders.limits(seen, level)
    return (own[0], high) if rho > 0 else (low, own[1])


def _fisher_limits(rho: float, n: int, quantile: float) -> tuple[float, float]:
    z, error = _fisher(rho, n)
    # With ties a correlation can lie between the last one without ties and 1.
    low, high = min(math.tanh(z - quantile * error), rho), max(math.tanh(z + quantile * error), rho)
    return (-1.0 if rho == -1 else low), (1.0 if rho == 1 else high)


def _fisher(rho: float, n: int) -> tuple[float, float]:
    """Fisher's z of a correlation and its standard error."""
    limit = 1 - 12 / (n * (n * n - 1))
    inner = math.copysign(min(abs(rho), limit), rho)
    return math.atanh(inner), math.sqrt((1 + inner * inner / 2) / (n - 3))


def _fisher_p(rho: float, n: int) -> float:
    z, error = _fisher(rho, n)
    return math.erfc(abs(z) / error / math.sqrt(2))


class _Orders:
    """All orders of a few ranks: a test of no association, and the interval that inverts it.

    The products of both ranks, summed, take a value for each order. Without association all orders are
    equally likely. With association an order is as likely as exp(tilt * sum): the exponential family of which
    Spearman's rho is the statistic (Mallows 1957, Biometrika 44; Diaconis 1988, Group Representations, ch.
    6). The limits are the expected rho at the tilts at which the observed sum is just in the upper, or the
    lower, (1 - level) / 2 of the orders. At a tilt of 0 the expected rho is 0, so that 0 lies outside exactly
    where the test rejects.
    """

    def __init__(self, first: Floats, second: Floats) -> None:
        orders = np.array(list(itertools.permutations(range(len(second)))))
        # Sums of half ranks are multiples of 1/4: rounding them makes equal ones equal.
        sums = np.rint(4 * (second[orders] @ first)) / 4
        self.sums, counts = np.unique(sums, return_counts=True)
        self.log_chances = np.log(counts / len(orders))
        self.scale = math.sqrt(float(first @ first) * float(second @ second))

    def p_value(self, seen: float) -> float:
        """Twice the smaller tail, at most 1."""
        place, chances = self._place(seen), np.exp(self.log_chances)
        return float(min(1.0, 2 * min(chances[place:].sum(), chances[: place + 1].sum())))

    def limits(self, seen: float, level: float) -> tuple[float, float]:
        place, last = self._place(seen), len(self.sums) - 1
        tail = (1 - level) / 2
        low = -1.0 if place == 0 else self._expected(self._tilt(lambda c: c[place:].sum() < tail))
        high = 1.0 if place == last else self._expected(self._tilt(lambda c: c[: place + 1].sum() >= tail))
        if self.p_value(seen) >= 1 - level:  # a p-value that is the limit itself: rounding must not decide
            low, high = min(low, 0.0), max(high, 0.0)
        return low, high

    def _place(self, seen: float) -> int:
        return int(np.abs(self.sums - seen).argmin())

    def _tilted(self, tilt: float) -> Floats:
        logs = self.log_chances + tilt * self.sums
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def _expected(self, tilt: float) -> float:
        return float(self._tilted(tilt) @ self.sums) / self.scale

    def _tilt(self, is_below: Callable[[Floats], bool]) -> float:
        """Where `is_below`, true of small tilts and false of large ones, turns."""
        # Sums are at least 1/4 apart, so that a tilt of 400 leaves one order only.
        below, above = -400.0, 400.0
        for _ in range(60):
            middle = (below + above) / 2
            if is_below(self._tilted(middle)):
                below = middle
            else:
                above = middle
        return (below + above) / 2


def _note(n: int, low: float, high: float, level: float) -> str:
    if n < 4:
        return f"{n} targets allow no interval"
    if n >= _FEW:
        return ""
    sign = ", even the sign is open" if low <= 0 <= high else ""
    span = f"{low:.2f} to {high:.2f}"
    return f"{n} targets only: the {100 * level:g}% interval is approximate and wide, {span}{sign}"
