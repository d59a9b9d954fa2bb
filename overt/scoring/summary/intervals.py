"""How the intervals of all results are made."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from overt.data.results.remedy import Mean
from overt.data.results.summary import Rate
from overt.scoring import stats
from overt.scoring.stats.means import mean_interval


@dataclass(frozen=True, slots=True)
class Settings:
    """The confidence `level` as a fraction of 1, and the draws of the bootstrap with their seed."""

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def rate(self, rows: Sequence[tuple[bool, Hashable]]) -> Rate | None:
        """The share of True among (event, cluster) pairs; None for no pairs."""
        if not rows:
            return None
        events, clusters = zip(*rows, strict=True)
        found = stats.rate(events, clusters, level=self.level, resamples=self.resamples, seed=self.seed)
        return rate_record(found)

    def mean(self, rows: Sequence[tuple[float, Hashable]]) -> Mean | None:
        """The mean of (value, cluster) pairs; None for no pairs. One cluster alone has no interval."""
        if not rows:
            return None
        values, clusters = zip(*rows, strict=True)
        found = mean_interval(values, clusters, level=self.level, resamples=self.resamples, seed=self.seed)
        return Mean(found.mean, finite(found.low), finite(found.high), found.n, found.clusters, found.level)


def rate_record(found: stats.Rate) -> Rate:
    """What the summary keeps of a rate."""
    return Rate(found.k, found.n, found.rate, found.low, found.high, found.method, found.clusters)


def finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
