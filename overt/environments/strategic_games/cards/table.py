"""The table of units and rules (units.yaml), and the units in each of their tiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from overt.data.yaml.schema import Faults, Filled, Schema, read_yaml, unique

FILE = Path(__file__).with_name("units.yaml")

Element = Literal["fire", "nature", "water", "earth", "none"]
When = Literal[
    "at_start", "on_attack", "on_attacked", "after_attack", "on_damaged", "on_death", "on_ally_unshielded"
]  # fmt: skip
Do = Literal["damage", "heal", "burn", "buff", "multiply", "shield", "summon"]
To = Literal["self", "allies", "neighbours", "everyone", "attacker", "killer"]
Trait = Literal["taunt", "poison", "shield", "splash", "overkill"]

_MUST_SAY: Mapping[str, tuple[str, ...]] = {
    "damage": ("amount",), "heal": ("amount",), "burn": ("amount",), "multiply": ("factor",),
    "summon": ("unit",), "buff": ("attack", "health"), "shield": (),
}  # fmt: skip


class Effect(Schema):
    """What a unit does at some moment."""

    when: When = Field(description="The moment.", examples=["on_death"])
    do: Do = Field(description="What happens.", examples=["damage"])
    to: To = Field(description="Whom it happens to.", examples=["killer"])
    amount: int = Field(0, ge=0, le=1000, description="Of damage, healing, or burning each turn.")
    attack: int = Field(0, ge=-1000, le=1000, description="What a buff adds to the attack.")
    health: int = Field(0, ge=0, le=1000, description="What a buff adds to the health.")
    factor: int = Field(0, ge=0, le=10, description="What the attack is multiplied by.")
    element: Element | None = Field(None, description="Only units of this element are meant.")
    per: Literal["", "ally"] = Field("", description="A buff counts once for each other unit of its side.")
    unit: str = Field("", description="The unit that is summoned.")

    @model_validator(mode="after")
    def _is_complete(self) -> Effect:
        faults = Faults()
        wanted = _MUST_SAY[self.do]
        if wanted and not any(getattr(self, name) for name in wanted):
            faults.add(f"{self.do} needs {' or '.join(wanted)}", at=("do",))
        faults.raise_any()
        return self


class UnitEntry(Schema):
    """A unit in tier Bronze."""

    name: Filled = Field(description="Its name in a plan.", examples=["FireLizard"])
    element: Element = Field(description="Its element.", examples=["fire"])
    attack: int = Field(ge=0, le=1000, description="What its blow takes.", examples=["2"])
    health: int = Field(ge=1, le=1000, description="What it can bear.", examples=["2"])
    cost: int = Field(ge=0, le=1000, description="What it costs of the budget.", examples=["1"])
    traits: tuple[Trait, ...] = Field((), description="What always holds for it.")
    attacks: int = Field(1, ge=1, le=10, description="Blows in each of its turns.")
    revives: int = Field(0, ge=0, le=10, description="How often it returns from death.")
    effects: tuple[Effect, ...] = Field((), description="What it does, and when.")


class TierEntry(Schema):
    """A tier: by what cost, and attack, health and amounts are multiplied."""

    name: Filled = Field(description="Its name in a plan.", examples=["Gold"])
    cost: int = Field(ge=1, le=100, description="The factor of the cost.", examples=["3"])
    stats: int = Field(ge=1, le=100, description="The factor of the numbers.", examples=["2"])


class Rules(Schema):
    """The numbers that hold for all units."""

    budget: int = Field(ge=1, le=10_000, description="Of each side.", examples=["20"])
    board: int = Field(ge=1, le=20, description="The most units of a side at any time.", examples=["7"])
    turns: int = Field(ge=1, le=1000, description="After so many turns nobody has won.", examples=["120"])
    attack_cap: int = Field(ge=1, le=10**6, description="No attack grows beyond it.", examples=["999"])
    advantage_percent: int = Field(
        ge=100, le=1000, description="A blow at the element that one's own beats.", examples=["150"]
    )
    beats: dict[Element, Element] = Field(description="Element: the one that it beats.")
    tiers: Annotated[tuple[TierEntry, ...], AfterValidator(unique(lambda tier: tier.name))] = Field(
        min_length=1, description="The first is the one that a plan need not name."
    )


Units = Annotated[tuple[UnitEntry, ...], AfterValidator(unique(lambda unit: unit.name))]


class CardTable(Schema):
    """The whole file."""

    rules: Rules = Field(description="What holds for all.")
    invaders: Units = Field(min_length=1, description="What the invaders may buy.")
    defenders: Units = Field(min_length=1, description="What the defenders may buy.")
    summoned: Units = Field((), description="What only comes by summons.")

    @model_validator(mode="after")
    def _summons_end(self) -> CardTable:
        """Every summoned unit exists, and none that dies can bring itself back for ever."""
        units = {unit.name: unit for unit in (*self.invaders, *self.defenders, *self.summoned)}
        faults = Faults()
        for side in ("invaders", "defenders", "summoned"):
            for place, unit in enumerate(getattr(self, side)):
                if told := _endless(unit, units):
                    faults.add(told, at=(side, place))
        faults.raise_any()
        return self


def _endless(unit: UnitEntry, units: Mapping[str, UnitEntry]) -> str:
    """What is wrong with the summons that follow from one unit's death; "" where they end."""
    at_hand, steps = [unit], 0
    while at_hand:
        steps += 1
        one = at_hand.pop()
        for effect in one.effects:
            if effect.do != "summon":
                continue
            if effect.unit not in units:
                return f"{one.name} summons {effect.unit!r}, and there is no such unit"
            if effect.when == "on_death":
                at_hand.append(units[effect.unit])
        if steps > len(units):
            return f"the deaths that begin with {unit.name} summon units without end"
    return ""


