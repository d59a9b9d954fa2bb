"""Measures what the GPUs draw that a run's local models work on, in a thread beside the run.

A command that works on a run opens a meter for its folder (`measuring`). Whoever puts a model onto a device
says so (`works_on`); with the first GPU the thread begins. Whoever asks models says that too (`asking`), so
that what is drawn while they are loaded is told apart. The thread never raises into the run, and where the
driver hangs, the run does not wait for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from overt.data.local.nvml import Driver, Gpu, Unread, used
from overt.data.run.power import RUN, PowerLine, append

EVERY_S = 0.2  # between two readings
_LINE_S, _LONGEST_LINE_S = 10.0, 60.0  # that a line of the file holds
_GAP_S = 5.0  # between two readings; what is drawn in a longer gap nobody knows
_PATIENCE_S = 1.0  # that the run waits for the thread
_REST_S = 2.0  # a shorter pause between two questions is part of the asking
_MOST_FAILURES = 50  # readings that fail, one after the other, before a GPU is given up
_SKIPPED = "some seconds are in no figure: it was not read in time"
_DIVIDED = "it is divided by MIG: the readings are those of the whole GPU"

# -- one GPU -------------------------------------------------------------------------------------------------


@dataclass
class _Stretch:
    """What is read of a GPU since its last line. `joules` are those of the trapezoids over `seconds`;
    `counter` is when the counter was read at its beginning, and the joules there."""

    counter: tuple[float, float] | None
    seconds: float = 0.0
    joules: float = 0.0
    max_w: float | None = None
    samples: int = 0
    has_gap: bool = False  # a part was not read in time


class Gauge:
    """One GPU that is measured.

    Args:
        is_late: whether a model may be on it already, so that nobody knows what it drew before.
    """

    def __init__(
        self, driver: Driver, gpu: Gpu, notes: tuple[str, ...] = (), *, is_late: bool = False
    ) -> None:
        self._driver, self.gpu = driver, gpu
        self._has_power = self._has_counter = True
        self._last: tuple[float, float] | None = None  # the last reading: when, watts
        self._failures = 0
        self.is_gone = False
        self._notes = [*notes, *([_DIVIDED] if gpu.is_divided else [])]
        self._limit = driver.limit(gpu)
        self._now = _Stretch(self._counter())
        self.read()
        self._before = self._last[1] if self._last and not is_late else None

    def read(self) -> None:
        """Reads the power, unless the GPU is gone or has none."""
        if self.is_gone or not self._has_power:
            return
        now = time.monotonic()
        try:
            watts = self._driver.watts(self.gpu)
        except Unread as error:
            self._failed(error, "its power")
            return
        self._failures = 0
        stretch = self._now
        gap = now - self._last[0] if self._last is not None else 0.0
        if self._last is not None and 0 < gap <= _GAP_S:
            stretch.joules += gap * (watts + self._last[1]) / 2
            stretch.seconds += gap
        stretch.has_gap |= gap > _GAP_S
        stretch.max_w = max(watts, stretch.max_w or 0.0)
        stretch.samples += 1
        self._last = (now, watts)

    def line(self) -> PowerLine | None:
        """What was read since the last line; None: nothing, or nothing new of a GPU that is gone."""
        stretch, ended = self._now, None if self.is_gone else self._counter()
        self._now = _Stretch(ended)
        line = PowerLine(
            session="",
            number=0,
            at=round(time.time(), 3),
            id=hashlib.blake2b(self.gpu.uuid.encode(), digest_size=4).hexdigest(),
            device=self.gpu.name,
            index=self.gpu.index,
            max_w=stretch.max_w,
            samples=stretch.samples,
            sampled_j=round(stretch.joules, 3) if stretch.seconds else None,
            before_w=self._before,
            limit_w=self._limit,
            notes=tuple(self._notes),
        )
        self._before, self._notes = None, []
        # A counter that went back was loaded anew; one that stands still while power is drawn does not work.
        if stretch.counter is not None and ended is not None and ended[1] > stretch.counter[1]:
            seconds, counted = (round(new - old, 3) for old, new in zip(stretch.counter, ended, strict=True))
            return dataclasses.replace(line, seconds=seconds, energy_j=counted, by="counter")
        if stretch.has_gap:
            line = dataclasses.replace(line, notes=(*line.notes, _SKIPPED))
        if stretch.seconds:
            return dataclasses.replace(
                line, seconds=round(stretch.seconds, 3), energy_j=line.sampled_j, by="samples"
            )
        return line if line.samples or line.notes else None

    def _counter(self) -> tuple[float, float] | None:
        if not self._has_counter:
            return None
        try:
            return time.monotonic(), self._driver.joules(self.gpu)
        except Unread as error:
            self._has_counter = not error.for_good
            if error.is_lost:
                self._lose(error.why)
            return None

    def _failed(self, error: Unread, what: str) -> None:
        """Draws the consequences of a reading that failed; a single one may come from a busy driver."""
        self._failures += 1
        if error.for_good:
            self._has_power = False
            self._notes.append(f"{what} cannot be read: {error.why}")
        elif error.is_lost or self._failures >= _MOST_FAILURES:
            self._lose(error.why)

    def _lose(self, why: str) -> None:
        if not self.is_gone:
            self.is_gone = True
            self._notes.append(f"it was measured until it could not be read any more: {why}")


# -- all of a command ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """Models on a device, as `works_on`. is_taken: set when the GPUs are measured, or cannot be. is_late: set
    when the run waits no longer for that."""

    device: str
    workers: int
    is_taken: threading.Event = field(default_factory=threading.Event, compare=False)
    is_late: threading.Event = field(default_factory=threading.Event, compare=False)


class Meter:
    """Measures for one command at work on a run. Its methods may be called in several threads.

    Args:
        folder: of the run.
        work: as in `PowerLine`.
        environment: with CUDA's variables; default: that of this process.
        every_s: seconds between two readings.
    """

    def __init__(
        self,
        folder: Path,
        work: str = RUN,
        *,
        environment: Mapping[str, str] | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._work, self._every_s = folder, work, every_s
        self._environment = os.environ if environment is None else environment
        self._session, self._count = secrets.token_hex(8), 0
        self._turn = threading.RLock()
        self._asked: list[_Asked] = []
        self._whys: dict[str, None] = {}
        self._gauges: dict[str, Gauge] = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._questions, self._rests_since = 0, -math.inf  # that are under way; when the last one ended
        self._ends = False  # the thread is to end
        self._is_written = threading.Event()  # the thread has written all that it read
        self._is_over = False  # nothing is measured or written any more

    def works_on(self, device: str, workers: int = 0) -> None:
        """Models are about to work on a device. It waits for the first reading, a second at most.

        Args:
            device, workers: as in `overt.data.local.nvml.used`.
        """
        if not device.startswith("cuda") and device != "auto":
            where = {"cpu": "the CPU", "mps": "an Apple GPU"}.get(device, f"the device {device}")
            self.not_measured(f"local models worked on {where}, and only NVIDIA GPUs are measured")
            return
        asked = _Asked(device, workers)
        with self._turn:
            if self._ends or asked in self._asked:
                return
            self._asked.append(asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="overt-power", daemon=True)
                self._thread.start()
        self._wake.set()
        if not asked.is_taken.wait(_PATIENCE_S):
            asked.is_late.set()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Models are asked inside."""
        with self._turn:
            self._questions += 1
        try:
            yield
        finally:
            with self._turn:
                self._questions -= 1
                self._rests_since = time.monotonic()

    def not_measured(self, why: str) -> None:
        """Keeps why models are not measured."""
        with self._turn:
            self._whys.setdefault(why)

    def close(self) -> None:
        """Ends the measuring and writes what is missing; a second call does nothing."""
        with self._turn:
            self._ends = True
            thread = self._thread
        self._wake.set()
        has_ended = thread is None or self._is_written.wait(_PATIENCE_S)
        with self._turn:
            if self._is_over:
                return
            if not has_ended:  # its last stretch is missing
                self._whys.setdefault("the NVIDIA driver does not answer")
            now = round(time.time(), 3)
            self._write(
                [PowerLine(session="", number=0, at=now, why=why, is_last=True) for why in self._whys]
            )
            self._is_over = True

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        driver = None
        try:
            driver = Driver()
            self._measure(driver)
        except Unread as error:
            self.not_measured(error.why)
        except Exception as error:  # whatever it is, the run goes on
            self.not_measured(f"measuring failed: {type(error).__name__}: {error}")
        finally:
            with self._turn:
                self._ends = True
                for asked in self._asked:
                    asked.is_taken.set()
            self._is_written.set()
            if driver is not None:
                driver.close()  # takes its time where no other process keeps the driver at work

    def _measure(self, driver: Driver) -> None:
        gpus = driver.gpus()
        began = wrote = time.monotonic()
        was_loading = True
        while True:
            self._wake.clear()
            self._take_up(driver, gpus)
            now = time.monotonic()
            for gauge in self._gauges.values():
                gauge.read()
            if self._ends:
                break
            loading = self._is_loading(now)
            # Of a long run a line holds a thirtieth, so that its file stays small.
            is_full = now - wrote >= min(max(_LINE_S, (now - began) / 30), _LONGEST_LINE_S)
            if is_full or loading != was_loading:
                wrote = now
                self._write_lines(loading=was_loading)
            was_loading = loading
            self._wake.wait(self._every_s)
        self._write_lines(loading=was_loading, is_last=True)

    def _is_loading(self, now: float) -> bool:
        """Whether no model is asked."""
        with self._turn:
            return not self._questions and now - self._rests_since > _REST_S

    def _take_up(self, driver: Driver, gpus: list[Gpu]) -> None:
        """Begins to measure the GPUs of models that came since."""
        with self._turn:
            new = [asked for asked in self._asked if not asked.is_taken.is_set()]
        for asked in new:
            chosen, note = used(gpus, asked.device, asked.workers, self._environment)
            if not chosen:
                self.not_measured("CUDA_VISIBLE_DEVICES shows no GPU for the local models")
            for gpu in chosen:
                if gpu.uuid not in self._gauges:
                    notes = (note,) if note else ()
                    gauge = Gauge(driver, gpu, notes, is_late=asked.is_late.is_set())
                    self._gauges[gpu.uuid] = gauge
            asked.is_taken.set()

    def _write_lines(self, *, loading: bool, is_last: bool = False) -> None:
        lines = [line for gauge in self._gauges.values() if (line := gauge.line()) is not None]
        if is_last and not lines:
            lines = [PowerLine(session="", number=0, at=round(time.time(), 3))]
        self._write([dataclasses.replace(line, loading=loading, is_last=is_last) for line in lines])

    def _write(self, lines: list[PowerLine]) -> None:
        with self._turn:
            if self._is_over:  # the driver was slow, and the folder may be another process's by now
                return
            numbered = [
                dataclasses.replace(line, session=self._session, work=self._work, number=self._count + place)
                for place, line in enumerate(lines)
            ]
            self._count += len(lines)
            with contextlib.suppress(OSError):  # a full disk stops the run where that writes
                append(self._folder, numbered)


# -- where commands work -------------------------------------------------------------------------------------

_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextlib.contextmanager
def measuring(folder: Path, work: str = RUN) -> Iterator[Meter]:
    """Measures what is said to `works_on` inside, and keeps it in the folder of a run."""
    meter = Meter(folder, work)
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)
        meter.close()


def works_on(device: str, workers: int = 0) -> None:
    """A model is about to be loaded onto a device (see `Meter.works_on`); said to whoever measures."""
    if (meter := _meter.get()) is not None:
        meter.works_on(device, workers)


def asking() -> contextlib.AbstractContextManager[None]:
    """Models are asked inside; said to whoever measures."""
    meter = _meter.get()
    return contextlib.nullcontext() if meter is None else meter.asking()


def not_measured(why: str) -> None:
    """Models work where nothing is measured."""
    if (meter := _meter.get()) is not None:
        meter.not_measured(why)
