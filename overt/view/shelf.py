"""Which indexes there are, and which are being made.

They lie in the user's cache, not in the runs: a run folder may be read-only, another person's, or on a share
on which SQLite cannot lock; and an index that somebody else put into a run would have to be believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import OvertError
from overt.data.json_types import Json
from overt.data.run.record import FILE
from overt.data.text import visible
from overt.view.catalogue import Entry
from overt.view.index import build, opened, read_signature, signature_of
from overt.web.guard import Refused

_OLD_S = 86_400.0  # a half made index of this age was left by a process that ended


def default_cache() -> Path:
    """`~/.cache/overt/view` (`XDG_CACHE_HOME` respected)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "overt" / "view"


class NotReady(Exception):
    """The index is being made; `share` of it is done, 0 to 1."""

    def __init__(self, share: float, what: str, seconds: float) -> None:
        super().__init__(what)
        self.share, self.what, self.seconds = share, what, seconds

    def to_json(self) -> dict[str, Json]:
        return {"indexing": {"share": self.share, "what": self.what, "seconds": round(self.seconds, 1)}}


@dataclass(slots=True)
class _Making:
    signature: str
    began: float
    share: float = 0.0
    what: str = "waiting"
    fault: str = ""


class Shelf:
    """The indexes of runs. They are made one at a time, in the background. Safe for several threads."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._making: dict[Path, _Making] = {}
        self._ready: dict[Path, str] = {}  # the signature of each index that was seen to be whole

    def index(self, entry: Entry) -> tuple[Path, str]:
        """The index of a run as it is now, and its signature.

        Raises:
            NotReady: it is being made; this call has begun it where nobody had.
            Refused: the run has a record that cannot be read, or the index cannot be written.
        """
        if entry.record is None:
            raise Refused(422, "; ".join(map(str, _list(entry.facts["faults"]))) or "this run cannot be read")
        kind, path = entry.record.kind, self._path(entry.folder)
        signature = signature_of(entry.folder, kind)
        with self._lock:
            if self._ready.get(entry.folder) == signature and path.exists():
                return path, signature
            making = self._making.get(entry.folder)
            if making is None or (making.signature != signature and making.what in ("failed", "done")):
                if read_signature(path) == signature:
                    self._ready[entry.folder] = signature
                    return path, signature
                making = self._making[entry.folder] = _Making(signature, time.monotonic())
                self._worker.submit(self._make, entry.folder, kind, path, making)
            if making.what == "failed":
                raise Refused(422, making.fault)
            if making.what == "done":  # made, and since then removed
                del self._making[entry.folder]
            raise NotReady(making.share, making.what, time.monotonic() - making.began)

    def drop(self, folder: Path) -> None:
        """Forgets an index that cannot be read, so that the next call makes it anew."""
        with self._lock, contextlib.suppress(OSError):
            self._ready.pop(folder, None)
            self._path(folder).unlink()

    def faults(self, folder: Path) -> list[str]:
        """Why the index of a run could not be made, where somebody has asked for it."""
        with self._lock:
            making = self._making.get(folder)
            return [making.fault] if making is not None and making.fault else []

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def tidy(self) -> None:
        """Removes the indexes of runs that are gone."""
        with contextlib.suppress(OSError):
            for path in list(self._cache.iterdir()):
                if path.name.endswith(".tmp"):
                    if time.time() - path.stat().st_mtime > _OLD_S:
                        path.unlink()
                elif path.suffix == ".sqlite" and not (_folder_of(path) / FILE).exists():
                    path.unlink()

    def _make(self, folder: Path, kind: str, path: Path, making: _Making) -> None:
        def told(share: float, what: str) -> None:
            making.share, making.what = share, what

        told(0.0, "reading")
        try:
            build(folder, kind, path, told)
        except OvertError as error:
            fault = error.message().replace(f"{folder}{os.sep}", "")
            making.fault, making.what = visible(fault), "failed"
        except Exception as error:  # a run of strangers may hold anything; the page says so and goes on
            making.fault = f"the index cannot be made: {type(error).__name__}: {visible(error)}"
            making.what = "failed"
        else:
            # Of a run that has changed meanwhile the index is not that of its signature, and is made again.
            with self._lock:
                self._ready[folder] = read_signature(path)
                making.what = "done"
                self._making.pop(folder, None)

    def _path(self, folder: Path) -> Path:
        digest = hashlib.blake2b(str(folder.resolve()).encode("utf-8", "surrogateescape"), digest_size=12)
        return self._cache / f"{digest.hexdigest()}.sqlite"


def _folder_of(path: Path) -> Path:
    """The run that an index is of; the index itself where it cannot be read, which is no run."""
    try:
        with opened(path) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'folder'").fetchone()
    except sqlite3.Error:
        return path
    return Path(row[0]) if row else path


def _list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list) else []
