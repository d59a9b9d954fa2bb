"""How many calls were under way at once, once a run had got going, by when each began and ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overt.scoring.stats.inputs import Floats

BRIDGED_S = 1.0  # a shorter pause between calls is work
FEWEST_ROUNDS = 3  # times that a slot is taken, below which the calls after the first ones may be one batch
FEWEST_SETTLED = 10  # calls after the first ones, below which all calls tell the pace


@dataclass(frozen=True, slots=True)
class Pace:
    """`in_flight` calls were under way on average, None where no time passed. `busy` is for how many seconds
    at least one was. `settled` marks the calls that tell how long a call takes; all of them where too few
    came after the first ones (`is_settled` is False then). `alike` calls that ended one after the other tell
    as much as one: 1 where they are independent, many where they shared a batch."""

    in_flight: float | None
    busy: float
    settled: NDArray[np.bool_]
    is_settled: bool
    alike: float = 1.0


def pace_of(starts: Floats, ends: Floats, bridged: float = BRIDGED_S) -> Pace:
    """The pace of calls, at least one, with times in seconds.

    The first calls of a process wait for connections and for what is loaded with them, and at its end fewer
    and fewer are under way. A long run has little of either and a short one much. So the calls that began
    before the first one ended do not count, and the mean number in flight is taken from that first end to the
    last beginning (the middle of the run, as Little's law asks for: Little 1961, Oper. Res. 9). A pause of
    more than `bridged` seconds is that of a process that was stopped: what comes after it begins anew.

    Args:
        bridged: infinite where one process made all the calls, whose pauses are waits before a next attempt.
    """
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    reached = np.maximum.accumulate(ends)
    begins = np.flatnonzero(np.append(True, starts[1:] - reached[:-1] > bridged))
    settled = np.zeros(len(starts), dtype=np.bool_)
    busy = inside = length = 0.0
    for first, last in zip(begins, np.append(begins[1:], len(starts)), strict=True):
        begun, ended = starts[first:last], ends[first:last]
        low, high = float(ended.min()), float(begun.max())
        settled[order[first:last]] = begun >= low
        busy += float(ended.max() - begun.min())
        if high > low:
            length += high - low
            inside += float(np.maximum(np.minimum(ended, high) - np.maximum(begun, low), 0.0).sum())
    everything = np.ones(len(starts), dtype=np.bool_)
    if settled.sum() >= FEWEST_SETTLED and inside > 0:
        after = settled[order]
        rounds = float(ends[after].max() - starts[after].min()) / float((ends - starts)[after].mean())
        tell = after if rounds >= FEWEST_ROUNDS else everything
        return Pace(inside / length, busy, settled, True, _alike(starts[tell], ends[tell]))
    waited = float((ends - starts).sum())
    in_flight = waited / busy if busy and waited else None
    return Pace(in_flight, busy, everything, False, _alike(starts, ends))


def _alike(starts: Floats, ends: Floats) -> float:
    """(1 + r) / (1 - r) with the correlation r of the latencies of calls that ended one after the other,
    as of a chain in which each hangs on the one before (Priestley 1981, Spectral Analysis and Time Series);
    1 where r is within chance of 0."""
    latencies = (ends - starts)[np.argsort(ends)]
    away = latencies - latencies.mean()
    total = float((away * away).sum())
    if total <= 0:
        return 1.0
    r = float((away[1:] * away[:-1]).sum()) / total
    return (1 + r) / (1 - r) if r > 2 / math.sqrt(len(latencies)) else 1.0
