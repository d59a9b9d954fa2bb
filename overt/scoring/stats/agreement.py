"""Agreement between judges, and their majority.

Labels come as a table with one row per item and one column per judge. Labels are compared for equality
only (nominal): strings, numbers, booleans. A missing label is None or NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Ints, same_length


@dataclass(frozen=True, slots=True)
class Majority:
    """The winning `label` (None: no majority), the votes for it, the votes cast, the abstentions."""

    label: Hashable | None
    support: int
    cast: int
    abstained: int


def majority(votes: Sequence[Hashable | None]) -> Majority:
    """The label with more than half of the votes cast, if more than half of the judges cast one.

    A judge that failed or abstained (None or NaN) is counted and never guessed; the quorum keeps it from
    letting a single remaining judge decide.

    Args:
        votes: one per judge, in any order.

    Raises:
        ValueError: no judges.
    """
    if not len(votes):
        raise ValueError("votes is empty: no judge was asked")
    counts = Counter(vote for vote in votes if not _is_missing(vote))
    cast = sum(counts.values())
    abstained = len(votes) - cast
    if not counts:
        return Majority(None, 0, 0, abstained)
    label, support = counts.most_common(1)[0]
    if 2 * cast > len(votes) and 2 * support > cast:
        return Majority(label, support, cast, abstained)
    return Majority(None, 0, cast, abstained)


@dataclass(frozen=True, slots=True)
class Labels:
    """A table of labels in which many rows are alike: the distinct `rows`, and of each item which one it
    has."""

    rows: Sequence[Sequence[Hashable | None]]
    items: Ints


Table = Iterable[Sequence[Hashable | None]] | Labels


def fleiss_kappa(labels: Table) -> float:
    """Fleiss' (1971, Psychol. Bull. 76) kappa for a fixed number of judges per item.

    Args:
        labels: items x judges, at least one item and two judges, nothing missing.

    Returns:
        1 for full agreement, 0 for what chance gives, below 0 for less; NaN where only one label was
        ever used, as chance agreement is then full and kappa undefined.

    Raises:
        ValueError: empty, fewer than two judges, rows of unequal length, a missing label.
    """
    rows, which = _table(labels)
    lacking = [number for number, row in enumerate(rows) if any(_is_missing(label) for label in row)]
    if (bad := np.flatnonzero(np.isin(which, lacking))).size:
        raise ValueError(
            f"labels[{bad[0]}] lacks a label; Fleiss' kappa takes none, Krippendorff's alpha does"
        )
    counts = _counts(rows)[which]
    items, judges = len(which), len(rows[0])
    shares = counts.sum(axis=0) / (items * judges)
    chance = float(shares @ shares)
    seen = float(((counts**2).sum(axis=1) - judges).mean() / (judges * (judges - 1)))
    return _above_chance(seen, chance)


def krippendorff_alpha(labels: Table) -> float:
    """Krippendorff's (2011, "Computing Krippendorff's Alpha-Reliability") alpha for nominal labels.

    Args:
        labels: items x judges, None or NaN where a judge gave no label. Items with fewer than two labels
            cannot be compared and do not count.

    Returns:
        1 for full agreement, 0 for what chance gives, below 0 for less; NaN where no item has two labels
        or only one label was ever used.

    Raises:
        ValueError: empty, fewer than two judges, rows of unequal length.
    """
    rows, which = _table(labels)
    counts = _counts(rows)[which]
    cast = counts.sum(axis=1)
    counts, cast = counts[cast >= 2], cast[cast >= 2]
    total = float(cast.sum())
    if not total:
        return math.nan
    # Of the pairs of labels within items, each item weighted by 1/(its labels - 1), those that agree.
    seen = float((((counts**2).sum(axis=1) - cast) / (cast - 1)).sum() / total)
    used = counts.sum(axis=0)
    chance = float((used @ used - total) / (total * (total - 1)))
    return _above_chance(seen, chance)


def cohen_kappa(a: Sequence[Hashable | None], b: Sequence[Hashable | None]) -> float:
    """Cohen's (1960, Educ. Psychol. Meas. 20) kappa of two judges, unweighted.

    Args:
        a, b: n labels each, item by item, nothing missing.

    Returns:
        1 for full agreement, 0 for what chance gives; NaN where both used one and the same label only.

    Raises:
        ValueError: lengths that differ, empty, a missing label.
    """
    same_length("b", len(b), "a", len(a))
    if not len(a):
        raise ValueError("a is empty")
    for name, side in (("a", a), ("b", b)):
        for place, label in enumerate(side):
            if _is_missing(label):
                raise ValueError(f"{name}[{place}] is missing; leave such items out first")
    n = len(a)
    first, second = Counter(a), Counter(b)
    seen = sum(x == y for x, y in zip(a, b, strict=True)) / n
    chance = sum(first[label] * second[label] for label in first) / n**2
    return _above_chance(seen, chance)


def _above_chance(seen: float, chance: float) -> float:
    if chance >= 1 - 1e-12:
        return math.nan
    return (seen - chance) / (1 - chance)


def _is_missing(label: Hashable | None) -> bool:
    return label is None or (isinstance(label, float) and math.isnan(label))


def _table(labels: Table) -> tuple[list[list[Hashable | None]], Ints]:
    """The rows, and of each item which of them it has."""
    rows = []
    for number, row in enumerate(labels.rows if isinstance(labels, Labels) else labels):
        if isinstance(row, str) or not isinstance(row, Sequence | np.ndarray):
            raise ValueError(f"labels[{number}] must be a row of labels, one per judge")
        rows.append(list(row))
    if not rows:
        raise ValueError("labels is empty")
    width = len(rows[0])
    if width < 2:
        raise ValueError("agreement needs two judges or more")
    for number, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"labels[{number}] has {len(row)} judges and labels[0] has {width}")
    return rows, labels.items if isinstance(labels, Labels) else np.arange(len(rows))


def _counts(rows: list[list[Hashable | None]]) -> Floats:
    """Items x distinct labels: how many judges gave each."""
    codes: dict[Hashable, int] = {}
    for row in rows:
        for label in row:
            if not _is_missing(label):
                codes.setdefault(label, len(codes))
    counts = np.zeros((len(rows), max(1, len(codes))))
    for number, row in enumerate(rows):
        for label in row:
            if not _is_missing(label):
                counts[number, codes[label]] += 1
    return counts
