"""From labels of a sample to figures of the population: weighted shares with intervals.

The population is finite and fixed, and only the draw is random: so prompts that share a seed need no
clustering here. Within a stratum those reviewed are a random sample, and each stands for
size / reviewed items (Horvitz & Thompson 1952, with the number reviewed in place of the number planned).
A share is the ratio of two such sums; its variance comes from within strata, with the finite population
correction (Cochran 1977, ch. 5 and 6; Lohr 2022, ch. 4). Its interval is a score interval, as Wilson's is
for a single stratum: a limit is a share that the data could just have come from, with the shares of the
strata as likely as they can then be, and the variance that those have (Miettinen & Nurminen 1985, Stat. Med.
4, for two strata; Yan & Su 2010, Stat. Biopharm. Res. 2, on why strata of unlike shares need more than an
effective sample size). It stays sensible where nothing was found in a stratum, as the precision of an audit
should be. docs/metrics.md has its coverage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from overt.scoring.stats.inputs import Floats, cluster_codes, normal_quantile, t_quantile
from overt.scoring.stats.two_phase import label_effect

_LEAST = 2  # reviewed items a group needs before its variance can be told
_LEAST_OF_SHARE = 4  # and to tell it well: of two items a share is 0, 1/2 or 1
_MANY = 10**9  # a population so large that the labels are no part of it to speak of
_STEPS = 50  # halvings of 55 units of a logarithm: the limits are right to 13 digits


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One reviewed item: its stratum, whether it belongs to the part asked about (or how much of it, 0 to 1),
    and its value."""

    stratum: int
    inside: float
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
    found = _ratio(sizes, reviewed, _LEAST_OF_SHARE)
    if found is None:
        return None
    value, n, population = min(max(found.value, 0.0), 1.0), found.n, found.population
    if found.left <= 0:  # everything was reviewed: no sampling error
        return Share(value, value, value, n, population, math.inf, level)
    low, high, variance = (float(x) for x in share_limits(found.parts, t_quantile(level, found.freedom)))
    # Where nothing varied there is no variance to hold: then the precision of an even draw.
    spread = value * (1 - value)
    effective = spread / variance if variance > 0 and spread > 0 else found.kish / found.left
    return Share(value, low, high, n, population, max(effective, 1.0), level)


def share_of_kind(
    sizes: Mapping[int, int],
    reviewed: Sequence[Reviewed],
    clusters: Sequence[Hashable],
    whole: float,
    *,
    level: float = 0.95,
) -> tuple[Share, Floats] | None:
    """The same share with an interval that speaks of other prompts made the same way, not of this run alone.

    So what was reviewed whole is a sample too, there is no finite population correction, and items that share
    a seed count as fewer (`label_effect`). Other prompts would also fall into the strata in other shares: the
    variance between the strata, over `whole`, is added (Cochran 1977, ch. 12).

    Args:
        sizes, reviewed: as for `share`.
        clusters: the cluster of each reviewed item.
        whole: how many independent items the part of the population holds.

    Returns:
        The share, and how far each reviewed item pulls it up or down.
    """
    found = _ratio({stratum: size * _MANY for stratum, size in sizes.items()}, reviewed, _LEAST_OF_SHARE)
    if found is None:
        return None
    mine = [(item.value, cluster) for item, cluster in zip(reviewed, clusters, strict=True) if item.inside]
    codes = cluster_codes([cluster for _, cluster in mine], len(mine), "labels")
    rows = np.bincount(codes).astype(np.float64)
    yes: Floats = np.bincount(codes, weights=np.array([value for value, _ in mine])).astype(np.float64)
    low, high, n = kind_limits(found.parts, found.freedom, yes, rows, level)
    value, population = min(max(found.value, 0.0), 1.0), found.population / _MANY
    between = float(found.parts.weight @ (found.parts.share - value) ** 2) / max(whole, 1.0)
    more = between * normal_quantile(level) ** 2
    below = max(value - math.sqrt((value - float(low)) ** 2 + more), 0.0)
    above = min(value + math.sqrt((float(high) - value) ** 2 + more), 1.0)
    told = Share(value, below, above, found.n, population, float(n.sum()), level)
    return told, found.pulls


