"""How calls are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CallerOptions:
    """How calls are made; but for `codes`, none of it changes the results. `timeout` is in seconds per call,
    `rpm` in requests per minute, `max_cost` in US dollars for this process."""

    concurrency: int = 32
    rpm: float | None = None
    timeout: float = 120.0
    max_retries: int = 6
    max_requests: int | None = None
    max_cost: float | None = None
    prices: Path | None = None
    codes: Path | None = None  # the user's own words for "no", for limits and for errors
    pay_again: bool = False  # go on although the journal of a run with results is gone
    batch: bool = False  # by the batch APIs of the providers
    batch_wait: float | None = None  # minutes to wait for batches in all; None: until they are over
    batch_cancel: bool = False  # cancel what is under way, keep what is done, send nothing
