"""How far a run is that is not complete: calls in its journal, against those that it will make.

Nothing is written and no lock is taken: a lock that is held for a moment would stop the run that starts then.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overt.data.json_types import Json
from overt.data.run.folder import JOURNAL
from overt.data.run.record import RunRecord
from overt.data.text import visible

_LOCK = ".lock"
# A journal that was written within this time belongs to a run at work: by whether the system lists locks
# (those of another container it does not list).
_FRESH_S = {True: 10.0, False: 60.0}
_SHARE = 20  # a count that takes a second is made every 20 seconds
_LOCKS = Path("/proc/locks")


@dataclass(slots=True)
class _Counted:
    signature: tuple[tuple[int, int], ...]
    at: float
    took: float
    calls: dict[str, int]


class Live:
    """The progress of runs. Counting reads the whole journal, so a count is kept while nothing has changed,
    and made the more seldom the longer it takes. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[Path, _Counted] = {}
        self._prompts: dict[Path, tuple[tuple[int, int], int]] = {}

    def progress(self, folder: Path, record: RunRecord) -> dict[str, Json]:
        """`state` is "running" or "stopped"; `calls` counts those in the journal by their purpose; `targets`
        (of a run of `overt run` that has begun) has `done` of `total` for each target; `stages` (of `overt
        generate`) counts the records of each stage's file."""
        with self._lock:
            calls = self._calls(folder)
            found: dict[str, Json] = {
                "state": "running" if is_running(folder) else "stopped",
                "calls": {visible(name): count for name, count in calls.items()},
            }
            if record.kind == "run":
                found["targets"] = self._targets(folder, record, calls)
            else:
                found["stages"] = {
                    path.stem: self._lines(path) for path in sorted((folder / "stages").glob("*.jsonl"))
                }
            return found

    def _targets(self, folder: Path, record: RunRecord, calls: Mapping[str, int]) -> list[Json]:
        samples = record.value("samples")
        total = self._lines(folder / "stages" / "prompts.jsonl")
        total *= samples if isinstance(samples, int) else 1
        rows = record.inputs.get("targets")
        names = (
            [row.get("name") for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        )
        return [
            {"name": visible(name), "done": min(calls.get(name, 0), total), "total": total}
            for name in names
            if isinstance(name, str)
        ]

    def _lines(self, path: Path) -> int:
        """The number of lines of a file that is only ever replaced as a whole."""
        try:
            stat = path.stat()
            signature = (stat.st_size, stat.st_mtime_ns)
            known = self._prompts.get(path)
            if known is None or known[0] != signature:
                with path.open("rb") as file:
                    known = self._prompts[path] = (signature, sum(1 for _ in file))
        except OSError:
            return 0
        return known[1]

    def _calls(self, folder: Path) -> dict[str, int]:
        signature = tuple(_size(folder / name) for name in (JOURNAL, f"{JOURNAL}-wal"))
        known = self._counted.get(folder)
        now = time.monotonic()
        if known and (known.signature == signature or now - known.at < _SHARE * known.took):
            return known.calls
        calls = _count(folder / JOURNAL)
        took = time.monotonic() - now
        self._counted[folder] = _Counted(signature, now + took, took, calls)
        return calls


def _size(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def _count(journal: Path) -> dict[str, int]:
    """The calls by purpose. Without a write-ahead log nobody is writing, and then SQLite would make one only
    to read: the file is opened as one that does not change."""
    if not journal.exists():
        return {}
    how = "mode=ro" if journal.with_name(f"{journal.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        db = sqlite3.connect(f"{journal.resolve().as_uri()}?{how}", uri=True, timeout=1.0)
        try:
            rows = db.execute("SELECT CAST(purpose AS BLOB), count(*) FROM calls GROUP BY 1").fetchall()
        finally:
            db.close()
    except sqlite3.Error:
        return {}
    return {(name or b"").decode("utf-8", "replace"): count for name, count in rows}


def is_running(folder: Path) -> bool:
    """Whether a process works on the run: it holds the folder's lock, or has just written the journal."""
    held = _is_locked(folder / _LOCK)
    if held:
        return True
    times = []
    for name in (JOURNAL, f"{JOURNAL}-wal"):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return time.time() - max(times, default=0.0) < _FRESH_S[held is not None]


def _is_locked(path: Path) -> bool | None:
    """Whether a process of this machine has the file locked; None where the system does not say it."""
    try:
        rows = _LOCKS.read_text("ascii", "replace").splitlines()
        inode = path.stat().st_ino
    except FileNotFoundError:
        return None if not _LOCKS.exists() else False
    except OSError:
        return None
    return any(f":{inode} " in row and " WRITE " in row for row in rows)
