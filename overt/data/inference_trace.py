"""Reads traces of inference services: when a request came, how many tokens it had, how many it was given.

The two layouts that are public: Azure's (TIMESTAMP, ContextTokens, GeneratedTokens; AzurePublicDataset,
CC-BY) and splitwise-sim's (arrival_timestamp in seconds, prompt_size, token_size).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from overt.data.errors import InputError
from overt.data.tables.columns import Column, Role, Table
from overt.data.tables.files import read_rows
from overt.data.tables.rows import Row

ARRIVAL = Role("arrival", ("timestamp", "arrival_timestamp", "arrival", "arrived_at", "time"))
PROMPT = Role(
    "prompt's tokens", ("contexttokens", "prompt_size", "input_tokens", "prompt_tokens", "num_prefill_tokens")
)
ANSWER = Role(
    "answer's tokens",
    ("generatedtokens", "token_size", "output_tokens", "completion_tokens", "num_decode_tokens"),
)
MOST_TOKENS = 10_000_000
MOST_RATE = 10_000  # requests a second; more than any service is known to get

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in the order in which they came: seconds since the first one, and whole tokens; three arrays
    of one length. A request without tokens of an answer has one, since it was answered."""

    name: str
    seconds: NDArray[np.float64]
    prompt: NDArray[np.int64]
    answer: NDArray[np.int64]

    @property
    def span_s(self) -> float:
        """From the first request to one mean gap after the last, so that it can be repeated."""
        last = float(self.seconds[-1])
        return last * len(self.seconds) / (len(self.seconds) - 1)


def read_trace(path: Path) -> Trace:
    """Reads a trace of requests.

    Raises:
        InputError: no such file, a column is missing, a row is out of order or no request (with its line and
            column), fewer than two different times, more requests a second than any service gets.
    """
    columns: tuple[Column, Column, Column] | None = None
    found: list[tuple[float, int, int]] = []
    for row in read_rows(path):
        if columns is None:
            columns = _columns(row, path)
        arrival, prompt, answer = columns
        at = _read(arrival, row, _seconds, "a time, such as 2023-11-16 18:17:03.9799600 or seconds")
        if found and at < found[-1][0]:
            raise InputError(
                f"this request comes {found[-1][0] - at:g} s before the one above it",
                where=f"{row.where}, column {str(arrival)!r}",
                fix="Sort the trace by its times.",
            )
        sizes = [_read(c, row, _tokens, "a whole number of tokens, from 0 on") for c in (prompt, answer)]
        found.append((at, sizes[0], max(1, sizes[1])))
    if len(found) < 2 or found[-1][0] == found[0][0]:
        raise InputError(
            "a trace needs two requests at different times",
            where=str(path),
            fix="It has a row for each request: when it came, the tokens of its prompt and of its answer.",
        )
    times, prompts, answers = zip(*found, strict=True)
    seconds = np.asarray(times, dtype=np.float64)
    trace = Trace(path.name, seconds - seconds[0], np.asarray(prompts), np.asarray(answers))
    if len(found) > MOST_RATE * trace.span_s:
        raise InputError(
            f"{len(found):,} requests come within {trace.span_s:.3g} s",
            where=str(path),
            fix="Times that are numbers have to be seconds.",
        )
    return trace


def _columns(first: Row, path: Path) -> tuple[Column, Column, Column]:
    table = Table(first, path.name)
    found = [table.column(role) for role in (ARRIVAL, PROMPT, ANSWER)]
    for role, column in zip((ARRIVAL, PROMPT, ANSWER), found, strict=True):
        if not column:
            raise table.error(
                f"no column is plainly the {role.name}", f"Name it so: {', '.join(role.names[:3])}"
            )
    return found[0], found[1], found[2]


def _read(column: Column, row: Row, reader: Callable[[object], T], wanted: str) -> T:
    try:
        return reader(column.value(row))
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{column.words(row)[:40]!r} is no {wanted.partition(',')[0].removeprefix('a ')}",
            where=f"{row.where}, column {str(column)!r}",
            fix=f"It takes {wanted}.",
        ) from error


def _seconds(value: object) -> float:
    """A time in seconds: a number, or a date and time (without a zone it counts as UTC)."""
    if isinstance(value, datetime):
        return _moment_s(value)
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return _moment_s(datetime.fromisoformat(text))
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(text)
    return number


def _moment_s(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _tokens(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    number = float(str(value).strip())
    if not (0 <= number <= MOST_TOKENS and number == int(number)):
        raise ValueError(value)
    return int(number)
