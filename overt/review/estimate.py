"""From labels of a sample to figures of the population: weighted shares with intervals.

The population is finite and fixed, and only the draw is random: so prompts that share a seed need no
clustering here. Within a stratum those reviewed are a random sample, and each stands for
size / reviewed items (Horvitz & Thompson 1952, with the number reviewed in place of the number planned).
A share is the ratio of two such sums; its variance comes from the linearised residuals within strata
with the finite population correction (Cochran 1977, ch. 5 and 6; Lohr 2022, ch. 4). The interval is
Wilson's on the effective sample size with Student's t (Korn & Graubard 1998; Franco et al. 2019), which
stays sensible for shares close to 100%, as the precision of an audit should be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from overt.scoring.stats.inputs import Floats, t_quantile, wilson_limits

_LEAST = 2  # reviewed items a group needs before its variance can be told


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One reviewed item: its stratum, whether it belongs to the part asked about, and its value."""

    stratum: int
    inside: bool
    value: float


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated share, or mean, with its interval. `n` items of the part were reviewed, `population`
    is the estimated number of items in the part, `n_effective` the size of a simple random sample with the
    same precision."""

    value: float
    low: float
    high: float
    n: int
    population: float
    n_effective: float
    level: float


def share(sizes: Mapping[int, int], reviewed: Sequence[Reviewed], *, level: float = 0.95) -> Share | None:
    """The share of a part of the population that has a property; None where nothing of it was reviewed.

    Args:
        sizes: stratum -> items of the population in it; in an order in which neighbours are alike, since
            strata with fewer than two reviewed items are put together with the next one.
        reviewed: the items that people have labelled; `value` from 0 to 1 (how many of its reviewers
            say so).
    """
    found = _ratio(sizes, reviewed)
    if found is None:
        return None
    value, variance, n, kish, left, freedom, population = found
    if left <= 0:  # everything was reviewed: no sampling error
        return Share(value, value, value, n, population, math.inf, level)
    # At most the precision of an even draw: few disagreements estimate their own variance poorly.
    most = kish / left
    spread = value * (1 - value)
    effective = min(spread / variance, most) if variance > 0 and spread > 0 else most
    effective = max(effective, 1.0)
    low, high = wilson_limits(min(max(value, 0.0), 1.0), effective, t_quantile(level, freedom))
    return Share(value, low, high, n, population, effective, level)


def mean(sizes: Mapping[int, int], reviewed: Sequence[Reviewed], *, level: float = 0.95) -> Share | None:
    """The same for values on any scale: Student's interval about the weighted mean."""
    found = _ratio(sizes, reviewed)
    if found is None:
        return None
    value, variance, n, kish, left, freedom, population = found
    if left <= 0:
        return Share(value, value, value, n, population, math.inf, level)
    if n < _LEAST:
        return Share(value, -math.inf, math.inf, n, population, 1.0, level)
    half = t_quantile(level, freedom) * math.sqrt(variance)
    return Share(value, value - half, value + half, n, population, kish / left, level)


class _Ratio(NamedTuple):
    """A weighted mean of a part of the population, and what its interval is made from.

    n: items reviewed in the part. kish: Kish's effective number of them. left: the share of the population
    that has not been seen. freedom: degrees of freedom. population: estimated size of the part.
    """

    value: float
    variance: float
    n: int
    kish: float
    left: float
    freedom: int
    population: float


def _ratio(sizes: Mapping[int, int], reviewed: Sequence[Reviewed]) -> _Ratio | None:
    """None where nothing of the part was reviewed."""
    counts = Counter(item.stratum for item in reviewed)
    n = sum(item.inside for item in reviewed)
    if not n:
        return None
    groups = _groups(sizes, counts)
    weights, inside, values = _arrays(reviewed, _weights(groups, sizes, counts))
    population = float(weights @ inside)
    value = float(weights @ (inside * values)) / population
    residuals = weights * inside * (values - value) / population
    place = {stratum: number for number, members in enumerate(groups) for stratum in members}
    where = np.array([place[item.stratum] for item in reviewed])
    in_group = [where == number for number in range(len(groups))]
    variance = sum(
        _variance(residuals[mine], sum(sizes[s] for s in members))
        for mine, members in zip(in_group, groups, strict=True)
    )
    # Reviewed items of each group that holds something of the part.
    seen = [int(mine.sum()) for mine in in_group if inside[mine].any()]
    used = weights * inside
    kish = float(used.sum() ** 2 / (used @ used))
    left = max(0.0, 1 - n / population)
    # Decided by counts, since `left` is subject to rounding.
    if left < 1e-9 and _are_whole(sizes, counts):
        left = 0.0
    freedom = max(1, min(sum(seen) - len(seen), n - 1))
    return _Ratio(value, variance, n, kish, left, freedom, population)


def _arrays(reviewed: Sequence[Reviewed], weight: Mapping[int, float]) -> tuple[Floats, Floats, Floats]:
    """Of each reviewed item: its weight, 1 where it belongs to the part, and its value there."""
    weights: Floats = np.array([weight[item.stratum] for item in reviewed])
    inside: Floats = np.array([float(item.inside) for item in reviewed])
    values: Floats = np.array([item.value if item.inside else 0.0 for item in reviewed])
    return weights, inside, values


def _weights(
    groups: Sequence[Sequence[int]], sizes: Mapping[int, int], counts: Mapping[int, int]
) -> dict[int, float]:
    """How many items of the population a reviewed item stands for, by stratum. Strata without reviewed items
    are represented by their neighbours in the group."""
    weights: dict[int, float] = {}
    for members in groups:
        whole = sum(sizes[s] for s in members)
        seen = sum(sizes[s] for s in members if counts[s])
        weights |= {s: sizes[s] / counts[s] * whole / seen for s in members if counts[s]}
    return weights


def _are_whole(sizes: Mapping[int, int], counts: Mapping[int, int]) -> bool:
    """Whether every stratum that was reviewed at all was reviewed whole."""
    return all(counts[s] == sizes[s] for s in sizes if counts[s])


def _variance(residuals: Floats, size: int) -> float:
    """What one group of `size` items adds to the variance, with the finite population correction."""
    n = len(residuals)
    if n < _LEAST:
        return 0.0
    spread = residuals - residuals.mean()
    free = 1 - n / size
    return free * n / (n - 1) * float(spread @ spread)


def _groups(sizes: Mapping[int, int], counts: Mapping[int, int]) -> list[list[int]]:
    """Merges neighbouring strata until each group can estimate its variance.

    A stratum that was reviewed whole has none and may stand alone.
    """
    groups: list[list[int]] = []
    open_: list[int] = []
    for stratum, size in sizes.items():
        open_.append(stratum)
        done = sum(counts.get(s, 0) for s in open_)
        if done >= _LEAST or done == sum(sizes[s] for s in open_) == size:
            groups.append(open_)
            open_ = []
    if open_:
        if groups:
            groups[-1] += open_
        else:
            groups.append(open_)
    return groups
