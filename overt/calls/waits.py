"""Waiting before another attempt: how long, and what is told of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

WAITS = 12  # waits that a service names, for one request, beside the retries
LONGEST_WAIT_S = 600.0  # a longer wait, such as for a daily quota, ends the run instead
_TOLD_S = 10.0  # seconds between two notes on short waits
_SHORTEST_TOLD_S = 1.0


class Waits:
    """Tells of waits that services ask for, not of each one where many requests wait together."""

    def __init__(self) -> None:
        self.on_wait: Callable[[str], None] = lambda text: None
        self._told_until = 0.0  # on the monotonic clock

    def tell(self, name: str, wait: float) -> None:
        """Tells that the model `name` asks to wait so many seconds, unless a wait as long was just told."""
        now = time.monotonic()
        if wait < _SHORTEST_TOLD_S or (now < self._told_until and wait <= self._told_until - now + 1.0):
            return
        self._told_until = now + max(wait, _TOLD_S)
        self.on_wait(f"{name} asks to wait {in_words(wait)}: going on at {clock(wait)}")


def pause(attempt: int, asked: float | None) -> float:
    """Seconds before the next attempt: the server's wish, or else 0.5, 1, 2 ... up to 60. Jitter keeps calls
    that failed together apart."""
    if asked is not None:
        return max(min(asked, LONGEST_WAIT_S), 0.05) * random.uniform(1.0, 1.25)
    return min(60.0, 0.5 * 2.0 ** (max(attempt, 1) - 1)) * random.uniform(0.5, 1.0)


def in_words(seconds: float) -> str:
    """A waiting time: `40 s`, `12 min`, `5 h 3 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """The local time in so many seconds."""
    pattern = "%H:%M:%S" if seconds < 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(pattern, time.localtime(time.time() + seconds))
