"""The game `duels` after arXiv 2506.12012. The head of skills.yaml says what is ours in its rules."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import combinations
from typing import cast

from overt.data.json_types import Json, JsonObject
from overt.data.tools import NotACall, check_value
from overt.environments.strategic_games.duels.fight import DEFENDERS, INVADERS, Character, Fight
from overt.environments.strategic_games.duels.replay import draw
from overt.environments.strategic_games.duels.table import Ability, ElementEntry, Step, abilities, table
from overt.environments.strategic_games.game import Battle, Catalogue, Plan, counted

SIDES = ("invaders", "defenders")
Team = list[tuple[str, list[Ability]]]  # an element and its skills, in the order of their use


@cache
def _elements(side: str) -> tuple[ElementEntry, ...]:
    return tuple(one for one in table().elements if one.side == side)


@cache
def _triples(element: str) -> tuple[tuple[Ability, ...], ...]:
    """Every choice of skills of a character, the cheapest first."""
    every = combinations(abilities()[element].values(), table().rules.skills)
    return tuple(sorted(every, key=_cost))


def _cost(skills: Sequence[Ability]) -> int:
    return sum(skill.cost for skill in skills)


@cache
def _schema(side: str) -> JsonObject:
    rules = table().rules
    names = [skill.name for one in _elements(side) for skill in one.skills]
    return {
        "type": "object",
        "properties": {
            side: {
                "type": "array",
                "description": "The characters, in the order in which they act; of different elements.",
                "maxItems": rules.characters,
                "items": {
                    "type": "object",
                    "properties": {
                        "element": {"type": "string", "enum": [one.name for one in _elements(side)]},
                        "skills": {
                            "type": "array",
                            "description": "Different skills of its element, in the order of their use.",
                            "minItems": rules.skills,
                            "maxItems": rules.skills,
                            "items": {"type": "string", "enum": names},
                        },
                    },
                    "required": ["element", "skills"],
                },
            }
        },
        "required": [side],
    }


def _entries(side: str, plan: Plan) -> Sequence[Mapping[str, Json]]:
    return cast(Sequence[Mapping[str, Json]], plan[side])


def _team(side: str, plan: Plan) -> Team:
    """The characters of a plan that was checked."""
    found: Team = []
    for entry in _entries(side, plan):
        element = str(entry["element"])
        known = abilities()[element]
        found.append((element, [known[name] for name in cast(Sequence[str], entry["skills"])]))
    return found


def _made(side: str, team: Team) -> Plan:
    characters: list[Json] = [
        {"element": element, "skills": [skill.name for skill in skills]} for element, skills in team
    ]
    return {side: characters}


class Duels:
    """Characters of an element with three skills each, which act by turns."""

    name = "duels"
    title = "Turn-based duels"
    sides = SIDES
    opening_tries = 3

    def rules(self) -> str:
        rules = table().rules
        beats = ", ".join(f"{one} beats {other}" for one, other in rules.beats.items())
        opposed = ", ".join(f"{one} and {other}" for one, other in rules.opposed.items())
        fields = " ".join(f"{name}: {about.description}" for name, about in Step.fields().items())
        return _RULES.format(
            characters=rules.characters, budget=rules.budget, health=rules.health, skills=rules.skills,
            rounds=rules.rounds, beats=beats, opposed=opposed, strong=rules.strong_percent,
            weak=rules.weak_percent, both=rules.opposed_percent, fields=fields,
        )  # fmt: skip

    def catalogue(self, side: str) -> Catalogue:
        """The skills that a side may have, as skills.yaml has them, each with its element."""
        units = [
            {"element": one.name, **skill.model_dump(mode="json", exclude_defaults=True)}
            for one in _elements(side)
            for skill in one.skills
        ]
        return Catalogue(side, table().rules.budget, cast(list[JsonObject], units))

    def schema(self, side: str) -> JsonObject:
        return _schema(side)

    def check(self, side: str, plan: Plan) -> None:
        check_value(plan, _schema(side), "plan")
        elements: set[str] = set()
        for number, entry in enumerate(_entries(side, plan)):
            where = f"plan.{side}[{number}]"
            element = str(entry["element"])
            if element in elements:
                raise NotACall(f"{where}: {element} stands there already; the elements must differ")
            elements.add(element)
            names = cast(Sequence[str], entry["skills"])
            if strange := [name for name in names if name not in abilities()[element]]:
                known = ", ".join(abilities()[element])
                raise NotACall(f"{where}: {element} has no skill {strange[0]}; it has {known}")
            if len(set(names)) < len(names):
                raise NotACall(f"{where}: the skills of a character must differ")

    def meant(self, side: str, plan: Plan) -> Plan:
        return _made(side, _team(side, plan))

    def cost(self, side: str, plan: Plan) -> int:
        return sum(_cost(skills) for _, skills in _team(side, plan))

    def battle(self, plans: Mapping[str, Plan], *, frames: bool = False) -> Battle:
        fight = self._fight(plans, is_shown=frames)
        winner = SIDES[fight.run()]
        return Battle(winner, fight.round, tuple(_story(fight, winner)), tuple(map(asdict, fight.frames)))

    def _fight(self, plans: Mapping[str, Plan], *, is_shown: bool) -> Fight:
        one, other = SIDES
        return Fight((_team(one, plans[one]), _team(other, plans[other])), table().rules, is_shown=is_shown)

    def random_plan(self, side: str, rng: random.Random, budget: int) -> Plan:
        """Some elements at random, each with skills that the budget has room for when the others get their
        cheapest ones, in a random order."""
        elements = rng.sample(_elements(side), rng.randint(1, len(_elements(side))))
        return _made(side, self._drawn([one.name for one in elements], rng, budget))

    def _drawn(self, elements: Sequence[str], rng: random.Random, budget: int) -> Team:
        team: Team = []
        for place, element in enumerate(elements):
            kept_back = sum(_cost(_triples(other)[0]) for other in elements[place + 1 :])
            within = [triple for triple in _triples(element) if _cost(triple) <= budget - kept_back]
            if not within:  # the later ones may still have room without it
                within = [triple for triple in _triples(element)[:1] if _cost(triple) <= budget]
            if within:
                skills = list(rng.choice(within))
                rng.shuffle(skills)
                team.append((element, skills))
                budget -= _cost(skills)
        return team[: table().rules.characters]

    def varied(self, side: str, plan: Plan, rng: random.Random, budget: int) -> Plan:
        """One skill exchanged, skills or characters in another order, a character more, less or with other
        skills. Where the plan costs more than the budget, skills are then exchanged for cheaper ones, and
        characters are left out, until it fits."""
        team = _team(side, plan)
        absent = [one.name for one in _elements(side) if one.name not in {element for element, _ in team}]
        ways = ["skill", "skill", "order", "other"] if team else []
        ways += ["shuffle", "less"] if len(team) > 1 else []
        ways += ["more"] if absent and len(team) < table().rules.characters else []
        way = rng.choice(ways)
        at = rng.randrange(len(team)) if team else 0
        if way == "skill":
            _exchange(team[at], rng)
        elif way == "order":
            rng.shuffle(team[at][1])
        elif way == "other":
            team[at] = (team[at][0], list(rng.choice(_triples(team[at][0]))))
        elif way == "shuffle":
            rng.shuffle(team)
        elif way == "less":
            del team[at]
        else:
            left = max(0, budget - sum(_cost(skills) for _, skills in team))
            team[at:at] = self._drawn([rng.choice(absent)], rng, left)
        return _made(side, _fitting(team, rng, budget))

    def replay(self, plans: Mapping[str, Plan], about: str = "") -> str:
        title = f"{self.title}, {about}" if about else self.title
        fight = self._fight(plans, is_shown=True)
        winner = SIDES[fight.run()]
        budget = table().rules.budget
        note = ", ".join(f"{side} {self.cost(side, plans[side])} of {budget}" for side in SIDES)
        cast_of = [(one.element, one.side) for one in fight.all]
        result = f"The {winner} won after {counted(fight.round, 'round')}"
        return draw(fight.frames, cast_of, table().rules.health, title, note, result)


def _exchange(character: tuple[str, list[Ability]], rng: random.Random) -> None:
    """Another skill in the place of one."""
    element, skills = character
    others = [skill for skill in abilities()[element].values() if skill not in skills]
    if others:
        skills[rng.randrange(len(skills))] = rng.choice(others)


def _fitting(team: Team, rng: random.Random, budget: int) -> Team:
    """A team of at most this cost. Each step makes it cheaper, so that it ends."""
    while team and sum(_cost(skills) for _, skills in team) > budget:
        cheaper = [
            (skills, place, other)
            for element, skills in team
            for place, skill in enumerate(skills)
            for other in abilities()[element].values()
            if other.cost < skill.cost and other not in skills
        ]
        if cheaper:
            skills, place, other = rng.choice(cheaper)
            skills[place] = other
        else:
            del team[rng.randrange(len(team))]
    return team


def _story(fight: Fight, winner: str) -> list[str]:
    """How it ended, and what each character dealt and has left."""
    # A match has rounds as well.
    lines = [f"The {winner} won; the battle took {counted(fight.round, 'round')} of its own."]
    for side in (INVADERS, DEFENDERS):
        told = ", ".join(_fate(one) for one in fight.all if one.side == side)
        lines.append(f"{SIDES[side]}: {told or 'no characters'}.")
    return lines


def _fate(one: Character) -> str:
    left = f"lives with {one.health} health" if one.health > 0 else "died"
    return f"{one.element} dealt {one.dealt} and {left}"


_RULES = """\
Each side has up to {characters} characters of different elements, each with {health} health and \
{skills} different skills of its element, for a budget of {budget} skill points.
The battle runs by itself. In each round the invaders act in listed order, then the defenders. A \
character uses its skills in listed order and then begins anew. It acts on the first living opponent in \
listed order; what helps it helps itself.
A hit does its amount times the elements: {beats}; {strong}% of the damage to the element that one's own \
beats, {weak}% to the one that beats it, {both}% between {opposed}. Then come the percentages of both \
characters, and the result is rounded down; then what is taken off flat. Shields absorb damage first, \
the oldest first. True damage knows none of these.
A status of r rounds lasts until the end of the r-th next turn of who caused it, one of n uses for n \
hits; another of the same adds to it. At the end of each round burning (of each layer), poison and \
delayed damage take health; then comes healing. Damage that is thrown back has no element and is not \
thrown back again. Stored damage is all that hits took from a character since it was last spent.
Each skill is a list of steps. hit strikes the target. heal heals the character itself. pay takes a percent \
of its own health as it stands. give leaves a status on the target (a debuff) or, with `to` self, on itself \
(a buff). spend takes away all burning layers of the target, all its own tidal layers, or its stored damage. \
clear takes away debuffs or buffs, the oldest first, and none that is for good.
What can be counted: layers of burning on the target, own tidal layers, tenths of own health that are lost \
(lost_tenths), health that was paid, stored damage, damage of this skill's hit, healing without room \
(surplus). The fields of steps: {fields}
A side without characters has lost. If both are gone at once, the invaders win. After {rounds} rounds \
the side with more health left wins, the invaders if both have as much."""
