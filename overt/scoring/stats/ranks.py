"""Rank correlation over targets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Number, normal_quantile, numbers, same_length

# 8! = 40,320 orders are ranked in a moment; 9! would be 26 MB for a p-value that the t approximation
# already gives to two digits.
_EXACT = 8
_FEW = 10


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's `rho` over `n` pairs with its interval and the p-value of no association.

    `method` names how `p_value` was made. `note` is a sentence for the reader where the interval must
    be read with care, else empty. `rho` and `p_value` are NaN where one side does not vary.
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

    The interval is `spearman_interval`. The p-value is two-sided: over all orders of y for at most 8
    pairs, else by Student's t with n-2 degrees of freedom.

    Args:
        x, y: n numbers each, row by row (one row per target).
        level: confidence level as a fraction.

    Raises:
        ValueError: lengths that differ, no rows, NaN, a bad level.
    """
    from scipy.special import stdtr
    from scipy.stats import rankdata

    first, second = numbers("x", x), numbers("y", y)
    same_length("y", len(second), "x", len(first))
    normal_quantile(level)
    n = len(first)
    ranks: list[Floats] = [rankdata(side) - (n + 1) / 2 for side in (first, second)]
    scale = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    if scale == 0:
        reason = "one target only" if n == 1 else "all values of one side are equal"
        note = f"no rank correlation: {reason}"
        return Correlation(math.nan, n, -1.0, 1.0, level, math.nan, "none", note)
    rho = min(1.0, max(-1.0, float(ranks[0] @ ranks[1]) / scale))
    low, high = spearman_interval(rho, n, level)
    if n <= _EXACT:
        method, p_value = "all orders", _all_orders(*ranks)
    else:
        method = "student t"
        t = math.inf if abs(rho) == 1 else abs(rho) * math.sqrt((n - 2) / (1 - rho * rho))
        # No order of n values without ties is rarer than this.
        p_value = max(2 * float(stdtr(n - 2, -t)), 2 / math.factorial(n))
    return Correlation(rho, n, low, high, level, p_value, method, _note(n, low, high, level))


def spearman_interval(rho: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Limits of a Spearman correlation, also of a published one of which only `rho` and `n` are known.

    Fisher's z with the variance (1 + rho**2 / 2) / (n - 3) of Bonett & Wright (2000, Psychometrika 65,
    23-28). Fewer than 4 pairs allow no interval: (-1, 1). At |rho| = 1 the formula would give width
    zero; the limit on the open side is then that of the next smaller |rho| that n ranks without ties
    can have, 1 - 12/(n(n**2-1)).

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
    limit = 1 - 12 / (n * (n * n - 1))
    inner = math.copysign(min(abs(rho), limit), rho)
    z, half = math.atanh(inner), quantile * math.sqrt((1 + inner * inner / 2) / (n - 3))
    low, high = math.tanh(z - half), math.tanh(z + half)
    return (-1.0 if rho == -1 else low), (1.0 if rho == 1 else high)


def _all_orders(first: Floats, second: Floats) -> float:
    orders = np.array(list(itertools.permutations(range(len(second)))))
    reached = np.abs(second[orders] @ first)
    # Sums of half ranks are multiples of 1/4: the slack only takes up rounding.
    return float((reached >= abs(float(first @ second)) - 1e-9).mean())


def _note(n: int, low: float, high: float, level: float) -> str:
    if n < 4:
        return f"{n} targets allow no interval"
    if n >= _FEW:
        return ""
    sign = ", even the sign is open" if low <= 0 <= high else ""
    span = f"{low:.2f} to {high:.2f}"
    return f"{n} targets only: the {100 * level:g}% interval is approximate and wide, {span}{sign}"
