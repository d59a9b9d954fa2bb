"""Figures of suites of many turns, by `overt.scoring.stats`; undefined where there is nothing to count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from overt.data.results.episodes import Figure
from overt.scoring import stats
from overt.scoring.stats.means import mean_interval

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def share(hits: Bools, clusters: Ints, level: float, *, missing: int = 0, why: str = "") -> Figure:
    """A share with its interval over clusters (`stats.rate`).

    Args:
        hits, clusters: of shape (n,), of what is known alone.
        missing: how many belong to it and are not known.
        why: the note where n is 0.
    """
    if not len(hits):
        return Figure(None, n=0, missing=missing, note=why)
    found = stats.rate(hits.tolist(), clusters.tolist(), level=level)
    return Figure(found.rate, found.low, found.high, found.k, found.n, missing)


def share_of_counts(k: int, n: int, level: float, *, missing: int = 0, why: str = "") -> Figure:
    """k of n independent ones, with Wilson's interval. Arguments as of `share`."""
    if not n:
        return Figure(None, k=0, n=0, missing=missing, note=why)
    found = stats.wilson(k, n, level)
    return Figure(found.rate, found.low, found.high, k, n, missing)


def difference(
    first: Bools, second: Bools, clusters: Ints, level: float, *, missing: int = 0, why: str = ""
) -> Figure:
    """How much more often the first than the second, pair by pair (`stats.paired_difference`).

    Args:
        first, second, clusters: of shape (n,), of pairs of which both are known.
        missing, why: as of `share`, of pairs.
    """
    if not len(first):
        return Figure(None, n=0, missing=missing, unit="difference", note=why)
    found = stats.paired_difference(first.tolist(), second.tolist(), clusters.tolist(), level=level)
    return Figure(found.difference, found.low, found.high, None, found.n, missing, "difference")


def mean(
    values: Sequence[float],
    clusters: Iterable[int],
    level: float,
    *,
    missing: int = 0,
    why: str = "",
    one: str = "one only",
    alike: str = "",
) -> Figure:
    """A mean with Student's interval over clusters (`mean_interval`).

    Args:
        values, clusters: n numbers, and what each belongs to.
        missing, why: as of `share`.
        one: what there is one of where there is no interval, since there is one cluster.
        alike: where it is given, values that are all alike have no interval, and this says so: no spread was
            seen that one could be made of.
    """
    n = len(values)
    if not n:
        return Figure(None, n=0, missing=missing, unit="number", note=why)
    found = mean_interval(values, list(clusters), level=level)
    lacks = one if found.clusters < 2 else alike if len({*values}) == 1 else ""
    if lacks:
        note = f"no interval: {lacks}"
        return Figure(found.mean, n=n, missing=missing, unit="number", note=note)
    return Figure(found.mean, found.low, found.high, n=n, missing=missing, unit="number")
