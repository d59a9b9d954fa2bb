"""A run is a folder. `manifest.json` is written last: where it stands, the run is complete.

RUN/run.json        what the run is: everything that decides its outcome, written first
RUN/policy.yaml     the effective policy
RUN/addresses.json  where its models were reached, and the names of the variables that hold the keys
RUN/journal.sqlite  every finished call (overt.data.run.journal)
RUN/stages/*.jsonl  the records of each stage, with what was dropped and why
RUN/dataset/        the result of `overt generate`; RUN/results/ that of `overt run`
RUN/manifest.json   counts, costs, versions, and the hash of every file of the result
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit, urlunsplit

from overt.data.errors import InputError, OvertError, RunError
from overt.data.json_types import Json, JsonObject
from overt.data.run.files import (
    differences,
    dump_json,
    read_json,
    read_records,
    speaking_os_errors,
    write_atomic,
    write_records,
)
from overt.data.run.journal import Journal
from overt.data.run.record import FILE, RunRecord, read_record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from filelock import BaseFileLock

T = TypeVar("T")

MANIFEST = "manifest.json"
JOURNAL = "journal.sqlite"
_JOURNAL_FILES = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm")
# What may lie in a folder that is not yet a run: its lock, and a journal taken along from another run.
_EXPECTED = frozenset({"stages", ".lock", *_JOURNAL_FILES})
# What a process that was killed while it claimed the folder leaves of its two files (see `write_atomic`).
_HALF_CLAIMED = re.compile(r"\.(?:policy\.yaml|run\.json)\.\d+\.\d+\.tmp")
# What a run writes before its first call is answered.
_CLAIM = (FILE, "policy.yaml", "addresses.json", "decisions.json", *_JOURNAL_FILES)
# By role ("" for every role) the addresses of models and the names of the variables that hold their keys.
Addresses = Mapping[str, Mapping[str, str]]
_SECRET = re.compile(r"key|token|secret|passw|pwd|sig|auth|cred|code", re.IGNORECASE)


class RunFolder:
    """One process's hold on one run folder. As a context manager it takes and frees the folder's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None
        self._made: list[Path] = []  # folders that were not there before, the innermost first
        self._claimed = False  # whether this process made the run
        self._found: frozenset[str] = frozenset()  # what lay here before

    def __enter__(self) -> RunFolder:
        from filelock import FileLock, Timeout

        with speaking_os_errors("cannot make the run folder"):
            self._made = [f for f in (self.path, *self.path.parents) if not f.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._found = frozenset(path.name for path in self.path.iterdir())
            lock = FileLock(self.path / ".lock", timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise RunError(
                    "another process is working on this run",
                    where=str(self.path),
                    fix="Wait for it to end, or give this run a folder of its own with --out.",
                ) from error
        self._lock = lock
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock is None:
            return
        try:
            # A command that was refused leaves nothing behind: neither in somebody else's folder, nor a run
            # that the corrected command would be told of. After any other end the run can be gone on with.
            if kind is not None and issubclass(kind, InputError):
                with contextlib.suppress(OSError, OvertError):
                    self._tidy()
        finally:
            self._lock.release()

    def _tidy(self) -> None:
        """Removes what this process made for a run that never began, or for a folder it may not have."""
        was_run = FILE in self._found
        if self._claimed:
            if self.is_complete or self._has_calls():
                return
            if was_run or "stages" not in self._found:
                self._remove_stages()
                with contextlib.suppress(FileNotFoundError):
                    (self.path / "stages").rmdir()
            for name in _CLAIM:
                if was_run or name not in self._found:
                    (self.path / name).unlink(missing_ok=True)
        elif was_run:
            return
        # Before the lock is released: a process that waits for it would else hold a file that is gone.
        if ".lock" not in self._found:
            (self.path / ".lock").unlink(missing_ok=True)
        for folder in self._made:
            folder.rmdir()  # fails, and so ends the loop, where something else lies in it

    def _has_calls(self) -> bool:
        """Whether a finished call is on record."""
        if not (self.path / JOURNAL).exists():
            return False
        try:
            journal = Journal(self.path / JOURNAL)
        except RunError:
            return True  # it may be damaged: nobody knows what was paid for
        try:
            return len(journal) > 0
        finally:
            journal.close()

    # -- what the run is ----------------------------------------------------------------------

    def claim(
        self,
        record: RunRecord,
        policy_yaml: str,
        addresses: Addresses | None = None,
        *,
        defaults: JsonObject | None = None,
    ) -> bool:
        """Says what this run is; True if the folder already held the same run (a resume).

        A run of which no call was ever finished holds nothing: another one takes its folder.

        Args:
            addresses: how the models are reached now, for a later `--resume`; no part of what the run is.
            defaults: values of options that a run of an earlier version did not know.

        Raises:
            InputError: the folder holds something else, or the same run with other inputs.
        """
        found = read_record(self.path)
        differing: list[tuple[str, str, str]] = []
        if found is not None:
            there = {**found.identity(), "config": {**(defaults or {}), **found.config}}
            differing = differences(there, record.identity())
        if found is not None and differing and (self.is_complete or self._has_calls()):
            lines = [f"{name}: there {old}, here {new}" for name, old, new in differing[:6]]
            raise InputError(
                "this folder holds a run with other inputs:\n    " + "\n    ".join(lines),
                where=str(self.path),
                fix="Give --out a new folder, or go on with the old run: "
                f"overt {found.kind} --resume {self.path}",
            )
        if found is None:
            self.refuse_strangers(policy_yaml)
        is_new = found is None or bool(differing)
        if is_new:
            self._claimed = True
            if differing:
                self._clear()
            write_atomic(self.path / "policy.yaml", policy_yaml.encode())
            write_atomic(self.path / FILE, dump_json(record.to_json()))
        if addresses is not None:
            self._remember(addresses)
        return not is_new

    def _remember(self, addresses: Addresses) -> None:
        plain = {what: {r: _without_secrets(v) for r, v in by.items()} for what, by in addresses.items()}
        path = self.path / "addresses.json"
        if (path.exists() or any(plain.values())) and plain != read_addresses(self.path):
            write_atomic(path, dump_json(plain))

    def refuse_strangers(self, policy_yaml: str | None = None) -> None:
        """Checks that a folder which is not yet a run holds nothing of somebody else.

        Raises:
            InputError: it does.
        """
        policy = None if policy_yaml is None else policy_yaml.encode()
        strangers = []
        for path in sorted(self.path.iterdir()):
            if _HALF_CLAIMED.fullmatch(path.name):
                path.unlink()  # nobody else writes here: this process holds the lock
            elif path.name == "policy.yaml" and path.is_file() and path.read_bytes() == policy:
                continue  # a process was killed between writing it and run.json
            elif path.name not in _EXPECTED:
                strangers.append(path.name)
        if strangers:
            raise InputError(
                f"the folder is not empty and not a run of overt (it holds {strangers[0]!r})",
                where=str(self.path),
                fix="Give --out a new folder.",
            )

    def _clear(self) -> None:
        """Removes what a run without a finished call has written: its stages and its decisions would be
        taken for those of the run that comes. `run.json` is written over, last."""
        for name in ("decisions.json", "addresses.json"):
            (self.path / name).unlink(missing_ok=True)
        self._remove_stages()

    def _remove_stages(self) -> None:
        for path in (self.path / "stages").glob("*.jsonl"):
            path.unlink()

    def take_journal(self, run: Path) -> None:
        """Copies another run's finished calls into this folder, so that nothing is paid for twice. A journal
        that lies here stays.

        Raises:
            InputError: the folder holds something of somebody else, or the journal cannot be copied.
        """
        if not (run / JOURNAL).exists() or (self.path / JOURNAL).exists():
            return
        if read_record(self.path) is None:
            self.refuse_strangers()  # the journal would lie there for good: the run is claimed only later
        old, new = sqlite3.connect(run / JOURNAL), sqlite3.connect(self.path / JOURNAL)
        try:
            old.backup(new)
        except sqlite3.Error as error:
            raise InputError(f"cannot copy the journal: {error}", where=str(run)) from error
        finally:
            old.close()
            new.close()

    # -- small facts decided on the way, kept so that a resume decides alike -------------------

    def decision(self, name: str) -> str | None:
        """What was decided under this name; None while nothing was."""
        path = self.path / "decisions.json"
        found = read_json(path).get(name) if path.exists() else None
        return None if found is None else str(found)

    def decide(self, name: str, value: str) -> None:
        """Keeps a decision for good."""
        path = self.path / "decisions.json"
        known = read_json(path) if path.exists() else {}
        write_atomic(path, dump_json({**known, name: value}))

    # -- records ------------------------------------------------------------------------------

    def write_stage(self, name: str, records: Iterable[DataclassInstance]) -> int:
        """Writes `stages/NAME.jsonl`, whole or not at all; returns the number of records."""
        return write_records(self.path / "stages" / f"{name}.jsonl", records)

    def has_stage(self, name: str) -> bool:
        return (self.path / "stages" / f"{name}.jsonl").exists()

    def read_stage(self, name: str, kind: type[T]) -> list[T]:
        """The records of a stage; an empty list where the stage wrote none."""
        return read_records(self.path / "stages" / f"{name}.jsonl", kind)

    # -- the end ------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        return (self.path / MANIFEST).exists()

    def finish(self, facts: JsonObject, part: str = "dataset") -> dict[str, Json]:
        """Writes the manifest, with the BLAKE2b hash of every file in a folder of the run: the last write."""
        files = {
            str(p.relative_to(self.path)): hashlib.blake2b(p.read_bytes(), digest_size=16).hexdigest()
            for p in sorted((self.path / part).rglob("*"))
            if p.is_file()
        }
        manifest: dict[str, Json] = {**facts, "files": files}
        write_atomic(self.path / MANIFEST, dump_json(manifest))
        return manifest


def read_addresses(folder: Path) -> dict[str, dict[str, str]]:
    """How the models of a run were reached last, as `RunFolder.claim` was told; empty where nobody said.

    Raises:
        InputError: the file is there and cannot be read.
    """
    path = folder / "addresses.json"
    if not path.exists():
        return {}
    return {what: dict(by) for what, by in read_json(path).items() if isinstance(by, dict)}


def with_stored(given: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """What was given by role, and for the roles that nothing was given for, what the run was started with."""
    return dict(given) if "" in given else {**stored, **given}


def _without_secrets(text: str) -> str:
    """An address without user, password, and what in its query looks like a key; other text unchanged."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    query = "&".join(p for p in parts.query.split("&") if not _SECRET.search(p.partition("=")[0]))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
