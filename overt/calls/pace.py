"""How many calls may be in flight: additive increase, multiplicative decrease, judged over windows.

A few 429s are ordinary (a shared endpoint, a burst) and must not collapse the throughput; a storm of
them must bring it down within seconds. So the share of 429s in a window decides, not the single one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

STORM_SHARE = 0.15  # of a window's answers: the limit shrinks
CALM_SHARE = 0.08  # of a window's answers: the limit grows again


class Pace:
    """Slots for calls. All methods run on the event loop that owns it."""

    def __init__(self, ceiling: int, rpm: float | None = None) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._window = [0, 0]  # answers, of them 429s
        self._window_began = time.monotonic()
        self._not_before = 0.0
        self._gap = 60.0 / rpm if rpm else 0.0
        self._next_send = 0.0

    async def enter(self) -> None:
        """Waits for a slot, for the end of a pause, and for the next beat of `rpm`."""
        while self.active >= max(1, int(self.limit)):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future in self._waiting:
                    self._waiting.remove(future)
                elif not future.cancelled():
                    self._wake()  # the slot that it was given goes to the next one
                raise
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
        """Books one answer: whether it was a 429, and the seconds that the server asked for."""
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
                self._not_before = max(self._not_before, now + min(retry_after, 60.0))
        elif share < CALM_SHARE and self.limit < self.ceiling:
            self.limit = min(float(self.ceiling), self.limit + max(1.0, 0.1 * self.ceiling))
        self._window = [0, 0]
        self._window_began = now
        self._wake()

    def _wake(self) -> None:
        free = max(1, int(self.limit)) - self.active
        while free > 0 and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                free -= 1
