"""Writes files of a run atomically, and reads them with errors that name the line."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from overt.data.errors import InputError, RunError
from overt.data.json_types import Json
from overt.data.records import from_json, to_json
from overt.data.secrets import masked, storable_json
from overt.data.text import writable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


@contextlib.contextmanager
def speaking_os_errors(doing: str) -> Iterator[None]:
    """Turns an `OSError` into a `RunError` with a plain message."""
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


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that takes the name `path` at the end, so that readers never see half a file.

    Raises:
        RunError: disk full, folder not writable.
    """
    with speaking_os_errors(f"cannot write {path.name}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two threads may write the same image at once.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file whole, or not at all (see `writing`)."""
    with writing(path) as file:
        file.write(data)


_BLOCK = 1 << 20


def digest(*files: Path) -> str:
    """BLAKE2b of files, one after the other, read in blocks: 32 hex digits.

    Raises:
        OSError: a file cannot be read.
    """
    found = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
    return found.hexdigest()


def dump_json(data: object) -> bytes:
    """Readable JSON with a stable key order, without secrets, NUL and lone surrogates."""
    return (storable_json(data, indent=2, sort_keys=True) + "\n").encode("utf-8")


def text_bytes(text: str) -> bytes:
    """A text as it is written to a file: UTF-8, without secrets, NUL and lone surrogates."""
    return writable(masked(text)).encode("utf-8")


def write_records(path: Path, records: Iterable[DataclassInstance]) -> int:
    """Writes records atomically to a JSONL file, as they come; returns their number."""
    count = 0
    with writing(path) as file:
        for record in records:
            file.write(line_of(record))
            count += 1
    return count


def line_of(record: DataclassInstance) -> bytes:
    """The line of a record in a JSONL file."""
    return (storable_json(to_json(record)) + "\n").encode("utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        InputError: the file is unreadable, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("is not a JSON object", where=str(path))
    return data


def read_records(path: Path, kind: type[T]) -> list[T]:
    """Reads records from a JSONL file. Returns an empty list if the file does not exist.

    Raises:
        InputError: a line is not such a record; has the line number.
    """
    return [record for _, _, record in placed_records(path, kind)]


def placed_records(path: Path, kind: type[T]) -> Iterator[tuple[int, int, T]]:
    """The records of a JSONL file, each with where its line begins and how long it is, in bytes; none if the
    file does not exist.

    Raises:
        InputError: a line is not such a record; has the line number.
    """
    if not path.exists():
        return
    at = 0
    read = line_reader(kind)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = read(line)
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"not a record of type {kind.__name__}: {error}",
                    where=f"{path}:{number}",
                    fix="The line was cut or changed after it was written. A run of which you delete "
                    "manifest.json writes its stages/ again with --resume, from its journal.",
                ) from error
            yield at, len(line), record
            at += len(line)


def line_reader(kind: type[T]) -> Callable[[bytes], T]:
    """Reads a line as a record. msgspec does it in a tenth of the time; what it does not take, such as a word
    of a newer version, NaN or a lone surrogate, is read with less care for its types."""
    import msgspec

    def patient(line: bytes) -> T:
        return from_json(kind, json.loads(line.decode("utf-8", "surrogatepass")))

    try:
        decode = msgspec.json.Decoder(kind).decode
    except TypeError:  # a field of a type that msgspec does not know
        return patient

    def read(line: bytes) -> T:
        try:
            return decode(line)
        except (msgspec.MsgspecError, UnicodeError):
            return patient(line)

    return read


# -- differences ---------------------------------------------------------------------------------------------


MOST = 60  # shown characters of a value


def differences(old: Json, new: Json, name: str = "") -> list[tuple[str, str, str]]:
    """(dotted name, old, new) of the innermost values that differ, cut to the place of the difference."""
    if old == new:
        return []
    inner = [row for part in _parts(old, new, name) for row in differences(*part)]
    return inner or [(name, *_cut(_in_words(old), _in_words(new)))]


def _parts(old: Json, new: Json, name: str) -> list[tuple[Json, Json, str]]:
    """The pairs of values in two objects or two lists, each with its dotted name."""
    if isinstance(old, Mapping | None) and isinstance(new, Mapping | None):
        before, after = old or {}, new or {}
        keys = sorted(before.keys() | after.keys())
        return [(before.get(key), after.get(key), f"{name}.{key}" if name else key) for key in keys]
    if isinstance(old, list | None) and isinstance(new, list | None):
        both = itertools.zip_longest(old or [], new or [])
        return [(one, other, f"{name}[{i}]") for i, (one, other) in enumerate(both)]
    return []


def _in_words(value: Json) -> str:
    return "nothing" if value in (None, "", [], {}) else str(value)


def _cut(old: str, new: str) -> tuple[str, str]:
    """Cuts two long texts to a part that begins shortly before their first difference."""
    if max(len(old), len(new)) <= MOST:
        return old, new
    ends = (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    same = next(ends, min(len(old), len(new)))
    first = max(0, same - MOST // 3)

    def part(text: str) -> str:
        head, tail = "..." if first else "", "..." if len(text) > first + MOST else ""
        return head + text[first : first + MOST] + tail

    return part(old), part(new)
