"""Batches for local models. Waiting jobs share a batch, and a batch too large for the memory is halved."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from overt.data.local.memory import Room, free_memory, out_of_memory

A = TypeVar("A")
R = TypeVar("R")

_FILL_S = 0.02  # seconds that a batch waits for more jobs
_STEADY_S = 5.0  # at most, where batches are kept full


class Batches(Generic[A, R]):
    """Collects items from coroutines and processes them in batches, in their order.

    Args:
        work: items -> as many results. It runs in one worker thread; an exception reaches every caller of the
            batch.
        room: the maximum batch size; it may shrink while it runs.
        name: the name of the thread.
        is_steady: after a full batch the next one waits longer, as long as that batch took, so that a caller
            who keeps two batches in flight gets full batches, cut in the order of its items: which items
            share a batch then does not hang on how quickly results are taken.
    """

    def __init__(
        self, work: Callable[[list[A]], list[R]], *, room: Room, name: str, is_steady: bool = False
    ) -> None:
        self.room = room
        self._is_steady = is_steady
        self._wait_s = _FILL_S
        self._work, self._name = work, name
        self._jobs: queue.Queue[tuple[A, asyncio.Future[R], asyncio.AbstractEventLoop] | None] = queue.Queue()
        self._worker: threading.Thread | None = None

    async def __call__(self, item: A) -> R:
        """The result for one item."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._worker.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._jobs.put((item, future, loop))
        return await future

    async def close(self) -> None:
        """Ends the worker after its current jobs."""
        if self._worker is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._worker.join, 10)
            self._worker = None

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
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
                jobs.append(job)
            jobs = [job for job in jobs if not job[1].cancelled()]
            if not jobs:
                continue
            results: Sequence[R | BaseException]
            began, is_full = time.monotonic(), len(jobs) == self.room.size
            try:
                results = list(self._work([item for item, _, _ in jobs]))
                if len(results) != len(jobs):
                    raise ValueError(f"{self._name}: {len(jobs)} items, {len(results)} results")
            except BaseException as error:
                results = [error] * len(jobs)
            took = min(time.monotonic() - began, _STEADY_S) if self._is_steady and is_full else 0.0
            self._wait_s = max(_FILL_S, took)
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