def kind_limits(
    parts: Parts, freedom: float | Floats, yes: Floats, rows: Floats, level: float
) -> tuple[Floats, Floats, Floats]:
    """Score limits of a share for prompts of the kind, and the effective numbers of labels of the strata.

    Args:
        parts: the strata; `seen` is 0.
        freedom: degrees of freedom without clusters.
        yes, rows: as for `label_effect`.
    """
    effect = label_effect(yes, rows)
    fewer = np.maximum(np.minimum(freedom, (rows > 0).sum(axis=-1) - 1), 1.0)
    n = np.maximum(parts.n / effect[..., None], 1.0)
    low, high, _ = share_limits(replace(parts, n=n), t_quantile(level, fewer))
    return low, high, n


def mean(sizes: Mapping[int, int], reviewed: Sequence[Reviewed], *, level: float = 0.95) -> Share | None:
    """The same for values on any scale: Student's interval about the weighted mean."""
    found = _ratio(sizes, reviewed, _LEAST)
    if found is None:
        return None
    value, n, population = found.value, found.n, found.population
    if found.left <= 0:
        return Share(value, value, value, n, population, math.inf, level)
    if n < _LEAST:
        return Share(value, -math.inf, math.inf, n, population, 1.0, level)
    half = float(t_quantile(level, found.freedom)) * math.sqrt(found.variance)
    return Share(value, value - half, value + half, n, population, found.kish / found.left, level)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of each stratum, along the last axis; leading axes are samples.

    Attributes:
        weight: its share of the part of the population that is asked about.
        inside: the share of its items that belong to that part.
        share: the share of those that have the property.
        n: reviewed items that belong to the part (effective, where they do not all weigh the same).
        seen: the share of its items that were reviewed.
        scale: the variance of the values over that of zeros and ones: below 1 where reviewers disagree.
    """

    weight: Floats
    inside: Floats
    share: Floats
    n: Floats
    seen: Floats
    scale: Floats


def share_limits(parts: Parts, quantile: float | Floats) -> tuple[Floats, Floats, Floats]:
    """Score limits of a weighted share, and the variance of the share itself.

    A share P is within the limits if (p - P)**2 <= quantile**2 * V(P), where V is the variance for the most
    likely shares of the strata that add up to P. Those are, by Lagrange, the root of a quadratic for each
    stratum, all with the same multiplier; so the limit is sought along the multiplier.
    """
    seen = (parts.weight * parts.share).sum(axis=-1)
    mirrored = replace(parts, share=1 - parts.share)
    high = np.where(seen >= 1 - 1e-12, 1.0, _upper(parts, quantile))
    low = np.where(seen <= 1e-12, 0.0, 1 - _upper(mirrored, quantile))
    return np.minimum(low, seen), np.maximum(high, seen), _share_variance(parts, parts.share, seen)


def _upper(parts: Parts, quantile: float | Floats) -> Floats:
    seen = (parts.weight * parts.share).sum(axis=-1)
    below, above = np.full(seen.shape, -25.0), np.full(seen.shape, 30.0)
    for _ in range(_STEPS):
        middle = (below + above) / 2
        shares = _most_likely(parts, np.exp(middle)[..., None])
        total = (parts.weight * shares).sum(axis=-1)
        is_out = (total - seen) ** 2 > np.square(quantile) * _share_variance(parts, shares, total)
        below, above = np.where(is_out, below, middle), np.where(is_out, middle, above)
    limit: Floats = (parts.weight * _most_likely(parts, np.exp(below)[..., None])).sum(axis=-1)
    return limit


def _most_likely(parts: Parts, push: Floats) -> Floats:
    """The strata's shares for a multiplier: the root of A p**2 - (n + A) p + n share = 0 within 0..1."""
    # Where more was seen, a stratum is known as from so many more items.
    n = parts.n / np.maximum(1 - parts.seen, 1e-12)
    a = -push * parts.weight
    b = n + a
    root = np.sqrt(np.maximum(b * b - 4 * a * n * parts.share, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two forms of one root, each exact where the other subtracts equal numbers.
        found = np.where(b > 0, 2 * n * parts.share / (b + root), (b - root) / (2 * a))
    is_known = (parts.seen >= 1) | (parts.weight <= 0)
    return np.where(is_known, parts.share, np.clip(found, 0.0, 1.0))


def _share_variance(parts: Parts, shares: Floats, total: Floats) -> Floats:
    """Variance of the weighted share for given shares of the strata, which add up to `total`.

    Of one item of a stratum: whether it belongs to the part varies, and within the part its value.
    """
    n = parts.n / np.where(parts.inside > 0, parts.inside, 1.0)  # all reviewed items of the stratum
    value = parts.scale * shares * (1 - shares)
    other = (1 - parts.inside) * (shares - total[..., None]) ** 2
    one = parts.weight**2 * (1 - parts.seen) / np.maximum(parts.n, 1e-12) * (value + other)
    # n - 1: as for any variance about an estimated mean.
    return np.asarray((np.where(parts.weight > 0, one, 0.0) * n / np.maximum(n - 1, 1.0)).sum(axis=-1))


class _Ratio(NamedTuple):
    """A weighted mean of a part of the population, and what its interval is made from.

    n: items reviewed in the part. kish: Kish's effective number of them. left: the share of the population
    that has not been seen. freedom: degrees of freedom. population: estimated size of the part. pulls: how
    far each reviewed item pulls the mean.
    """

    value: float
    variance: float
    n: int
    kish: float
    left: float
    freedom: int
    population: float
    parts: Parts
    pulls: Floats


def _ratio(sizes: Mapping[int, int], reviewed: Sequence[Reviewed], least: int) -> _Ratio | None:
    """None where nothing of the part was reviewed."""
    counts = Counter(item.stratum for item in reviewed)
    n = sum(item.inside > 0 for item in reviewed)
    if not n:
        return None
    groups = _groups(sizes, counts, least)
    weights, inside, values = _arrays(reviewed, _weights(groups, sizes, counts))
    population = float(weights @ inside)
    value = float(weights @ (inside * values)) / population
    residuals = weights * inside * (values - value) / population
    place = {stratum: number for number, members in enumerate(groups) for stratum in members}
    where = np.array([place[item.stratum] for item in reviewed])
    in_group = [where == number for number in range(len(groups))]
    wholes = [sum(sizes[s] for s in members) for members in groups]
    variance = sum(_variance(residuals[mine], whole) for mine, whole in zip(in_group, wholes, strict=True))
    # Reviewed items of each group that holds something of the part.
    seen = [int(mine.sum()) for mine in in_group if inside[mine].any()]
    kish = _kish(weights * inside)
    left = _left(1 - n / population, sizes, counts)
    freedom = max(1, min(sum(seen) - len(seen), n - 1))
    parts = [_part(weights[g], inside[g], values[g], w) for g, w in zip(in_group, wholes, strict=True)]
    columns = np.array(parts).T
    columns[0] /= population
    return _Ratio(value, variance, n, kish, left, freedom, population, Parts(*columns), residuals)


def _part(weights: Floats, inside: Floats, values: Floats, whole: int) -> tuple[float, ...]:
    """One group as in `Parts`, with the number of its items of the part in place of `weight`."""
    used = weights * inside
    held = float(used.sum())
    if held <= 0:
        return 0.0, 0.0, 0.0, 0.0, 1.0, 1.0
    share = min(max(float(used @ values) / held, 0.0), 1.0)
    spread = float(used @ (values - share) ** 2) / held
    scale = spread / (share * (1 - share)) if 0 < share < 1 else 1.0
    return held, held / float(weights.sum()), share, _kish(used), len(weights) / whole, min(scale, 1.0)


def _kish(weights: Floats) -> float:
    """Kish's effective number of items of unlike weights."""
    return float(weights.sum() ** 2 / (weights @ weights))


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


def _left(share: float, sizes: Mapping[int, int], counts: Mapping[int, int]) -> float:
    """The share that has not been seen: 0 where every stratum was reviewed whole, whatever the rounding."""
    is_whole = share < 1e-9 and all(counts[s] == sizes[s] for s in sizes if counts[s])
    return 0.0 if is_whole else max(0.0, share)


def _variance(residuals: Floats, size: int) -> float:
    """What one group of `size` items adds to the variance, with the finite population correction."""
    n = len(residuals)
    if n < _LEAST:
        return 0.0
    spread = residuals - residuals.mean()
    free = 1 - n / size
    return free * n / (n - 1) * float(spread @ spread)


def _groups(sizes: Mapping[int, int], counts: Mapping[int, int], least: int) -> list[list[int]]:
    """Merges neighbouring strata until each group can estimate its variance from `least` reviewed items.

    A stratum that was reviewed whole has none and may stand alone.
    """
    groups: list[list[int]] = []
    open_: list[int] = []
    for stratum, size in sizes.items():
        open_.append(stratum)
        done = sum(counts.get(s, 0) for s in open_)
        if done >= least or done == sum(sizes[s] for s in open_) == size:
            groups.append(open_)
            open_ = []
    if open_:
        if groups:
            groups[-1] += open_
        else:
            groups.append(open_)
    return groups
