"""Fights a battle of tower defence: all rows together, from event to event, until somebody has won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from overt.data.json_types import JsonObject
from overt.environments.strategic_games.game import Battle
from overt.environments.strategic_games.tower.fighters import NEVER, Fighter
from overt.environments.strategic_games.tower.plans import Placed
from overt.environments.strategic_games.tower.row import Entry, Row, Shared
from overt.environments.strategic_games.tower.units import HUNDREDTHS, Field

HUMANS, DEMONS = "humans", "demons"
_NAMED = 6  # so many units a line of the story names


def fight(
    field: Field, humans: Sequence[Placed], demons: Sequence[Placed], *, frames: bool = False
) -> Battle:
    """Fights. Demons win as soon as one passes x = 0; humans when all are dead, or when the time is over.

    A battle without demons is won by the humans in tick 0.
    """
    shared = Shared(field, len(demons), frames=[] if frames else None)
    rows = _rows(field, humans, demons, shared)
    last = field.ticks(1000 * field.rules.ends_after_s)
    now, winner = 0, HUMANS
    while shared.left:
        due = min(row.due for row in rows)
        if due > last:
            now = last
            break
        now = due
        _blasts(rows, now, shared)
        for row in rows:
            if row.due == now:
                row.play(now)
        if any(row.passed is not None for row in rows):
            winner = DEMONS
            break
    for row in rows:
        row.advance(now)
        if shared.frames is not None:
            row.show_end(now, shared.frames)
    return Battle(winner, now, _story(field, rows, now, winner, shared), tuple(shared.frames or ()))


def _rows(field: Field, humans: Sequence[Placed], demons: Sequence[Placed], shared: Shared) -> list[Row]:
    entries: list[list[Entry]] = [[] for _ in range(field.rules.rows)]
    for letter, side in (("h", humans), ("d", demons)):
        for number, unit in enumerate(side, 1):
            tick = field.ticks(1000 * unit.spawn_time)
            entries[unit.y].append(Entry(tick, f"{letter}{number}", unit.name, unit.x, letter == "d"))
    return [Row(number, row, shared) for number, row in enumerate(entries)]


def _blasts(rows: Sequence[Row], now: int, shared: Shared) -> None:
    """Whatever goes off in this tick does so before all else, and all at once."""
    going = [(row, human) for row in rows if row.due == now for human in row.humans if human.fuse <= now]
    for row, human in going:
        _blast(rows, row, human, now)
        if shared.frames is not None:
            area = human.unit.blast.area if human.unit.blast else ""
            where: JsonObject = {"x": human.x, "y": row.number, "area": area}
            shared.frames.append({"tick": now, "what": "explodes", "id": human.id, **where})
    for row, human in going:
        row.spend(human, now)


def _blast(rows: Sequence[Row], row: Row, human: Fighter, now: int) -> None:
    blast, cell = human.unit.blast, row.field.cell
    if blast is None:
        return
    hit, left, right = [row], 0, NEVER
    if blast.area == "square":
        hit = [other for other in rows if abs(other.number - row.number) <= 1]
        left, right = human.at - cell, human.at + 2 * cell
    for other in hit:
        other.advance(now)
        other.blasted(blast.damage * HUNDREDTHS, left, right)
        other.due = now


# -- the story ------------------------------------------------------------------------------------------


def _story(field: Field, rows: Sequence[Row], now: int, winner: str, shared: Shared) -> tuple[str, ...]:
    at = f"after {field.seconds(now):g} s"
    passed = next((row for row in rows if row.passed is not None), None)
    if passed is not None and passed.passed is not None:
        head = f"The {winner} won {at}: {passed.passed.unit.name} passed x = 0 in row {passed.number}."
    elif shared.left:
        head = f"The {winner} won {at}: no demon had passed x = 0 when the time was over."
    else:
        head = f"The {winner} won {at}: no demon was left."
    return (head, *filter(None, (_line(field, row) for row in rows)))


def _line(field: Field, row: Row) -> str:
    """What became of a row; empty where nobody was in it."""
    parts = []
    if humans := len(row.humans) + len(row.fallen) + len(row.spent):
        parts.append(f"{len(row.humans)} of {humans} humans stand")
    for verb, gone in (("lost", row.fallen), ("used up", row.spent)):
        if gone:
            names = [f"{unit.unit.name} at x {unit.x} ({field.seconds(tick):g} s)" for tick, unit in gone]
            parts.append(f"{verb} {_first(names)}")
    if row.killed:
        counts = Counter(demon.unit.name for _, demon in row.killed)
        parts.append("killed " + _first([f"{count} {name}" for name, count in counts.items()]))
    if row.demons:
        left = [f"{demon.unit.name} at x {demon.at / field.cell:.1f}" for demon in row.demons]
        parts.append("still there: " + _first(left))
    if row.entries:
        parts.append(f"{len(row.entries)} had yet to come")
    return f"Row {row.number}: {'; '.join(parts)}." if parts else ""


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
