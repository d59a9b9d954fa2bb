"""Reads rows from files: CSV, TSV, JSONL, JSON, Parquet and plain lines, gzipped or not.

Only one row and a buffer are held, so a file may be larger than memory. Errors name the line or row.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from overt.data.errors import InputError
from overt.data.tables.json_values import JsonValues, json_reason
from overt.data.tables.layouts import Kind, kind_of

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
_LONGEST = 16 << 20  # characters in one line or one JSON value
_ESCAPED = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One record of a table.

    `number` counts from 1; `where` is its place for errors; `values` are by column. `unread` has the kinds
    of the columns that are not read (lists and images in Parquet).
    """

    number: int
    where: str
    values: dict[str, object]
    unread: Mapping[str, Kind] = {}


def format_of(path: Path) -> str | None:
    """The format by the file's name, or None; `.gz` may follow."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def read_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a file, in order.

    The lines of a `.txt` file and the strings of a JSON list are in the column `text`.

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
    # `surrogateescape` lets invalid UTF-8 through to here, where the line is known.
    if not value.isascii() and _ESCAPED.search(value):
        raise InputError(
            "these bytes are not UTF-8",
            where=f"{path}, line {line}",
            fix="Save the file as UTF-8 (in a spreadsheet: CSV UTF-8).",
        )
    return value


def _csv(path: Path, text: IO[str], delimiter: str | None) -> Iterator[Row]:
    records = _csv_records(path, text, delimiter)
    head = next(records, None)
    if head is None:
        raise InputError("the file is empty", where=str(path), fix="The first line has to name the columns.")
    columns = _csv_columns(*head)
    for number, (where, fields) in enumerate(records, 1):
        if len(fields) > len(columns) and any(field.strip() for field in fields[len(columns) :]):
            raise InputError(
                f"this row has {len(fields)} fields, the first line names {len(columns)} columns",
                where=where,
                fix="Put texts with commas in double quotes.",
            )
        values: dict[str, object] = dict(zip(columns, fields + [""] * len(columns), strict=False))
        values.pop("", None)
        yield Row(number, where, values)


def _csv_records(path: Path, text: IO[str], delimiter: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yields the place and the fields of each record, the header included."""
    lines = _lines(path, text)
    head = next(lines, None)
    if head is None:
        return
    # Without `strict`, an unclosed quote would silently swallow the rest of the file.
    reader = csv.reader(chain([head], lines), delimiter=delimiter or _delimiter(head), strict=True)
    while True:
        begins = reader.line_num + 1
        where = f"{path}, line {begins}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"the row that begins here is not valid CSV: {error}",
                where=where,
                fix="Look for a quote that is not closed. Inside quotes, a quote is written twice.",
            ) from error
        if fields is None:
            return
        yield where, [_decoded(field, path, begins) for field in fields]


def _csv_columns(where: str, fields: list[str]) -> list[str]:
    columns = [field.strip() for field in fields]
    twice = next((c for c in columns if c and columns.count(c) > 1), None)
    if twice is not None:
        raise InputError(f"two columns are named {twice!r}", where=where, fix="Rename one.")
    if not any(columns):
        raise InputError(
            "the first line names no columns", where=where, fix="The first line has to name the columns."
        )
    return columns


def _delimiter(head: str) -> str:
    """The most frequent of , ; tab | outside quotes in the header; a comma if it has none."""
    bare = "".join(head.split('"')[::2])
    return max(",;\t|", key=lambda c: (bare.count(c), c == ","))


def _record(value: object, number: int, where: str) -> Row:
    if isinstance(value, str):
        return Row(number, where, {"text": value})
    if isinstance(value, dict):
        return Row(number, where, {str(k).strip(): v for k, v in value.items()})
    kind = "null" if value is None else "a list" if isinstance(value, list) else f"a {kind_of(value)}"
    raise InputError(
        f"this is {kind}, not an object with named fields",
        where=where,
        fix='Write one object a line, such as {"prompt": "a text"}.',
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
                f"this line is not valid JSON ({json_reason(error)})",
                where=where,
                fix="A JSONL file holds one complete JSON object a line.",
            ) from error
        number += 1
        yield _record(value, number, where)


def _json(path: Path, text: IO[str]) -> Iterator[Row]:
    """Reads a JSON list of objects or strings, or objects that follow each other, value by value."""
    values = JsonValues(
        lambda size, line: _decoded(text.read(size), path, line),
        lambda line: f"{path}, line {line}",
        _LONGEST,
    )
    held: dict[str, object] | None = None
    for number, (at, value, listed) in enumerate(values, 1):
        if number == 1 and not listed and isinstance(value, dict):
            held = value  # a row if another value follows, else an object that may hold the table
            continue
        if held is not None:
            yield _record(held, 1, f"{path}, line 1")
            held = None
        yield _record(value, number, f"{path}, line {at}")
    if held is not None:
        tables = [v for v in held.values() if isinstance(v, list) and v and isinstance(v[0], (dict, str))]
        for number, row in enumerate(tables[0] if len(tables) == 1 else [held], 1):
            yield _record(row, number, f"{path}, row {number}")


def _parquet(path: Path) -> Iterator[Row]:
    with path.open("rb"):
        pass  # a missing file or a folder raises the same error as for other formats
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            # Lists and images are not text and can be most of the file, so they are not read.
            unread = {f.name: k for f in file.schema_arrow if (k := _kind_of_bulk(f.type)) is not None}
            columns = [field.name for field in file.schema_arrow if field.name not in unread]
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, f"{path}, row {number}", values, unread)
    except pa.ArrowException as error:
        raise InputError(
            f"this is not a readable Parquet file ({str(error).splitlines()[0][:200]})", where=str(path)
        ) from error


def _kind_of_bulk(arrow_type: object) -> Kind | None:
    """The kind of a column of lists, objects or bytes; None for flat values."""
    from pyarrow import types

    if types.is_binary(arrow_type) or types.is_large_binary(arrow_type):
        return "image bytes"
    if not types.is_nested(arrow_type):
        return None
    written = str(arrow_type)  # such as list<element: struct<content: string, role: string>>
    if not written.startswith(("list", "large_list", "fixed_size_list")):
        return "image bytes" if "bytes: binary" in written else "object"
    return "chat messages" if "content: " in written and "role: " in written else "list"
