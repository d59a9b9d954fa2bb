"""The replay of a battle of tower defence: its frames become moving shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from overt.data.json_types import JsonObject
from overt.environments.strategic_games.drawing import Clock, Film, box, clock_seconds, film, group, text
from overt.environments.strategic_games.game import Battle
from overt.environments.strategic_games.tower.units import Field

_CELL, _ROW = 66.0, 58.0  # pixels
_HUMAN = 52.0  # the width of a human; a demon that touches it stands at its right
_PILL = 16.0  # the height of a demon
_LANES = 3  # a row draws demons in so many lanes, so that those in one place can be told apart
_MOST_SHOTS = 2_000  # a battle with more of them is drawn without its shots, so that the picture stays small
_FLASH, _GLOW = 1.5, 8.0  # ticks that a shot and a blast are seen
_WORDS = re.compile(r"[A-Z][a-z]*")


@dataclass(slots=True)
class _Track:
    """A unit's way through the battle. `stays`: it is there at the end. Health is a share."""

    id: str
    name: str
    y: int
    start: float
    places: list[tuple[float, float]]
    health: list[tuple[float, float]]
    shots: list[tuple[float, float]] = field(default_factory=list)
    end: float | None = None

    @property
    def is_human(self) -> bool:
        return self.id.startswith("h")

    def x_at(self, tick: float) -> float:
        """Where it is, in cells, at a moment before its next known place."""
        before, after = self.places[-1], None
        for place in reversed(self.places):
            if place[0] <= tick:
                before = place
                break
            after = place
        if after is None or after[0] <= before[0]:
            return before[1]
        return before[1] + (after[1] - before[1]) * (tick - before[0]) / (after[0] - before[0])


def draw(rules: Field, battle: Battle, title: str, note: str) -> str:
    """The battle, which must have its frames, as an animated SVG.

    Args:
        note: what stands beside the title.
    """
    seconds = rules.seconds(battle.ticks)
    clock = Clock(battle.ticks, clock_seconds(seconds))
    size = (_CELL * (rules.rules.columns + 1), _ROW * rules.rules.rows)
    frame = Film(title, note, ("0 s", f"{seconds:g} s"), size, f"The {battle.winner} won after {seconds:g} s")
    tracks = _tracks(battle.frames)
    ground = list(_ground(rules))
    blasts = [
        shape for each in battle.frames if each["what"] == "explodes" for shape in _blast(rules, each, clock)
    ]
    lanes = _lanes(tracks)
    moving = [_unit(track, lanes.get(track.id, 0), clock) for track in tracks]
    still = [_still(track, lanes.get(track.id, 0)) for track in tracks if track.end is None]
    passed = list(_passed(battle, tracks))
    shown = [group([shape, clock.shown(clock.last, None)], hidden=True) for shape in passed]
    return film(frame, clock, [*ground, *moving, *blasts, *shown], [*ground, *still, *passed])


# -- from frames to tracks -----------------------------------------------------------------------------------


def _number(frame: JsonObject, key: str) -> float:
    value = frame[key]
    return float(value) if isinstance(value, (int, float)) else 0.0


def _tracks(frames: Sequence[JsonObject]) -> list[_Track]:
    tracks: dict[str, _Track] = {}
    shots = []
    for frame in frames:
        tick, what, id = _number(frame, "tick"), frame["what"], str(frame["id"])
        if what == "enters":
            x, y = _number(frame, "x"), int(_number(frame, "y"))
            health = (tick, _number(frame, "health"))
            tracks[id] = _Track(id, str(frame["name"]), y, tick, [(tick, x)], [health])
        elif what == "shoots":
            shots.append((tick, id, str(frame["at"])))
        elif id in tracks:
            _go_on(tracks[id], tick, str(what), frame)
    if len(shots) <= _MOST_SHOTS:
        for tick, by, at in shots:
            if by in tracks and at in tracks:  # one that came and fell in one tick has no track
                tracks[by].shots.append((tick, tracks[at].x_at(tick)))
    return list(tracks.values())


def _go_on(track: _Track, tick: float, what: str, frame: JsonObject) -> None:
    if "x" in frame and what != "explodes":
        place = (tick, _number(frame, "x"))
        if place != track.places[-1]:
            track.places.append(place)
    if what == "is" and track.health[-1][1] != _number(frame, "health"):
        track.health.append((tick, _number(frame, "health")))
    if what in ("falls", "explodes"):
        track.end = tick


def _lanes(tracks: Iterable[_Track]) -> dict[str, int]:
    """The lane of each demon: those of a row take turns."""
    count: dict[int, int] = {}
    lanes = {}
    for track in tracks:
        if not track.is_human:
            lanes[track.id] = count.get(track.y, 0) % _LANES
            count[track.y] = count.get(track.y, 0) + 1
    return lanes


