"""What is kept of a simulation: counts, quantiles and a coarse series, flat in memory whatever its length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overt.planning.control import Command

_FINE = 2000.0  # bins of latencies per e-fold: neighbours differ by 0.05%
_LEAST_S, _BINS = 1e-3, 46_000  # from a millisecond to some 1e7 seconds
_COMMANDS = 2000  # that are kept one by one
_ROOM = 20_000  # numbers that are held before they are counted


class Measured:
    """Counters of one simulation; index 0 is high priority, 1 low.

    Args:
        until_s: seconds that are simulated.
        budget_w: of the row, in watts.
        every_s: seconds between two readings.
        bins: of the series of power.
        stops: the simulation ends at the first brake, since nothing more is asked of it.
    """

    def __init__(
        self, until_s: float, budget_w: float, every_s: float = 2.0, bins: int = 720, *, stops: bool = False
    ) -> None:
        self.until_s, self.budget_w, self._every_s, self._stops = until_s, budget_w, every_s, stops
        self.is_enough = False
        self.arrived = [0, 0]
        self.latencies: tuple[list[float], list[float]] = ([], [])  # that are not yet counted, in seconds
        self._counts = np.zeros((2, _BINS + 1), dtype=np.int64)
        self._width = until_s / bins
        self._held: list[float] = []  # readings that are not yet counted, in watts
        self._sums, self._most = np.zeros(bins), np.zeros(bins)
        self._readings = np.zeros(bins, dtype=np.int64)
        self.peak_w = 0.0
        self.readings = self.over = 0
        self.commands: list[Command] = []
        self.brakes = self.caps = 0
        self.joules = 0.0
        self.inside = [0, 0]  # requests that are not finished at the end
        self._capped_from: list[float | None] = [None, None]
        self._capped_s = [0.0, 0.0]

    def read(self, watts: float) -> None:
        """Takes a reading of the mean power since the last one."""
        self._held.append(watts)
        if len(self._held) + len(self.latencies[0]) + len(self.latencies[1]) >= _ROOM:
            self._settle()

    def sent(self, command: Command) -> None:
        if command.group != "all":
            self.caps += 1
        elif command.mhz is not None:
            self.brakes += 1
            self.is_enough = self._stops
        if len(self.commands) < _COMMANDS:
            self.commands.append(command)

    def capped(self, priority: int, now: float, is_capped: bool) -> None:
        """From now on servers of this priority run below their top clock, or no longer."""
        since = self._capped_from[priority]
        if since is not None:
            self._capped_s[priority] += now - since
        self._capped_from[priority] = now if is_capped else None

    def ends(self, now: float, joules: float, inside: list[int]) -> None:
        """The simulation ends; `joules` is what the row drew since its start."""
        for priority, since in enumerate(self._capped_from):
            self.capped(priority, now, since is not None)
        self.joules, self.inside, self.until_s = joules, inside, now
        self._settle()

    @property
    def mean_w(self) -> float:
        """Over the time that was simulated."""
        return self.joules / self.until_s

    @property
    def capped_s(self) -> tuple[float, float]:
        """Seconds for which high and low priority ran below their top clock."""
        return self._capped_s[0], self._capped_s[1]

    def _settle(self) -> None:
        """Counts what is held: latencies into fine bins, readings into the bins of the series."""
        for priority, seconds in enumerate(self.latencies):
            place = np.log(np.maximum(np.asarray(seconds), _LEAST_S) / _LEAST_S) * _FINE
            self._counts[priority] += np.bincount(
                np.minimum(place.astype(np.int64), _BINS), minlength=_BINS + 1
            )
            seconds.clear()
        held = np.asarray(self._held)
        self._held.clear()
        numbers = np.arange(self.readings, self.readings + len(held)) + 0.5
        bins = np.minimum((numbers * self._every_s / self._width).astype(np.int64), len(self._sums) - 1)
        np.add.at(self._sums, bins, held)
        np.add.at(self._readings, bins, 1)
        np.maximum.at(self._most, bins, held)
        self.readings += len(held)
        self.over += int((held > self.budget_w).sum())
        self.peak_w = max(self.peak_w, float(held.max(initial=0.0)))

    @property
    def done(self) -> list[int]:
        """How many requests were finished."""
        return [int(total) for total in self._counts.sum(axis=1)]

    def quantile(self, priority: int, share: float) -> float | None:
        """Seconds within which that share of the finished requests was answered, to 0.03%; None: there is
        none."""
        counts = np.cumsum(self._counts[priority])
        if not counts[-1]:
            return None
        place = int(np.searchsorted(counts, share * counts[-1]))
        return float(_LEAST_S * np.exp((place + 0.5) / _FINE))

    @property
    def series(self) -> NDArray[np.float64]:
        """Seconds, mean and highest watts of each bin with a reading: shape (bins, 3)."""
        at = (np.arange(len(self._sums)) + 0.5) * self._width
        mean = self._sums / np.maximum(self._readings, 1)
        return np.stack([at, mean, self._most], axis=1)[self._readings > 0]
