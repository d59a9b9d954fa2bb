"""Plans of tower defence: read strictly, priced, made at random, and changed a little."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject
from overt.data.tools import NotACall
from overt.environments.strategic_games.tower.units import Demon, Field, Human

_TRIES = 20  # of a random change that may not be possible
_LATE = (0, 0, 0, 1, 2, 4, 8)  # seconds; random units mostly come at once


@dataclass(frozen=True, slots=True)
class Placed:
    """A unit of a plan. `x` is the cell of a human, and the entrance for a demon; `spawn_time` in seconds."""

    name: str
    x: int
    y: int
    spawn_time: float


def units_of(field: Field, side: str) -> Mapping[str, Human] | Mapping[str, Demon]:
    """The units of a side by name."""
    return field.humans if side == "humans" else field.demons


def keys_of(side: str) -> tuple[str, ...]:
    """What a unit of a plan says."""
    return ("name", "x", "y", "spawn_time") if side == "humans" else ("name", "y", "spawn_time")


def most_of(field: Field, side: str) -> int:
    """How many units a plan may have."""
    return field.rules.rows * field.rules.columns if side == "humans" else field.rules.most_demons


def read(field: Field, side: str, plan: Mapping[str, Json]) -> list[Placed]:
    """Reads a plan.

    Raises:
        NotACall: it is not in form, or names what does not exist; the text says where.
    """
    listed = plan.get(side) if isinstance(plan, Mapping) else None
    if not isinstance(listed, (list, tuple)) or len(plan) != 1:
        raise NotACall(f'a plan of the {side} is an object with "{side}", a list of units, and nothing else')
    if len(listed) > most_of(field, side):
        raise NotACall(f"{side}: {len(listed)} units, and at most {most_of(field, side)} are taken")
    placed = [_placed(field, side, unit, f"{side}[{number}]") for number, unit in enumerate(listed)]
    if side == "humans":
        _one_a_cell(placed)
    return placed


def _placed(field: Field, side: str, unit: Json, where: str) -> Placed:
    keys = keys_of(side)
    if not isinstance(unit, Mapping) or len(unit) != len(keys) or any(key not in unit for key in keys):
        raise NotACall(f"{where} is an object with {', '.join(keys)}, and nothing else")
    name, known = unit["name"], units_of(field, side)
    if not isinstance(name, str) or name not in known:
        said = repr(name[:60]) if isinstance(name, str) else "that"
        raise NotACall(f"{where}: there is no unit {said}; there are {', '.join(known)}")
    rules = field.rules
    x = _cell(unit["x"], rules.columns, f"{where}.x") if side == "humans" else rules.columns
    y = _cell(unit["y"], rules.rows, f"{where}.y")
    late = unit["spawn_time"]
    if isinstance(late, bool) or not isinstance(late, (int, float)) or not 0 <= late <= rules.latest_spawn_s:
        raise NotACall(f"{where}.spawn_time is a number of seconds from 0 to {rules.latest_spawn_s}")
    return Placed(name, x, y, int(late) if late == int(late) else late)


def _cell(value: Json, count: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise NotACall(f"{where} is a whole number from 0 to {count - 1}")
    return value


def _one_a_cell(placed: Sequence[Placed]) -> None:
    seen: dict[tuple[int, int], int] = {}
    for number, unit in enumerate(placed):
        first = seen.setdefault((unit.x, unit.y), number)
        if first != number:
            raise NotACall(
                f"humans[{number}] stands on the cell x {unit.x}, y {unit.y} of humans[{first}]; "
                "a cell takes one unit"
            )


def written(side: str, placed: Sequence[Placed]) -> JsonObject:
    """A plan as JSON data."""
    keys = keys_of(side)
    return {side: [{key: getattr(unit, key) for key in keys} for unit in placed]}


def price(field: Field, side: str, placed: Sequence[Placed]) -> int:
    """What a plan costs."""
    units = units_of(field, side)
    return sum(units[unit.name].cost for unit in placed)


# -- at random ------------------------------------------------------------------------------------------


def random_units(field: Field, side: str, rng: random.Random, budget: int) -> list[Placed]:
    """Random units, until nothing more can be paid or placed."""
    placed: list[Placed] = []
    while added := _more(field, side, placed, rng, budget):
        placed = added
    return placed


def varied_units(
    field: Field, side: str, placed: Sequence[Placed], rng: random.Random, budget: int
) -> list[Placed]:
    """One change: a unit more, less, moved or exchanged; then as few units less as the budget asks for."""
    changed = None
    for _ in range(_TRIES):
        changed = rng.choice(_CHANGES)(field, side, list(placed), rng, budget)
        if changed is not None and changed != list(placed):
            break
    units = list(placed) if changed is None else changed
    while units and price(field, side, units) > budget:
        units.pop(rng.randrange(len(units)))
    return units


def _more(
    field: Field, side: str, placed: list[Placed], rng: random.Random, budget: int
) -> list[Placed] | None:
    left = budget - price(field, side, placed)
    names = [name for name, unit in units_of(field, side).items() if unit.cost <= left]
    spot = _spot(field, side, placed, rng)
    if not names or spot is None or len(placed) >= most_of(field, side):
        return None
    return [*placed, Placed(rng.choice(names), *spot, rng.choice(_LATE) if side == "demons" else 0)]


def _spot(field: Field, side: str, placed: Sequence[Placed], rng: random.Random) -> tuple[int, int] | None:
    rows, columns = field.rules.rows, field.rules.columns
    if side == "demons":
        return columns, rng.randrange(rows)
    taken = {(unit.x, unit.y) for unit in placed}
    free = [(x, y) for y in range(rows) for x in range(columns) if (x, y) not in taken]
    return rng.choice(free) if free else None


def _less(
    field: Field, side: str, placed: list[Placed], rng: random.Random, budget: int
) -> list[Placed] | None:
    if not placed:
        return None
    placed.pop(rng.randrange(len(placed)))
    return placed


def _moved(
    field: Field, side: str, placed: list[Placed], rng: random.Random, budget: int
) -> list[Placed] | None:
    spot = _spot(field, side, placed, rng)
    if not placed or spot is None:
        return None
    number = rng.randrange(len(placed))
    late = rng.choice(_LATE) if side == "demons" else placed[number].spawn_time
    placed[number] = Placed(placed[number].name, *spot, late)
    return placed


def _exchanged(
    field: Field, side: str, placed: list[Placed], rng: random.Random, budget: int
) -> list[Placed] | None:
    if not placed:
        return None
    number, units = rng.randrange(len(placed)), units_of(field, side)
    old = placed[number]
    left = budget - price(field, side, placed) + units[old.name].cost
    names = [name for name, unit in units.items() if unit.cost <= left and name != old.name]
    if not names:
        return None
    placed[number] = Placed(rng.choice(names), old.x, old.y, old.spawn_time)
    return placed


_CHANGES: Sequence[Callable[[Field, str, list[Placed], random.Random, int], list[Placed] | None]] = (
    _more,
    _less,
    _moved,
    _exchanged,
)
