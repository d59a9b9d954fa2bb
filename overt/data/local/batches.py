"""Batches for local models. Waiting jobs share a batch, and a batch too large for the memory is halved."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, TypeVar

from overt.data.local.memory import Room, free_memory, out_of_memory

A = TypeVar("A")
R = TypeVar("R")

_FILL_S = 0.02  # seconds that a batch waits for more jobs
_STEADY_S = 5.0  # at most, where batches are kept full
# With several lanes, where a batch waits for a device in any case.
_LANES_FILL_S = 0.25

_Job = tuple[A, "asyncio.Future[R]", asyncio.AbstractEventLoop]


class Batches(Generic[A, R]):
    """Collects items from coroutines and processes them in batches, in their order.

    Args:
        work: items -> as many results. It runs in one worker thread (with several lanes: in as many); an
            exception reaches every caller of the batch.
        room: the maximum batch size; it may shrink while it runs.
        name: the name of the thread.
        is_steady: after a full batch the next one waits longer, as long as that batch took, so that a caller
            who keeps two batches in flight gets full batches, cut in the order of its items: which items
            share a batch then does not hang on how quickly results are taken.
        lanes: how many batches are worked on side by side. They are cut one after the other in any case.
    """

    def __init__(
        self,
        work: Callable[[list[A]], list[R]],
        *,
        room: Room,
        name: str,
        is_steady: bool = False,
        lanes: int = 1,
    ) -> None:
        self.room = room
        self._is_steady = is_steady
        self._fill_s = self._wait_s = _LANES_FILL_S if lanes > 1 else _FILL_S
        self._work, self._name = work, name
        # Each entry is one job, or a whole batch that was cut elsewhere.
        self._jobs: queue.Queue[_Job[A, R] | list[_Job[A, R]] | None] = queue.Queue()
        self._next: list[_Job[A, R]] | None = None  # such a batch, while the one before it is worked on
        self._worker: threading.Thread | None = None
        self._free = threading.Semaphore(lanes)
        self._open_lanes = partial(ThreadPoolExecutor, lanes, thread_name_prefix=name)
        self._lanes = self._open_lanes() if lanes > 1 else None

    async def __call__(self, item: A) -> R:
        """The result for one item."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._worker.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        job = (item, future, loop)
        if (member := _MEMBER.get()) is None or not member.joins(self._jobs.put, job):
            self._jobs.put(job)
        return await future

    async def close(self) -> None:
        """Ends the worker after its current jobs. The next call begins another."""
        if self._worker is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._worker.join, 10)
            self._worker = None
        if self._lanes is not None:
            self._lanes.shutdown(wait=False)
            self._lanes = self._open_lanes()

    def _run(self) -> None:
        while True:
            self._free.acquire()
            jobs = self._cut()
            if jobs is None:
                self._free.release()
                return
            if self._lanes is None:
                self._work_on(jobs)
            else:
                self._lanes.submit(self._work_on, jobs)

    def _cut(self) -> list[_Job[A, R]] | None:
        """The next batch; None: there are no more."""
        if (whole := self._next) is not None:
            self._next = None
            return whole
        first = self._jobs.get()
        if first is None or isinstance(first, list):
            return first
        jobs = [first]
        until = time.monotonic() + self._wait_s
        while len(jobs) < self.room.size:
            try:
                job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if isinstance(job, list):
                self._next = job
                break
            jobs.append(job)
        return jobs

    def _work_on(self, jobs: list[_Job[A, R]]) -> None:
        try:
            jobs = [job for job in jobs if not job[1].cancelled()]
            results: Sequence[R | BaseException] = []
            began, is_full = time.monotonic(), len(jobs) == self.room.size
            try:
                results = list(self._work([item for item, _, _ in jobs])) if jobs else []
                if len(results) != len(jobs):
                    raise ValueError(f"{self._name}: {len(jobs)} items, {len(results)} results")
            except BaseException as error:
                results = [error] * len(jobs)
            took = min(time.monotonic() - began, _STEADY_S) if self._is_steady and is_full else 0.0
            self._wait_s = max(self._fill_s, took)
        finally:
            self._free.release()
        for (_, future, loop), result in zip(jobs, results, strict=True):
            try:
                loop.call_soon_threadsafe(_settle, future, result)
            except RuntimeError:  # this loop is closed, but the other callers still wait
                continue


