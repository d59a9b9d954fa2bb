"""The total of a run to come, foretold from a pilot: what a prompt takes, times the number of prompts.

Both sides err: the pilot's mean by its few prompts, and the future total by its own. The interval is one for
the mean of N further values given m (Student's, with the variance s**2 (1/m + 1/N): Geisser 1993, Predictive
Inference), after Hall's cubic transformation, which takes out the skewness that latencies, tokens and costs
have (Hall 1992, J. R. Stat. Soc. B 54; Zhou & Gao 2000, Am. Stat. 54). docs/howto/plan.md has its coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Number, check_level, numbers, t_quantile

FEWEST = 10  # units of a pilot below which there is no interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A total with its interval, in the unit of the values. `n` units of the pilot tell it. The limits are
    None where there is no interval, and `why` says why not."""

    value: float
    low: float | None
    high: float | None
    n: int
    why: str = ""

    def times(self, factor: float) -> Total:
        """The same in another unit."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Total(value=self.value * factor, low=low, high=high, n=self.n, why=self.why)


def foretold(
    values: Floats | list[Number],
    units: float,
    *,
    level: float = 0.95,
    unit: str = "prompts",
    alike: float = 1.0,
) -> Total:
    """The total over so many further units.

    Args:
        values: of each of m units of the pilot what it took, none below 0.
        units: how many further ones there will be, above 0.
        level: of the interval, a fraction.
        unit: what the units are called, for `why`.
        alike: how many units tell as much as one independent one, at least 1: those that follow each other
            may be alike, as calls in one batch are.

    Raises:
        ValueError: no values, NaN, a bad level.
    """
    check_level(level)
    array = numbers("values", values)
    count, mean = len(array), float(array.mean())
    value = mean * units
    if count < FEWEST:
        why = f"an interval needs {FEWEST} {unit} of the small run, and there {_are(count)}"
        return Total(value=value, low=None, high=None, n=count, why=why)
    spread = float(array.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        why = f"all {count:,} {unit} of the small run took the same"
        return Total(value=value, low=None, high=None, n=count, why=why)
    telling = count / alike
    if telling < FEWEST:
        why = (
            f"calls one after the other took alike long, as in batches: {count:,} {unit} tell as little as "
            f"{max(1, int(telling))}, and an interval needs {FEWEST}"
        )
        return Total(value=value, low=None, high=None, n=count, why=why)
    skew = float(((array - mean) ** 3).mean()) / float(array.std()) ** 3
    quantile = float(t_quantile(level, telling - 1))
    error = spread * math.sqrt((1 / count + 1 / units) * alike) * units
    low, high = (value - _untransformed(q, skew, telling) * error for q in (quantile, -quantile))
    return Total(value=value, low=max(low, 0.0), high=high, n=count)


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"


def _untransformed(quantile: float, skew: float, count: float) -> float:
    """The t whose transform is this quantile: Hall's
    g(t) = t + a t**2 + a**2 t**3 / 3 + skew / (6 sqrt(m)) with a = skew / (3 sqrt(m)), turned around."""
    root = math.sqrt(count)
    bend = skew / (3 * root)
    if abs(bend) < 1e-9:
        return quantile
    return float(np.cbrt(1 + 3 * bend * (quantile - skew / (6 * root))) - 1) / bend
