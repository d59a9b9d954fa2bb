"""The replay of battle cards: both rows, in which units lunge at each other, change and fall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from overt.environments.strategic_games.cards.fight import Frame, Seen
from overt.environments.strategic_games.drawing import Clock, Film, box, clock_seconds, film, group, text
from overt.environments.strategic_games.game import counted

_SLOT, _WIDTH, _HEIGHT = 96.0, 88.0, 72.0  # pixels
_ROWS = (10.0, 140.0)  # the upper edges of the invaders' and the defenders' row
_SIZE = (7 * _SLOT, 222.0)
_REACH = 0.44  # of the way to whom a unit strikes: there they touch
# Of a turn, which ends at a whole number: a unit steps forward, strikes, and is back; then the rows close up.
_FORWARD, _STRIKES, _BACK = 0.8, 0.5, 0.25
_LOOKS = ("left", "right")


@dataclass(slots=True)
class _Track:
    """A unit's way through the battle: what it was and where, turn by turn, while it was on the board."""

    side: int
    turns: list[int] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    places: list[tuple[float, float]] = field(default_factory=list)
    lunges: list[tuple[int, float, float]] = field(default_factory=list)


def draw(frames: Sequence[Frame], title: str, note: str, result: str) -> str:
    """A battle as an animated SVG.

    Args:
        frames: the first one shows the boards before the first turn.
        note: what stands beside the title.
        result: the banner at the end.
    """
    last = frames[-1].turn
    clock = Clock(last, clock_seconds(1.5 * last))
    frame = Film(title, note, ("start", counted(last, "turn")), _SIZE, result)
    tracks = _tracks(frames)
    ground = [box(0, top - 6, _SIZE[0], _HEIGHT + 12, "field") for top in _ROWS]
    moving = [_unit(track, last, clock) for track in tracks.values()]
    still = [_still(track) for track in tracks.values() if track.turns[-1] == last]
    return film(frame, clock, [*ground, *moving], [*ground, *still])


def _tracks(frames: Sequence[Frame]) -> Mapping[int, _Track]:
    tracks: dict[int, _Track] = {}
    for frame in frames:
        target = tracks.get(frame.target)
        if target is not None and frame.attacker in tracks:
            tracks[frame.attacker].lunges.append((frame.turn, *target.places[-1]))
        for side, board in enumerate(frame.boards):
            left = (_SIZE[0] - _SLOT * len(board)) / 2 + (_SLOT - _WIDTH) / 2
            for place, seen in enumerate(board):
                track = tracks.setdefault(seen.id, _Track(side))
                track.turns.append(frame.turn)
                track.seen.append(seen)
                track.places.append((left + _SLOT * place, _ROWS[side]))
    return tracks


# -- shapes --------------------------------------------------------------------------------------------------


def _unit(track: _Track, last: int, clock: Clock) -> str:
    begins = max(0.0, track.turns[0] - _STRIKES)
    ends = None if track.turns[-1] == last else track.turns[-1] + 1 - _STRIKES / 2
    parts = [
        *_body(track.seen[-1], _LOOKS[track.side]),
        *_numbers(track, ends, clock),
        *_marks(track, ends, clock),
        clock.shown(begins, ends),
        clock.glide(list(_way(track))),
    ]
    return group(parts, hidden=begins > 0)


def _way(track: _Track) -> Iterator[tuple[float, float, float]]:
    """Where the unit is at which moment: in its place, beside whom it strikes, and back."""
    lunges = {turn: (x, y) for turn, x, y in track.lunges}
    x, y = track.places[0]
    yield max(0.0, track.turns[0] - _BACK), x, y
    for turn in range(track.turns[0] + 1, track.turns[-1] + 2):
        if turn in lunges:
            at = lunges[turn]
            yield turn - _FORWARD, x, y
            yield turn - _STRIKES, x + (at[0] - x) * _REACH, y + (at[1] - y) * _REACH
            yield turn - _BACK, x, y
        elif turn <= track.turns[-1] and track.places[turn - track.turns[0]] != (x, y):
            yield turn - _BACK, x, y
        if turn <= track.turns[-1] and track.places[turn - track.turns[0]] != (x, y):
            x, y = track.places[turn - track.turns[0]]
            yield float(turn), x, y


def _still(track: _Track) -> str:
    seen = track.seen[-1]
    parts = [*_body(seen, _LOOKS[track.side]), _told(seen)]
    parts += [_shield()] if seen.has_shield else []
    parts += [_flame(seen.burning)] if seen.burning else []
    return group(parts, x=track.places[-1][0], y=track.places[-1][1])


def _body(seen: Seen, look: str) -> Iterator[str]:
    yield box(0, 0, _WIDTH, _HEIGHT, look, round=6)
    yield text(_WIDTH / 2, 16, seen.name, "tiny", room=_WIDTH - 8)
    yield text(_WIDTH / 2, 28, seen.tier, "tiny soft")


def _told(seen: Seen, inner: str = "") -> str:
    return text(_WIDTH / 2, 47, f"{seen.attack} / {seen.health}", "strong", inner=inner)


def _runs(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    """(first, after the last) of each run of equal values."""
    begin = 0
    for at in range(1, len(values) + 1):
        if at == len(values) or values[at] != values[begin]:
            yield begin, at
            begin = at


def _numbers(track: _Track, ends: float | None, clock: Clock) -> Iterator[str]:
    """Attack and health, each pair as long as it holds."""
    for first, after in _runs([(seen.attack, seen.health) for seen in track.seen]):
        yield group([_told(track.seen[first]), clock.shown(*_span(track, first, after, ends))])


def _marks(track: _Track, ends: float | None, clock: Clock) -> Iterator[str]:
    """A word while it has a shield, and one while it burns."""
    for first, after in _runs([seen.has_shield for seen in track.seen]):
        if track.seen[first].has_shield:
            yield group([_shield(), clock.shown(*_span(track, first, after, ends))])
    for first, after in _runs([seen.burning for seen in track.seen]):
        if track.seen[first].burning:
            shape = _flame(track.seen[first].burning)
            yield group([shape, clock.shown(*_span(track, first, after, ends))])


def _span(track: _Track, first: int, after: int, ends: float | None) -> tuple[float, float | None]:
    """When something is shown that held from one place of the track until before another. What is shown in a
    unit must end with it: a hidden group does not hide what an animation shows."""
    start = max(0.0, track.turns[first] - _STRIKES)
    return start, track.turns[after] - _STRIKES if after < len(track.turns) else ends


def _shield() -> str:
    return text(_WIDTH - 6, 64, "shield", "tiny end")


def _flame(burning: int) -> str:
    return text(6, 64, f"burns {burning}", "tiny start")
