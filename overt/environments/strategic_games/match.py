"""One match: two openings, then rounds in which a battle is fought and one side revises its plan, in turn.

opening (again while over budget) -> round 1 -> the side that moves first revises -> round 2 -> the other
side revises -> round 3 ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from overt.data.environments import Action, Observation
from overt.data.json_types import Json, JsonObject
from overt.data.records import content_id
from overt.data.tools import NotACall, Tool
from overt.environments.strategic_games.game import Battle, Game, Plan
from overt.environments.strategic_games.games import game_of
from overt.environments.strategic_games.strategies import STRATEGIES, View
from overt.environments.strategic_games.telling import Standing, other_side, system_of, told_of


@dataclass(frozen=True, slots=True)
class Fought:
    """A round that was fought. `winner` is "" where nobody won."""

    winner: str
    costs: Mapping[str, int]
    battle: Battle | None = None


def fought(game: Game, plans: Mapping[str, Plan]) -> Fought:
    """Who wins a round, by the rule of arXiv 2506.12012: with exactly one side over its budget the other one;
    with both, the one that is over by the smaller share of its budget, and nobody where these are equal; else
    the battle decides."""
    one, two = game.sides
    costs = {side: game.cost(side, plans[side]) for side in game.sides}
    budgets = {side: game.catalogue(side).budget for side in game.sides}
    over = [side for side in game.sides if costs[side] > budgets[side]]
    if not over:
        battle = game.battle(plans)
        return Fought(battle.winner, costs, battle)
    if len(over) == 1:
        return Fought(other_side(game, over[0]), costs)
    # Overruns as shares of their budgets, in whole numbers.
    first, second = costs[one] * budgets[two], costs[two] * budgets[one]
    return Fought("" if first == second else one if first < second else two, costs)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a match is about, as the task's facts have it."""

    game: str
    side: str
    first: bool
    opponent: str
    rounds: int

    @staticmethod
    def of(facts: Mapping[str, Json]) -> Setting:
        """Reads the facts of a task."""
        return Setting(
            str(facts["game"]),
            str(facts["side"]),
            facts["moves"] == "first",
            str(facts["opponent"]),
            int(facts["rounds"]),  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A round in the log, in the target's eyes. own: whether it revised (or opened) for it. plan, against:
    ids of its plan and of the opponent's. ticks: of the battle; None where the budgets decided."""

    round: int
    own: bool
    plan: str
    cost: int
    budget: int
    win: bool
    draw: bool
    against: str
    against_cost: int
    ticks: int | None


@dataclass
class Match:
    """A session: the target plays one side, a scripted strategy the other."""

    setting: Setting
    seed: int
    plans: dict[str, Plan] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    kept: dict[str, Plan] = field(default_factory=dict)  # each plan that fought, by its id
    attempt: int = 1  # at the opening; 0 afterwards
    tries: int = 0  # how many openings it sent, once it has opened
    last: Fought | None = None
    needs_call: bool = True

    def __post_init__(self) -> None:
        self.game = game_of(self.setting.game)
        self.side = self.setting.side
        self.other = other_side(self.game, self.side)
        self.system = system_of(self.game, self.side)
        about = f"Submit your whole plan as the {self.side}."
        self.tools = (Tool("submit_plan", about, self.game.schema(self.side)),)

    def begin(self) -> Observation:
        """Asks for the opening."""
        return Observation(told_of(self._standing()), forgets=True)

    def step(self, action: Action) -> Observation:
        """Takes a plan, and fights rounds until the next one is wanted.

        Raises:
            NotACall: more than one plan, or one that the game does not take.
        """
        if len(action.calls) != 1:
            raise NotACall(f"it submits {len(action.calls)} plans, and one is wanted")
        self.game.check(self.side, action.calls[0].arguments)
        plan = self.game.meant(self.side, action.calls[0].arguments)
        self.plans[self.side] = plan
        if self.attempt:
            cost = self.game.cost(self.side, plan)
            if cost > self.game.catalogue(self.side).budget and self.attempt < self.game.opening_tries:
                facts: JsonObject = {"attempt": self.attempt, "cost": cost, "over": True}
                self.attempt += 1
                return Observation(told_of(self._standing()), facts=facts, forgets=True)
            self.tries, self.attempt = self.attempt, 0
            self.plans[self.other] = self._opening()
        self._fight(is_own=True)
        facts = self._summary()
        if len(self.log) < self.setting.rounds and not self._is_own(len(self.log) + 1):
            self.plans[self.other] = self._planned(self._view(len(self.log) + 1, 0))
            self._fight(is_own=False)
        if len(self.log) >= self.setting.rounds:
            return Observation(facts=facts, end="over")
        return Observation(told_of(self._standing()), facts=facts, forgets=True)

    def facts(self) -> JsonObject:
        """The log of all rounds, and the plans that fought in them by their ids."""
        rounds = len(self.log)
        outcome = "done" if rounds >= self.setting.rounds else "half" if rounds else "none"
        return {
            "outcome": outcome,
            "tries": self.tries if rounds else self.attempt,
            "rounds": [asdict(one) for one in self.log],
            "plans": {**self.kept},
        }

    def _is_own(self, number: int) -> bool:
        """Whether the target revises for this round: the one that moves first does so for even ones."""
        return (number % 2 == 0) == self.setting.first

    # -- the opponent ---------------------------------------------------------------------------------

    def _opening(self) -> Plan:
        """The opponent's opening, made as often as the target may."""
        budget = self.game.catalogue(self.other).budget
        for attempt in range(1, self.game.opening_tries + 1):
            plan = self._planned(self._view(1, attempt))
            if self.game.cost(self.other, plan) <= budget:
                break
        return plan

    def _view(self, number: int, attempt: int) -> View:
        won = None if self.last is None else self.last.winner == self.other
        mine, theirs = self.plans.get(self.other), None if attempt else self.plans.get(self.side)
        standing = Standing(
            self.game, self.setting.game, self.other, number, self.setting.rounds, attempt, mine, theirs, won
        )
        return View(standing, f"{self.seed}/opponent")

    def _planned(self, view: View) -> Plan:
        return STRATEGIES[self.setting.opponent](view)

    # -- rounds ---------------------------------------------------------------------------------------

    def _fight(self, *, is_own: bool) -> None:
        self.last = last = fought(self.game, self.plans)
        ids = {side: content_id("plan", self.plans[side]) for side in self.game.sides}
        for side, plan in self.plans.items():
            self.kept[ids[side]] = plan
        self.log.append(
            Entry(
                len(self.log) + 1,
                is_own,
                ids[self.side],
                last.costs[self.side],
                self.game.catalogue(self.side).budget,
                last.winner == self.side,
                not last.winner,
                ids[self.other],
                last.costs[self.other],
                last.battle.ticks if last.battle else None,
            )
        )

    def _summary(self) -> JsonObject:
        """What the step's own round came to."""
        last = self.log[-1]
        return {"round": last.round, "cost": last.cost, "over": last.cost > last.budget, "win": last.win}

    def _standing(self) -> Standing:
        game, last = self.game, self.last
        mine = self.plans.get(self.side)
        theirs = None if self.attempt else self.plans.get(self.other)
        return Standing(
            game,
            self.setting.game,
            self.side,
            len(self.log) + 1,
            self.setting.rounds,
            self.attempt,
            mine,
            theirs,
            None if last is None else last.winner == self.side,
            self._story(last) if last else (),
        )

    def _story(self, last: Fought) -> tuple[str, ...]:
        if last.battle:
            return last.battle.story
        over = [
            f"The {side} spent {last.costs[side]} of a budget of {self.game.catalogue(side).budget}."
            for side in self.game.sides
        ]
        return (*over, "The budgets decided the round, so no battle was fought.")
