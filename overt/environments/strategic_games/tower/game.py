"""Tower defence as a `Game`: humans in five rows shoot at demons that walk in from the right.

After arXiv 2506.12012, whose released simulator runs in a window and contradicts its rules; here the rules
hold as written, and what they leave open is marked "ours" in the data files.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from overt.data.json_types import Json, JsonObject
from overt.environments.strategic_games.game import Battle, Catalogue, Plan
from overt.environments.strategic_games.tower import plans as placing
from overt.environments.strategic_games.tower.battle import fight
from overt.environments.strategic_games.tower.replay import draw
from overt.environments.strategic_games.tower.units import Field, shipped


class TowerDefence:
    """The game. `field` holds units and rules; by default those of the packaged files.

    Raises:
        YamlError: a packaged file is not as it must be.
    """

    name = "tower-defence"
    title = "Tower defence"
    sides = ("humans", "demons")

    def __init__(self, field: Field | None = None) -> None:
        self.field = field or shipped()
        self.opening_tries = self.field.rules.opening_tries

    def rules(self) -> str:
        rules, field = self.field.rules, self.field
        crossing = rules.crossing
        return "\n".join(
            [
                f"The field has {rules.rows} rows (y 0 to {rules.rows - 1}) of {rules.columns} cells "
                f"(x 0 to {rules.columns - 1}, from left to right). A cell takes one human.",
                f"A unit comes at its spawn_time, in seconds from 0 to {rules.latest_spawn_s}. Demons enter "
                f"their row at x = {rules.columns} and walk to the left; at speed {crossing.speed} they take "
                f"{crossing.seconds} s to x = 0, at speed {2 * crossing.speed} half of that. Any number of "
                "demons may be in one place.",
                "A human shoots at the first demon of its row, at its right or in its cell, that it can hit, "
                "again and again. It does not move. Units without an attack only stand in the way.",
                "A demon stops at the first human that it comes to and strikes it at once and then every "
                f"{rules.demon_strikes_every_ms / 1000:g} s, until it is gone; then it walks on. It strikes "
                "the next one no sooner than that after its last strike.",
                "Ground fire does not hit flying demons. A demon that is immune to a kind of damage is shot "
                "at as any other, and takes neither the damage nor what comes with it. Burning and slowness "
                "last from the last hit, and do not add up.",
                "A blast goes off once, its fuse after a demon first strikes it, if it still stands by then.",
                "The humans win when all demons are dead, those to come included. The demons win as soon as "
                f"one of them passes x = 0. After {rules.ends_after_s} s the humans have won.",
                f"Within a tick of {rules.tick_ms} ms: blasts, arrivals, shots (from right to left), fires, "
                "strikes, and last who passes x = 0.",
                f"At most {placing.most_of(field, 'demons')} demons are taken, and {rules.most_summoned} "
                "summoned.",
            ]
        )

    def catalogue(self, side: str) -> Catalogue:
        units = placing.units_of(self.field, side).values()
        budget: int = getattr(self.field.rules.budgets, side)
        speed: dict[str, Json] = {"speed": self.field.rules.speed} if side == "demons" else {}
        listed = [{**speed, **unit.model_dump(mode="json", exclude_defaults=True)} for unit in units]
        return Catalogue(side, budget, [{"name": unit.pop("name"), **unit} for unit in listed])

    def schema(self, side: str) -> JsonObject:
        rules = self.field.rules
        keys = placing.keys_of(side)
        whole: JsonObject = {"type": "integer", "minimum": 0}
        properties: JsonObject = {
            "name": {"type": "string", "enum": list(placing.units_of(self.field, side))},
            "x": {**whole, "maximum": rules.columns - 1, "description": "The cell, from left to right."},
            "y": {**whole, "maximum": rules.rows - 1, "description": "The row."},
            "spawn_time": {
                "type": "number", "minimum": 0, "maximum": rules.latest_spawn_s, "description": "In seconds."
            },
        }  # fmt: skip
        unit: JsonObject = {
            "type": "object", "properties": {key: properties[key] for key in keys}, "required": list(keys)
        }  # fmt: skip
        units: JsonObject = {
            "type": "array", "items": unit, "maxItems": placing.most_of(self.field, side)
        }  # fmt: skip
        return {"type": "object", "properties": {side: units}, "required": [side]}

    def check(self, side: str, plan: Plan) -> None:
        placing.read(self.field, side, plan)

    def meant(self, side: str, plan: Plan) -> Plan:
        return placing.written(side, placing.read(self.field, side, plan))

    def cost(self, side: str, plan: Plan) -> int:
        return placing.price(self.field, side, placing.read(self.field, side, plan))

    def battle(self, plans: Mapping[str, Plan], *, frames: bool = False) -> Battle:
        humans, demons = (placing.read(self.field, side, plans[side]) for side in self.sides)
        return fight(self.field, humans, demons, frames=frames)

    def random_plan(self, side: str, rng: random.Random, budget: int) -> Plan:
        return placing.written(side, placing.random_units(self.field, side, rng, budget))

    def varied(self, side: str, plan: Plan, rng: random.Random, budget: int) -> Plan:
        placed = placing.read(self.field, side, plan)
        return placing.written(side, placing.varied_units(self.field, side, placed, rng, budget))

    def replay(self, plans: Mapping[str, Plan], about: str = "") -> str:
        title = f"{self.title}, {about}" if about else self.title
        costs = {side: self.cost(side, plans[side]) for side in self.sides}
        budgets = self.field.rules.budgets.model_dump()
        note = ", ".join(f"{side} {costs[side]:,} of {budgets[side]:,}" for side in self.sides)
        return draw(self.field, self.battle(plans, frames=True), title, note)
