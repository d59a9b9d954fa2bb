"""One crew for a command: hired with the first model that needs it, let go with the last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from overt.workers.crew import Crew
from overt.workers.parts import Facts, Part, SeatMaker
from overt.workers.spread import Spread

_crews: dict[Spread, Crew] = {}
_parts: dict[Crew, set[str]] = {}
_turn = threading.RLock()  # a model may be let go by the garbage collector, in the midst of hiring


def hire(spread: Spread, group: str, text: str, options: dict[str, object]) -> tuple[Crew, Part, Facts]:
    """Loads a model on all workers, which are started if they are not there yet.

    Raises:
        InputError: as the registry; or the workers cannot be started.
    """
    with _turn:
        crew = _crew(spread)
        try:
            part, facts = crew.make(group, text, options)
        except BaseException:
            _close_if_idle(crew)
            raise
        _parts[crew].add(part.id)
        return crew, part, facts


def _crew(spread: Spread) -> Crew:
    crew = _crews.get(spread)
    if crew is None:
        crew = _crews[spread] = Crew(_engine(spread))
        _parts[crew] = set()
    return crew


@contextmanager
def kept(spread: Spread) -> Iterator[Crew]:
    """A crew that stays between models, so that the next one finds it warm."""
    with _turn:
        crew = _crew(spread)
        _parts[crew].add("kept")
    try:
        yield crew
    finally:
        with _turn:
            _parts[crew].discard("kept")
            _close_if_idle(crew)


def dismiss(crew: Crew, part: Part) -> None:
    """Lets go of a model, and of the workers if it was their last."""
    with _turn:
        if part.id not in _parts.get(crew, set()):
            return
        _parts[crew].discard(part.id)
        if _parts[crew]:
            crew.drop(part)
        else:
            _close_if_idle(crew)


def _close_if_idle(crew: Crew) -> None:
    if not _parts[crew]:
        del _parts[crew]
        for spread in [spread for spread, known in _crews.items() if known is crew]:
            del _crews[spread]
        crew.close()


def _engine(spread: Spread) -> SeatMaker:
    if spread.engine == "ray":
        from overt.workers.ray_actors import RayActors

        return RayActors(spread.count)
    from overt.workers.processes import Processes

    assert spread.count is not None
    return Processes(spread.count)
