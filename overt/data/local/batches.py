"""Batches for local models: jobs that wait at the same time share one, and one that is too large is halved.

`Batches` is async in front and has one worker thread behind.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from overt.data.local.devices import free_memory, out_of_memory

A = TypeVar("A")
R = TypeVar("R")

_FILL_S = 0.02  # how long a batch waits to become full


class Batches(Generic[A, R]):
    """Collects items from coroutines and works them off in lists, in the order in which they came.

    Args:
        work: from items to as many results; it runs in a thread of its own, never twice at a time. What
            it raises reaches every caller of that batch.
        size: most items at once; may be set anew while it runs (out of memory halves it).
        name: of the thread.
    """

    def __init__(self, work: Callable[[list[A]], list[R]], *, size: int, name: str) -> None:
        self.size = size
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
        """Ends the worker; what it has begun it finishes."""
        if self._worker is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._worker.join, 10)
            self._worker = None

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs = [first]
            until = time.monotonic() + _FILL_S
            while len(jobs) < self.size:
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
            try:
                results = list(self._work([item for item, _, _ in jobs]))
                if len(results) != len(jobs):
                    raise ValueError(f"{self._name}: {len(jobs)} items, {len(results)} results")
            except BaseException as error:
                results = [error] * len(jobs)
            for (_, future, loop), result in zip(jobs, results, strict=True):
                try:
                    loop.call_soon_threadsafe(_settle, future, result)
                except RuntimeError:  # that loop was closed meanwhile; the others still wait
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
    size: int,
    *,
    failed: Callable[[Exception], R],
    full: R,
) -> tuple[list[R], int]:
    """What `run` makes of the items, in their order, and how many at once the memory held.

    Args:
        run: from at most `size` items to as many results.
        failed: the result of an item that `run` fails on alone; the others of its batch are spared.
        full: the result of an item for which alone the memory does not suffice.
    """
    done: list[R] = []
    while len(done) < len(items):
        batch = list(items[len(done) : len(done) + size])
        results = attempt(batch, run, failed)
        if results is None and len(batch) > 1:
            size = len(batch) // 2
        else:
            done += [full] if results is None else results
    return done, size


def attempt(
    batch: list[A], run: Callable[[list[A]], Sequence[R]], failed: Callable[[Exception], R]
) -> list[R] | None:
    """One result for each item, None where the memory does not suffice. Any other error is narrowed down to
    its item, whose result is then `failed(error)`."""
    try:
        return list(run(batch))
    except Exception as error:
        is_full = out_of_memory(error)
        result = failed(error)
    # Outside of the clause: there the error's traceback would still hold the memory.
    if is_full:
        free_memory()
        return None
    if len(batch) == 1:
        return [result]
    half = len(batch) // 2
    first = attempt(batch[:half], run, failed)
    second = None if first is None else attempt(batch[half:], run, failed)
    return None if first is None or second is None else first + second
