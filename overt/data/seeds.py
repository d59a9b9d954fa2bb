"""Seeds, and the prompts of earlier sets: from tables, from run folders, from datasets on the Hub."""

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
    """Seeds, one at a time, and what was passed over.

    Attributes, complete once the last seed is read: `rows` read, `empty` ones, `repeated` ones (the
    first stands), `skipped` ones (of WildGuardMix: harmful prompts and jailbreak wrappings).
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
            # 64-bit keys instead of texts: the set stays small however long the texts are.
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
    """The seeds of a source, in its order, each text once; at most `limit` of them.

    Args:
        spec: `FILE`, `FILE:COLUMN`, `ORG/NAME`, `ORG/NAME@CONFIG/SPLIT:COLUMN`. Without a column:
            OVERT's csv files give `seed_prompt`, or the prompt itself where a row has none;
            WildGuardMix its unharmful prompts that are no jailbreaks, the ones over-refusal is about
            (name the column to have them all); other tables the column with a telling name.

    Raises:
        InputError: at the call, for a source that is not there; while reading, with file and row.
    """
    return SeedReader(spec, limit)


class _SeedColumns:
    """Which columns of a table are the seed (the first that is not empty) and the category."""

    def __init__(self, first: Row, source: Source) -> None:
        table = Table(first, source.name)
        self._layout = table.layout(SEED)
        self.seed = table.needed(SEED, source.column)
        self._category = table.column(CATEGORY)
        # Whoever names the column wants all its rows.
        not_seeds = self._layout.not_seeds if self._layout and source.column is None else {}
        self._not_seeds = [(c, values) for n, values in not_seeds.items() for c in table.having([n])]

    def skips(self, row: Row) -> bool:
        return any(column.key(row) in values for column, values in self._not_seeds)

    def text(self, row: Row) -> str:
        return next((text for column in self.seed if (text := column.text(row).strip())), "")

    def category(self, row: Row) -> str | None:
        """The category's id; None where only a classifier can tell."""
        name = category_key(self._category.value(row))
        if self._layout:
            other = name if self._layout.keeps_other_categories else ""
            name = self._layout.categories.get(name, other)
        return name if _CATEGORY_ID.fullmatch(name) else None


def read_earlier_prompts(spec: str) -> Iterator[str]:
    """The prompts of an earlier set: a run's folder, a dataset's folder, or any source of `read_seeds`.

    Of a table with several prompt columns (OVERT's benign and unsafe ones) all are read.

    Raises:
        InputError: at the call, for a source that is not there; while reading, with file and row.
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
