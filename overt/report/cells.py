"""Tables of the page: plain text in cells, not yet HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overt.report.metrics import Tone
from overt.report.words import interval, is_figure, percent


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    `note` is its second, smaller line; `sort` what the column is sorted by (None last); `heat` a class
    for its tint; `strip` the (low, rate, high) of an interval in percent, drawn under the figure, and
    `counts` the third line there.
    """

    text: str
    note: str = ""
    sort: float | str | None = None
    heat: str = ""
    strip: tuple[float, float, float] | None = None
    muted: bool = False
    counts: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` has the row heading's title first; each row has as many cells. Columns from `numeric_from`
    on are set to the right; `dense` ones may be narrow."""

    id: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric_from: int = 1
    dense: bool = False


def rate_cell(rate: Mapping[str, Any] | None, tone: Tone, darkest: float = 1.0) -> Cell:
    """A rate with its interval; the tint grows from 0 to `darkest`, a fraction."""
    if not rate or not is_figure(rate.get("rate")):
        return Cell("-", muted=True)
    count = f"n\u00a0{rate['n']:,}"  # narrow columns break before it, not within
    note = f"{interval(rate)} · {count}" if interval(rate) else count
    tint = min(10, max(0, round(10 * rate["rate"] / darkest)))
    return Cell(percent(rate["rate"]), note, sort=rate["rate"], heat=f"{tone}-{tint}")


def sortable(value: Any) -> float | None:
    return float(value) if is_figure(value) else None
