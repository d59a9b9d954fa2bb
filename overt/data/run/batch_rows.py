"""The batches of a run in its journal: written before each step, so that a killed run sends none twice.

The table is made when the first batch is, so that other journals stay as they are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

# new: its requests are being handed over; nothing is paid. begun: the provider was asked to begin it, and may
# have. sent: it goes on at the provider, or its results are not yet in the journal. closed: nothing is owed.
BatchStep = Literal["new", "begun", "sent", "closed"]
OPEN: Final = ("begun", "sent")

_TABLE = """
CREATE TABLE IF NOT EXISTS batches (
    label TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    place TEXT NOT NULL,
    step TEXT NOT NULL,
    id TEXT NOT NULL,
    file TEXT NOT NULL,
    lines TEXT NOT NULL,
    cost REAL NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = "label, model, place, step, id, file, lines, cost, created"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch. `label` is ours; `id` and `file` are the provider's names, "" before they are known. `place`
    is a hash of the address. `lines` are the ids of its requests, `cost` at most its US dollars (an
    estimate), `created` seconds since the epoch."""

    label: str
    model: str
    place: str
    step: BatchStep
    lines: tuple[str, ...]
    id: str = ""
    file: str = ""
    cost: float = 0.0
    created: float = 0.0


def put(db: sqlite3.Connection, row: BatchRow) -> None:
    """Writes a row; one of the same label is replaced."""
    db.execute(_TABLE)
    values = (row.label, row.model, row.place, row.step, row.id, row.file, json.dumps(row.lines), row.cost)
    db.execute("INSERT OR REPLACE INTO batches VALUES (?,?,?,?,?,?,?,?,?)", (*values, row.created))


def open_rows(db: sqlite3.Connection) -> Iterator[BatchRow]:
    """The rows of batches that may hold paid answers, oldest first. A damaged row is left out."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone():
        return
    query = f"SELECT {_COLUMNS} FROM batches WHERE step IN (?, ?) ORDER BY created"
    for label, model, place, step, id, file, lines, cost, created in db.execute(query, OPEN):
        try:
            found = tuple(map(str, json.loads(lines)))
        except (ValueError, TypeError, RecursionError):
            continue
        yield BatchRow(label, model, place, step, found, id, file, float(cost), float(created))
