"""Checks shared by the statistics: every ValueError names the argument and the first bad place."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from overt.scoring.stats.tails import t_point, t_tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# A label for each row; numbers in an array are the quickest.
Clusters = Sequence[Hashable] | Ints
# What comes from outside: a missing value is None or NaN, and refused with its position.
Number = float | bool | np.generic | None
# The two-sided quantile of Student's t for a level and for each number of degrees of freedom.
Quantile = Callable[[float, float | Floats], Floats]


def numbers(name: str, values: Iterable[Number]) -> Floats:
    """One-dimensional, not empty, no NaN or None; infinities pass."""
    raw = values if isinstance(values, np.ndarray) else list(values)
    try:
        # None becomes NaN here and is refused below with its position.
        array = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be one flat sequence of numbers") from error
    if array.ndim != 1:
        raise ValueError(f"{name} must be one flat sequence of numbers, not of shape {array.shape}")
    if not array.size:
        raise ValueError(f"{name} is empty")
    bad = np.isnan(array)
    if bad.any():
        raise ValueError(f"{name}[{int(bad.argmax())}] is missing (NaN or None); leave such rows out first")
    return array


def binary(name: str, values: Iterable[Number]) -> Ints:
    """Outcomes as 0 and 1; booleans and 0/1 numbers pass, everything else is refused."""
    array = numbers(name, values)
    bad = (array != 0) & (array != 1)
    if bad.any():
        place = int(bad.argmax())
        raise ValueError(f"{name}[{place}] is {array[place]:g}; outcomes are 0 or 1 (or booleans)")
    return array.astype(np.int64)


def same_length(name: str, length: int, other: str, expected: int) -> None:
    """Refuse two columns that cannot belong to the same rows."""
    if length != expected:
        raise ValueError(f"{name} has {length} rows and {other} has {expected}; they must match row by row")


def cluster_codes(clusters: Clusters, length: int, rows: str = "outcomes") -> Ints:
    """Cluster labels as numbers 0..G-1 in order of first appearance."""
    if isinstance(clusters, np.ndarray) and clusters.ndim == 1 and clusters.dtype.kind in "iu":
        same_length("clusters", len(clusters), rows, length)
        return _numbered(clusters)
    labels: list[Hashable] = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    same_length("clusters", len(labels), rows, length)
    codes: dict[Hashable, int] = {}
    out = np.empty(length, dtype=np.int64)
    for place, label in enumerate(labels):
        # NaN is not equal to itself: each would silently be a cluster of its own.
        if label is None or label != label:
            raise ValueError(f"clusters[{place}] is missing; give a prompt without a seed its own id")
        try:
            out[place] = codes.setdefault(label, len(codes))
        except TypeError as error:
            raise ValueError(f"clusters[{place}] must be a string or a number, not {label!r}") from error
    return out


def _numbered(labels: Ints) -> Ints:
    """Whole numbers as numbers 0..G-1 in order of first appearance."""
    found, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(found), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(found))
    return rank[codes]


def check_level(level: float) -> float:
    """A confidence level is a share, 0.95, not 95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}; a confidence level lies between 0 and 1, as in 0.95")
    return level


def normal_quantile(level: float) -> float:
    """The two-sided standard normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + check_level(level)) / 2)


def t_quantile(level: float, freedom: float | Floats) -> Floats:
    """The two-sided quantile of Student's t for each number of degrees of freedom; infinitely many are the
    normal distribution."""
    share = (1 + check_level(level)) / 2
    return _each(lambda degrees: t_point(share, degrees), freedom)


def t_tails(t: float | Floats, freedom: float | Floats) -> Floats:
    """The chance of a t at least as far from 0, on either side; of infinitely many degrees as above."""
    return _each(lambda away, degrees: 2 * t_tail(-abs(away), degrees), t, freedom)


def _each(find: Callable[..., float], *values: float | Floats) -> Floats:
    """A function of numbers at each place of arrays whose shapes go together."""
    together = np.broadcast(*values)
    found = [find(*map(float, place)) for place in together]
    return np.array(found, dtype=np.float64).reshape(together.shape)


def wilson_limits(
    share: float | Floats, n: float | Floats, quantile: float | Floats
) -> tuple[Floats, Floats]:
    """Wilson's (1927) score limits of a share seen over `n` (effective, so maybe fractional) trials."""
    square = np.square(quantile)
    scale = 1 + square / n
    centre = (share + square / (2 * np.asarray(n))) / scale
    inside = np.maximum(share * (1 - np.asarray(share)), 0.0) / n + square / (4 * np.square(n))
    half = quantile / scale * np.sqrt(inside)
    # At 0 and 1 one limit is the share itself; rounding must not push it off.
    low = np.where(np.asarray(share) <= 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(np.asarray(share) >= 1, 1.0, np.minimum(centre + half, 1.0))
    return low, high
