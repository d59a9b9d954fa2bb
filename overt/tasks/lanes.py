"""Several models at work: those behind services side by side, those of one device one after the other."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from overt.data.abreast import lanes_of

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job(Generic[T, R]):
    """A model and what it is to do.

    lane: what its name says of the device that it shares with others; those of one lane are opened one after
        the other. is_late: it looks as if it computed here, and is opened after those that do not.
    open: opens it. shares: the device of an opened one, "" for none: it does its work beside all others then,
        and the next of its lane is opened. work: what it does. close: gives its memory back.
    """

    lane: str
    open: Callable[[], T]
    shares: Callable[[T], str]
    work: Callable[[T], R]
    close: Callable[[T], object]
    is_late: bool = False


def finished(jobs: Sequence[Job[T, R]]) -> Iterator[tuple[int, R]]:
    """The number and the result of each job, as they end.

    Threads are daemons, so that Ctrl-C ends the program without waiting for a service.

    Raises:
        Exception: the first that a job raised. The others are left to whoever owns the models.
    """
    if len(jobs) == 1:
        yield 0, _done(jobs[0], jobs[0].open())
        return
    told: queue.Queue[tuple[int, R] | BaseException] = queue.Queue()
    devices = _Devices()

    def start(what: Callable[[], None]) -> None:
        run = contextvars.copy_context().run  # whoever listens to notes goes on listening
        threading.Thread(target=run, args=(_telling, what, told), name="overt-lane", daemon=True).start()

    def work(number: int, opened: T) -> None:
        told.put((number, _done(jobs[number], opened)))

    def lane(numbers: Sequence[int]) -> None:
        for number in numbers:
            opened = jobs[number].open()
            if shared := jobs[number].shares(opened):
                with devices.lock(shared):
                    work(number, opened)
            else:
                start(lambda number=number, opened=opened: work(number, opened))  # type: ignore[misc]

    for numbers in lanes_of([job.lane or "any" for job in jobs]):
        order = sorted(numbers, key=lambda number: jobs[number].is_late)
        start(lambda order=order: lane(order))  # type: ignore[misc]
    left = len(jobs)
    while left:
        found = told.get()
        if isinstance(found, BaseException):
            raise found
        left -= 1
        yield found


def results(jobs: Sequence[Job[T, R]]) -> list[R]:
    """What each job gave, in their order.

    Raises:
        Exception: as `finished`.
    """
    found = dict(finished(jobs))
    return [found[number] for number in range(len(jobs))]


def _done(job: Job[T, R], opened: T) -> R:
    try:
        found = job.work(opened)
    except Exception:
        job.close(opened)
        raise
    # Not on Ctrl-C: a model that is at work closes when it has done that, and its owner has less patience.
    job.close(opened)
    return found


def _telling(what: Callable[[], None], told: queue.Queue[tuple[int, R] | BaseException]) -> None:
    try:
        what()
    except BaseException as error:
        told.put(error)


class _Devices:
    """One lock for each device: two lanes may turn out to share one."""

    def __init__(self) -> None:
        self._own = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def lock(self, device: str) -> threading.Lock:
        with self._own:
            return self._locks.setdefault(device, threading.Lock())
