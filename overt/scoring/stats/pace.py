"""How many calls were under way at once, once a run had got going, by when each began and ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overt.scoring.stats.inputs import Floats

BRIDGED_S = 1.0  # a shorter pause between calls is work
FEWEST_SETTLED = 10  # calls after the first ones, below which all calls tell the pace


@dataclass(frozen=True, slots=True)
class Pace:
    """`in_flight` calls were under way on average, None where no time passed. `busy` is for how many seconds
    at least one was. `settled` marks the calls that tell how long a call takes; all of them where too few
    came after the first ones (`is_settled` is False then)."""

    in_flight: float | None
    busy: float
    settled: NDArray[np.bool_]
    is_settled: bool


def pace_of(starts: Floats, ends: Floats) -> Pace:
    """The pace of calls, at least one, with times in seconds.

    The first calls of a process wait for connections and for what is loaded with them, and at its end fewer
    and fewer are under way. A long run has little of either and a short one much. So the calls that began
    before the first one ended do not count, and the mean number in flight is taken from that first end to the
    last beginning (the middle of the run, as Little's law asks for: Little 1961, Oper. Res. 9). A pause of
    more than `BRIDGED_S` is that of a process that was stopped: what comes after it begins anew.
    """
    order = np.argsort(starts)
    starts, ends = starts[order], ends[order]
    reached = np.maximum.accumulate(ends)
    begins = np.flatnonzero(np.append(True, starts[1:] - reached[:-1] > BRIDGED_S))
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
    if settled.sum() >= FEWEST_SETTLED and inside > 0:
        return Pace(inside / length, busy, settled, True)
    waited = float((ends - starts).sum())
    return Pace(waited / busy if busy and waited else None, busy, np.ones(len(starts), dtype=np.bool_), False)
