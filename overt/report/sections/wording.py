"""Words and cells that several sections share."""

from __future__ import annotations

from overt.data.table_model import Cell


def plural(count: int, noun: str) -> str:
    """The noun alone, in the form that goes with the count."""
    return noun if count == 1 else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """The count with its noun: "1 prompt", "1,200 benign prompts"."""
    return f"{count:,} {plural(count, noun)}"


def name_cell(name: str) -> Cell:
    """A name, sorted without regard to capitals."""
    return Cell(name, sort=name.casefold())
