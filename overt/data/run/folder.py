"""The folder of a run. `manifest.json` is written last, so a run with it is complete.

RUN/run.json        the identity of the run, written first
RUN/policy.yaml     the effective policy
RUN/addresses.json  the addresses of its models, and the names of the variables with their keys
RUN/journal.sqlite  every finished call (overt.data.run.journal)
RUN/stages/*.jsonl  the records of each stage, and the dropped ones with reasons
RUN/power.jsonl     what local GPUs drew (overt.data.run.power)
RUN/dataset/        the result of `overt generate`; RUN/results/ that of `overt run`
RUN/manifest.json   counts, costs, versions, and the hash of every file of the result
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overt.data.errors import InputError, OvertError, RunError
from overt.data.json_types import Json, JsonObject
from overt.data.run.files import (
    differences,
    digest,
    dump_json,
    read_json,
    read_records,
    speaking_os_errors,
    text_bytes,
    write_atomic,
    write_records,
)
from overt.data.run.journal import Journal, mark_taken
from overt.data.run.power import FILE as POWER
from overt.data.run.power import power_facts
from overt.data.run.record import FILE, RunRecord, read_record
from overt.data.run.way_on import way_on
from overt.data.secrets import without_keys

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from filelock import BaseFileLock

T = TypeVar("T")

MANIFEST = "manifest.json"
JOURNAL = "journal.sqlite"
_JOURNAL_FILES = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm")
# What a folder that is not yet a run may hold: its lock, and a journal copied from another run, with the
# pictures that its answers name.
_EXPECTED = frozenset({"stages", "images", ".lock", *_JOURNAL_FILES})
# Temporary files of a process that was killed while it claimed the folder (see `write_atomic`).
_HALF_CLAIMED = re.compile(r"\.(?:policy\.yaml|run\.json)\.\d+\.\d+\.tmp")
# The files that a run writes before its first response.
_CLAIM = (FILE, "policy.yaml", "addresses.json", "decisions.json", POWER, *_JOURNAL_FILES)
# By role ("" for every role): the addresses of models and the names of the variables with their keys.
Addresses = Mapping[str, Mapping[str, str]]
# Of the inputs: the hash of the user's own words for what services say.
CODES = "codes"
_DECIDED_ANEW = (f"inputs.{CODES}",)


class RunFolder:
    """The run folder that this process works on. As a context manager it holds the folder's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None
        self._made: list[Path] = []  # the folders that this process made, the innermost first
        self._claimed = False  # whether this process made the run
        self._found: frozenset[str] = frozenset()  # the files that were here before
        self._before_end: list[Callable[[], None]] = []

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
            # A refused command leaves nothing behind, in a foreign folder or as a run in the way of the
            # corrected command. After any other end the run can be resumed.
            if kind is not None and issubclass(kind, InputError):
                with contextlib.suppress(OSError, OvertError):
                    self._tidy()
        finally:
            self._lock.release()

    def _tidy(self) -> None:
        """Removes the files of this process for a run that never began or a folder that it may not use."""
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
        # Before the lock is released, or else a waiting process would lock a deleted file.
        if ".lock" not in self._found:
            (self.path / ".lock").unlink(missing_ok=True)
        for folder in self._made:
            folder.rmdir()  # raises and so ends the loop if the folder is not empty

    def _has_calls(self) -> bool:
        """Whether the journal has a call that was answered, or a batch that may be."""
        if not (self.path / JOURNAL).exists():
            return False
        try:
            journal = Journal(self.path / JOURNAL)
        except RunError:
            return True  # a damaged journal may hold paid calls
        try:
            return journal.has_answer() or bool(journal.open_batches())
        finally:
            journal.close()

    # -- the identity of the run --------------------------------------------------------------

    def claim(
        self,
        record: RunRecord,
        policy_yaml: str,
        addresses: Addresses | None = None,
        *,
        defaults: JsonObject | None = None,
        anew: str = "",
    ) -> bool:
        """Writes the identity of this run. Returns True if the folder already held the same run (a resume).

        A run without a finished call is replaced.

        Args:
            addresses: the addresses of the models, for a later `--resume`; not part of the identity.
            defaults: values of options that a run of an earlier version did not have.
            anew: of a resumed run, the command for a new run with its options.

        Raises:
            InputError: the folder holds something else, or a run with other inputs.
        """
        found = read_record(self.path)
        differing = _differing(found, record, defaults or {})
        if found and differing and (self.is_complete or self._has_calls()):
            lines = [f"{name}: there {old}, here {new}" for name, old, new in differing[:6]]
            raise InputError(
                "this folder holds a run with other inputs:\n    " + "\n    ".join(lines),
                where=str(self.path),
                fix=way_on(found, record, self.path, [name for name, _, _ in differing], anew),
            )
        if found is None:
            self.refuse_strangers(policy_yaml)
        is_new = found is None or bool(differing)
        if is_new:
            self._claimed = True
            if differing:
                self._clear()
            write_atomic(self.path / "policy.yaml", text_bytes(policy_yaml))
        if is_new or _codes(found) != _codes(record):
            write_atomic(self.path / FILE, dump_json(record.to_json()))
        if addresses is not None:
            self._remember(addresses)
        return not is_new

    def is_taught_anew(self, record: RunRecord) -> bool:
        """Whether the results were decided by another file of codes than this run's, or by none."""
        if not self.is_complete:
            return False
        known = read_json(self.path / MANIFEST).get("identity")
        inputs = known.get("inputs") if isinstance(known, Mapping) else None
        return isinstance(inputs, Mapping) and inputs.get(CODES) != record.inputs.get(CODES)

    def differs_in_addresses(self, addresses: Addresses) -> bool:
        """Whether the run's models had other addresses or keys until now."""
        known = read_addresses(self.path) or {name: {} for name in addresses}
        return _storable(addresses) != known

    def _remember(self, addresses: Addresses) -> None:
        plain = _storable(addresses)
        path = self.path / "addresses.json"
        if (path.exists() or any(plain.values())) and plain != read_addresses(self.path):
            write_atomic(path, dump_json(plain))

    def refuse_strangers(self, policy_yaml: str | None = None) -> None:
        """Checks that a folder that is not yet a run holds no foreign files.

        Raises:
            InputError: the folder holds foreign files.
        """
        policy = None if policy_yaml is None else text_bytes(policy_yaml)
        strangers = []
        for path in sorted(self.path.iterdir()):
            if _HALF_CLAIMED.fullmatch(path.name):
                path.unlink()  # safe, since this process holds the lock
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
        """Removes the stages, the decisions and the failures of a run without an answer, so that the next run
        does not read them. `run.json` is overwritten last."""
        for name in ("decisions.json", "addresses.json", POWER, *_JOURNAL_FILES):
            (self.path / name).unlink(missing_ok=True)
        self._remove_stages()

    def _remove_stages(self) -> None:
        for path in (self.path / "stages").glob("*.jsonl"):
            path.unlink()

    def take_journal(self, run: Path) -> None:
        """Copies another run's journal into this folder, so that no call is paid twice. An existing journal
        stays.

        Raises:
            InputError: the folder holds foreign files, or the journal cannot be copied.
        """
        if not (run / JOURNAL).exists() or (self.path / JOURNAL).exists():
            return
        if read_record(self.path) is None:
            self.refuse_strangers()  # checked before the copy, since the run is claimed only later
        old, new = sqlite3.connect(run / JOURNAL), sqlite3.connect(self.path / JOURNAL)
        try:
            old.backup(new)
            mark_taken(new)
        except sqlite3.Error as error:
            raise InputError(f"cannot copy the journal: {error}", where=str(run)) from error
        finally:
            old.close()
            new.close()

    def check_journal(self, *, pay_again: bool, part: str = "") -> None:
        """Checks that the journal of a run that made calls is still there, before they are paid for again.

        Args:
            part: the part of the manifest whose calls would be made again, "" for those of the run itself.

        Raises:
            InputError: it is gone or empty, and the user has not agreed to pay again.
        """
        if pay_again or not self._has_made_calls(part):
            return
        path = self.path / JOURNAL
        if path.exists():
            journal = Journal(path)
            try:
                if len(journal) or journal.open_batches():
                    return
            finally:
                journal.close()
        state = "empty" if path.exists() else "gone"
        raise InputError(
            f"the journal is {state}, but calls were made and paid for; all of them would be made again",
            where=str(path),
            fix="Put the file back, or say --pay-again. The results that are there stay as they are.",
        )

    def note_calls(self) -> None:
        """Notes that calls were made, for `check_journal`."""
        if self.decision("calls") is None:
            self.decide("calls", "made")

    def _has_made_calls(self, part: str) -> bool:
        if not self.is_complete:
            return self.decision("calls") is not None or self.has_stage("outcomes")
        manifest = read_json(self.path / MANIFEST)
        found = manifest.get(part) if part else manifest
        calls = found.get("calls") if isinstance(found, Mapping) else None
        made = calls if isinstance(calls, Mapping) else {}
        return any(made.get(name) for name in ("requests", "cached"))

    # -- decisions of a run, kept so that a resume makes the same ones -------------------------

    def decision(self, name: str) -> str | None:
        """The decision of this name, or None."""
        path = self.path / "decisions.json"
        value = read_json(path).get(name) if path.exists() else None
        return None if value is None else str(value)

    def decide(self, name: str, value: str) -> None:
        """Stores a decision."""
        path = self.path / "decisions.json"
        known = read_json(path) if path.exists() else {}
        write_atomic(path, dump_json({**known, name: value}))

    # -- records ------------------------------------------------------------------------------

    def write_stage(self, name: str, records: Iterable[DataclassInstance]) -> int:
        """Writes `stages/NAME.jsonl` atomically; returns the number of records."""
        return write_records(self.path / "stages" / f"{name}.jsonl", records)

    def has_stage(self, name: str) -> bool:
        return (self.path / "stages" / f"{name}.jsonl").exists()

    def read_stage(self, name: str, kind: type[T]) -> list[T]:
        """The records of a stage; an empty list if it wrote none."""
        return read_records(self.path / "stages" / f"{name}.jsonl", kind)

    # -- the end ------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        return (self.path / MANIFEST).exists()

    def before_end(self, do: Callable[[], None]) -> None:
        """Calls `do` before the manifest is written."""
        self._before_end.append(do)

    def finish(self, facts: JsonObject, part: str = "dataset") -> dict[str, Json]:
        """Writes the manifest, with the BLAKE2b hash of every file in a folder of the run, and with what GPUs
        drew."""
        for do in self._before_end:
            do()
        files = {
            str(p.relative_to(self.path)): digest(p)
            for p in sorted((self.path / part).rglob("*"))
            if p.is_file()
        }
        calls = facts.get("calls")
        if isinstance(calls, Mapping) and calls.get("estimated"):
            self._mark("cost_is_estimate")
        manifest: dict[str, Json] = {**facts, **power_facts(self.path), "files": files}
        write_atomic(self.path / MANIFEST, dump_json(manifest))
        return manifest

    def _mark(self, name: str) -> None:
        """Sets a field of `run.json` that is not part of the identity to true."""
        data = read_json(self.path / FILE)
        if not data.get(name):
            write_atomic(self.path / FILE, dump_json({**data, name: True}))


def read_addresses(folder: Path) -> dict[str, dict[str, str]]:
    """The last addresses of a run's models, or an empty dict.

    Raises:
        InputError: the file exists and cannot be read.
    """
    path = folder / "addresses.json"
    if not path.exists():
        return {}
    return {what: dict(by) for what, by in read_json(path).items() if isinstance(by, dict)}


def with_stored(given: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """The given values by role, with the stored ones for other roles. A given "" replaces all stored ones."""
    return dict(given) if "" in given else {**stored, **given}


def _storable(addresses: Addresses) -> dict[str, dict[str, str]]:
    return {what: {role: without_keys(v) for role, v in by.items()} for what, by in addresses.items()}


def _codes(record: RunRecord | None) -> Json:
    return record.inputs.get(CODES) if record is not None else None


def _differing(
    found: RunRecord | None, record: RunRecord, defaults: JsonObject
) -> list[tuple[str, str, str]]:
    """What makes another run of a record. Other codes do not: kept responses are read again by them."""
    if found is None:
        return []
    there = {**found.identity(), "config": {**defaults, **found.config}}
    return [d for d in differences(there, record.identity()) if d[0] not in _DECIDED_ANEW]
