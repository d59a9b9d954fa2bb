"""Rows from files, one at a time: CSV, TSV, JSONL, JSON, Parquet and plain lines, gzipped or not.

Nothing here holds more than one row and a buffer, so a file may be larger than memory. Whatever is
wrong with a file is said with its line or row, never with a traceback.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from overt.data.errors import InputError

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "txt",
}
_LONGEST = 16 << 20  # characters in one line or one JSON value: no prompt is that long
_BUFFER = 1 << 20
_ESCAPED = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One record: its number from 1, where it stands (for errors), and its values by column."""

    number: int
    where: str
    values: dict[str, Any]


def format_of(path: Path) -> str | None:
    """The format that a file's name promises, or None; `.gz` may follow it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, in order.

    A `.txt` file gives one row a line, in the column `text`; so does a JSON list of strings.

    Raises:
        InputError: the file cannot be opened, its format is unknown, or a row cannot be read.
    """
    kind = format_of(path)
    if kind is None:
        raise InputError(
            f"{path.suffix or 'a file without an ending'} is no format that can be read",
            where=str(path),
            fix="Give .csv, .tsv, .jsonl, .json, .parquet or .txt; all but Parquet may be gzipped (.gz).",
        )
    with _speaking(path):
        if kind == "parquet":
            yield from _parquet(path)
            return
        with _binary(path) as raw:
            text = io.TextIOWrapper(raw, encoding=_encoding(path), errors="surrogateescape", newline="")
            if kind in ("csv", "tsv"):
                yield from _csv(path, text, "\t" if kind == "tsv" else None)
            elif kind == "jsonl":
                yield from _jsonl(path, text)
            elif kind == "json":
                yield from _json(path, text)
            else:
                for number, line in enumerate(_lines(path, text), 1):
                    yield Row(number, f"{path}, line {number}", {"text": _decoded(line, path, number)})


@contextlib.contextmanager
def _speaking(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=str(path), fix="Look at the path.") from error
    except IsADirectoryError as error:
        raise InputError("this is a folder, not a file", where=str(path)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"the gzip data is damaged ({error})", where=str(path), fix="Fetch or pack the file again."
        ) from error
    except UnicodeError as error:
        raise InputError(
            f"the text is not valid {getattr(error, 'encoding', 'Unicode')}",
            where=str(path),
            fix="Save the file as UTF-8.",
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _binary(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _encoding(path: Path) -> str:
    with _binary(path) as file:
        start = file.read(2)
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _lines(path: Path, text: IO[str]) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise InputError(
                f"a line is longer than {_LONGEST >> 20} million characters",
                where=f"{path}, line {number}",
                fix="Look whether the file is what its name says.",
            )
        yield line


def _decoded(value: str, path: Path, line: int) -> str:
    # Bytes that are no UTF-8 came through as lone surrogates, so that the line is still known here.
    if not value.isascii() and _ESCAPED.search(value):
        raise InputError(
            "these bytes are not UTF-8",
            where=f"{path}, line {line}",
            fix="Save the file as UTF-8 (in a spreadsheet: CSV UTF-8).",
        )
    return value


def _csv(path: Path, text: IO[str], delimiter: str | None) -> Iterator[Row]:
    lines = _lines(path, text)
    head = next(lines, None)
    if head is None:
        raise InputError("the file is empty", where=str(path), fix="The first line has to name the columns.")

    def all_lines() -> Iterator[str]:
        yield head
        yield from lines

    # strict: a quote that is never closed would otherwise swallow the rest of the file in silence.
    reader = csv.reader(all_lines(), delimiter=delimiter or _delimiter(head), strict=True)
    columns: list[str] = []
    number = 0
    while True:
        begins = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"the row that begins here is not valid CSV: {error}",
                where=f"{path}, line {begins}",
                fix="Look for a quote that is not closed. Inside quotes, a quote is written twice.",
            ) from error
        if fields is None:
            return
        fields = [_decoded(field, path, begins) for field in fields]
        if not columns:
            columns = [field.strip() for field in fields]
            twice = next((c for c in columns if c and columns.count(c) > 1), None)
            if twice is not None:
                raise InputError(
                    f"two columns are named {twice!r}", where=f"{path}, line {begins}", fix="Rename one."
                )
            if not any(columns):
                raise InputError(
                    "the first line names no columns",
                    where=f"{path}, line {begins}",
                    fix="The first line has to name the columns.",
                )
            continue
        number += 1
        if len(fields) > len(columns) and any(field.strip() for field in fields[len(columns) :]):
            raise InputError(
                f"this row has {len(fields)} fields, the first line names {len(columns)} columns",
                where=f"{path}, line {begins}",
                fix="Put texts with commas in double quotes.",
            )
        values = dict(zip(columns, fields + [""] * len(columns), strict=False))
        values.pop("", None)
        yield Row(number, f"{path}, line {begins}", values)


def _delimiter(head: str) -> str:
    """The one of , ; tab | that the head line holds most often outside quotes; a comma if none."""
    bare = "".join(head.split('"')[::2])
    return max(",;\t|", key=lambda c: (bare.count(c), c == ","))


def _record(value: Any, number: int, where: str) -> Row:
    if isinstance(value, str):
        return Row(number, where, {"text": value})
    if isinstance(value, dict):
        return Row(number, where, {str(k).strip(): v for k, v in value.items()})
    raise InputError(
        f"this is a {_kind(value)}, not an object with named fields",
        where=where,
        fix='Write one object a line, such as {"prompt": "a text"}.',
    )


def _kind(value: Any) -> str:
    return {bool: "truth value", int: "number", float: "number", list: "list", dict: "object"}.get(
        type(value), "null" if value is None else type(value).__name__
    )


def _jsonl(path: Path, text: IO[str]) -> Iterator[Row]:
    number = 0
    for at, line in enumerate(_lines(path, text), 1):
        if not line.strip():
            continue
        where = f"{path}, line {at}"
        try:
            value = json.loads(_decoded(line, path, at))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"this line is not valid JSON ({_reason(error)})",
                where=where,
                fix="A JSONL file holds one complete JSON object a line.",
            ) from error
        number += 1
        yield _record(value, number, where)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _json(path: Path, text: IO[str]) -> Iterator[Row]:
    """A JSON list of objects or strings, or objects one after the other; read value by value."""
    values = _json_values(path, text)
    number = 0
    held: dict[str, Any] | None = None
    for at, value, listed in values:
        number += 1
        if number == 1 and not listed and isinstance(value, dict):
            held = value  # whether it is the first row or holds the table, the next value tells
            continue
        if held is not None:
            yield _record(held, 1, f"{path}, line 1")
            held = None
        yield _record(value, number, f"{path}, line {at}")
    if held is not None:
        tables = [v for v in held.values() if isinstance(v, list) and v and isinstance(v[0], (dict, str))]
        for number, row in enumerate(tables[0] if len(tables) == 1 else [held], 1):
            yield _record(row, number, f"{path}, row {number}")


