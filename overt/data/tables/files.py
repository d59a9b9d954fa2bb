"""Reads rows from files: CSV, TSV, JSONL, JSON, Parquet and plain lines, gzipped or not.

Only one row and a buffer are held, so a file may be larger than memory. Errors name the line or row.
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import IO

from overt.data.errors import InputError
from overt.data.tables.json_values import JsonValues, json_reason
from overt.data.tables.layouts import BESIDE_ROWS, kind_of
from overt.data.tables.parquet import LARGE, SAMPLE, parquet_rows, row_count, sampled_rows
from overt.data.tables.rows import Row as Row

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
# The line by which a spreadsheet tells the delimiter, also as it comes back from an editor of tables.
_SEPARATOR = re.compile(r'"?sep=([^\w\r\n"])"?[,;\t|]*\s*', re.IGNORECASE)


def format_of(path: Path) -> str | None:
    """The format by the file's name, or None; `.gz` may follow."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def read_rows(path: Path, step: int = 1, also: Collection[str] = ()) -> Iterator[Row]:
    """Yields the rows of a file, in order.

    The lines of a `.txt` file and the strings of a JSON list are in the column `text`.

    Args:
        step: only the first of so many rows or lines of CSV, TSV and JSONL is decoded.
        also: as in `parquet_rows`.

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
            yield from parquet_rows(path, also)
            return
        with _binary(path) as raw:
            text = io.TextIOWrapper(raw, encoding=_encoding(path), errors="surrogateescape", newline="")
            if kind in ("csv", "tsv"):
                yield from _csv(path, text, "\t" if kind == "tsv" else None, step)
            elif kind == "jsonl":
                yield from _jsonl(path, text, step)
            elif kind == "json":
                yield from _json(path, text)
            else:
                for number, line in enumerate(_lines(path, text), 1):
                    said = _decoded(line.rstrip("\r\n"), path, number)
                    yield Row(number, f"{path}, line {number}", {"text": said})


def sample_rows(path: Path, columns: Collection[str]) -> Iterator[Row] | None:
    """An even sample of the rows of a large file; None if the file is small, or can only be read whole.

    Args:
        columns: those that the rows shall have.

    Raises:
        InputError: as `read_rows`.
    """
    with _speaking(path):
        if format_of(path) == "parquet":
            return sampled_rows(path, columns) if row_count(path) > LARGE else None
        if format_of(path) in ("csv", "tsv", "jsonl") and (rows := _estimated_rows(path)) > LARGE:
            return read_rows(path, max(1, rows // SAMPLE))
    return None


def _estimated_rows(path: Path) -> int:
    """About how many lines a file has, by those at its beginning and its size."""
    with _binary(path) as file:
        start = file.read(1 << 20)
    size = path.stat().st_size
    if isinstance(file, gzip.GzipFile):
        with path.open("rb") as packed:  # its last four bytes are its unpacked size, modulo 4 GiB
            packed.seek(-4, os.SEEK_END)
            size = int.from_bytes(packed.read(), "little")
    return size * start.count(b"\n") // max(len(start), 1)


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
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # UTF-16 without a mark: tables begin with a character of ASCII, of which one byte is 0.
    if len(start) > 1 and start.count(0) == len(start) // 2:
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8-sig"


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


def _csv(path: Path, text: IO[str], delimiter: str | None, step: int) -> Iterator[Row]:
    records = _csv_records(path, text, delimiter, step)
    head = next(records, None)
    if head is None:
        raise InputError("the file is empty", where=str(path), fix="The first line has to name the columns.")
    columns = _csv_columns(*head)
    for number, (where, fields) in zip(itertools.count(1, step), records, strict=False):
        if len(fields) > len(columns) and any(field.strip() for field in fields[len(columns) :]):
            raise InputError(
                f"this row has {len(fields)} fields, the first line names {len(columns)} columns",
                where=where,
                fix="Put texts with commas in double quotes.",
            )
        values: dict[str, object] = dict(zip(columns, fields + [""] * len(columns), strict=False))
        values.pop("", None)
        yield Row(number, where, values)


def _csv_records(
    path: Path, text: IO[str], delimiter: str | None, step: int
) -> Iterator[tuple[str, list[str]]]:
    """Yields the place and the fields of the header, and of the first of each `step` records."""
    lines = _lines(path, text)
    head = next(lines, None)
    skipped = 0
    if head is not None and (told := _SEPARATOR.fullmatch(head)):
        delimiter = told[1]
        head, skipped = next(lines, None), 1
    if head is None:
        return
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    # Without `strict`, an unclosed quote would silently swallow the rest of the file.
    sign = delimiter or _delimiter(head)
    records = chain([head], _with_quotes_kept(lines) if sign == "\t" else lines)
    reader = csv.reader(records, delimiter=sign, strict=True)
    passed, is_header = 0, True
    while True:
        begins = reader.line_num + 1 + skipped
        where = f"{path}, line {begins}"
        try:
            collections.deque(islice(reader, passed), maxlen=0)
            begins = reader.line_num + 1 + skipped
            where = f"{path}, line {begins}"
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
        passed, is_header = (0, False) if is_header else (step - 1, False)


# A field in which text follows its closing quote: tables with tabs seldom quote, so the quotes belong to it.
_QUOTES_OF_THE_TEXT = re.compile(r'(?<![^\t])"(?:[^"\t]|"")*"(?=[^"\t\r\n])[^\t\r\n]*')


def _with_quotes_kept(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a TSV file, with `"Go" on a wall` quoted as CSV quotes it. A line that goes on in the
    quotes of the one before it stays as it is."""
    is_open = False
    for line in lines:
        if '"' in line:
            if not is_open:
                line = _QUOTES_OF_THE_TEXT.sub(lambda field: '"' + field[0].replace('"', '""') + '"', line)
            is_open ^= line.count('"') % 2 == 1
        yield line


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


def _jsonl(path: Path, text: IO[str], step: int) -> Iterator[Row]:
    number = 0
    for at, line in islice(enumerate(_lines(path, text), 1), 0, None, step):
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
        for number, row in enumerate(_rows_in(held), 1):
            yield _record(row, number, f"{path}, row {number}")


def _with_beside(rows: list[object], name: str, held: Mapping[str, object]) -> list[object]:
    """The rows with what stands beside them for all of them, where they lack it."""
    outer, fields = BESIDE_ROWS.get(name, ("", ()))
    beside = held.get(outer)
    told = {field: beside[field] for field in fields if field in beside} if isinstance(beside, dict) else {}
    return [{**told, **row} if isinstance(row, dict) else row for row in rows] if told else rows


def _rows_in(held: dict[str, object]) -> list[object]:
    """The rows in the only object of a file: its only list of rows, its numbered objects, or itself."""
    tables = {k: v for k, v in held.items() if isinstance(v, list) and v and isinstance(v[0], (dict, str))}
    if len(tables) == 1:
        [(name, found)] = tables.items()
        return _with_beside(found, name, held)
    if held and all(key.isdecimal() and isinstance(value, dict) for key, value in held.items()):
        return list(held.values())
    return [held]
