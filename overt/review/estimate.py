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
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overt.scoring.stats.inputs import Floats, t_quantile, wilson_limits

_LEAST = 2  # reviewed items a group needs before its variance can be told


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One reviewed item: its stratum, whether it belongs to the part asked about, and its value."""

    stratum: Hashable
    inside: bool
    value: float


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated share, or mean, with its interval. `n` items of the part were reviewed, `population`
    is the estimated number of items in the part, `n_effective` how many drawn at random would tell as
    much."""

    value: float
    low: float
    high: float
    n: int
    population: float
    n_effective: float
    level: float


def share(sizes: Mapping[Any, int], reviewed: Sequence[Reviewed], *, level: float = 0.95) -> Share | None:
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
    if left <= 0:  # everything was reviewed: nothing is left to chance
        return Share(value, value, value, n, population, math.inf, level)
    # No better than as many items drawn evenly: a few disagreements tell little of their own variance.
    most = kish / left
    spread = value * (1 - value)
    effective = min(spread / variance, most) if variance > 0 and spread > 0 else most
    effective = max(effective, 1.0)
    low, high = wilson_limits(min(max(value, 0.0), 1.0), effective, t_quantile(level, freedom))
    return Share(value, low, high, n, population, effective, level)


def mean(sizes: Mapping[Any, int], reviewed: Sequence[Reviewed], *, level: float = 0.95) -> Share | None:
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


def _ratio(
    sizes: Mapping[Any, int], reviewed: Sequence[Reviewed]
) -> tuple[float, float, int, float, float, int, float] | None:
    """value, variance, items reviewed in the part, Kish's effective number, the share of the population
    that has not been seen, degrees of freedom, estimated size of the part."""
    counts: dict[Hashable, int] = defaultdict(int)
    for item in reviewed:
        counts[item.stratum] += 1
    n = sum(item.inside for item in reviewed)
    if not n:
        return None
    groups = _groups(sizes, counts)
    scale = {}  # weight of a reviewed item by stratum
    for members in groups:
        whole = sum(sizes[s] for s in members)
        seen = sum(sizes[s] for s in members if counts[s])
        for stratum in members:
            if counts[stratum]:
                # Strata that nobody has reached are stood for by their neighbours.
                scale[stratum] = sizes[stratum] / counts[stratum] * whole / seen
    weights: Floats = np.array([scale[item.stratum] for item in reviewed])
    inside: Floats = np.array([float(item.inside) for item in reviewed])
    values: Floats = np.array([item.value if item.inside else 0.0 for item in reviewed])
    population = float(weights @ inside)
    value = float(weights @ (inside * values)) / population
    residuals = weights * inside * (values - value) / population
    place = {stratum: number for number, members in enumerate(groups) for stratum in members}
    where = np.array([place[item.stratum] for item in reviewed])
    variance = 0.0
    touched = 0  # groups that hold something of the part
    seen_items = 0
    for number, members in enumerate(groups):
        mine = residuals[where == number]
        size = sum(sizes[s] for s in members)
        if inside[where == number].any():
            touched += 1
            seen_items += len(mine)
        if len(mine) >= _LEAST:
            spread = mine - mine.mean()
            free = 1 - len(mine) / size
            variance += free * len(mine) / (len(mine) - 1) * float(spread @ spread)
    used = weights * inside
    kish = float(used.sum() ** 2 / (used @ used))
    left = max(0.0, 1 - n / population)
    # Whether everything of the part was seen is a matter of counts, not of rounding.
    if all(counts[s] == sizes[s] for s in sizes if counts[s]) and left < 1e-9:
        left = 0.0
    freedom = max(1, min(seen_items - touched, n - 1))
    return value, variance, n, kish, left, freedom, population


def _groups(sizes: Mapping[Any, int], counts: Mapping[Any, int]) -> list[list[Hashable]]:
    """Strata put together with their neighbours until each group can tell its variance.

    A stratum that was reviewed whole has none and may stand alone.
    """
    groups: list[list[Hashable]] = []
    open_: list[Hashable] = []
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