def _json_values(path: Path, text: IO[str]) -> Iterator[tuple[int, Any, bool]]:
    """(line, value, in a list) for each member of the list, or each value of a file that is no list."""
    decoder = json.JSONDecoder()
    buffer, line, ended, listed, wanted = "", 1, False, False, True

    def wrong(what: str) -> InputError:
        return InputError(
            what,
            where=f"{path}, line {line}",
            fix="Give a JSON list of objects, or rename a file of lines .jsonl.",
        )

    def skip(count: int) -> None:
        nonlocal buffer, line
        line += buffer.count("\n", 0, count)
        buffer = buffer[count:]

    while True:
        skip(len(buffer) - len(buffer.lstrip(" \t\r\n")))
        if not buffer:
            if ended:
                if listed:
                    raise wrong("the JSON list is never closed")
                return
            buffer = _decoded(text.read(_BUFFER), path, line)
            ended = not buffer
            continue
        if buffer[0] == "[" and not listed and wanted:
            listed = True
            skip(1)
            continue
        if listed and buffer[0] == "]":
            skip(1)
            if buffer.strip() or text.read(_BUFFER).strip():
                raise wrong("there is more after the end of the JSON list")
            return
        if listed and not wanted:
            if buffer[0] != ",":
                raise wrong("a comma is missing between two values")
            wanted = True
            skip(1)
            continue
        try:
            value, end = decoder.raw_decode(buffer)
        except RecursionError as error:
            raise wrong("a value is nested too deep") from error
        except ValueError as error:
            # Maybe the value only is not complete yet.
            if ended or len(buffer) > _LONGEST:
                raise wrong(f"this is not valid JSON ({_reason(error)})") from error
            more = _decoded(text.read(max(_BUFFER, len(buffer))), path, line)
            ended = not more
            buffer += more
            continue
        if end == len(buffer) and not ended:  # a number may go on in the next piece
            more = _decoded(text.read(_BUFFER), path, line)
            ended = not more
            buffer += more
            continue
        at = line
        skip(end)
        wanted = not listed
        yield at, value, listed


def _parquet(path: Path) -> Iterator[Row]:
    with path.open("rb"):
        pass  # a missing file or a folder says so in the words of all formats
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            # Nested columns are no text, and images in one can be the bulk of a file.
            flat = [field.name for field in file.schema_arrow if not _is_bulky(pa, field.type)]
            for batch in file.iter_batches(batch_size=1024, columns=flat):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, f"{path}, row {number}", values)
    except pa.ArrowException as error:
        raise InputError(
            f"this is not a readable Parquet file ({str(error).splitlines()[0][:200]})", where=str(path)
        ) from error


def _is_bulky(pa: Any, kind: Any) -> bool:
    is_ = pa.types
    return bool(is_.is_nested(kind) or is_.is_binary(kind) or is_.is_large_binary(kind))
