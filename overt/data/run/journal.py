"""The journal of a run's calls: SQLite in WAL mode, written before a response is used.

A journalled call is never sent again. With `synchronous=NORMAL` a commit survives `kill -9`; a power cut may
lose the last few commits but not the file. API keys and headers are not stored.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import RunError
from overt.data.json_types import JsonObject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    purpose TEXT NOT NULL,
    category TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL,
    cost REAL NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished call. `request` is ASCII JSON text, `reply` plain JSON data, `cost` in US dollars."""

    key: str
    model: str
    purpose: str
    category: str
    request: str
    reply: JsonObject
    cost: float


class Journal:
    """One open journal. Safe for several threads of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._speaking("cannot open the journal"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=5.0, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_SCHEMA)
            # Most look-ups of a new run find nothing; a query for each would double the cost of the
            # bookkeeping. 16 bytes per key.
            self._keys = {_short(key) for (key,) in self._db.execute("SELECT key FROM calls")}

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> Entry | None:
        """The finished call with this key, or None."""
        if _short(key) not in self._keys:
            return None
        with self._lock, self._speaking("cannot read the journal"):
            row = self._db.execute(
                "SELECT key, model, purpose, category, request, reply, cost FROM calls WHERE key = ?", (key,)
            ).fetchone()
        return _entry(row) if row else None

    def put(self, entries: Iterable[Entry]) -> None:
        """Writes finished calls in one transaction.

        Raises:
            RunError: disk full, read-only, or locked by another process.
        """
        now = time.time()
        rows = [
            (e.key, e.model, e.purpose, e.category, e.request, _dump(e.reply), e.cost, now) for e in entries
        ]
        with self._lock, self._speaking("cannot write the journal"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR IGNORE INTO calls VALUES (?,?,?,?,?,?,?,?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._keys.update(_short(row[0]) for row in rows)

    def entries(self) -> Iterator[Entry]:
        """Yields every finished call in the order of the keys. Reads pages, so that memory stays flat."""
        last = ""
        while True:
            with self._lock, self._speaking("cannot read the journal"):
                rows = self._db.execute(
                    "SELECT key, model, purpose, category, request, reply, cost FROM calls "
                    "WHERE key > ? ORDER BY key LIMIT 500",
                    (last,),
                ).fetchall()
            if not rows:
                return
            yield from map(_entry, rows)
            last = rows[-1][0]

    def close(self) -> None:
        """Closes the file and merges the write-ahead log."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    @contextlib.contextmanager
    def _speaking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = str(error)
            what, fix = text, "Mend this and run the same command again."
            if "full" in text:
                what = "the disk is full"
            elif "locked" in text or "busy" in text:
                what, fix = "another process holds it", "Wait for the other process to end."
            elif "readonly" in text or "read-only" in text or "unable to open" in text:
                what = "the folder is not writable"
            elif "malformed" in text or "not a database" in text:
                what = "the file is damaged or no journal"
                fix = "Move it away: the run then starts again, and pays again."
            raise RunError(f"{doing}: {what}", where=str(self.path), fix=fix) from error


def _short(key: str) -> bytes:
    return bytes.fromhex(key) if len(key) == 32 else key.encode()


def _dump(data: JsonObject) -> str:
    # ASCII only, because UTF-8 cannot store a lone surrogate.
    return json.dumps(data, ensure_ascii=True, separators=(",", ":"))


def _entry(row: tuple[str, str, str, str, str, str, float]) -> Entry:
    key, model, purpose, category, request, reply, cost = row
    return Entry(key, model, purpose, category, request, json.loads(reply), cost)
