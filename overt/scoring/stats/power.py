"""How many prompts it takes to decide a limit: the power of the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from overt.scoring.stats.inputs import normal_quantile
from overt.scoring.stats.rates import wilson
from overt.scoring.stats.tails import binomial_tail

MOST = 1_000_000  # prompts beyond which no number is sought


@dataclass(frozen=True, slots=True)
class Needed:
    """`prompts` keep a limit with the power asked for, from that number on; with fewer than `least` no result
    can, not even one without any event."""

    prompts: int
    least: int


def prompts_needed(
    limit: float, expected: float, *, power: float = 0.8, effect: float = 1.0, level: float = 0.95
) -> Needed | None:
    """The number of prompts from which on the gate passes often enough.

    The chance to pass is a sum of binomial probabilities: of all counts whose Wilson interval lies within the
    limit (Newcombe 1998, Stat. Med. 17). It falls a little with
    each prompt that allows no further event and rises where one more is allowed, so the number is one from
    which on it never falls below `power` again.

    Args:
        limit: the highest rate that is allowed, a fraction above 0 and below 1.
        expected: the true rate that is assumed, a fraction.
        power: the chance to pass that is wanted, a fraction.
        effect: the design effect: so many prompts tell as much as one independent prompt, at least 1.
        level: of the interval.

    Returns:
        None where the expected rate does not lie below the limit, or more than `MOST` prompts are needed.

    Raises:
        ValueError: a limit, rate or power outside its bounds, an effect below 1.
    """
    if not (0 < limit < 1 and 0 <= expected <= 1 and 0 < power < 1 and effect >= 1):
        raise ValueError("limit and power lie between 0 and 1, expected in 0..1, the effect is at least 1")
    least = _passing_from(0, limit, level)
    if expected >= limit:
        return None
    needed = start = least
    k = 0
    if _about(limit, expected, power, level) * effect > MOST:
        return None
    # With k events allowed, from `start` on, the chance is least just before one more is allowed.
    while start * effect <= MOST:
        following = _passing_from(k + 1, limit, level)
        if binomial_tail(k, following - 1, expected) < power:
            needed = following
        elif start > 1.5 * needed + 100:  # the chance has long stayed above
            return Needed(math.ceil(needed * effect), math.ceil(least * effect))
        k, start = k + 1, following
    return None


def _about(limit: float, expected: float, power: float, level: float) -> float:
    """The number by the normal distribution, to know beforehand where the search cannot end."""
    reach = normal_quantile(level) * math.sqrt(limit * (1 - limit))
    reach += NormalDist().inv_cdf(power) * math.sqrt(expected * (1 - expected))
    return (max(reach, 0.0) / (limit - expected)) ** 2


def _passing_from(k: int, limit: float, level: float) -> int:
    """The fewest prompts of which k events keep the limit: the inverse of Wilson's upper limit."""
    z = normal_quantile(level)
    spread = z * math.sqrt(limit * (1 - limit))
    root = (spread + math.sqrt(spread * spread + 4 * limit * k)) / (2 * limit)
    n = max(1, k, math.floor(root * root) - 1)
    while wilson(k, n, level).high > limit:  # the formula up to rounding, the shipped interval to be exact
        n += 1
    return n
