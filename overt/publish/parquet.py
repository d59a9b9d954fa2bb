"""Writes one config as Parquet shards, with the types of `datasets` and the pictures inside.

Equal rows give equal bytes, so a resumed upload recognises finished shards by their hashes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.json_types import JsonObject, texts_of
from overt.data.run.files import speaking_os_errors
from overt.publish.pictures import Pictures
from overt.publish.tables import Table, features

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SHARD_BYTES = 256 << 20  # small enough that a cut costs little, large enough to be few
_GROUP_ROWS = {True: 64, False: 10_000}  # with pictures, without


def write_table(
    table: Table, folder: Path, pictures: Pictures, *, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Writes `data/CONFIG/SPLIT-00000-of-0000N.parquet` under `folder`; the paths, relative to it.

    Holds no more than one row group in memory.

    Raises:
        RunError: disk full, folder not writable.
    """
    import pyarrow.parquet as pq

    schema = features(table).arrow_schema
    place = folder / "data" / table.config
    parts: list[Path] = []
    writer: pq.ParquetWriter | None = None
    try:
        with speaking_os_errors("cannot write the data"):
            place.mkdir(parents=True, exist_ok=True)
            for group in _groups(table, pictures, schema):
                if writer is None:
                    parts.append(place / f".{table.split}-{len(parts):05d}.tmp")
                    writer = pq.ParquetWriter(parts[-1], schema, compression="zstd", write_page_index=True)
                writer.write_table(group)
                if parts[-1].stat().st_size >= shard_bytes:
                    writer.close()
                    writer = None
            if writer is not None:
                writer.close()
            names = [f"{table.split}-{i:05d}-of-{len(parts):05d}.parquet" for i in range(len(parts))]
            for part, name in zip(parts, names, strict=True):
                part.replace(place / name)
    except BaseException:
        for part in parts:
            part.unlink(missing_ok=True)
        raise
    return [Path("data") / table.config / name for name in names]


def _groups(table: Table, pictures: Pictures, schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups as Arrow tables."""
    import pyarrow as pa

    single, several = table.columns_of("image"), table.columns_of("images")
    step = _GROUP_ROWS[bool(single or several)]

    def filled(row: JsonObject) -> dict[str, object]:
        made: dict[str, object] = dict(row)
        name = str(row.get("id") or "picture")
        for column in single:
            made[column] = pictures.get(str(row[column]), name) if row[column] else None
        for column in several:
            found = [pictures.get(path, f"{name}-{i}") for i, path in enumerate(texts_of(row[column]), 1)]
            made[column] = [picture for picture in found if picture is not None]
        return made

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for start in range(0, len(table.rows), step):
            rows = list(pool.map(filled, table.rows[start : start + step]))
            yield pa.Table.from_pylist(rows, schema=schema)