# -- shapes --------------------------------------------------------------------------------------------------


def _ground(rules: Field) -> Iterator[str]:
    """The cells, with their numbers above and at the left."""
    for y in range(rules.rules.rows):
        yield box(0, _ROW * y, _CELL * rules.rules.columns, _ROW, "field", round=0)
        yield text(-7, _ROW * (y + 0.5) + 3, str(y), "tiny soft")
    yield from (text(_CELL * (x + 0.5), -4, str(x), "tiny soft") for x in range(rules.rules.columns))
    for x in range(1, rules.rules.columns):
        yield box(_CELL * x, 0, 1, _ROW * rules.rules.rows, "line", round=0)


def _unit(track: _Track, lane: int, clock: Clock) -> str:
    parts = list(_body(track, lane, clock))
    parts.append(clock.shown(track.start, track.end))
    if track.is_human:
        left, top = _corner(track, lane, track.places[0][1])
        return group([*parts, _shots(track, clock)], x=left, y=top, hidden=track.start > 0)
    places = [(tick, *_corner(track, lane, x)) for tick, x in track.places]
    return group([*parts, clock.glide(places)], hidden=track.start > 0)


def _still(track: _Track, lane: int) -> str:
    left, top = _corner(track, lane, track.places[-1][1])
    return group(_body(track, lane, None), x=left, y=top)


def _corner(track: _Track, lane: int, x: float) -> tuple[float, float]:
    """The upper left corner of a unit that is at x, in cells."""
    if track.is_human:
        return _CELL * x + 3, _ROW * track.y + 4
    return _CELL * x + _HUMAN + 5, _ROW * track.y + 3 + lane * (_PILL + 3)


def _body(track: _Track, lane: int, clock: Clock | None) -> Iterator[str]:
    """Box, name and health; the health moves with a clock, and without one is that of the end."""
    if track.is_human:
        name = track.name.removesuffix("Soldier")
        lines = _WORDS.findall(name) or [name]
        width, height = _HUMAN, _ROW - 8
        yield box(0, 0, width, height, "left")
        for number, line in enumerate(lines[:3]):
            yield text(
                width / 2,
                height / 2 - 6 * (len(lines[:3]) - 1) + 12 * number + 1,
                line,
                "tiny",
                room=width - 4,
            )
    else:
        name = track.name.removesuffix("Demon").removeprefix("Demon")
        width, height = max(34.0, 5.0 * len(name) + 10), _PILL
        yield box(0, 0, width, height, "right", round=7)
        yield text(width / 2, 10, name, "tiny", room=width - 6)
    full = width - 8
    bar = [(tick, full * share) for tick, share in track.health]
    losing = clock.animate("width", bar, jump=True) if clock is not None and len(bar) > 1 else ""
    yield box(4, height - 3.5, bar[-1][1], 2, "good", round=1, inner=losing)


def _shots(track: _Track, clock: Clock) -> str:
    """A line from a human to what it hits, seen for a moment."""
    if not track.shots:
        return ""
    moments: list[tuple[float, float | str]] = [(0, 0)]
    for tick, x in track.shots:
        if moments[-1][0] > tick:
            moments.pop()
        moments += [(tick, max(_CELL * (x - track.places[0][1]), 4)), (tick + _FLASH, 0)]
    flash = clock.animate("width", moments, jump=True)
    return box(_HUMAN, 8, 0, 1, "spark", round=0, inner=flash)


def _blast(rules: Field, frame: JsonObject, clock: Clock) -> Iterator[str]:
    x, y, tick = _number(frame, "x"), _number(frame, "y"), _number(frame, "tick")
    if frame["area"] == "row":
        left, top, right, bottom = 0.0, y, float(rules.rules.columns), y + 1
    else:
        left, right = max(x - 1, 0), min(x + 2, rules.rules.columns)
        top, bottom = max(y - 1, 0), min(y + 2, rules.rules.rows)
    place = (_CELL * left, _ROW * top, _CELL * (right - left), _ROW * (bottom - top))
    yield group([box(*place, "glow"), clock.shown(tick, tick + _GLOW)], hidden=True)


def _passed(battle: Battle, tracks: Iterable[_Track]) -> Iterator[str]:
    """A mark at the left edge of each row where a demon passed."""
    if battle.winner == "demons":
        for y in sorted({each.y for each in tracks if not each.is_human and each.places[-1][1] <= 0}):
            yield box(-6, _ROW * y, 6, _ROW, "bad", round=0)
