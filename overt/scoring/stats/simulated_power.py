"""How many prompts a decision needs, by simulation: data sets are drawn as a pilot run shows them, and each
is given to the very decision that is planned.

Prompts of one seed share their fate. A simulated data set has clusters whose sizes are drawn from those of
the pilot, and the outcomes within a cluster are Dirichlet-multinomial (of two outcomes beta-binomial:
Skellam 1948, J. R. Stat. Soc. B 10; Mosimann 1962, Biometrika 49): every cluster has shares of its own, and
two of its rows agree with the intraclass correlation that is given.

The number is sought with common random numbers: all sizes are tried on the same draws, of which a smaller
data set has the first clusters, so that the power rises nearly without noise and the search can halve
(Glasserman & Yao 1992, Manage. Sci. 38). What is told is the power of the number found on fresh draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overt.scoring.stats import paired, rates
from overt.scoring.stats.inputs import Floats, normal_quantile, t_quantile, wilson_limits
from overt.scoring.stats.power import MOST

Bools = NDArray[np.bool_]
# Whether a decision falls, in each of many data sets: of the rows of each cluster with the first outcome, the
# second ... (along the last axis), and of the rows of each cluster.
Decision = Callable[[Sequence[Floats], Floats], Bools]
# The same of independent rows: of the number of rows with each outcome, and of the number of rows.
Counted = Callable[[Sequence[Floats], int], Bools]

SEARCHED = 1_000  # data sets by which the number is sought
SEARCHED_COUNTED = 20_000  # the same of independent rows, of which a data set is a few counts
CONFIRMED = 2_000  # fresh ones by which its power is told
MOST_CLUSTERED = 20_000  # rows in clusters beyond which no number is sought: they are held in memory
_BLOCKS = 20  # the data sets of a block share the sizes of their clusters
_AHEAD = (1.03, 1.06, 1.1, 1.15, 1.2, 1.3)  # the power falls a little before it allows one more event
_STEP = 1.02  # by how much the number grows while fresh draws contradict it
_MOST_CORRELATED = 0.99  # a whole cluster as one row would leave nothing to draw
_CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the number found: where the curve is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What clusters look like: the rows of each one of a pilot, and the intraclass correlation of their
    outcomes, 0 to 1. Rows of clusters of 1 are independent."""

    sizes: tuple[int, ...] = (1,)
    correlation: float = 0.0

    @property
    def is_independent(self) -> bool:
        return max(self.sizes) == 1

    @property
    def seen_size(self) -> float:
        """The size of the cluster that a row is in, on average (Kish 1965)."""
        return sum(size * size for size in self.sizes) / sum(self.sizes)

    @property
    def effect(self) -> float:
        """The design effect that the correlation makes: 1 + (m - 1) times it."""
        return 1 + (self.seen_size - 1) * self.correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A decision that is to fall with a power.

    `shares` are the true shares of the outcomes that count, which may add up to less than 1: the rest is of
    one more outcome. `decides` is the decision on clusters, `counted` that on independent rows. `start` is
    about how many rows it takes.
    """

    shares: tuple[float, ...]
    decides: Decision
    counted: Counted
    power: float
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How often the decision fell with `rows` rows: in `k` of `n` simulated data sets."""

    rows: int
    k: int
    n: int

    @property
    def share(self) -> float:
        return self.k / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The fewest rows with the power that was asked for, confirmed by fresh draws, and the power along some
    numbers of rows. `needed` is None for more than `most_rows`."""

    needed: Point | None
    curve: tuple[Point, ...] = ()


# -- the decisions ------------------------------------------------------------------------------------------


def keeps_limit(limit: float, expected: float, power: float, start: int, level: float = 0.95) -> Question:
    """That `overt gate` passes: the whole interval of the rate lies within the limit.

    Args:
        limit: the highest rate that is allowed, a fraction above 0 and below 1.
        expected: the true rate, a fraction below the limit.
    """

    def decides(cells: Sequence[Floats], sizes: Floats) -> Bools:
        high = rates.cluster_limits(cells[0], sizes, level, quick_quantile)[1]
        return np.asarray(high <= limit)

    def counted(cells: Sequence[Floats], rows: int) -> Bools:
        return np.asarray(wilson_limits(cells[0] / rows, float(rows), normal_quantile(level))[1] <= limit)

    return Question(shares=(expected,), decides=decides, counted=counted, power=power, start=start)


def tells_difference(difference: float, apart: float, power: float, level: float = 0.95) -> Question:
    """That the paired test of `overt compare` tells two targets apart (one test, uncorrected).

    Args:
        difference: the true difference of the two rates, a fraction above 0.
        apart: the share of prompts on which the two targets differ, either way; at least the difference.
    """

    def decides(cells: Sequence[Floats], sizes: Floats) -> Bools:
        return paired.is_different(cells[0], cells[1], sizes, level, quick_quantile)

    def counted(cells: Sequence[Floats], rows: int) -> Bools:
        n = float(rows)
        return paired.shares_differ(cells[0] / n, cells[1] / n, n, level=level, quantile=quick_quantile)

    shares = ((apart + difference) / 2, (apart - difference) / 2)
    reach = normal_quantile(level) + normal_quantile(2 * min(max(power, 0.501), 0.999) - 1)
    start = math.ceil(reach**2 * apart / difference**2)
    return Question(shares=shares, decides=decides, counted=counted, power=power, start=start)


def quick_quantile(level: float, freedom: float | Floats) -> Floats:
    """`t_quantile` of one degree of freedom and more, read off a table: right to four digits, a hundred times
    as fast."""
    nodes, values = _table(level)
    found: Floats = np.interp(1 / np.asarray(freedom, dtype=np.float64), nodes, values)
    return found


@lru_cache(maxsize=8)
def _table(level: float) -> tuple[Floats, Floats]:
    # Closer towards 0, where nearly all of them are and the quantile bends.
    nodes: Floats = np.linspace(0.0, 1.0, 200) ** 2
    with np.errstate(divide="ignore"):
        return nodes, t_quantile(level, 1 / nodes)


# -- the search ---------------------------------------------------------------------------------------------


def rows_needed(
    question: Question,
    shape: Shape,
    *,
    seed: int = 0,
    exact: int | None = None,
    told: Callable[[], None] = lambda: None,
) -> Found:
    """The fewest rows with which the decision falls as often as was asked for.

    Args:
        exact: the number where it is known without a simulation, which then only confirms it.
        told: is called after each number that was tried.
    """
    search = _sampler(question, shape, seed, SEARCHED_COUNTED if shape.is_independent else SEARCHED)
    fresh = _sampler(question, shape, seed + 1, CONFIRMED)
    most = most_rows(shape)

    def is_enough(rows: int) -> bool:
        told()
        return search(rows).share >= question.power

    rows = exact if exact is not None else _searched(is_enough, max(2, question.start), most)
    needed = fresh(rows) if rows is not None else None
    while exact is None and needed is not None and needed.share < question.power:
        rows = math.ceil(needed.rows * _STEP)
        needed = fresh(rows) if rows <= most else None
        told()
    if needed is None:
        return Found(needed=None)
    places = sorted({max(2, round(needed.rows * part)) for part in _CURVE} - {needed.rows})
    points = [fresh(place) for place in places if place <= most]
    return Found(needed=needed, curve=tuple(sorted([*points, needed], key=lambda point: point.rows)))


def most_rows(shape: Shape) -> int:
    """The rows beyond which no number is sought."""
    return MOST if shape.is_independent else MOST_CLUSTERED


def power_with(
    question: Question, shape: Shape, rows: int, *, seed: int = 0, draws: int = CONFIRMED
) -> Point:
    """How often the decision falls with so many rows."""
    return _sampler(question, shape, seed, draws)(rows)


def _searched(is_enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """The fewest rows, up to a hundredth, that are enough and from which on more are enough too; None for
    more than `most`."""
    low, high = 1, min(start, most)
    while True:
        while not is_enough(high):
            if high == most:
                return None
            low, high = high, min(2 * high, most)
        while high - low > max(1, high // 100):
            middle = (low + high) // 2
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        ahead = [min(most, round(high * step)) for step in _AHEAD]
        short = [rows for rows in ahead if not is_enough(rows)]
        if not short:
            return high
        if short[-1] == most:
            return None
        low, high = short[-1], min(most, math.ceil(short[-1] * _STEP))


# -- the draws ----------------------------------------------------------------------------------------------


def _sampler(question: Question, shape: Shape, seed: int, draws: int) -> Callable[[int], Point]:
    if shape.is_independent:
        return lambda rows: _independent(question, rows, seed, draws)
    blocks = [_Block(question, shape, (seed, place), draws // _BLOCKS) for place in range(_BLOCKS)]

    def clustered(rows: int) -> Point:
        k = sum(block.decided(rows) for block in blocks)
        return Point(rows=rows, k=k, n=len(blocks) * blocks[0].draws)

    return clustered


def _independent(question: Question, rows: int, seed: int, draws: int) -> Point:
    rng = np.random.default_rng((seed, rows))
    shares = [*question.shares, max(0.0, 1 - sum(question.shares))]
    counts = rng.multinomial(rows, shares, size=draws).astype(np.float64)
    decided = question.counted([counts[:, place] for place in range(len(question.shares))], rows)
    return Point(rows=rows, k=int(decided.sum()), n=draws)


class _Block:
    """Some data sets whose clusters have the same sizes. A data set of fewer rows has the first clusters of a
    larger one."""

    def __init__(self, question: Question, shape: Shape, seed: tuple[int, int], draws: int) -> None:
        self.draws = draws
        self._question, self._shape = question, shape
        self._correlation = min(shape.correlation, _MOST_CORRELATED)
        self._rng, self._last = np.random.default_rng(seed), (*seed, 1)
        self._sizes = np.empty(0, dtype=np.int64)
        outcomes = len(question.shares)
        self._cells = [np.empty((0, draws), dtype=np.int32) for _ in range(outcomes)]

    def decided(self, rows: int) -> int:
        """In how many of the data sets the decision falls with so many rows."""
        while self._sizes.sum() < rows:
            self._grow(rows)
        ends = np.cumsum(self._sizes)
        whole = int(np.searchsorted(ends, rows, "right"))
        sizes, cells = self._sizes[:whole], [part[:whole] for part in self._cells]
        rest = rows - (int(ends[whole - 1]) if whole else 0)
        if rest:  # a part of one more cluster, whose draws hang on its size alone
            sizes = np.append(sizes, rest)
            drawn = self._drawn(np.random.default_rng((*self._last, rest)), sizes[-1:])
            cells = [np.concatenate([part, one]) for part, one in zip(cells, drawn, strict=True)]
        found = self._question.decides(
            [part.T.astype(np.float64) for part in cells], sizes.astype(np.float64)
        )
        return int(np.broadcast_to(found, self.draws).sum())

    def _grow(self, rows: int) -> None:
        missing = max(rows - int(self._sizes.sum()), rows // 2)
        mean = sum(self._shape.sizes) / len(self._shape.sizes)
        sizes = self._rng.choice(np.array(self._shape.sizes, dtype=np.int64), math.ceil(missing / mean) + 1)
        drawn = self._drawn(self._rng, sizes)
        self._sizes = np.append(self._sizes, sizes)
        self._cells = [np.concatenate([part, more]) for part, more in zip(self._cells, drawn, strict=True)]

    def _drawn(self, rng: np.random.Generator, sizes: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """The rows of each cluster with each outcome: one outcome after the other, each as a part of the rows
        that are left, by which the Dirichlet-multinomial falls into beta-binomials."""
        left = np.broadcast_to(sizes[:, None], (len(sizes), self.draws)).copy()
        rest, cells = 1.0, []
        weight = (1 - self._correlation) / self._correlation if self._correlation > 0 else math.inf
        for share in self._question.shares:
            other = max(rest - share, 0.0)
            if share <= 0 or other <= 0:
                hits = left * int(share > 0)
            elif math.isinf(weight):
                hits = rng.binomial(left, share / rest)
            else:
                hits = rng.binomial(left, rng.beta(share * weight, other * weight, left.shape))
            left, rest = left - hits, other
            cells.append(hits.astype(np.int32))
        return cells
