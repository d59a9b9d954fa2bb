"""Twelve ways to plan, over any game, through its contract alone.

A strategy is a pure function of what the side sees and of a seed. Players without a model (`players.py`) and
the opponents of every target are made of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from overt.environments.strategic_games.game import Game, Plan
from overt.environments.strategic_games.telling import Standing

_DRAWS = 12  # plans that are drawn where the dearest is wanted
# Plans that `searching` tries at each move. With 50, it beats `greedy` as the humans of tower defence in 73%
# of matches, with 80 in 90% (48 each).
_CANDIDATES = 80
_FINALISTS, _VARIATIONS = 6, 4  # of those that win, how many are tried against how many changed opponents
_RESPONSES = 6  # plans that `counter` tries
_GUESSES = 5  # openings of the opponent that `searching` guesses at the opening
_STEPS = 60  # changes by which a plan may be made dearer


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy sees, and its seed."""

    standing: Standing
    seed: str

    @property
    def game(self) -> Game:
        return self.standing.game

    @property
    def side(self) -> str:
        return self.standing.side

    @property
    def budget(self) -> int:
        return self.standing.budget

    @property
    def plan(self) -> Plan | None:
        """Its own last plan."""
        return self.standing.plan

    def rng(self, *about: object) -> random.Random:
        """Randomness of the match's seed and these; of the round and the attempt without any."""
        parts = about or (self.standing.round, self.standing.attempt)
        return random.Random("/".join(map(str, (self.seed, *parts))))

    def drawn(self, rng: random.Random, budget: int) -> Plan:
        return self.game.random_plan(self.side, rng, budget)

    def near(self, plan: Plan, rng: random.Random, budget: int) -> Plan:
        return self.game.varied(self.side, plan, rng, budget)

    def cost(self, plan: Plan) -> int:
        return self.game.cost(self.side, plan)


Strategy = Callable[[View], Plan]


def random_walk(view: View) -> Plan:
    """Opens at random, and changes something at each revision, whatever happened."""
    rng = view.rng()
    if view.plan is None or view.standing.is_over:
        return view.drawn(rng, view.budget)
    return view.near(view.plan, rng, view.budget)


def greedy(view: View) -> Plan:
    """Spends as much of its budget as it can, and looks at nothing else."""
    rng = view.rng()
    drawn = [view.drawn(rng, view.budget) for _ in range(_DRAWS)]
    if view.plan is not None and not view.standing.is_over:
        drawn = [view.plan, *(view.near(view.plan, rng, view.budget) for _ in range(_DRAWS))]
    return max(drawn, key=view.cost)


def repairing(view: View) -> Plan:
    """Opens over budget, mends that at its first revision, and changes nothing else."""
    if view.standing.attempt:
        return _overspent(view, view.rng("opening"))
    if view.plan is not None and not view.standing.is_over:
        return view.plan
    return view.drawn(view.rng(), view.budget)


def stubborn(view: View) -> Plan:
    """Never changes its opening."""
    return view.plan if view.plan is not None else view.drawn(view.rng("opening"), view.budget)


def spendthrift(view: View) -> Plan:
    """Is always over budget, each time with another plan."""
    return _overspent(view, view.rng())


