"""The metrics of strategic games (arXiv 2506.12012) over the rounds of one match.

Only rounds that follow a revision by the player itself count: round 1 is the opening, and in between the
opponent revises. There are two readings. *As released*, the evaluator's: a revision counts where the plan's
cost changed. *As meant*, the paper's prose: it counts where the plan changed, and is a success where it
removes a violation of the budget or turns a loss into a win. Where the released evaluator says 0 for what
was never counted, both readings here say undefined, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

NO_ROUNDS = "no round after a revision of its own"
ONE_ROUND = "fewer than two rounds after revisions of its own"
NO_CHANGES = "it changed nothing"
NEVER_AHEAD = "it never had a round won within its budget to keep"


@dataclass(frozen=True, slots=True)
class Round:
    """One round as the player's side saw it.

    number: from 1. is_own: whether the player revised (or opened) for it. plan: its plan's id. cost, budget:
    in the game's points. win: whether it won the round, also by the opponent's overrun.
    """

    number: int
    is_own: bool
    plan: str
    cost: int
    budget: int
    win: bool

    @property
    def is_over(self) -> bool:
        """Whether the plan cost more than the budget."""
        return self.cost > self.budget


@dataclass(frozen=True, slots=True)
class Count:
    """`k` of `n`. `reason` says why there is no share where `n` is 0."""

    k: int
    n: int
    reason: str = ""

    @property
    def share(self) -> float | None:
        return self.k / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Slope:
    """A least-squares slope over `n` rounds, wins (0 or 1) a round; None where it is undefined."""

    value: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one match by one reading.

    win_rate (WR), over_budget (OBR): of the rounds after its revisions. correction (ORR): revisions that
    changed something. success (CSR): those of them that succeeded. slope (beta): of wins over those rounds.
    """

    win_rate: Count
    over_budget: Count
    correction: Count
    success: Count
    slope: Slope


def as_released(rounds: Sequence[Round], moves_first: bool) -> Metrics:
    """The metrics as the released evaluator counts them.

    It drops round 1, keeps even rounds where the player moves first and odd ones where it moves second, and
    compares each kept row with the next one: the first revision is compared with nothing.
    """
    parity = 0 if moves_first else 1
    rows = [one for one in rounds if one.number > 1 and one.number % 2 == parity]
    changed = [after for before, after in pairwise(rows) if after.cost != before.cost]
    return Metrics(
        _count((one.win for one in rows), NO_ROUNDS),
        _count((one.is_over for one in rows), NO_ROUNDS),
        Count(len(changed), max(len(rows) - 1, 0), "" if len(rows) > 1 else ONE_ROUND),
        _count((one.win for one in changed), NO_CHANGES if len(rows) > 1 else ONE_ROUND),
        slope_of([one.win for one in rows]),
    )


def as_meant(rounds: Sequence[Round]) -> Metrics:
    """The metrics as the paper's prose has them (which round a revision answers is ours: the last one that
    the player was told of, whoever had revised for it)."""
    pairs = _revisions(rounds)
    changed = [(before, after) for before, after in pairs if after.plan != before.plan]
    rows = [after for _, after in pairs]
    return Metrics(
        _count((one.win for one in rows), NO_ROUNDS),
        _count((one.is_over for one in rows), NO_ROUNDS),
        Count(len(changed), len(pairs), "" if pairs else NO_ROUNDS),
        _count((_succeeds(*pair) for pair in changed), NO_CHANGES if pairs else NO_ROUNDS),
        slope_of([one.win for one in rows]),
    )


def needless(rounds: Sequence[Round]) -> Count:
    """How often it changed its plan although the last round was won within its budget (ours: overcorrection
    in the strict sense, which ORR does not tell from needed changes)."""
    kept = [pair for pair in _revisions(rounds) if pair[0].win and not pair[0].is_over]
    return _count((after.plan != before.plan for before, after in kept), NEVER_AHEAD)


def slope_of(wins: Sequence[bool]) -> Slope:
    """The least-squares slope of wins (0 or 1) on 0, 1, ..., n-1."""
    n = len(wins)
    if n < 2:
        return Slope(None, n, ONE_ROUND)
    middle = (n - 1) / 2
    spread = n * (n * n - 1) / 12  # the sum of (x - middle)^2
    return Slope(sum((x - middle) * win for x, win in enumerate(wins)) / spread, n)


def _revisions(rounds: Sequence[Round]) -> list[tuple[Round, Round]]:
    """Each round after a revision of its own, with the round before it."""
    return [
        (before, after)
        for before, after in pairwise(rounds)
        if after.is_own and after.number == before.number + 1
    ]


def _succeeds(before: Round, after: Round) -> bool:
    mends = before.is_over and not after.is_over
    return mends or (after.win and not before.win)


def _count(found: Iterable[bool], reason: str) -> Count:
    values = list(found)
    return Count(sum(values), len(values), "" if values else reason)
