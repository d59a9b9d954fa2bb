"""The units and the rules of tower defence, as `units.yaml` and `rules.yaml` say them.

The simulator counts in whole numbers alone, so that every machine gives the same battle: time in ticks,
health in hundredths, and places in steps, of which `Field.cell` make a cell: so many that a demon of any
speed, at full or at slowed pace, walks whole steps in a tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator
from pydantic import Field as Says

from overt.data.yaml.schema import Faults, Filled, Listed, Schema, read_yaml, unique

FOLDER = Path(__file__).parent
HUNDREDTHS = 100  # of a point of health

Kind = Literal["normal", "fire", "ice", "air", "blast", "magnetic"]
Count = Annotated[int, Says(ge=1, le=1_000_000)]
Percent = Annotated[int, Says(ge=1, le=100)]
Listing = Annotated[tuple[Kind, ...], Listed]


class Burn(Schema):
    """What goes on after a hit."""

    damage: Count = Says(description="Points per second.")
    seconds: Count = Says(description="How long it lasts after the last hit.")


class Slow(Schema):
    """How a hit slows."""

    percent: Percent = Says(description="What remains of the speed.")
    seconds: Count = Says(description="How long it lasts after the last hit.")


class Attack(Schema):
    """How a human shoots."""

    kind: Kind = Says(description="The kind of the damage.")
    damage: Annotated[int, Says(ge=0, le=1_000)] = Says(description="Points of a hit.")
    every_ms: Count = Says(description="Milliseconds from shot to shot.")
    at: Literal["ground", "air"] = Says("ground", description="Whom it can hit.")
    burn: Burn | None = Says(None, description="It sets its target on fire.")
    slow: Slow | None = Says(None, description="It slows its target.")
    disables: bool = Says(False, description="It switches off its target's defence, and shoots at no other.")


class Blast(Schema):
    """How a human explodes, once."""

    damage: Count = Says(description="Points, to every demon on the ground of the area.")
    fuse_ms: Count = Says(description="Milliseconds from the first touch.")
    area: Literal["row", "square"] = Says(description="Its row, or the 3x3 cells around it.")


class Human(Schema):
    """A unit of the humans."""

    name: Filled
    cost: Count
    health: Count
    attack: Attack | None = Says(None, description="How it shoots.")
    blast: Blast | None = Says(None, description="How it explodes.")
    is_shield: bool = Says(False, description="Whether demons may jump over it, or be strong against it.")
    stops_jumps: bool = Says(False, description="Whether no demon can jump over it.")
    about: str = Says("", description="A sentence for the player.")


class Defence(Schema):
    """What a demon has until a magnet switches it off."""

    against: Kind | None = Says(None, description="The kind of damage that it reduces.")
    percent: Annotated[int, Says(ge=0, le=100)] = Says(0, description="How much of it is taken off.")
    speed: Annotated[int, Says(ge=1, le=20)] | None = Says(None, description="The speed while it is on.")


class Summons(Schema):
    """Whom a demon brings, and how often."""

    name: Filled
    every_ms: Count


class Demon(Schema):
    """A unit of the demons."""

    name: Filled
    cost: Count
    health: Count
    damage: Annotated[int, Says(ge=1, le=1_000)] = Says(description="Points of a strike.")
    speed: Annotated[int, Says(ge=1, le=20)] | None = Says(None, description="Unless it is the rules' speed.")
    defence: Defence | None = Says(None, description="What a magnet can switch off.")
    immune_to: Listing = Says((), description="Kinds of damage that do nothing to it.")
    flies: bool = Says(False, description="Whether only anti-air fire hits it.")
    jumps: bool = Says(False, description="Whether it jumps over shields.")
    times_to_shields: Count = Says(1, description="Its strikes count so often against shields.")
    summons: Summons | None = Says(None, description="Whom it brings.")
    about: str = Says("", description="A sentence for the player.")


def _name(unit: Human | Demon) -> str:
    return unit.name


class Units(Schema):
    """The file of the units."""

    humans: Annotated[tuple[Human, ...], Says(min_length=1), AfterValidator(unique(_name, ("name",)))]
    demons: Annotated[tuple[Demon, ...], Says(min_length=1), AfterValidator(unique(_name, ("name",)))]

    @model_validator(mode="after")
    def _summoned_ones_are_known(self) -> Units:
        known = {demon.name for demon in self.demons}
        faults = Faults()
        for number, demon in enumerate(self.demons):
            if demon.summons is not None and demon.summons.name not in known:
                there = ", ".join(sorted(known))
                faults.add("there is no demon {found}", f"there are {there}", ("demons", number, "summons"))
        faults.raise_any()
        return self


class Crossing(Schema):
    """How long a demon of a speed takes from the entrance to x = 0."""

    speed: Count
    seconds: Count


class Budgets(Schema):
    """What each side may spend."""

    humans: Count
    demons: Count


class Rules(Schema):
    """The file of the rules."""

    rows: Annotated[int, Says(ge=1, le=50)]
    columns: Annotated[int, Says(ge=1, le=100)]
    budgets: Budgets
    opening_tries: Count
    crossing: Crossing
    speed: Annotated[int, Says(ge=1, le=20)]
    tick_ms: Annotated[int, Says(ge=1, le=1_000)]
    demon_strikes_every_ms: Count
    latest_spawn_s: Annotated[int, Says(ge=0, le=600)]
    most_demons: Annotated[int, Says(ge=1, le=1_000)]
    most_summoned: Annotated[int, Says(ge=0, le=1_000)]
    ends_after_s: Annotated[int, Says(ge=1, le=3_600)]


@dataclass(frozen=True, slots=True)
class Field:
    """The rules and the units in the simulator's whole numbers.

    Attributes:
        cell: the steps of a cell.
        stride: the steps that a demon of speed 1 walks in a tick.
        second: the ticks of a second.
    """

    rules: Rules
    humans: dict[str, Human]
    demons: dict[str, Demon]
    cell: int
    stride: int
    second: int

    def ticks(self, ms: float) -> int:
        """A time in ticks, rounded, at least one for a time above 0."""
        return ticks_of(ms, self.rules.tick_ms)

    def seconds(self, tick: int) -> float:
        return tick * self.rules.tick_ms / 1000


def ticks_of(ms: float, tick_ms: int) -> int:
    """A time in ticks, rounded, at least one for a time above 0."""
    return max(round(ms / tick_ms), 1 if ms > 0 else 0)


def field_of(rules: Rules, units: Units) -> Field:
    """Chooses the steps of a cell so that every pace is a whole number of them."""
    ticks = Fraction(rules.crossing.seconds * 1000, rules.tick_ms)
    pace = Fraction(rules.columns) / (ticks * rules.crossing.speed)  # cells that speed 1 walks in a tick
    slowed = [
        Fraction(unit.attack.slow.percent, 100) for unit in units.humans if unit.attack and unit.attack.slow
    ]
    cell = math.lcm(*((pace * slow).denominator for slow in (*slowed, Fraction(1))))
    humans = {unit.name: unit for unit in units.humans}
    demons = {unit.name: unit for unit in units.demons}
    return Field(rules, humans, demons, cell, int(pace * cell), ticks_of(1000, rules.tick_ms))


@cache
def shipped() -> Field:
    """The field of the packaged files.

    Raises:
        YamlError: a file is not as it must be, with line and field.
    """
    rules = read_yaml(FOLDER / "rules.yaml", Rules, what="rules of tower defence")
    units = read_yaml(FOLDER / "units.yaml", Units, what="units of tower defence")
    return field_of(rules, units)