def thrifty(view: View) -> Plan:
    """Spends at most half of its budget, and changes its plan when it lost."""
    return _new_when_lost(view, view.budget // 2)


def mirroring(view: View) -> Plan:
    """Spends the share of its budget that the opponent spent of its own."""
    standing = view.standing
    if standing.against is None:
        return view.drawn(view.rng(), view.budget)
    spent = view.game.cost(standing.other, standing.against)
    theirs = view.game.catalogue(standing.other).budget
    limit = min(view.budget, view.budget * spent // max(theirs, 1))
    rng = view.rng()
    return max((view.drawn(rng, limit) for _ in range(_DRAWS)), key=view.cost)


def alternating(view: View) -> Plan:
    """Has two plans, and takes the other one each time."""
    plans = [view.drawn(view.rng(name), view.budget) for name in ("one", "two")]
    return plans[1] if view.plan == plans[0] else plans[0]


def cautious(view: View) -> Plan:
    """Changes one thing when it lost, and nothing when it won."""
    if view.plan is not None and view.standing.won and not view.standing.is_over:
        return view.plan
    return random_walk(view)


def reckless(view: View) -> Plan:
    """Makes a new plan each time, for up to half as much again as its budget."""
    rng = view.rng()
    return view.drawn(rng, view.budget * rng.randrange(50, 151) // 100)


def counter(view: View) -> Plan:
    """Keeps a plan that beats the opponent's last one, else takes the first of a few that does."""
    against, rng = view.standing.against, view.rng()
    if against is None:
        return greedy(view)
    for candidate in _candidates(view, rng, _RESPONSES):
        if _outcome(view, candidate, against)[0]:
            return candidate
    return view.drawn(rng, view.budget)


def searching(view: View) -> Plan:
    """Tries 80 plans at each move in battles against the opponent's last plan (at the opening, 16 against 5
    guesses), and of those that win takes one that also beats changed opponents."""
    against, rng, game = view.standing.against, view.rng(), view.game
    foe = view.standing.other
    budget = game.catalogue(foe).budget
    if against is None:
        guesses = [game.random_plan(foe, rng, budget) for _ in range(_GUESSES)]
        drawn = [view.drawn(rng, view.budget) for _ in range(_CANDIDATES // _GUESSES)]
        return max(drawn, key=lambda one: sum(_outcome(view, one, guess)[0] for guess in guesses))
    tried = _climbed(view, rng, against)
    winners = [plan for (won, _), plan in tried if won][-_FINALISTS:]
    if not winners:
        return max(tried, key=lambda one: one[0])[1]
    others = [game.varied(foe, against, rng, budget) for _ in range(_VARIATIONS)]
    return max(winners, key=lambda one: sum(_outcome(view, one, other)[0] for other in others))


def _climbed(view: View, rng: random.Random, against: Plan) -> list[tuple[tuple[bool, int], Plan]]:
    """Plans and how they did: the own one, new ones, and changes of the best so far, in turn."""
    best: tuple[tuple[bool, int], Plan] | None = None
    tried = []
    for number, fresh in enumerate(_candidates(view, rng, _CANDIDATES)):
        plan = view.near(best[1], rng, view.budget) if best and number % 2 else fresh
        found = (_outcome(view, plan, against), plan)
        tried.append(found)
        best = found if best is None or found[0] > best[0] else best
    return tried


def _candidates(view: View, rng: random.Random, count: int) -> Iterator[Plan]:
    """The own plan where it keeps within the budget, then new ones; `count` in all."""
    if view.plan is not None and not view.standing.is_over:
        yield view.plan
        count -= 1
    for _ in range(count):
        yield view.drawn(rng, view.budget)


def _outcome(view: View, plan: Plan, against: Plan) -> tuple[bool, int]:
    """Whether a plan wins, and how well: a win the sooner, a loss the later."""
    battle = view.game.battle({view.side: plan, view.standing.other: against})
    won = battle.winner == view.side
    return won, -battle.ticks if won else battle.ticks


def _new_when_lost(view: View, limit: int) -> Plan:
    if view.plan is not None and view.standing.won:
        return view.plan
    return view.drawn(view.rng(), limit)


def _overspent(view: View, rng: random.Random) -> Plan:
    """A plan over budget, if the game has one within the steps."""
    limit = 2 * view.budget
    plan = max((view.drawn(rng, limit) for _ in range(_DRAWS)), key=view.cost)
    for _ in range(_STEPS):
        if view.cost(plan) > view.budget:
            break
        plan = max(plan, view.near(plan, rng, limit), key=view.cost)
    return plan


STRATEGIES: Mapping[str, Strategy] = {
    "random": random_walk,
    "greedy": greedy,
    "repairing": repairing,
    "stubborn": stubborn,
    "spendthrift": spendthrift,
    "thrifty": thrifty,
    "mirroring": mirroring,
    "alternating": alternating,
    "cautious": cautious,
    "reckless": reckless,
    "counter": counter,
    "searching": searching,
}
