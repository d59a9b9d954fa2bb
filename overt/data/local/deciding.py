"""Calls filters and checkers, which may block, off the event loop: in batches if they can, or in threads."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from overt.data.filters import AnswerFilter, FilterDecision, ImageChecker, TextFilter
from overt.data.local.batches import Batches, in_batches
from overt.data.local.memory import Room

_MOST = 256  # items that are decided one by one, and wait for that


class Decider:
    """One filter or checker.

    Args:
        threads: of one that waits for a service and decides one by one.
        local_threads: of one that computes here instead: more would not help.
        batch: the most items in one call of one that decides many at once.
    """

    def __init__(
        self, thing: TextFilter | ImageChecker | AnswerFilter, *, threads: int, local_threads: int, batch: int
    ) -> None:
        self._thing = thing
        self.is_remote = hasattr(thing, "api_key_env")
        one: Callable[..., FilterDecision] = getattr(thing, "decide", None) or thing.check  # type: ignore[union-attr, assignment]
        many: Callable[..., list[FilterDecision]] | None = getattr(thing, "decide_many", None) or getattr(
            thing, "check_many", None
        )
        self._one, self._many = one, many
        self._is_quick = getattr(thing, "is_quick", False) is True
        lanes = int(getattr(thing, "lanes", 1))  # more than one where it is on several workers
        self._pool = ThreadPoolExecutor(
            threads if self.is_remote else max(local_threads, lanes), thread_name_prefix="overt-decider"
        )
        self._room = Room(thing.name, batch)
        self.most = _MOST  # items that it has use for at once
        self._batches: Batches[tuple[object, ...], FilterDecision] | None = None
        if many is not None:
            self._batches = Batches(self._all, room=self._room, name="overt-decisions", lanes=lanes)
            self.most = batch * lanes

    @property
    def takes_many(self) -> bool:
        """Whether it decides many items at once."""
        return self._batches is not None

    async def __call__(self, *what: object) -> FilterDecision:
        """The decision on one item. What the filter or checker raises is passed on."""
        if self._is_quick:  # a thread would cost more than the decision
            return self._one(*what)
        if self._batches is not None:
            return await self._batches(what)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._one, *what)

    async def close(self) -> None:
        """Ends the threads, and closes the filter or checker if it has `close`, which may block."""
        if self._batches is not None:
            await self._batches.close()
        self._pool.shutdown(wait=False)
        if (close := getattr(self._thing, "close", None)) is not None:
            with contextlib.suppress(Exception):  # it must not hide the results
                done = await asyncio.to_thread(close)
                if inspect.isawaitable(done):
                    await done

    def _all(self, items: list[tuple[object, ...]]) -> list[FilterDecision]:
        """The decisions on a batch. An exception is narrowed down to the item that causes it and stands for
        its decision; where the memory is full, the batch is halved."""

        def failed(error: Exception) -> FilterDecision:
            return error  # type: ignore[return-value]

        return in_batches(items, self._attempt, self._room, failed=failed, full=failed)

    def _attempt(self, items: list[tuple[object, ...]]) -> list[FilterDecision]:
        assert self._many is not None
        decisions = self._many(*(list(column) for column in zip(*items, strict=True)))
        if len(decisions) != len(items):
            raise ValueError(f"{len(items)} items, {len(decisions)} decisions")
        return decisions
