"""The model of a table, with plain text in its cells, for the terminal, Markdown and HTML.

The terminal shows a cell as `12.3% [10.1, 14.8]`, Markdown as `12.3% (10.1 to 14.8)`, HTML with the interval
on a second, smaller line. Each renderer escapes the text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from overt.data.results.summary import Proportion
from overt.data.text import is_figure, percent, percent_limits

Tone = Literal["cost", "gain"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    `span` has the limits of an interval as text without a unit, and `n` the number of prompts. `note` is
    more text for the second line of an HTML cell. `sort` is the sort key (None comes last), `heat` the class
    of a tint. `strip` has (low, rate, high) of an interval in percent, drawn under the figure, and `counts`
    the line below it. `muted` marks a cell without a figure.
    """

    text: str
    note: str = ""
    sort: float | str | None = None
    heat: str = ""
    strip: tuple[float, float, float] | None = None
    muted: bool = False
    counts: str = ""
    span: tuple[str, str] | None = None
    n: int | None = None

    @property
    def is_figure(self) -> bool:
        """Whether the text is a number that overt wrote, so that it needs no escaping."""
        return isinstance(self.sort, int | float)

    @property
    def below(self) -> str:
        """The second line of an HTML cell: the interval, the count and the note."""
        # The no-break space keeps a narrow column from breaking inside the count.
        count = "" if self.n is None else f"n\u00a0{self.n:,}"
        return " · ".join(filter(None, (" to ".join(self.span or ()), count, self.note)))


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` starts with the title of the row headings; each row has as many cells. Columns from
    `numeric_from` on are right-aligned; `dense` ones may be narrow. `total` is a separate last row."""

    id: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric_from: int = 1
    dense: bool = False
    total: Sequence[Cell] | None = None


def rate_cell(rate: Proportion | None, tone: Tone, darkest: float = 1.0, *, missing: str = "") -> Cell:
    """A rate with its interval; the tint grows from 0 to `darkest`, a fraction.

    Args:
        missing: a short reason for a missing rate.
    """
    if rate is None or not is_figure(rate.rate):
        return Cell("-", missing, muted=True)
    tint = min(10, max(0, round(10 * rate.rate / darkest)))
    return Cell(
        percent(rate.rate), sort=rate.rate, heat=f"{tone}-{tint}", span=percent_limits(rate), n=rate.n
    )


def counted_cell(rate: Proportion | None, tone: Tone = "cost", *, missing: str = "") -> Cell:
    """A rate with its k of n and its interval: `12.3% (7 of 57) [10.1, 14.8]`."""
    cell = rate_cell(rate, tone, missing=missing)
    if rate is None or cell.muted:
        return cell
    return dataclasses.replace(cell, text=f"{cell.text} ({rate.k:,} of {rate.n:,})", n=None)


def count_cell(count: int) -> Cell:
    """A whole number with thousands separators."""
    return Cell(f"{count:,}", sort=count)


def sortable(value: object) -> float | None:
    """The sort key of a figure; None if it is missing."""
    return float(value) if is_figure(value) else None
