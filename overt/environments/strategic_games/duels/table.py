"""The table of skills and rules (skills.yaml), and its steps as the fight runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from overt.data.yaml.schema import Faults, Filled, Schema, read_yaml, unique

FILE = Path(__file__).with_name("skills.yaml")

Side = Literal["invaders", "defenders"]
Kind = Literal["", "burning", "tidal", "poison"]
Of = Literal[
    "", "burning", "tidal", "lost_tenths", "paid", "stored", "hit", "surplus", "buffs", "debuffs"
]  # fmt: skip
Percent = Annotated[int, Field(ge=-100, le=1000)]
Points = Annotated[int, Field(ge=0, le=1000)]

_OF: Mapping[str, tuple[str, ...]] = {
    "hit": ("", "burning", "tidal", "lost_tenths", "paid", "stored"),
    "heal": ("", "burning", "tidal", "lost_tenths", "paid", "hit"),
    "pay": ("",),
    "give": ("",),
    "spend": ("burning", "tidal", "stored"),
    "clear": ("buffs", "debuffs"),
}


class Sum(Schema):
    """amount + each * count + percent % of what is counted, rounded down."""

    amount: Points = Field(0, description="What it is at least.")
    each: Points = Field(0, description="More for each of what `of` counts.")
    percent: Points = Field(0, description="Percent of what `of` counts.")
    of: Of = Field("", description="What is counted.", examples=["burning"])


class Step(Sum):
    """One step of a skill. The head of the file says what each field means."""

    do: Literal["hit", "heal", "pay", "give", "spend", "clear"] = Field(
        description="What happens.", examples=["hit"]
    )
    to: Literal["self", "target"] = Field("target", description="Whom it happens to.")
    below_half: Points = Field(0, description="More, where the target has less than half of its health.")
    true: bool = Field(False, description="Whether nothing changes the damage.")
    most: int = Field(0, ge=0, le=100, description="How many are cleared; 0: all.")
    kind: Kind = Field("", description="The kind of its layers.")
    layers: int = Field(0, ge=0, le=100, description="How many layers.")
    rounds: int = Field(0, ge=0, le=100, description="How long a status lasts; 0: for good.")
    uses: int = Field(0, ge=0, le=100, description="For how many hits; 0: for all.")
    dealt: Percent = Field(0, description="Percent more that its own hits do.")
    taken: Percent = Field(0, description="Percent more that hits on it do.")
    taken_flat: int = Field(0, ge=-1000, le=0, description="What hits on it do less.")
    healing: Percent = Field(0, description="Percent more that it is healed.")
    damage: Points = Field(0, description="Damage at the end of each round, for each layer if it has any.")
    mends: Points = Field(0, description="Healing at the end of each round.")
    shield: Sum | None = Field(None, description="Damage that it absorbs.")
    returns: Points = Field(0, description="Percent of the absorbed damage that goes back.")
    back: Points = Field(0, description="Damage to whoever hits it.")
    redirects: bool = Field(False, description="Whether a hit falls on the striker instead.")
    delays: int = Field(0, ge=0, le=100, description="Percent of a hit that falls a round later.")
    heals: int = Field(0, ge=0, le=100, description="Percent of a hit that it is healed.")

    @model_validator(mode="after")
    def _fits(self) -> Step:
        faults = Faults()
        if self.of not in _OF[self.do]:
            faults.add(
                f"{self.do} can be of {', '.join(filter(None, _OF[self.do])) or 'nothing'}", at=("of",)
            )
        faults.raise_any()
        return self


class Skill(Schema):
    """A skill."""

    name: Filled = Field(description="Its name in a plan.", examples=["flame_splash"])
    cost: int = Field(ge=1, le=1000, description="In skill points.", examples=["1"])
    steps: tuple[Step, ...] = Field(min_length=1, description="What it does, in order.")


Skills = Annotated[tuple[Skill, ...], AfterValidator(unique(lambda skill: skill.name))]


class ElementEntry(Schema):
    """An element, whose side it is on, and its skills."""

    name: Filled = Field(description="Its name in a plan.", examples=["Fire"])
    side: Side = Field(description="The side that it is on.", examples=["invaders"])
    skills: Skills = Field(min_length=1, description="What its characters can do.")


class Rules(Schema):
    """The numbers that hold for all characters."""

    budget: int = Field(ge=1, le=10_000, description="Skill points of each side.", examples=["20"])
    health: int = Field(ge=1, le=10**6, description="Of each character.", examples=["100"])
    characters: int = Field(ge=1, le=6, description="The most on a side.", examples=["3"])
    skills: int = Field(ge=1, le=10, description="How many each character has.", examples=["3"])
    rounds: int = Field(ge=1, le=200, description="After so many the healthier side wins.", examples=["30"])
    strong_percent: Points = Field(description="Of damage to the element that one's own beats.")
    weak_percent: Points = Field(description="Of damage to the element that beats one's own.")
    opposed_percent: Points = Field(description="Of damage between opposed elements.")
    beats: dict[Filled, Filled] = Field(description="Element: the one that it beats.")
    opposed: dict[Filled, Filled] = Field(description="Element: the one that it is opposed to.")


class DuelTable(Schema):
    """The whole file."""

    rules: Rules = Field(description="What holds for all.")
    elements: Annotated[tuple[ElementEntry, ...], AfterValidator(unique(lambda one: one.name))] = Field(
        min_length=2, description="The elements of both sides."
    )

    @model_validator(mode="after")
    def _names_fit(self) -> DuelTable:
        faults = Faults()
        known = {one.name for one in self.elements}
        for field in ("beats", "opposed"):
            for one, other in getattr(self.rules, field).items():
                if not {one, other} <= known:
                    faults.add(f"{one}: {other} names no element of the file", at=("rules", field))
        for place, element in enumerate(self.elements):
            if len(element.skills) < self.rules.skills:
                told = f"{element.name} has fewer skills than a character needs"
                faults.add(told, at=("elements", place))
        faults.raise_any()
        return self


# -- as the fight runs it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantity:
    """A `Sum`, read fast."""

    amount: int
    each: int
    percent: int
    of: str


@dataclass(frozen=True, slots=True)
class Deed:
    """A `Step`, read fast: `quantity` is its sum, `shield` that of a shield."""

    do: str
    is_to_self: bool
    quantity: Quantity
    step: Step
    shield: Quantity | None


@dataclass(frozen=True, slots=True)
class Ability:
    """A skill as a character has it."""

    name: str
    cost: int
    element: str
    deeds: tuple[Deed, ...]


def quantity_of(part: Sum) -> Quantity:
    return Quantity(part.amount, part.each, part.percent, part.of)


def ability_of(skill: Skill, element: str) -> Ability:
    """A skill whose steps the fight can run."""
    deeds = tuple(
        Deed(
            step.do,
            step.to == "self",
            quantity_of(step),
            step,
            None if step.shield is None else quantity_of(step.shield),
        )
        for step in skill.steps
    )
    return Ability(skill.name, skill.cost, element, deeds)


@lru_cache(maxsize=1)
def table() -> DuelTable:
    """The shipped table."""
    return read_yaml(FILE, DuelTable, what="table of skills")


@lru_cache(maxsize=1)
def abilities() -> Mapping[str, Mapping[str, Ability]]:
    """Every skill, by element and name."""
    return {
        one.name: {skill.name: ability_of(skill, one.name) for skill in one.skills}
        for one in table().elements
    }
