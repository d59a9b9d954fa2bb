"""A run is a folder. `manifest.json` is written last: where it stands, the run is complete.

RUN/run.json        what the run is: everything that decides its outcome, written first
RUN/policy.yaml     the effective policy
RUN/addresses.json  where its models were reached, and the names of the variables that hold the keys
RUN/journal.sqlite  every finished call (overt.data.journal)
RUN/stages/*.jsonl  the records of each stage, with what was dropped and why
RUN/dataset/        the result
RUN/manifest.json   counts, costs, versions, and the hash of every file of the dataset
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from overt.data.errors import InputError, OvertError, RunError
from overt.data.journal import Journal
from overt.data.records import from_json, to_json

T = TypeVar("T")

_JOURNAL = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")
# What may lie in a folder that is not yet a run: its lock, and a journal taken along from another run.
_EXPECTED = frozenset({"stages", ".lock", *_JOURNAL})
# What a process that was killed while it claimed the folder leaves of its two files (see `write_atomic`).
_HALF_CLAIMED = re.compile(r"\.(?:policy\.yaml|run\.json)\.\d+\.\d+\.tmp")
# What a run writes before its first call is answered.
_CLAIM = ("run.json", "policy.yaml", "addresses.json", "decisions.json", *_JOURNAL)
# By role ("" for every role) the addresses of models and the names of the variables that hold their keys.
Addresses = Mapping[str, Mapping[str, str]]
_SECRET = re.compile(r"key|token|secret|passw|pwd|sig|auth|cred|code", re.IGNORECASE)


@contextlib.contextmanager
def speaking_os_errors(doing: str) -> Iterator[None]:
    """Turns what the operating system says into words: full disk, no permission, read-only."""
    try:
        yield
    except OSError as error:
        what = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "no permission",
            errno.EPERM: "no permission",
            errno.EROFS: "the file system is read-only",
            errno.ENOTDIR: "a part of the path is a file, not a folder",
            errno.EEXIST: "a file of that name is in the way",
            errno.ENAMETOOLONG: "the name is too long",
        }.get(error.errno or 0, error.strerror or str(error))
        raise RunError(
            f"{doing}: {what}",
            where=str(error.filename or ""),
            fix="Nothing that was paid for is lost: mend this and run the same command again.",
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Writes beside the target, then renames: a reader sees the old file or the new, never half."""
    with speaking_os_errors(f"cannot write {path.name}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two threads may bring the same picture at once.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def dump_json(data: Any) -> bytes:
    """Readable JSON with a stable key order."""
    return (json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode(
        "utf-8", "surrogatepass"
    )


class RunStore:
    """One process's hold on one run folder. Use as a context manager: it takes and frees the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: Any = None
        self._made: list[Path] = []  # folders that were not there before, the innermost first
        self._claimed = False  # whether this process made the run
        self._found: frozenset[str] = frozenset()  # what lay here before

    def __enter__(self) -> RunStore:
        from filelock import FileLock, Timeout

        with speaking_os_errors("cannot make the run folder"):
            self._made = [f for f in (self.folder, *self.folder.parents) if not f.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            self._found = frozenset(path.name for path in self.folder.iterdir())
            lock = FileLock(self.folder / ".lock", timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise RunError(
                    "another process is working on this run",
                    where=str(self.folder),
                    fix="Wait for it to end, or give this run a folder of its own with --out.",
                ) from error
        self._lock = lock
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock is None:
            return
        try:
            # A command that was refused leaves nothing behind: neither in a folder of somebody else, nor
            # a run that the corrected command would be told of. What ended otherwise can be gone on with.
            if kind is not None and issubclass(kind, InputError):
                with contextlib.suppress(OSError, OvertError):
                    self._tidy()
        finally:
            self._lock.release()

    def _tidy(self) -> None:
        """Takes away what this process made for a run that never began, or for a folder it may not have."""
        was_run = "run.json" in self._found
        if self._claimed:
            if self.manifest() is not None or self._has_calls():
                return
            if was_run or "stages" not in self._found:
                for path in (self.folder / "stages").glob("*.jsonl"):
                    path.unlink()
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / "stages").rmdir()
            for name in _CLAIM:
                if was_run or name not in self._found:
                    (self.folder / name).unlink(missing_ok=True)
        elif was_run:
            return
        # Before it is released: whoever waits for it would else hold a file that is gone.
        if ".lock" not in self._found:
            (self.folder / ".lock").unlink(missing_ok=True)
        for folder in self._made:
            folder.rmdir()  # fails, and ends it, where something else lies in it

    def _has_calls(self) -> bool:
        """Whether a finished call is on record."""
        if not (self.folder / "journal.sqlite").exists():
            return False
        try:
            journal = Journal(self.folder / "journal.sqlite")
        except RunError:
            return True  # damaged, say: nobody knows what was paid for
        try:
            return len(journal) > 0
        finally:
            journal.close()

    # -- identity ---------------------------------------------------------------------------

    def claim(self, identity: dict[str, Any], policy_yaml: str, addresses: Addresses | None = None) -> bool:
        """Says what this run is; True if the folder already held the same run (a resume).

        A run of which no call was ever finished holds nothing: another one takes its folder.

        Args:
            addresses: how the models are reached now, for a `--resume`; no part of what the run is.

        Raises:
            InputError: the folder holds something else, or the same run with other inputs.
        """
        found = self.identity(self.folder)
        differing = differences(found, identity) if found is not None else []
        if differing and (self.manifest() is not None or self._has_calls()):
            lines = [f"{name}: there {old}, here {new}" for name, old, new in differing[:6]]
            raise InputError(
                "this folder holds a run with other inputs:\n    " + "\n    ".join(lines),
                where=str(self.folder),
                fix="Give --out a new folder, or go on with the old run: "
                f"overt {(found or {}).get('kind', 'generate')} --resume {self.folder}",
            )
        if found is None:
            self.refuse_strangers(policy_yaml)
        is_new = found is None or bool(differing)
        if is_new:
            self._claimed = True
            if differing:
                self._clear()
            write_atomic(self.folder / "policy.yaml", policy_yaml.encode())
            write_atomic(self.folder / "run.json", dump_json(identity))
        if addresses is not None:
            plain = {what: {r: _without_secrets(v) for r, v in by.items()} for what, by in addresses.items()}
            path = self.folder / "addresses.json"
            if (path.exists() or any(plain.values())) and plain != self.addresses(self.folder):
                write_atomic(path, dump_json(plain))
        return not is_new

    def refuse_strangers(self, policy_yaml: str | None = None) -> None:
        """That a folder which is not yet a run holds nothing of somebody else.

        Raises:
            InputError: it does.
        """
        policy = None if policy_yaml is None else policy_yaml.encode()
        strangers = []
        for path in sorted(self.folder.iterdir()):
            if _HALF_CLAIMED.fullmatch(path.name):
                path.unlink()  # nobody else writes here: this process holds the lock
            elif path.name == "policy.yaml" and path.is_file() and path.read_bytes() == policy:
                continue  # killed between the two
            elif path.name not in _EXPECTED:
                strangers.append(path.name)
        if strangers:
            raise InputError(
                f"the folder is not empty and not a run of overt (it holds {strangers[0]!r})",
                where=str(self.folder),
                fix="Give --out a new folder.",
            )

    def _clear(self) -> None:
        """Takes away what a run without a finished call has written: its stages and what it decided would
        be taken for those of the run that comes. `run.json` is written over, last."""
        for name in ("decisions.json", "addresses.json"):
            (self.folder / name).unlink(missing_ok=True)
        for path in (self.folder / "stages").glob("*.jsonl"):
            path.unlink()

    @staticmethod
    def addresses(folder: Path) -> dict[str, dict[str, str]]:
        """How the models of a run were reached last, as `claim` was told; empty where nobody said.

        Raises:
            InputError: the file is there and cannot be read.
        """
        path = folder / "addresses.json"
        if not path.exists():
            return {}
        known = read_json(path)
        return {what: dict(by) for what, by in known.items() if isinstance(by, dict)}

    @staticmethod
    def identity(folder: Path) -> dict[str, Any] | None:
        """What `run.json` says, None where there is none.

        Raises:
            InputError: the file is there and cannot be read.
        """
        path = folder / "run.json"
        if not path.exists():
            return None
        return read_json(path)

    # -- small facts decided on the way, kept so that a resume decides alike -------------------

    def decision(self, name: str) -> Any:
        path = self.folder / "decisions.json"
        return read_json(path).get(name) if path.exists() else None

    def decide(self, name: str, value: Any) -> None:
        path = self.folder / "decisions.json"
        known = read_json(path) if path.exists() else {}
        write_atomic(path, dump_json({**known, name: value}))

    # -- records ------------------------------------------------------------------------------

    def write_stage(self, name: str, records: Iterable[Any]) -> int:
        """Writes `stages/NAME.jsonl`, whole or not at all; the number of records."""
        return self.write_records(f"stages/{name}.jsonl", records)

    def write_records(self, name: str, records: Iterable[Any]) -> int:
        """Writes records to a JSONL file of the run, whole or not at all; their number."""
        lines = [json.dumps(to_json(r), ensure_ascii=False) for r in records]
        blob = "".join(line + "\n" for line in lines)
        write_atomic(self.folder / name, blob.encode("utf-8", "surrogatepass"))
        return len(lines)

    def has_stage(self, name: str) -> bool:
        return (self.folder / "stages" / f"{name}.jsonl").exists()

    def read_stage(self, name: str, kind: type[T]) -> list[T]:
        """The records of a stage; an empty list where the stage wrote none."""
        return read_records(self.folder / "stages" / f"{name}.jsonl", kind)

    # -- the end ------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a complete run, None while it is not complete."""
        path = self.folder / "manifest.json"
        return read_json(path) if path.exists() else None

    def finish(self, summary: dict[str, Any], parts: Sequence[str] = ("dataset",)) -> dict[str, Any]:
        """Writes the manifest, with the BLAKE2b hash of every file in these folders: the last write."""
        files = {
            str(p.relative_to(self.folder)): hashlib.blake2b(p.read_bytes(), digest_size=16).hexdigest()
            for part in parts
            for p in sorted((self.folder / part).rglob("*"))
            if p.is_file()
        }
        manifest = {**summary, "files": files}
        write_atomic(self.folder / "manifest.json", dump_json(manifest))
        return manifest


def digest_source(spec: str | None) -> str | None:
    """A hash of the file or folder behind a source, so that a changed one is noticed; None for the Hub."""
    if spec is None:
        return None
    from overt.data.tables.sources import parse_source

    path = parse_source(spec).path
    if path is None:
        return None
    files = sorted(p for p in _data_of(path).rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.blake2b(digest_size=16)
    with speaking_os_errors("cannot read an input"):
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _data_of(folder: Path) -> Path:
    """Of a run its dataset: journal and lock change without the data changing."""
    return folder / "dataset" if (folder / "dataset").is_dir() else folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a run.

    Raises:
        InputError: unreadable, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("is not a JSON object", where=str(path))
    return data


def read_records(path: Path, kind: type[T]) -> list[T]:
    """Records from a JSONL file that `write_stage` wrote.

    Raises:
        InputError: a line that is not such a record, with its number.
    """
    if not path.exists():
        return []
    records: list[T] = []
    with path.open("r", encoding="utf-8", errors="surrogatepass") as file:
        for number, line in enumerate(file, 1):
            try:
                records.append(from_json(kind, json.loads(line)))
            except (ValueError, TypeError, AttributeError) as error:
                raise InputError(
                    f"not a {kind.__name__} record: {error}", where=f"{path}:{number}"
                ) from error
    return records


def with_stored(given: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """What was given by role, and for the roles that nothing was given for, what the run was started with."""
    return dict(given) if "" in given else {**stored, **given}


def _without_secrets(text: str) -> str:
    """An address without user, password, and what in its query looks like a key; other text as it is."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    query = "&".join(p for p in parts.query.split("&") if not _SECRET.search(p.partition("=")[0]))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def differences(old: Any, new: Any, name: str = "") -> list[tuple[str, str, str]]:
    """Where two JSON values differ: (dotted name, old, new) of the innermost values, cut to where they do."""
    found: list[tuple[str, str, str]] = []
    both = (old, new)
    if all(isinstance(v, dict | None) for v in both):
        one, other = old or {}, new or {}
        for key in sorted(one.keys() | other.keys()):
            found += differences(one.get(key), other.get(key), f"{name}.{key}" if name else key)
    elif all(isinstance(v, list | None) for v in both):
        one, other = old or [], new or []
        for i in range(max(len(one), len(other))):
            before, after = (values[i] if i < len(values) else None for values in (one, other))
            found += differences(before, after, f"{name}[{i}]")
    if found or old == new:
        return found
    return [(name, *_cut(_said(old), _said(new)))]


def _said(value: Any) -> str:
    return "nothing" if value in (None, "", [], {}) else str(value)


def _cut(old: str, new: str, most: int = 60) -> tuple[str, str]:
    """Two texts, of long ones the part from shortly before where they differ."""
    if max(len(old), len(new)) <= most:
        return old, new
    ends = (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    same = next(ends, min(len(old), len(new)))
    first = max(0, same - most // 3)

    def part(text: str) -> str:
        head, tail = "..." if first else "", "..." if len(text) > first + most else ""
        return head + text[first : first + most] + tail

    return part(old), part(new)
