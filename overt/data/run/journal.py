"""The journal of a run's calls: SQLite in WAL mode, written before a response is used.

What was answered is never sent again; what failed may be (overt.calls.finality), and then its row is
replaced. A row that cannot be read counts as missing, and its key is kept in `damaged`. With
`synchronous=NORMAL` a commit survives `kill -9`; a power cut may lose the last few commits but not the file.
API keys and headers are not stored; the caller gives replies without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.errors import RunError
from overt.data.json_types import JsonObject
from overt.data.run import batch_rows
from overt.data.run.batch_rows import BatchRow
from overt.data.secrets import masked

# Rows in the order in which they came, and an index of the keys beside them. Older journals are a table in
# the order of the keys (WITHOUT ROWID), which is read and written alike: there a commit touches as many pages
# as it has rows, the file is up to twice as large, and to read the keys is to read all of it.
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
)
"""

# What the reply of a call that only failed is LIKE: in a row that `_dump` wrote, a quote inside a text has a
# backslash before it.
FAILED = '%"error":{"kind"%'

# The calls that were copied from an earlier run; only a journal made so has the table.
_TAKEN = "SELECT CAST(key AS BLOB) FROM taken"

# As bytes: one text that is no UTF-8 would otherwise end the reading of all of them.
COLUMNS = ", ".join(
    (
        *(f"CAST({n} AS BLOB)" for n in ("key", "model", "purpose", "category", "request", "reply")),
        "CASE WHEN typeof(cost) IN ('real', 'integer') THEN cost END",
    )
)


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
            self._keys = _MaybeKeys(self._db.execute("SELECT CAST(key AS BLOB) FROM calls"))
            self._taken = (
                {_short(key) for (key,) in self._db.execute(_TAKEN)} if _has_taken(self._db) else set()
            )
        self._dropped: set[str] = set()
        self.damaged: list[str] = []
        self.reused: set[str] = set()  # the keys of calls of an earlier run that were asked for here

    def __len__(self) -> int:
        """How many calls it has, without those that were dropped."""
        with self._lock, self._speaking("cannot read the journal"):
            (count,) = self._db.execute("SELECT count(*) FROM calls").fetchone()
        return int(count) - len(self._dropped)

    def get(self, key: str) -> Entry | None:
        """The finished call with this key; None if there is none, or if its row cannot be read."""
        if key not in self._keys or key in self._dropped:
            return None
        with self._lock, self._speaking("cannot read the journal"):
            row = self._db.execute(f"SELECT {COLUMNS} FROM calls WHERE key = ?", (key,)).fetchone()
        entry = entry_of(row) if row else None
        if row and entry is None:
            self.drop(key)
        elif entry is not None and self._taken and _short(key.encode()) in self._taken:
            self.reused.add(key)
        return entry

    def drop(self, key: str) -> None:
        """Treats a row as missing because it cannot be read, so that its call is made again."""
        self.damaged.append(key)
        self._dropped.add(key)

    def has_answer(self, model: str | None = None) -> bool:
        """Whether a call was answered or refused, and did not only fail.

        Args:
            model: of this model; None: of any.
        """
        wanted, values = ("", ()) if model is None else ("model = ? AND ", (model,))
        query = f"SELECT 1 FROM calls WHERE {wanted}reply NOT LIKE '{FAILED}' LIMIT 1"
        with self._lock, self._speaking("cannot read the journal"):
            return self._db.execute(query, values).fetchone() is not None

    def put(self, entries: Iterable[Entry]) -> None:
        """Writes finished calls in one transaction; a row with the same key is replaced.

        Raises:
            RunError: disk full, read-only, or locked by another process.
        """
        now = time.time()
        rows = [(e.key, *_texts(e), _REPLIES.encode(e.reply), e.cost, now) for e in entries]
        with self._lock, self._speaking("cannot write the journal"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO calls VALUES (?,?,?,?,?,?,?,?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            for key, *_ in rows:
                self._keys.add(key)
            if self._dropped:
                self._dropped.difference_update(key for key, *_ in rows)

    def put_batch(self, row: BatchRow) -> None:
        """Writes what is known of a batch.

        Raises:
            RunError: as `put`.
        """
        with self._lock, self._speaking("cannot write the journal"):
            batch_rows.put(self._db, row)

    def open_batches(self) -> list[BatchRow]:
        """The batches that may hold answers which are paid for and not here, oldest first."""
        with self._lock, self._speaking("cannot read the journal"):
            return list(batch_rows.open_rows(self._db))

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


class _MaybeKeys:
    """Which keys may be in the journal. Most look-ups of a new run find nothing, and a query for each would
    cost more than all other bookkeeping.

    A key marks two of 16 Mi places, told by its first 48 bits. That is 16 MB whatever the number of keys,
    where a set of a million takes 100. Beside a million keys one in a hundred that is not there seems
    to be, beside three million one in ten: those cost a query.
    """

    def __init__(self, rows: Iterable[tuple[bytes | None]]) -> None:
        self._places = bytearray(1 << 24)
        for (key,) in rows:
            self.add(key or b"")

    def add(self, key: str | bytes) -> None:
        try:
            self._places[int(key[:6], 16)] = self._places[int(key[6:12], 16)] = 1
        except ValueError:  # the key of a damaged row, for which nobody asks
            return

    def __contains__(self, key: str) -> bool:
        try:
            return bool(self._places[int(key[:6], 16)] and self._places[int(key[6:12], 16)])
        except ValueError:
            return True


def mark_taken(db: sqlite3.Connection) -> None:
    """Marks all calls of a journal as those of an earlier run."""
    db.execute("CREATE TABLE IF NOT EXISTS taken (key TEXT PRIMARY KEY) WITHOUT ROWID")
    db.execute("INSERT OR IGNORE INTO taken SELECT key FROM calls")
    db.commit()


def _has_taken(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'taken'").fetchone() is not None


# Made once: `json.dumps` makes one in every call. ASCII only, because UTF-8 cannot store a lone surrogate.
_REQUESTS = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))
_REPLIES = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def write_request(request: JsonObject) -> str:
    """A request as ASCII JSON with sorted keys."""
    return _REQUESTS.encode(request)


def call_key(model: str, written: str) -> str:
    """The journal's key: BLAKE2b of the model's name and the written request, 32 hex digits. The URL of the
    endpoint is not part of it: the same model behind another URL is the same model."""
    return hashlib.blake2b(f"{model}\n{written}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def _short(key: bytes) -> bytes:
    """Half of the bytes of a key in hex digits; another key, of a damaged row, stays as it is."""
    try:
        return bytes.fromhex(key.decode("ascii")) if len(key) == 32 else key
    except ValueError:
        return key


def _texts(entry: Entry) -> tuple[str, str, str, str]:
    """Model, purpose, category and request, as they are stored."""
    return masked(entry.model), masked(entry.purpose), masked(entry.category), masked(entry.request)


def entry_of(row: tuple[Any, ...]) -> Entry | None:
    """The call in a row of `COLUMNS`, or None if the row is damaged."""
    *texts, reply, cost = row
    try:
        found = json.loads(reply.decode("ascii"))
        key, model, purpose, category, request = (text.decode() for text in texts)
    except (ValueError, RecursionError, AttributeError):  # no JSON, too deep, or NULL
        return None
    if not isinstance(found, dict) or cost is None or not 0.0 <= cost < math.inf:
        return None
    return Entry(key, model, purpose, category, request, found, float(cost))
