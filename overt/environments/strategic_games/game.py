"""What a game must have so that two sides can plan, battle and revise their plans.

A plan is JSON data in the shape of the game's `schema`; all else (budgets, the loop, the metrics, the
players) knows plans only through these functions. A battle is deterministic: the same plans give the same
battle.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from overt.data.json_types import JsonObject

Plan = JsonObject


@dataclass(frozen=True, slots=True)
class Battle:
    """What came of two plans.

    winner: a side. ticks: how long it took, in ticks or rounds. story: in a few lines, for the player's next
    turn. frames: what a replay shows, as JSON data; empty where none was asked for.
    """

    winner: str
    ticks: int
    story: tuple[str, ...] = ()
    frames: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one side may use: its units or skills as the data file has them, for the prompt."""

    side: str
    budget: int
    units: Sequence[JsonObject] = field(default_factory=tuple)


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 turn, 2 turns."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class Game(Protocol):
    """A game of two sides. `sides[0]` and `sides[1]` are their names, in the paper's order."""

    name: str
    title: str
    sides: tuple[str, str]
    opening_tries: int  # how often an opening over budget may be sent again (tower defence 5, cards 3)

    def rules(self) -> str:
        """The rules, for a player, in plain English."""
        ...

    def catalogue(self, side: str) -> Catalogue: ...

    def schema(self, side: str) -> JsonObject:
        """The JSON Schema of a plan of this side (the parameters of the tool `submit_plan`)."""
        ...

    def check(self, side: str, plan: Plan) -> None:
        """Checks what the schema cannot say. A plan over budget is in order here: it loses.

        Raises:
            overt.data.tools.NotACall: a unit that does not exist, two on one cell, too many of them.
        """
        ...

    def meant(self, side: str, plan: Plan) -> Plan:
        """A plan that `check` accepts with what it left out filled in, so that plans which mean the same are
        equal: whether a revision changed the plan hangs on it."""
        ...

    def cost(self, side: str, plan: Plan) -> int: ...

    def battle(self, plans: Mapping[str, Plan], *, frames: bool = False) -> Battle:
        """Fights, whatever the plans cost. Work is bounded for any plan that `check` accepts."""
        ...

    def random_plan(self, side: str, rng: random.Random, budget: int) -> Plan:
        """A plan that `check` accepts, of at most this cost."""
        ...

    def varied(self, side: str, plan: Plan, rng: random.Random, budget: int) -> Plan:
        """A plan near another one (a unit more, less, moved or exchanged), of at most this cost."""
        ...

    def replay(self, plans: Mapping[str, Plan], about: str = "") -> str:
        """The battle as an animated SVG without scripts, for a light and a dark page. `about` stands beside
        the game's title (which round it was)."""
        ...
