"""Two scores of the same rows: by how much one tells unsafe rows from benign ones better than the other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from overt.scoring.stats.inputs import Clusters, Number, same_length
from overt.scoring.stats.sweep import AUC, NO_SPREAD, auc, placements, scored_rows, spread_of


@dataclass(frozen=True, slots=True)
class AreaDifference:
    """The area under the ROC curve of `a` minus that of `b`, with its interval; -1 to 1."""

    difference: float
    low: float
    high: float
    standard_error: float
    a: AUC
    b: AUC
    level: float
    method: str


def area_difference(
    a: Iterable[Number],
    b: Iterable[Number],
    is_unsafe: Iterable[Number],
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
) -> AreaDifference:
    """The difference of two areas on the same rows, with an interval that knows that they are the same.

    The variance is that of DeLong, DeLong & Clarke-Pearson (1988, Biometrics 44): of the differences of the
    rows' placements; with clusters these are summed by cluster (Obuchowski 1997, Biometrics 53), with
    Student's t of G-1 degrees of freedom. Where it is zero (both separate fully, or are the same) the
    interval is made of those of the two areas as if they were independent (Newcombe 1998, Stat. Med. 17):
    wide, never of width zero.

    Args:
        a, b: n finite numbers each, higher meaning more unsafe, on any two scales.
        is_unsafe: n values, 0/1 or booleans; at least one of each.
        clusters: n hashable labels; None means independent rows.
        level: confidence level as a fraction.

    Raises:
        ValueError: as `auc`; lengths that differ.
    """
    first, unsafe = scored_rows(a, is_unsafe)
    second, _ = scored_rows(b, unsafe)
    same_length("b", len(second), "a", len(first))
    one, two = auc(first, unsafe, clusters, level=level), auc(second, unsafe, clusters, level=level)
    above, beaten = (
        x - y for x, y in zip(placements(first, unsafe), placements(second, unsafe), strict=True)
    )
    difference = one.auc - two.auc
    spread = spread_of(above, beaten, unsafe, clusters, level)
    error, method = spread.error, spread.method
    if error < NO_SPREAD:
        down = math.hypot(one.auc - one.low, two.high - two.auc)
        up = math.hypot(one.high - one.auc, two.auc - two.low)
        low, high, method = difference - down, difference + up, "newcombe"
    else:
        low, high = difference - spread.width * error, difference + spread.width * error
    return AreaDifference(difference, max(low, -1.0), min(high, 1.0), error, one, two, level, method)
