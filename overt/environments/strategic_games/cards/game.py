"""The game `battle-cards` after arXiv 2506.12012. The head of units.yaml says what is ours in its rules."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import cast

from overt.data.json_types import Json, JsonObject
from overt.data.tools import check_value
from overt.environments.strategic_games.cards.fight import DEFENDERS, INVADERS, Fight, Fighter
from overt.environments.strategic_games.cards.replay import draw
from overt.environments.strategic_games.cards.table import Card, UnitEntry, cards, table
from overt.environments.strategic_games.game import Battle, Catalogue, Plan, counted

SIDES = ("invaders", "defenders")
_PRIORITY = {side: f"target_priority_for_{side}" for side in SIDES}
_MOST_PRIORITIES = 20


def _units(side: str) -> Sequence[UnitEntry]:
    return table().invaders if side == "invaders" else table().defenders


def _other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


@cache
def _schema(side: str) -> JsonObject:
    names = [unit.name for unit in _units(side)]
    # What the other side may have on the board, summoned units included.
    targets = sorted({unit.name for unit in (*_units(_other(side)), *table().summoned)})
    rules = table().rules
    tiers = [tier.name for tier in rules.tiers]
    return {
        "type": "object",
        "properties": {
            side: {
                "type": "array",
                "description": "The units, left to right.",
                "maxItems": rules.board,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "enum": names},
                        "tier": {"type": "string", "enum": tiers, "description": f"{tiers[0]} if left out."},
                    },
                    "required": ["name"],
                },
            },
            _PRIORITY[side]: {
                "type": "array",
                "description": "Names of opposing units to strike first; may be left out.",
                "maxItems": _MOST_PRIORITIES,
                "items": {"type": "string", "enum": targets},
            },
        },
        "required": [side],
    }


def _cards(side: str, plan: Plan) -> list[Card]:
    """The cards of a plan that was checked."""
    known, bronze = cards(), table().rules.tiers[0].name
    entries = cast(Sequence[Mapping[str, str]], plan[side])
    return [known[entry["name"], entry.get("tier", bronze)] for entry in entries]


def _priority(side: str, plan: Plan) -> Sequence[str]:
    return cast(Sequence[str], plan.get(_PRIORITY[side], ()))


def _cost(chosen: Sequence[Card]) -> int:
    return sum(card.cost for card in chosen)


def _made(side: str, chosen: Sequence[Card], priority: Sequence[str]) -> Plan:
    units: list[Json] = [{"name": card.name, "tier": card.tier} for card in chosen]
    return {side: units, _PRIORITY[side]: list(priority)}


class BattleCards:
    """Rows of at most seven units that strike each other by turns."""

    name = "battle-cards"
    title = "Battle cards"
    sides = SIDES
    opening_tries = 3

    def rules(self) -> str:
        rules = table().rules
        beats = ", ".join(f"{one} beats {other}" for one, other in rules.beats.items())
        tiers = " ".join(
            f"Tier {tier.name} costs {tier.cost} times as much and has {tier.stats} times the attack, health "
            "and amounts of its effects."
            for tier in rules.tiers[1:]
        )
        return _RULES.format(
            board=rules.board, budget=rules.budget, plain=rules.tiers[0].name, tiers=tiers, beats=beats,
            percent=rules.advantage_percent, turns=rules.turns, cap=rules.attack_cap,
        )  # fmt: skip

    def catalogue(self, side: str) -> Catalogue:
        """The units that a side may buy, as units.yaml has them, and those that they summon."""
        units = [*_units(side)]
        called = {effect.unit for unit in units for effect in unit.effects if effect.unit}
        shown = [cast(JsonObject, unit.model_dump(mode="json", exclude_defaults=True)) for unit in units]
        for unit in table().summoned:
            if unit.name in called:
                plain = unit.model_dump(mode="json", exclude_defaults=True, exclude={"cost"})
                shown.append({**plain, "about": "comes only by summons and cannot be bought"})
        return Catalogue(side, table().rules.budget, shown)

    def schema(self, side: str) -> JsonObject:
        return _schema(side)

    def check(self, side: str, plan: Plan) -> None:
        check_value(plan, _schema(side), "plan")

    def meant(self, side: str, plan: Plan) -> Plan:
        return _made(side, _cards(side, plan), _priority(side, plan))

    def cost(self, side: str, plan: Plan) -> int:
        return _cost(_cards(side, plan))

    def battle(self, plans: Mapping[str, Plan], *, frames: bool = False) -> Battle:
        fight = self._fight(plans, is_shown=frames)
        winner = SIDES[fight.run()]
        return Battle(winner, fight.turns, tuple(_story(fight, winner)), tuple(map(asdict, fight.frames)))

    def _fight(self, plans: Mapping[str, Plan], *, is_shown: bool) -> Fight:
        one, other = SIDES
        return Fight(
            (_cards(one, plans[one]), _cards(other, plans[other])),
            (_priority(one, plans[one]), _priority(other, plans[other])),
            table().rules,
            cards(),
            is_shown=is_shown,
        )

    def random_plan(self, side: str, rng: random.Random, budget: int) -> Plan:
        """Units bought one by one while the budget and the board have room, some of them in a higher tier, in
        a random order."""
        chosen: list[Card] = []
        wanted = rng.randint(1, table().rules.board)
        while len(chosen) < wanted:
            affordable = self._affordable(side, budget - _cost(chosen))
            if not affordable:
                break
            chosen.append(rng.choice(affordable))
        rng.shuffle(chosen)
        return _made(side, chosen, self._random_priority(side, rng))

    def varied(self, side: str, plan: Plan, rng: random.Random, budget: int) -> Plan:
        """One unit more, less, exchanged, moved or in another tier, or another order of targets. Where the
        plan costs more than the budget, units are then taken away from it at random until it fits."""
        chosen, priority = _cards(side, plan), _priority(side, plan)
        way = rng.choice(("more", "less", "exchange", "exchange", "move", "tier", "targets"))
        if way == "targets":
            priority = self._random_priority(side, rng)
        elif way == "more" or not chosen:
            choice = self._affordable(side, budget - _cost(chosen))
            if choice and len(chosen) < table().rules.board:
                chosen.insert(rng.randint(0, len(chosen)), rng.choice(choice))
        else:
            self._change(side, chosen, way, rng, budget)
        while _cost(chosen) > budget:
            chosen.pop(rng.randrange(len(chosen)))
        return _made(side, chosen, priority)

    def _change(self, side: str, chosen: list[Card], way: str, rng: random.Random, budget: int) -> None:
        """Takes a unit away ("less") and puts it elsewhere ("move"), or another one in its place."""
        at = rng.randrange(len(chosen))
        taken = chosen.pop(at)
        if way == "move":
            chosen.insert(rng.randint(0, len(chosen)), taken)
        elif way != "less":
            choice = self._affordable(side, budget - _cost(chosen))
            if way == "tier":
                choice = [card for card in choice if card.name == taken.name]
            chosen[at:at] = [rng.choice(choice)] if choice else []

    def _affordable(self, side: str, budget: int) -> list[Card]:
        """Every unit of a side in every tier that costs at most this."""
        known, tiers = cards(), table().rules.tiers
        every = (known[unit.name, tier.name] for unit in _units(side) for tier in tiers)
        return [card for card in every if card.cost <= budget]

    def _random_priority(self, side: str, rng: random.Random) -> list[str]:
        names = [unit.name for unit in _units(_other(side))]
        return rng.sample(names, rng.randint(0, 3))

    def replay(self, plans: Mapping[str, Plan], about: str = "") -> str:
        title = f"{self.title}, {about}" if about else self.title
        fight = self._fight(plans, is_shown=True)
        winner = SIDES[fight.run()]
        budget = table().rules.budget
        note = ", ".join(f"{side} {self.cost(side, plans[side])} of {budget}" for side in SIDES)
        return draw(fight.frames, title, note, f"The {winner} won after {counted(fight.turns, 'turn')}")


def _story(fight: Fight, winner: str) -> list[str]:
    """Who began, how it ended, and what each unit dealt and has left."""
    lines = [f"The {SIDES[fight.first]} began; the {winner} won after {counted(fight.turns, 'turn')}."]
    for side in (INVADERS, DEFENDERS):
        living = set(fight.boards[side])
        units = [unit for unit in fight.all if unit.side == side]
        told = ", ".join(_fate(unit, unit in living) for unit in units)
        lines.append(f"{SIDES[side]}: {told or 'no units'}.")
    return lines


def _fate(unit: Fighter, lives: bool) -> str:
    left = f"lives with {unit.health} health" if lives else "died"
    tier = f" {unit.card.tier}" if unit.card.tier != table().rules.tiers[0].name else ""
    return f"{unit.card.name}{tier} dealt {unit.dealt} and {left}"


_RULES = """\
Each side puts a row of at most {board} units on the board, left to right, for a budget of {budget}. A \
unit is {plain} unless its tier is named. {tiers} Factors, numbers of blows and revivals stay; a \
summoned unit has the tier of its summoner.
The battle runs by itself. The side with more units begins; if both have as many, the invaders do. The \
sides take turns. In a turn, the leftmost unit that has an attack and has not had its turn strikes; when \
all have had theirs, they begin anew. It strikes units with taunt first; among those who may be struck, \
the first that its side's list of target priorities names; else the leftmost. Both strike at the same \
time, each with its attack. Elements: {beats}; a blow at the element that one's own beats takes \
{percent}% of the attack, rounded down.
Traits: taunt draws blows; shield stops the first damage; poison destroys what it damages; splash \
strikes the target's neighbours as well; overkill carries what a blow has left over to the next unit, to \
the right and then from the left. attacks is the number of blows in a turn, revives how often a unit comes \
back from death.
Effects: `when` is the moment. at_start: once, before the first turn. on_attack: as it begins a blow. \
on_attacked: as another begins a blow at it. after_attack: when its blow was dealt and it lives. on_damaged: \
when it lost health and lives. on_death: when it dies. on_ally_unshielded: when another unit of its side \
loses its shield. What happens on_attack and on_attacked comes before the blow. `to` is who is meant: allies \
are all other units of its own side (of the element, where one is named), neighbours those beside it, \
everyone all units of both sides. buff adds to attack and health, with per ally once for each other unit of \
its side; multiply multiplies the attack; heal gives back lost health; a summoned unit stands at the right \
of its summoner, or in its place.
What burns loses health at the end of each turn of its side until it dies. A revived unit has the numbers \
of its card. Buffs stay; an attack is never below 0 nor above {cap}. Summoned units need room on the board.
A side without units has lost. If both are gone at once, or both are left after {turns} turns, the \
invaders win."""
