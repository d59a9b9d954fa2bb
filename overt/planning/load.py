"""The requests of a row: a public trace that is repeated, or a seeded generator.

Both are scaled so that, at the busiest hour, the mean work that arrives is `load` of what the row's servers
can do with full batches. A row with more servers has so much more work: a server keeps its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overt.data.inference_trace import Trace
from overt.planning.server_model import MOST_TOKENS, ServerModel

Request = tuple[float, int, int, int]  # seconds, place of the priority, tokens of prompt and answer
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

DAY_S = 86_400.0
_CHUNK_S = 1800.0  # of which requests are made at once
_REPLAYED = 500_000  # requests of a trace that are laid out at once
_JITTER_S = 5.0  # by which copies of a request of a trace stand apart, either way

# The 0, 5, 10, 20, ... 90, 95, 99 and 100% points of the tokens of Azure's trace of conversations
# (AzureLLMInferenceTrace_conv, 19,366 requests of 58 minutes, CC-BY): what comes without a trace of one's
# own.
_SHARES = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
_PROMPTS = (2, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142, 14050)
_ANSWERS = (7, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1000)
_DRAWN = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How requests come. Shares of 1; hours; the assumptions are in `overt.planning.assumptions`.

    load: of the servers' work at the busiest hour.
    daily_swing: the quietest hour has (1 - daily_swing) / (1 + daily_swing) of the busiest's requests.
    weekend: days 6 and 7 have so much of a weekday's.
    burst: standard deviation of the rate of a minute around its mean (of a trace: its own).
    traces: of high and of low priority; None: the generator.
    """

    seed: int = 0
    days: float = 1.0
    load: float = 0.8
    daily_swing: float = 0.3
    weekend: float = 0.8
    burst: float = 0.2
    busiest_hour: float = 14.0
    traces: tuple[Trace | None, Trace | None] = (None, None)

    @property
    def seconds(self) -> float:
        return self.days * DAY_S

    @property
    def start_s(self) -> float:
        """Where the load begins: at midnight; less than a day lies around the busiest hour."""
        return 0.0 if self.days >= 1 else self.busiest_hour * 3600 - self.seconds / 2

    def season(self, at: Numbers) -> Numbers:
        """What the hour and the day leave of the busiest hour's rate; `at` in seconds from the start, any
        shape."""
        at = at + self.start_s
        phase = 2 * math.pi * (at / DAY_S - self.busiest_hour / 24)
        daily = (1 + self.daily_swing * np.cos(phase)) / (1 + self.daily_swing)
        return daily * np.where((at // DAY_S) % 7 >= 5, self.weekend, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Sizes:
    """Tokens of prompts (at most `MOST_TOKENS`) and answers that are drawn together: two arrays of one
    length."""

    prompt: Counts
    answer: Counts


@lru_cache(maxsize=4)
def sizes_of(trace: Trace | None, seed: int = 0) -> _Sizes:
    """The sizes of a trace, or those of the trace of conversations (prompt and answer drawn apart; they
    hardly correlate there, r = -0.11)."""
    if trace is not None:
        return _Sizes(np.minimum(trace.prompt, MOST_TOKENS), trace.answer)
    draw = np.random.default_rng([seed, 7]).random((2, _DRAWN))
    return _Sizes(
        np.interp(draw[0], _SHARES, _PROMPTS).astype(np.int64),
        np.interp(draw[1], _SHARES, _ANSWERS).astype(np.int64),
    )


@lru_cache(maxsize=16)
def _work_s(sizes: _Sizes, model: ServerModel) -> float:
    """Mean seconds of a server that a request takes where its batch is full."""
    top = model.at(model.top_mhz)
    reading, writing = np.asarray(top.prompt_s)[sizes.prompt], np.asarray(top.token_s)[sizes.prompt]
    share = top.batch_s[model.slots] / model.slots
    return float(np.mean(reading + (sizes.answer - 1) * writing * share))


def rate_of(load: Load, model: ServerModel, servers: int, priority: int) -> float:
    """Requests a second that come at the busiest hour for so many servers of one priority."""
    return load.load * servers / _work_s(sizes_of(load.traces[priority], load.seed), model)


def copies_of(load: Load, model: ServerModel, servers: int, priority: int) -> float:
    """How often each request of the trace comes at the busiest hour; 0: there is no trace."""
    trace = load.traces[priority]
    return 0.0 if trace is None else _copies(rate_of(load, model, servers, priority), trace)


def _copies(rate: float, trace: Trace) -> float:
    return rate * trace.span_s / len(trace.seconds)


def requests(load: Load, model: ServerModel, servers: Sequence[int]) -> Iterator[Request]:
    """The requests in the order of their arrivals, made by half hours.

    Args:
        servers: how many there are of high and of low priority.
    """
    streams = [_stream(load, model, count, priority) for priority, count in enumerate(servers) if count]
    for parts in zip(*streams, strict=True):
        at = np.concatenate([part[0] for part in parts])
        order = np.argsort(at, kind="stable")
        columns = [np.concatenate([part[place] for part in parts])[order].tolist() for place in range(4)]
        yield from zip(*columns, strict=True)


def _stream(
    load: Load, model: ServerModel, servers: int, priority: int
) -> Iterator[tuple[Numbers, Counts, Counts, Counts]]:
    """Chunks of the requests of one priority: arrivals, the priority, tokens of prompts and of answers."""
    rng = np.random.default_rng([load.seed, priority])
    trace = load.traces[priority]
    sizes = sizes_of(trace, load.seed)
    rate = rate_of(load, model, servers, priority)
    for number in range(math.ceil(load.seconds / _CHUNK_S)):
        start = number * _CHUNK_S
        length = min(_CHUNK_S, load.seconds - start)
        if trace is None:
            at, picked = _generated(load, rng, rate, start, length, len(sizes.prompt))
        else:
            at, picked = _replayed(load, rng, rate, start, length, trace)
        kind = np.full(len(at), priority)
        yield at, kind, sizes.prompt[picked], sizes.answer[picked]


def _generated(
    load: Load, rng: np.random.Generator, rate: float, start: float, length: float, sizes: int
) -> tuple[Numbers, Counts]:
    """Poisson arrivals whose rate is the season's, times a gamma draw of mean 1 for each minute."""
    edges = np.append(np.arange(0.0, length, 60.0), length)
    means = rate * load.season(start + (edges[:-1] + edges[1:]) / 2) * np.diff(edges)
    if load.burst > 0:
        shape = load.burst**-2
        means *= rng.gamma(shape, 1 / shape, len(means))
    counts = rng.poisson(means)
    at = start + np.repeat(edges[:-1], counts) + rng.random(counts.sum()) * np.repeat(np.diff(edges), counts)
    return np.sort(at), rng.integers(sizes, size=len(at))


def _replayed(
    load: Load, rng: np.random.Generator, rate: float, start: float, length: float, trace: Trace
) -> tuple[Numbers, Counts]:
    """The requests of a trace, repeated end to end. Each comes so often as the rate asks: less than once,
    then some are left out; more than once, then copies stand up to five seconds apart."""
    spans = range(math.floor(start / trace.span_s), math.ceil((start + length) / trace.span_s))
    at_once = max(1, _REPLAYED // len(trace.seconds))  # so that a short trace is not laid out many times
    parts = [
        _repeated(load, rng, rate, (start, start + length), trace, np.asarray(spans[first : first + at_once]))
        for first in range(0, len(spans), at_once)
    ]
    at, picked, copied = (np.concatenate(column) for column in zip(*parts, strict=True))
    at = at + copied * rng.uniform(-_JITTER_S, _JITTER_S, len(at))
    # A copy that left the half hour comes back into it as in a mirror: held at its edge, many would come at
    # once.
    at = start + np.abs(at - start)
    at = np.clip(start + length - np.abs(start + length - at), start, start + length)
    order = np.argsort(at, kind="stable")
    return at[order], picked[order]


def _repeated(
    load: Load,
    rng: np.random.Generator,
    rate: float,
    within: tuple[float, float],
    trace: Trace,
    turns: Counts,
) -> tuple[Numbers, Counts, NDArray[np.bool_]]:
    """Some turns of a trace: the arrivals within two seconds of the load, their places in the trace, and
    which are one of several copies."""
    at = (turns[:, None] * trace.span_s + trace.seconds[None, :]).ravel()
    picked = np.tile(np.arange(len(trace.seconds)), len(turns))
    inside = (at >= within[0]) & (at < within[1])
    at, picked = at[inside], picked[inside]
    often = _copies(rate, trace) * load.season(at)
    counts = np.floor(often).astype(np.int64) + (rng.random(len(at)) < often % 1)
    return np.repeat(at, counts), np.repeat(picked, counts), np.repeat(counts, counts) > 1
