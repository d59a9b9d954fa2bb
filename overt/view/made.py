"""Pages that take a while: the report of a run, the comparison of two.

They are made in the background, one at a time, and kept in memory while the server runs; nothing is written
into a run.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import OvertError
from overt.data.json_types import Json
from overt.data.text import visible

KEPT = 4  # pages; a report has up to 13 MB
# A page has an origin of its own: were its script not ours, it could still ask this server nothing.
_ALONE = "frame-ancestors 'none'; sandbox allow-scripts allow-downloads"


@dataclass(frozen=True, slots=True)
class MadePage:
    """One self-contained page as text, with the Content-Security-Policy that names its style and script."""

    html: str
    policy: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Security-Policy": f"{self.policy}; {_ALONE}"}


@dataclass(frozen=True, slots=True)
class Makers:
    """What makes the pages, and what people's labels say of a run, as rows of text."""

    report: Callable[[Path], MadePage]
    comparison: Callable[[Path, Path], MadePage]
    review: Callable[[Path], Mapping[str, Json]]


@dataclass(slots=True)
class _Job:
    number: int
    began: float
    page: MadePage | None = None
    fault: str = ""


class Made:
    """The pages that were asked for. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._jobs: OrderedDict[tuple[object, ...], _Job] = OrderedDict()
        self._numbers = itertools.count(1)

    def ask(self, key: tuple[object, ...], work: Callable[[], MadePage]) -> dict[str, Json]:
        """What has become of a page; the first call begins it.

        Args:
            key: what it is made of; the same key gives the same page.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = _Job(next(self._numbers), time.monotonic())
                self._worker.submit(_do, job, work)
                self._forget()
            self._jobs.move_to_end(key)
            if job.fault:
                del self._jobs[key]  # the next call tries again
                return {"state": "failed", "error": job.fault}
            if job.page is None:
                return {"state": "making", "seconds": round(time.monotonic() - job.began, 1)}
            return {"state": "ready", "address": f"/made/{job.number}"}

    def page(self, number: int) -> MadePage | None:
        """A page that is ready, by its number; None if there is none, or none any more."""
        with self._lock:
            return next((job.page for job in self._jobs.values() if job.number == number), None)

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _forget(self) -> None:
        done = [key for key, job in self._jobs.items() if job.page is not None or job.fault]
        for key in done[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[key]


def _do(job: _Job, work: Callable[[], MadePage]) -> None:
    try:
        job.page = work()
    except OvertError as error:
        job.fault = visible(error.message())
    except Exception as error:  # a run of strangers may hold anything; the page says so and goes on
        job.fault = f"the page cannot be made: {type(error).__name__}: {visible(error)}"