# -- units in a tier -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deed:
    """An effect with the numbers of a tier."""

    do: Do
    to: To
    amount: int
    attack: int
    health: int
    factor: int
    element: Element | None
    is_per_ally: bool
    unit: str


@dataclass(frozen=True, slots=True)
class Card:
    """A unit in a tier, with its numbers. `deeds` are by their moment."""

    name: str
    tier: str
    element: Element
    attack: int
    health: int
    cost: int
    attacks: int
    revives: int
    has_taunt: bool
    has_poison: bool
    has_shield: bool
    has_splash: bool
    has_overkill: bool
    deeds: Mapping[str, tuple[Deed, ...]]


def _deeds(effects: Iterable[Effect], factor: int) -> dict[str, tuple[Deed, ...]]:
    found: dict[str, tuple[Deed, ...]] = {}
    for effect in effects:
        deed = Deed(
            effect.do,
            effect.to,
            effect.amount * factor,
            effect.attack * factor,
            effect.health * factor,
            effect.factor,
            effect.element,
            effect.per == "ally",
            effect.unit,
        )
        found[effect.when] = (*found.get(effect.when, ()), deed)
    return found


def card_of(unit: UnitEntry, tier: TierEntry) -> Card:
    """A unit in a tier: its cost times the tier's, its attack, health and amounts times the tier's."""
    traits = set(unit.traits)
    return Card(
        name=unit.name,
        tier=tier.name,
        element=unit.element,
        attack=unit.attack * tier.stats,
        health=unit.health * tier.stats,
        cost=unit.cost * tier.cost,
        attacks=unit.attacks,
        revives=unit.revives,
        has_taunt="taunt" in traits,
        has_poison="poison" in traits,
        has_shield="shield" in traits,
        has_splash="splash" in traits,
        has_overkill="overkill" in traits,
        deeds=_deeds(unit.effects, tier.stats),
    )


@lru_cache(maxsize=1)
def table() -> CardTable:
    """The shipped table."""
    return read_yaml(FILE, CardTable, what="table of units")


@lru_cache(maxsize=1)
def cards() -> Mapping[tuple[str, str], Card]:
    """Every unit in every tier, by name and tier."""
    shipped = table()
    units = (*shipped.invaders, *shipped.defenders, *shipped.summoned)
    return {(unit.name, tier.name): card_of(unit, tier) for unit in units for tier in shipped.rules.tiers}