def _settle(future: asyncio.Future[R], result: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


# -- batches that were cut elsewhere -------------------------------------------------------------------------


_Put = Callable[[Any], None]


class _Group:
    """Calls that share a batch. The batch is put when each call has a job in it or is over."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._jobs: list[tuple[_Put, list[object]]] = []  # for each `Batches` that was reached

    def join(self, put: _Put, job: object) -> None:
        jobs = next((jobs for known, jobs in self._jobs if known == put), None)
        if jobs is None:
            self._jobs.append((put, jobs := []))
        jobs.append(job)
        self.one_less()

    def one_less(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            for put, jobs in self._jobs:
                put(jobs)


class _Member:
    """One call of a group. It joins once: what it asks later is a batch like any other."""

    def __init__(self, group: _Group) -> None:
        self._group: _Group | None = group

    def joins(self, put: _Put, job: object) -> bool:
        if (group := self._group) is None:
            return False
        self._group = None
        group.join(put, job)
        return True

    def leave(self) -> None:
        if self._group is not None:
            self._group.one_less()
            self._group = None


_MEMBER: ContextVar[_Member | None] = ContextVar("member", default=None)


async def together(calls: Sequence[Callable[[], Awaitable[R]]]) -> list[R]:
    """Makes calls side by side. Those that reach a `Batches` share one batch there, all of them and nothing
    else: it was cut elsewhere, by the same rule."""
    group = _Group(len(calls))

    async def one(call: Callable[[], Awaitable[R]]) -> R:
        member = _Member(group)
        _MEMBER.set(member)  # in the context of this task alone
        try:
            return await call()
        finally:
            member.leave()

    return list(await asyncio.gather(*(asyncio.create_task(one(call)) for call in calls)))


# -- batches in the memory -----------------------------------------------------------------------------------


def in_batches(
    items: Sequence[A],
    run: Callable[[list[A]], Sequence[R]],
    room: Room,
    *,
    failed: Callable[[Exception], R],
    full: Callable[[Exception], R],
    fits: Callable[[Sequence[A]], int] = len,
) -> list[R]:
    """Runs the items in batches and returns the results in order. Running out of memory shrinks `room`;
    results that are there by then are kept.

    Args:
        run: at most `room.size` items -> as many results.
        failed: error -> the result of an item on which `run` fails.
        full: error -> the result of an item that does not fit the memory even alone.
        fits: the next items, at most `room.size` -> how many of them share a batch, at least one.
    """
    done: list[R] = []
    while len(done) < len(items):
        batch = list(items[len(done) : len(done) + room.size])
        batch = batch[: max(1, fits(batch))]
        results, error = attempt(batch, run, failed)
        done += results
        if results:
            room.fitted()
        if error is None:
            continue
        left = len(batch) - len(results)
        if left == 1:
            done.append(full(error))
            room.one_did_not()
        else:
            room.shrink(left)
    return done


def attempt(
    batch: list[A], run: Callable[[list[A]], Sequence[R]], failed: Callable[[Exception], R]
) -> tuple[list[R], Exception | None]:
    """The results of the first items, and the error by which the memory ran out on those behind them, or
    None. Any other error is narrowed down to its item, whose result is `failed(error)`."""
    try:
        return list(run(batch)), None
    except Exception as error:
        # Its traceback would still hold the memory.
        ended = error.with_traceback(None)
        is_full = out_of_memory(error)
        result = failed(error)
    if is_full:
        ended.__cause__ = ended.__context__ = None
        free_memory()
        return [], ended
    if len(batch) == 1:
        return [result], None
    half = len(batch) // 2
    first, out = attempt(batch[:half], run, failed)
    if out is not None:
        return first, out
    second, out = attempt(batch[half:], run, failed)
    return first + second, out
