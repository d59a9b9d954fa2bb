"""Maps a coroutine over items, many at once, from a thread that is not the loop's."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Flow(Generic[T, R]):
    """Maps a coroutine over items, many at once, results in order, with a bounded lookahead."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[T], Coroutine[Any, Any, R]], window: int
    ) -> None:
        self._loop, self._work, self._window = loop, work, window
        self._changed = threading.Condition()
        self._done: dict[int, R | BaseException] = {}
        self._finished = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, items: Iterable[T]) -> Iterator[R]:
        source = iter(items)
        submitted = yielded = 0
        exhausted = False
        failed: BaseException | None = None
        while True:
            # Feed in batches: one wake-up of the loop for many items.
            batch: deque[tuple[int, T]] = deque()
            while not exhausted and failed is None and submitted - yielded < self._window and len(batch) < 64:
                if batch and submitted - self._finished > 512:
                    break  # enough is waiting; rendering more now would only take memory
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                    break
                batch.append((submitted, item))
                submitted += 1
            if batch:
                self._loop.call_soon_threadsafe(self._start, batch)
            while True:
                with self._changed:
                    found = yielded in self._done
                    result = self._done.pop(yielded, None)
                if not found:
                    break
                yielded += 1
                if isinstance(result, BaseException):
                    # Answers that were under way are still worth having: they reach the journal.
                    failed = failed or result
                elif failed is None:
                    yield result  # type: ignore[misc]
            if (exhausted or failed is not None) and yielded == submitted:
                if failed is not None:
                    raise failed
                return
            with self._changed:
                full = exhausted or failed is not None or submitted - yielded >= self._window
                busy = full or submitted - self._finished > 512
                if busy and yielded not in self._done:
                    self._changed.wait(0.5)

    def _start(self, batch: deque[tuple[int, T]]) -> None:
        for index, item in batch:
            task = self._loop.create_task(self._one(index, item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, index: int, item: T) -> None:
        result: R | BaseException
        try:
            result = await self._work(item)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            result = error
        with self._changed:
            self._done[index] = result
            self._finished += 1
            self._changed.notify()

    def cancel(self) -> None:
        """Cancels what is still under way; nothing happens where all is done."""

        def cancel() -> None:
            for task in self._tasks:
                task.cancel()

        if self._tasks and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(cancel)
