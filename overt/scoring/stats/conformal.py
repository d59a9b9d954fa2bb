"""A threshold that keeps a rate below a limit for prompts that nobody has seen yet.

Conformal risk control (Angelopoulos, Bates, Fisch, Lei & Schuster 2022, arXiv 2208.02814). A threshold that
just keeps the limit on the rows that set it breaks it on new rows every second time. This one leaves room for
the row that is still to come: of n benign rows at most floor((n + 1) * limit) - 1 may be refused.

Rows of one cluster share their fate, so clusters are what is drawn here, and the next one may be as large as
the largest. With m rows in it the same argument gives limit * (n + m) - m refused rows at most, and the
expected refusals of a new cluster are at most the limit times its expected rows. m = 1 is the rule above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Ints, normal_quantile

_EVEN = 1e-9  # 0.29 * 100 is 28.999999999999996


@dataclass(frozen=True, slots=True)
class Cut:
    """What `conformal_cut` found. `threshold` is infinite where no score may be refused; `refused` counts the
    rows at it, `allowed` how many there may be. `is_kept` is False where even the infinite one refuses
    more."""

    threshold: float
    refused: int
    allowed: int

    @property
    def is_kept(self) -> bool:
        return self.refused <= self.allowed


def allowed_refusals(rows: int, limit: float, largest: int = 1) -> int:
    """How many of `rows` benign rows may be refused; below 0 where there are too few to allow any threshold.

    Args:
        limit: a fraction of 1.
        largest: rows of the largest cluster.
    """
    return math.floor(limit * (rows + largest) - largest + _EVEN)


def fewest_clusters(limit: float, level: float = 0.95) -> int:
    """The number of independent rows from which a rate as high as the limit is known to within the limit
    itself: z**2 (1 - limit) / limit, where the half-width z sqrt(limit (1 - limit) / n) of its interval is
    the limit. 73 for 5%, 35 for 10%, at 95%. With fewer a threshold says more of the rows than of the filter.

    Args:
        limit: a fraction between 0 and 1.

    Raises:
        ValueError: a limit outside (0, 1), a bad level.
    """
    if not 0 < limit < 1:
        raise ValueError(f"limit is {limit!r}; write 5% as 0.05")
    return math.ceil(normal_quantile(level) ** 2 * (1 - limit) / limit - _EVEN)


def conformal_cut(
    scores: Floats, above: Ints, below: Ints, candidates: Floats, limit: float, largest: int = 1
) -> Cut:
    """The lowest threshold that keeps the limit, for rows that are refused at or above it.

    What a row is counted as must not fall when the threshold does: one that would be refused below the
    threshold and not at or above it (a model that answers behind its refuse token) counts as refused on both
    sides.

    Args:
        scores: (n,) of benign rows, finite.
        above, below: (n,) 1 where the row is refused if its score is at or above the threshold, or below it.
        candidates: scores that a threshold may be; of all that refuse the same rows the lowest is taken, and
            where there is room above the next row that must be spared, the shortest decimal.
        limit: a fraction of 1.
        largest: rows of the largest cluster.
    """
    allowed = allowed_refusals(len(scores), limit, largest)
    base = int(below.sum())
    order = np.argsort(-scores, kind="stable")
    more = base + np.cumsum(np.maximum(above - below, 0)[order])
    if base > allowed:
        return Cut(math.inf, base, allowed)
    within = int(np.searchsorted(more, allowed, side="right"))
    ranked = scores[order]
    observed = np.unique(np.concatenate([candidates, scores]))
    spared = -math.inf
    if within < len(ranked):
        spared = float(ranked[within])
        observed = observed[observed > spared]
    if not len(observed):
        return Cut(math.inf, base, allowed)
    threshold = short_between(spared, float(observed[0]))
    refused = base + int(np.maximum(above - below, 0)[scores >= threshold].sum())
    return Cut(threshold, refused, allowed)


def short_between(low: float, high: float) -> float:
    """The decimal with the fewest digits that lies above `low` and is at most `high`."""
    for digits in range(1, 16):
        scale = float(10**digits)
        found = math.floor(high * scale) / scale
        if low < found <= high:
            return found
    return high
