"""Runs a coroutine over many items at once, from a thread other than the event loop's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Generic, TypeVar

# -- how many at once ----------------------------------------------------------------------------------------


STORM_SHARE = 0.15  # share of 429s in a window above which the limit shrinks
CALM_SHARE = 0.08  # share below which the limit grows again


class Pace:
    """Limits parallel calls and their rate. All methods run on one event loop."""

    def __init__(self, ceiling: int, rpm: float | None = None) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._window = [0, 0]  # responses, 429s among them
        self._window_began = time.monotonic()
        self._not_before = 0.0
        self._gap = 60.0 / rpm if rpm else 0.0
        self._next_send = 0.0

    async def enter(self) -> None:
        """Waits for a free slot, for the end of a pause, and for the next time that `rpm` allows."""
        if self._waiting or self.active >= max(1, int(self.limit)):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            self._wake()  # those before it may all have been cancelled
            try:
                await future
            except asyncio.CancelledError:
                if not future.cancelled():  # the slot was handed over already
                    self.leave()
                raise
        else:
            self.active += 1
        try:
            while (pause := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if self._gap:
                now = time.monotonic()
                at = max(now, self._next_send)
                self._next_send = at + self._gap
                if at > now:
                    await asyncio.sleep(at - now)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Gives the slot back."""
        self.active -= 1
        self._wake()

    def saw(self, limited: bool, retry_after: float | None = None) -> None:
        """Counts one response: whether it was a 429, and the pause in seconds that the server asked for."""
        self._window[0] += 1
        self._window[1] += limited
        answers, refused = self._window
        now = time.monotonic()
        if answers < max(10, int(self.limit)) and (answers < 10 or now - self._window_began < 2.0):
            return
        share = refused / answers
        if share > STORM_SHARE:
            self.limit = max(1.0, self.limit * 0.6)
            if retry_after:
                self._not_before = max(self._not_before, now + min(retry_after, 600.0))
        elif share < CALM_SHARE and self.limit < self.ceiling:
            self.limit = min(float(self.ceiling), self.limit + max(1.0, 0.1 * self.ceiling))
        self._window = [0, 0]
        self._window_began = now
        self._wake()

    def _wake(self) -> None:
        """Hands free slots over to those that wait longest. A slot is theirs from here on: else each one that
        is given back in a turn of the loop would wake as many as are free by then, most of them in vain."""
        while self._waiting and self.active < max(1, int(self.limit)):
            future = self._waiting.popleft()
            if not future.done():  # it was not cancelled
                self.active += 1
                future.set_result(None)


# -- in order ------------------------------------------------------------------------------------------------


T = TypeVar("T")
R = TypeVar("R")

BATCH = 64  # items that go to the loop at once
WAITING = 512  # unfinished items above which no more are read, beside those that are under way
_PATIENCE_S = 0.005  # after which a batch is not filled up any more
_LONGEST_WAIT_S = 0.5  # a waiting thread looks up then, so that Ctrl-C reaches it


class Ended(Exception):
    """The flow was cancelled while someone waited for its results."""


class Flow(Generic[T, R]):
    """Runs a coroutine over many items at once with a bounded lookahead; results come in order.

    Args:
        window: items between the oldest result that is not taken and the newest item.
        waiting: unfinished items above which no more are read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[T], Coroutine[object, object, R]],
        window: int,
        waiting: int = WAITING,
    ) -> None:
        self._loop, self._work, self._window, self._waiting = loop, work, window, waiting
        # The loop's thread writes what is done, the consumer's thread what was submitted and yielded; single
        # steps on a dict and a number need no lock.
        self._done: dict[int, R | BaseException] = {}
        self._finished = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._submitted = self._yielded = 0
        self._exhausted = False
        self._failed: BaseException | None = None
        self._is_cancelled = False
        self._news, self._is_awaited, self._is_waking = threading.Event(), False, False

    def run(self, items: Iterable[T]) -> Iterator[R]:
        """Yields the results in the order of the items. An item's exception is raised after all started items
        are done, so that their responses still reach the journal.

        Raises:
            Ended: another thread cancelled it.
        """
        source = iter(items)
        while not self._is_cancelled:
            if self._may_feed():
                self._feed(source)
            if self._yielded in self._done:
                result = self._done.pop(self._yielded)
                self._yielded += 1
                if isinstance(result, BaseException):
                    self._failed = self._failed or result
                elif self._failed is None:  # after a failure the others are dropped
                    yield result
            elif self._is_over and self._yielded == self._submitted:
                if self._failed is not None:
                    raise self._failed
                return
            else:
                self._wait()
        raise Ended

    def _feed(self, source: Iterator[T]) -> None:
        """Sends items to the loop in batches: one wake-up of the loop for many items. Where they come slowly,
        such as drafts that are still being written, those that are there do not wait for the others."""
        batch: list[tuple[int, T]] = []
        most = min(BATCH, self._window - (self._submitted - self._yielded))
        until = time.monotonic() + _PATIENCE_S
        while len(batch) < most and time.monotonic() < until:
            try:
                item = next(source)
            except StopIteration:
                self._exhausted = True
                break
            batch.append((self._submitted, item))
            self._submitted += 1
        if batch:
            try:
                self._loop.call_soon_threadsafe(self._start, batch)
            except RuntimeError as error:  # the loop was just closed
                raise Ended from error

    @property
    def is_at_its_end(self) -> bool:
        """Whether the result that was yielded last is the last one of all."""
        return self._exhausted and self._yielded == self._submitted

    @property
    def _is_over(self) -> bool:
        """Whether no further item starts."""
        return self._exhausted or self._failed is not None

    def _may_feed(self) -> bool:
        """Whether further items may start now."""
        is_full = self._submitted - self._yielded >= self._window
        return not (is_full or self._is_over) and self._submitted - self._finished <= self._waiting

    def _wait(self) -> None:
        """Waits for the result that is next in order, or for room for more items."""
        self._news.clear()
        self._is_awaited = True
        if not (self._yielded in self._done or self._may_feed() or self._is_cancelled):
            self._news.wait(_LONGEST_WAIT_S)
        self._is_awaited = False

    # -- on the loop ----------------------------------------------------------------------------------

    def _start(self, batch: Iterable[tuple[int, T]]) -> None:
        if self._is_cancelled:
            return
        for index, item in batch:
            self._tasks[index] = self._loop.create_task(self._one(index, item))

    async def _one(self, index: int, item: T) -> None:
        result: R | BaseException
        try:
            result = await self._work(item)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            result = error
        self._done[index] = result
        self._finished += 1
        del self._tasks[index]
        if self._is_awaited and not self._is_waking:
            self._is_waking = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        """Wakes the consumer, once for all that is done in one turn of the loop, if it can use any of it: two
        threads that wake each other for every result take longer over that than over the calls."""
        self._is_waking = False
        if self._yielded in self._done or self._may_feed():
            self._news.set()

    def cancel(self) -> None:
        """Cancels the unfinished items. May be called by any thread, and more than once."""
        self._is_cancelled = True
        self._news.set()

        def cancel() -> None:
            for task in self._tasks.values():
                task.cancel()

        if self._submitted > self._finished:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it all tasks
                self._loop.call_soon_threadsafe(cancel)
