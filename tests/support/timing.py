"""Limits of time in tests, so set and measured that slow code fails them and a slow or busy machine does not.

A limit is at least four times what an idle machine needs, and far below what the mistake that it guards
against would take (time that grows with the square of a text, for one).
"""

from __future__ import annotations

import time
from collections.abc import Callable


def least_cpu_seconds(work: Callable[[], object], enough: float, tries: int = 3) -> float:
    """The least CPU seconds of up to `tries` runs of `work`; one that takes less than `enough` is the last.

    What one run leaves in a cache must not make the next one quick: where texts are cached, give each run
    another text or an empty cache.
    """
    return _least(time.process_time, work, enough, tries)


def least_wall_seconds(work: Callable[[], object], enough: float, tries: int = 3) -> float:
    """The same by the clock on the wall, for work that waits or that another process does."""
    return _least(time.perf_counter, work, enough, tries)


def _least(clock: Callable[[], float], work: Callable[[], object], enough: float, tries: int) -> float:
    least = float("inf")
    for _ in range(tries):
        began = clock()
        work()
        least = min(least, clock() - began)
        if least < enough:
            break
    return least
