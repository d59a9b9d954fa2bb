"""The requests of a planned row: the traces that are given, what is said of them, how long they take."""

from __future__ import annotations

from pathlib import Path

from overt.data.errors import InputError
from overt.data.inference_trace import Trace, read_trace
from overt.data.text import duration
from overt.planning.load import copies_of, rate_of
from overt.planning.setting import Setting
from overt.tasks.config import by_role

_KINDS = ("high", "low")
_MOST_COPIES = 1000  # of a request of a trace; they would come within ten seconds
_TOLD_COPIES = 2
# What a plan takes, roughly: seconds for each simulated request, and how many whole rows are simulated for
# the answers under the four policies, for a column of the map, and for another draw.
_REQUEST_S = 9e-6
_ROWS, _MAP_ROWS, _DRAW_ROWS = 25, 12, 8
_LONG_S = 600.0


def read_traces(given: tuple[str, ...]) -> tuple[Trace | None, Trace | None]:
    """The traces of high and of low priority.

    Raises:
        InputError: a priority is named twice, or a trace cannot be read.
    """
    named = by_role(given, "--trace", frozenset(_KINDS))
    read = {file: read_trace(Path(file)) for file in dict.fromkeys(named.values())}
    high, low = (named.get(kind, named.get("")) for kind in _KINDS)
    return read[high] if high is not None else None, read[low] if low is not None else None


def refuse_sparse_traces(setting: Setting) -> None:
    """Refuses a trace of so few requests that the row would get each of them a thousand times at once.

    Raises:
        InputError: there is one.
    """
    for trace, copies in zip(setting.load.traces, _copies(setting), strict=True):
        if trace is not None and copies > _MOST_COPIES:
            raise InputError(
                f"{len(trace.seconds):,} requests come within {duration(trace.span_s)}, so few that this row "
                f"would get each of them {copies:,.0f} times at once",
                where=f"--trace {trace.name}",
                fix="Give a trace of a busier service, a smaller --row, or none: a generator makes requests.",
            )


def load_said(setting: Setting) -> str:
    """Where the requests come from."""
    names = [
        None if trace is None else trace.name + _copied(copies)
        for trace, copies in zip(setting.load.traces, _copies(setting), strict=True)
    ]
    if names == [None, None]:
        return "a seeded generator, with the sizes of Azure's trace of conversations"
    said = [f"{kind} priority: {name or 'the generator'}" for kind, name in zip(_KINDS, names, strict=True)]
    return names[0] if names[0] == names[1] and names[0] else "; ".join(said)


def _copied(copies: float) -> str:
    return f" (each request up to {copies:,.0f} times within ten seconds)" if copies >= _TOLD_COPIES else ""


def _copies(setting: Setting) -> list[float]:
    """How often each request of the traces comes at once to the row as built."""
    split = setting.split(setting.row)
    return [copies_of(setting.load, setting.model, servers, place) for place, servers in enumerate(split)]


def long_said(
    setting: Setting, short: Setting, *, ends: int, columns: int, draws: int, processes: int
) -> str:
    """About how long a plan takes whose simulation takes long; "" for one that does not.

    Args:
        short: the setting of the ranges, of which so many `ends` are simulated.
        columns: of the map.
    """
    a_second = sum(
        rate_of(setting.load, setting.model, servers, place)
        for place, servers in enumerate(setting.split(setting.row))
    )
    requests = a_second * setting.load.seconds
    first = requests * _REQUEST_S * _ROWS
    others = requests * _REQUEST_S * (columns * _MAP_ROWS + draws * _DRAW_ROWS)
    others += a_second * short.load.seconds * _REQUEST_S * ends * _ROWS
    seconds = max(first, (first + others) / processes)
    if seconds < _LONG_S:
        return ""
    return (
        f"up to {requests:,.0f} requests in each simulated row: this takes about {seconds / 3600:,.1f} hours "
        f"on {processes:,} processes. Fewer --days and --range-days, --no-ranges and --no-map take less."
    )
