"""Reads rows from Parquet files, all of them or an even sample of a large file.

Columns of lists, objects and bytes are not read: they are no text, and can be most of a file.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.tables.layouts import Kind
from overt.data.tables.rows import Row, Unread

LARGE = 100_000  # rows; of a larger file a few prompts are drawn from a sample
SAMPLE = 4_000  # about so many rows of a large file
_BATCH = 1024
_WIDE_BATCH = 1 << 16


def parquet_rows(path: Path, also: Collection[str] = ()) -> Iterator[Row]:
    """Yields every row.

    Args:
        also: columns, in lower case, that are read although they hold lists, objects or bytes.

    Raises:
        InputError: it is not a readable Parquet file.
    """
    number = 0
    with _opened(path) as file:
        bulk = _unread(file.schema_arrow)
        unread = {name: kind for name, kind in bulk.items() if name.strip().casefold() not in also}
        columns = [field.name for field in file.schema_arrow if field.name not in unread]
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            # Without a column that is read, a batch still counts its rows.
            for values in batch.to_pylist() if columns else [{} for _ in range(batch.num_rows)]:
                number += 1
                yield Row(number, f"{path}, row {number}", values, unread)


def row_count(path: Path) -> int:
    """The number of rows, by the file's footer.

    Raises:
        InputError: it is not a readable Parquet file.
    """
    with _opened(path) as file:
        count: int = file.metadata.num_rows
        return count


def sampled_rows(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yields about `SAMPLE` rows at even distances over the whole file, since files are often sorted.

    Args:
        columns: those that the rows shall have.

    Raises:
        InputError: it is not a readable Parquet file.
    """
    with _opened(path) as file:
        step = max(1, file.metadata.num_rows // SAMPLE)
        before = 0
        for batch in file.iter_batches(batch_size=_WIDE_BATCH, columns=list(columns)):
            chosen = range(-before % step, batch.num_rows, step)
            for place, values in zip(chosen, batch.take(_indices(chosen)).to_pylist(), strict=True):
                number = before + place + 1
                yield Row(number, f"{path}, row {number}", values)
            before += batch.num_rows


def _indices(places: Sequence[int]) -> Any:
    """The places as an Arrow array. Made of a buffer, since a list would import pandas, which takes long."""
    import pyarrow as pa

    whole = array("q", places)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("rb"):
        pass  # a missing file or a folder raises the same error as for other formats
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowException as error:
        raise InputError(
            f"this is not a readable Parquet file ({str(error).splitlines()[0][:200]})", where=str(path)
        ) from error


def _unread(schema: Any) -> dict[str, Unread]:
    kinds = ((field, _kind_of_bulk(field.type)) for field in schema)
    return {field.name: Unread(kind, str(field.type)) for field, kind in kinds if kind is not None}


def _kind_of_bulk(arrow_type: Any) -> Kind | None:
    """The kind of a column of lists, objects or bytes; None for flat values."""
    from pyarrow import types

    if types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    written = str(arrow_type)  # such as list<element: struct<content: string, role: string>>
    if "binary" in written.partition("<")[0]:  # also large_binary, binary_view, fixed_size_binary[16]
        return "bytes"
    if not types.is_nested(arrow_type):
        return None
    if not written.startswith(("list", "large_list", "fixed_size_list")):
        return "image bytes" if "bytes: binary" in written else "object"
    return "chat messages" if "content: " in written and "role: " in written else "list"
