"""Words and cells that several sections share."""

from __future__ import annotations

from dataclasses import replace

from overt.data.results.summary import Proportion
from overt.data.table_model import Cell, Tone, rate_cell


def plural(count: int, noun: str) -> str:
    """The noun alone, in the form that goes with the count."""
    return noun if count == 1 else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """The count with its noun: "1 prompt", "1,200 benign prompts"."""
    return f"{count:,} {plural(count, noun)}"


def name_cell(name: str) -> Cell:
    """A name, sorted without regard to capitals."""
    return Cell(name, sort=name.casefold())


def counted_rate_cell(rate: Proportion | None, tone: Tone, more: str = "") -> Cell:
    """A rate as `k of n`, and what is not in n."""
    cell = rate_cell(rate, tone, missing=more)
    if rate is None:
        return cell
    counts = f"{rate.k:,}\u00a0of\u00a0{rate.n:,}"
    return replace(cell, n=None, note="; ".join(filter(None, (counts, more))))
