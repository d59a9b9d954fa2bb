"""One crew for a command: hired with the first model that needs it, let go with the last."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from overt.workers.crew import Crew
from overt.workers.parts import Facts, Part, SeatMaker
from overt.workers.spread import Spread

_crews: dict[Spread, Crew] = {}
_parts: dict[Crew, set[str]] = {}
_kept: Counter[Spread] = Counter()
_turn = threading.RLock()


def hire(spread: Spread, group: str, text: str, options: dict[str, object]) -> tuple[Crew, Part, Facts]:
    """Loads a model on all workers, which are started if they are not there yet.

    Raises:
        InputError: as the registry; or the workers cannot be started.
    """
    with _turn:
        crew = _crews.get(spread)
        if crew is None:
            crew = _crews[spread] = Crew(_engine(spread))
            _parts[crew] = set()
        try:
            part, facts = crew.make(group, text, options)
        except BaseException:
            _close_idle(spread)
            raise
        _parts[crew].add(part.id)
        return crew, part, facts


def dismiss(spread: Spread, part: Part) -> None:
    """Lets go of a model, and of the workers if it was their last."""
    with _turn:
        crew = _crews.get(spread)
        if crew is None or part.id not in _parts[crew]:
            return
        _parts[crew].discard(part.id)
        if not _close_idle(spread):
            crew.drop(part)


@contextmanager
def kept(spread: Spread) -> Iterator[None]:
    """Keeps workers that are hired between two models, so that the second finds them started."""
    with _turn:
        _kept[spread] += 1
    try:
        yield
    finally:
        with _turn:
            _kept[spread] -= 1
            _close_idle(spread)


def end_all() -> None:
    """Ends all workers at once, whatever they load or draw: the command was interrupted. Their models may be
    let go as ever afterwards."""
    for crew in list(_crews.values()):  # in no turn: whoever has it may wait for a model to load
        crew.close()


def crew_of(spread: Spread) -> Crew | None:
    """The workers that are hired now."""
    return _crews.get(spread)


def _close_idle(spread: Spread) -> bool:
    """Ends workers that have nothing to do any more; whether it did."""
    crew = _crews.get(spread)
    if crew is None or _parts[crew] or _kept[spread]:
        return False
    del _crews[spread], _parts[crew]
    crew.close()
    return True


def _engine(spread: Spread) -> SeatMaker:
    if spread.engine == "ray":
        from overt.workers.ray_actors import RayActors

        return RayActors(spread.count)
    from overt.workers.processes import Processes

    assert spread.count is not None
    return Processes(spread.count)
