"""Several slow things at once, each in a thread of its own, with word of those that are waited for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from overt.data.abreast import lanes_of
from overt.data.errors import OvertError
from overt.data.progress import Progress

T = TypeVar("T")

_FIRST_WORD_S = 10.0  # after which the slow ones are named; then after twice as long, and so on


@dataclass(frozen=True, slots=True)
class Errand(Generic[T]):
    """Something to do. shares: the name of what it may not use at the same time as another, such as this
    machine's memory; "" for nothing."""

    name: str
    run: Callable[[], T]
    shares: str = ""


def side_by_side(errands: Sequence[Errand[T]], progress: Progress, *, stage: str) -> list[T | OvertError]:
    """What each errand returned, or the error for the user with which it ended, in their order.

    Threads are daemons: Ctrl-C ends the program without waiting for a service.

    Raises:
        Exception: what an errand raised that is no `OvertError`.
    """
    done: queue.Queue[tuple[int, T | BaseException]] = queue.Queue()

    def work(lane: Sequence[int]) -> None:
        for number in lane:
            try:
                done.put((number, errands[number].run()))
            except BaseException as error:
                done.put((number, error))

    for lane in lanes_of([errand.shares for errand in errands]):
        threading.Thread(target=work, args=(lane,), name=f"overt-{stage}", daemon=True).start()
    found: dict[int, T | OvertError] = {}
    began, patience = time.monotonic(), _FIRST_WORD_S
    with progress.stage(stage, len(errands)) as advance:
        while len(found) < len(errands):
            try:
                number, result = done.get(timeout=max(0.0, began + patience - time.monotonic()))
            except queue.Empty:
                waiting = [errand.name for n, errand in enumerate(errands) if n not in found]
                progress.note(f"waiting for {', '.join(waiting)} ({patience:.0f} s)")
                patience *= 2
                continue
            if isinstance(result, BaseException) and not isinstance(result, OvertError):
                raise result
            found[number] = result
            advance(1)
    return [found[number] for number in range(len(errands))]
