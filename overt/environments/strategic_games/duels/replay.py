"""The replay of a duel: both sides face each other; who acts steps forward, and its skill is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overt.environments.strategic_games.drawing import Clock, Film, box, film, group, text
from overt.environments.strategic_games.duels.fight import Frame, Seen
from overt.environments.strategic_games.game import counted

_WIDTH, _HEIGHT, _ROW = 150.0, 58.0, 70.0  # pixels
_SCENE = 672.0
_SECONDS, _LEAST, _MOST = 0.7, 4.0, 45.0  # of an action, and of the whole
_STEP = 26.0  # how far who acts steps forward
_FORWARD, _BACK = 0.8, 0.2  # before the end of its action
_LOOKS = ("left", "right")


def draw(
    frames: Sequence[Frame],
    characters: Sequence[tuple[str, int]],
    most: int,
    title: str,
    note: str,
    result: str,
) -> str:
    """A duel as an animated SVG. Its clock counts frames.

    Args:
        frames: the first one shows the characters before the first round.
        characters: the element and the side of each.
        most: the health of a whole character.
        note: what stands beside the title.
        result: the banner at the end.
    """
    last = len(frames) - 1
    clock = Clock(last, min(max(_SECONDS * last, _LEAST), _MOST))
    rows = max([1, *(sum(side == one for _, side in characters) for one in (0, 1))])
    size = (_SCENE, _ROW * rows + 24)
    frame = Film(title, note, ("start", counted(frames[-1].round, "round")), size, result)
    places = list(_places(characters))
    moving = [
        _character(slot, element, side, places[slot], frames, most, clock)
        for slot, (element, side) in enumerate(characters)
    ]
    still = [
        _still(element, side, places[slot], frames[-1].characters[slot], most)
        for slot, (element, side) in enumerate(characters)
    ]
    middle = size[1] / 2
    return film(frame, clock, [*moving, *_skills(frames, characters, middle, clock)], still)


def _places(characters: Sequence[tuple[str, int]]) -> Iterator[tuple[float, float]]:
    count = [0, 0]
    for _, side in characters:
        yield (0.0 if side == 0 else _SCENE - _WIDTH), 12 + _ROW * count[side]
        count[side] += 1


def _character(
    slot: int,
    element: str,
    side: int,
    place: tuple[float, float],
    frames: Sequence[Frame],
    most: int,
    clock: Clock,
) -> str:
    seen = [frame.characters[slot] for frame in frames]
    health: list[tuple[float, float | str]] = [
        (first, _bar(one.health, most)) for first, _, one in _runs(seen)
    ]
    parts = [
        *_body(element, side),
        box(8, 24, _bar(most, most), 8, "line", round=3),
        box(
            8,
            24,
            _bar(seen[0].health, most),
            8,
            "good",
            round=3,
            inner=clock.animate("width", health, jump=True),
        ),
    ]
    for first, after, one in _runs(seen):
        until = after if after < len(seen) else None
        parts.append(group([*_numbers(one), clock.shown(first, until)], hidden=first > 0))
    parts.append(clock.glide(list(_steps(slot, side, place, frames))))
    return group(parts)


def _steps(
    slot: int, side: int, place: tuple[float, float], frames: Sequence[Frame]
) -> Iterator[tuple[float, float, float]]:
    x, y = place
    forward = x + (_STEP if side == 0 else -_STEP)
    yield 0, x, y
    for moment, frame in enumerate(frames):
        if frame.actor == slot:
            yield moment - 1, x, y
            yield moment - _FORWARD, forward, y
            yield moment - _BACK, forward, y
            yield moment, x, y


def _still(element: str, side: int, place: tuple[float, float], seen: Seen, most: int) -> str:
    bars = [
        box(8, 24, _bar(most, most), 8, "line", round=3),
        box(8, 24, _bar(seen.health, most), 8, "good", round=3),
    ]
    return group([*_body(element, side), *bars, *_numbers(seen)], x=place[0], y=place[1])


def _body(element: str, side: int) -> Iterator[str]:
    yield box(0, 0, _WIDTH, _HEIGHT, _LOOKS[side], round=6)
    yield text(8, 17, element, "start")


def _bar(health: int, most: int) -> float:
    return (_WIDTH - 16) * health / most


def _numbers(seen: Seen) -> Iterator[str]:
    """Health, and what is on the character."""
    yield text(_WIDTH - 8, 17, f"{seen.health}" if seen.health > 0 else "fallen", "end")
    marks = [("shield", seen.shield), ("burning", seen.burning), ("tidal", seen.tidal)]
    told = ", ".join(f"{name} {count}" for name, count in marks if count)
    if told and seen.health > 0:
        yield text(8, 48, told, "start tiny", room=_WIDTH - 16)


def _runs(seen: Sequence[Seen]) -> Iterator[tuple[int, int, Seen]]:
    """(first, after the last, what) of each run of frames that show the same."""
    begin = 0
    for at in range(1, len(seen) + 1):
        if at == len(seen) or seen[at] != seen[begin]:
            yield begin, at, seen[begin]
            begin = at


def _skills(
    frames: Sequence[Frame], characters: Sequence[tuple[str, int]], middle: float, clock: Clock
) -> Iterator[str]:
    """Between the sides: who uses which skill on whom, while it does."""
    for moment, frame in enumerate(frames):
        if frame.skill:
            told = f"{characters[frame.actor][0]}: {frame.skill.replace('_', ' ')}"
        elif moment:
            told = f"end of round {frame.round}"
        else:
            continue
        words = text(_SCENE / 2, middle, told, room=_SCENE - 2 * _WIDTH - 2 * _STEP - 20)
        yield group([words, clock.shown(moment - 1, moment)], hidden=moment > 1)
