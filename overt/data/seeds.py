"""Reads seeds and the prompts of earlier sets from tables, run folders and datasets on the Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from overt.data.errors import InputError
from overt.data.records import Seed, clean_text, content_id
from overt.data.tables.columns import CATEGORY, TEXTS, Role, Table
from overt.data.tables.files import Row
from overt.data.tables.layouts import category_key
from overt.data.tables.sources import Source, parse_source

SEED = Role(
    "seed",
    (
        *("seed_prompt", "seed", "prompt", "text", "question", "instruction"),
        *("query", "goal", "behavior", "image_prompt"),
    ),
    TEXTS,
    alone=True,
)
EARLIER_PROMPT = Role(
    "prompt of an earlier set",
    (
        *("text", "prompt", "image_prompt", "benign_image_prompt", "unsafe_image_prompt"),
        *("caption", "seed_prompt", "question", "instruction"),
    ),
    TEXTS,
    alone=True,
)
_CATEGORY_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


class SeedReader(Iterator[Seed]):
    """Yields seeds one at a time and counts rows.

    After the last seed these counts are complete: `rows` read, `empty`, `repeated` (the first one counts)
    and `skipped` (of WildGuardMix: harmful prompts and jailbreaks).
    """

    def __init__(self, spec: str, limit: int | None = None) -> None:
        self.rows = self.empty = self.repeated = self.skipped = 0
        self._source = parse_source(spec)
        self._limit = limit
        self._seeds = self._read()

    def __next__(self) -> Seed:
        return next(self._seeds)

    def _read(self) -> Iterator[Seed]:
        source, columns, given = self._source, None, 0
        seen: set[int] = set()
        if self._limit is not None and self._limit <= 0:
            return
        for row in source.rows():
            self.rows += 1
            columns = columns or _SeedColumns(row, source)
            if columns.skips(row):
                self.skipped += 1
                continue
            text = clean_text(columns.text(row))
            if not text:
                self.empty += 1
                continue
            # 64-bit keys instead of texts keep the set small.
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            key = int.from_bytes(digest, "big")
            if key in seen:
                self.repeated += 1
                continue
            seen.add(key)
            yield Seed(content_id("seed", text), text, source.name, row.number, columns.category(row))
            given += 1
            if given == self._limit:
                return
        if not given:
            named = f"column {' or '.join(map(str, columns.seed))!r}" if columns else "the source"
            raise InputError(
                f"{named} holds no text in any of {self.rows} rows",
                where=source.name,
                fix="Name another column: " + source.name + ":COLUMN",
            )


def read_seeds(spec: str, *, limit: int | None = None) -> SeedReader:
    """Reads at most `limit` seeds of a source in its order, each text once.

    Args:
        spec: `FILE`, `FILE:COLUMN`, `ORG/NAME`, `ORG/NAME@CONFIG/SPLIT:COLUMN`. Without a column, OVERT's
            csv files give `seed_prompt`, or the prompt of a row without one; WildGuardMix gives its
            unharmful prompts that are not jailbreaks (name the column for all prompts); other tables give
            the column with a usual name.

    Raises:
        InputError: at the call, if the source does not exist; while reading, with file and row.
    """
    return SeedReader(spec, limit)


class _SeedColumns:
    """The columns of the seed (the first that is not empty counts) and of the category."""

    def __init__(self, first: Row, source: Source) -> None:
        table = Table(first, source.name)
        self._layout = table.layout(SEED)
        self.seed = table.needed(SEED, source.column)
        self._category = table.column(CATEGORY)
        # A user who names the column wants all its rows.
        not_seeds = self._layout.not_seeds if self._layout and source.column is None else {}
        self._not_seeds = [(c, values) for n, values in not_seeds.items() for c in table.having([n])]

    def skips(self, row: Row) -> bool:
        return any(column.key(row) in values for column, values in self._not_seeds)

    def text(self, row: Row) -> str:
        return next((text for column in self.seed if (text := column.text(row).strip())), "")

    def category(self, row: Row) -> str | None:
        """The category's id; None if the classifier must decide."""
        name = category_key(self._category.value(row))
        if self._layout:
            other = name if self._layout.keeps_other_categories else ""
            name = self._layout.categories.get(name, other)
        return name if _CATEGORY_ID.fullmatch(name) else None


def read_earlier_prompts(spec: str) -> Iterator[str]:
    """Reads the prompts of a run's folder, a dataset's folder, or any source of `read_seeds`.

    All prompt columns of a published table (OVERT's benign and unsafe ones) are read.

    Raises:
        InputError: at the call, if the source does not exist; while reading, with file and row.
    """
    tables = parse_source(spec).tables()
    return (text for table in tables for text in _texts(table))


def _texts(source: Source) -> Iterator[str]:
    columns = None
    for row in source.rows():
        columns = columns or Table(row, source.name).needed(EARLIER_PROMPT, source.column)
        for column in columns:
            if text := column.text(row).strip():
                yield text
