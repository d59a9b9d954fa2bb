"""The index of one run: SQLite, made from its records, with a full-text index over prompts and answers.

It holds what is filtered and sorted by, and where in the run's files the rest stands; what a page shows of an
answer is read from there. It is made under another name and then renamed, so that a reader never sees half of
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from overt.data.errors import OvertError, RunError
from overt.data.json_types import Json
from overt.data.records import Prompt, Turn
from overt.data.run.files import speaking_os_errors
from overt.data.text import encodable, visible
from overt.policies.load import load_policy
from overt.view.shapes import PARTS, Cell, Line, Place, rows_of

VERSION = 4  # raised when the tables, or what is in them, change
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE prompt (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL, text TEXT NOT NULL, category TEXT NOT NULL, label TEXT NOT NULL,
    pair TEXT NOT NULL, variant TEXT NOT NULL, picture INTEGER NOT NULL, turns INTEGER NOT NULL,
    refusals INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE target (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE cell (
    n INTEGER PRIMARY KEY, prompt INTEGER NOT NULL, target INTEGER NOT NULL, sample INTEGER NOT NULL,
    state TEXT NOT NULL, stage TEXT NOT NULL, code TEXT NOT NULL, harm TEXT NOT NULL DEFAULT '',
    pictures INTEGER NOT NULL, part TEXT NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE line (prompt INTEGER NOT NULL, part TEXT NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE VIRTUAL TABLE prompt_words USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE cell_words USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
"""
# Made after the rows, which is faster.
_INDEXES = """
UPDATE prompt SET refusals = counted.k FROM (
    SELECT prompt, count(DISTINCT target) AS k FROM cell WHERE state = 'refused' GROUP BY prompt
) AS counted WHERE counted.prompt = prompt.n;
CREATE INDEX prompt_id ON prompt (id);
CREATE INDEX prompt_pair ON prompt (pair) WHERE pair != '';
CREATE INDEX prompt_variant ON prompt (variant) WHERE variant != '';
CREATE INDEX prompt_refusals ON prompt (refusals DESC, n);
CREATE INDEX prompt_part ON prompt (category, label, n);
CREATE INDEX cell_prompt ON cell (prompt, target, sample, state, stage, code, harm);
CREATE INDEX line_prompt ON line (prompt);
"""
_AT_ONCE = 2000
# Scripts that are written without spaces: each letter is a word.
_ALONE = re.compile(
    r"([\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)

Told = Callable[[float, str], None]


def signature_of(folder: Path, kind: str) -> str:
    """Version, and size and date of every file that the index is made of, as text."""
    found: list[Json] = [VERSION, kind]
    for part in PARTS[kind]:
        try:
            stat = (folder / part).stat()
        except OSError:
            found.append([part, -1, 0])
        else:
            found.append([part, stat.st_size, stat.st_mtime_ns])
    return json.dumps(found)


def words_of(text: str) -> str:
    """A text as it is indexed and searched."""
    return text if text.isascii() else _ALONE.sub(r" \1 ", encodable(text))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """An index to read from."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        yield db
    finally:
        db.close()


def read_signature(path: Path) -> str:
    """The signature that an index was made of; "" if there is none that can be read."""
    if not path.exists():
        return ""
    try:
        with opened(path) as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'signature'").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def build(folder: Path, kind: str, path: Path, told: Told = lambda share, what: None) -> None:
    """Makes the index of a run.

    Args:
        path: where it is put; an earlier one is replaced.
        told: is told how far it is, 0 to 1, and what is read.

    Raises:
        InputError: a record of the run cannot be read; has the file and the line.
        RunError: the index cannot be written.
    """
    signature = signature_of(folder, kind)
    total = sum(size for _, size, _ in json.loads(signature)[2:] if size > 0) or 1
    half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with speaking_os_errors("cannot write the index"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            half.unlink(missing_ok=True)
            half.touch(mode=0o600)
            with contextlib.closing(sqlite3.connect(half, isolation_level=None)) as db:
                db.executescript(
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
                )
                db.executescript(_TABLES)
                db.execute("BEGIN")
                _Writer(db, total, told).write(folder, kind)
                told(0.95, "sorting")
                facts = {
                    "policy": json.dumps(_policy(folder)),
                    "signature": signature,
                    "folder": str(folder.resolve()),
                    "facets": json.dumps(_facets(db)),
                }
                db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
                db.execute("COMMIT")
                db.executescript(_INDEXES)
            half.replace(path)
        except sqlite3.Error as error:
            raise RunError(f"cannot write the index: {error}", where=str(path)) from error
        finally:
            half.unlink(missing_ok=True)


class _Writer:
    """Writes the rows of one run in portions."""

    def __init__(self, db: sqlite3.Connection, total: int, told: Told) -> None:
        self._db, self._total, self._told = db, total, told
        self._read = 0
        self._prompts: dict[str, int] = {}
        self._targets: dict[str, int] = {}
        self._cells: dict[str, int] = {}
        self._count = 0
        self._waiting: dict[str, list[tuple[object, ...]]] = {}

    def write(self, folder: Path, kind: str) -> None:
        for row in rows_of(folder, kind, self._advance):
            if isinstance(row, Cell):
                self._cell(row)
            elif isinstance(row, Line):
                self._line(row)
            else:
                self._prompt(*row)
        for query in list(self._waiting):
            self._flush(query)

    def _prompt(self, prompt: Prompt, place: Place | None) -> None:
        if prompt.id in self._prompts:
            return
        n = self._prompts[prompt.id] = len(self._prompts) + 1
        text = encodable(str(prompt.text))
        turns = _turns(prompt)
        values = (
            prompt.id,
            text,
            prompt.category,
            prompt.label,
            prompt.pair_id or "",
            prompt.variant_of or "",
        )
        carries = (int(bool(prompt.image)), len(turns))
        self._put("INSERT INTO prompt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", (n, *_texts(values), *carries))
        said = " ".join([text, *(str(turn.content) for turn in turns)])
        self._put("INSERT INTO prompt_words (rowid, text) VALUES (?, ?)", (n, words_of(said)))
        if place is not None:
            self._put("INSERT INTO line VALUES (?, ?, ?, ?)", (n, place.part, place.at, place.size))

    def _cell(self, cell: Cell) -> None:
        prompt = self._prompts.get(cell.prompt_id)
        if prompt is None:
            return  # an outcome of a prompt that the run does not have
        target = self._targets.get(cell.column)
        if target is None:
            target = self._targets[cell.column] = len(self._targets) + 1
            self._put("INSERT INTO target VALUES (?, ?)", (target, *_texts((cell.column,))))
        self._count += 1
        n = self._count
        if cell.outcome_id:
            self._cells[cell.outcome_id] = n
        place = cell.place or Place("", 0, 0)
        self._put(
            "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?)",
            (
                n, prompt, target, int(cell.sample), *_texts((cell.state, cell.stage, cell.code)),
                cell.pictures, place.part, place.at, place.size,
            ),
        )  # fmt: skip
        if cell.text:
            self._put("INSERT INTO cell_words (rowid, text) VALUES (?, ?)", (n, words_of(cell.text)))

    def _line(self, line: Line) -> None:
        prompt = self._prompts.get(line.prompt_id)
        if prompt is None:
            return
        place = line.place
        self._put("INSERT INTO line VALUES (?, ?, ?, ?)", (prompt, place.part, place.at, place.size))
        cell = self._cells.get(line.outcome_id)
        if line.harm and cell is not None:
            self._put("UPDATE cell SET harm = ? WHERE n = ?", (*_texts((line.harm,)), cell))

    def _put(self, query: str, values: tuple[object, ...]) -> None:
        rows = self._waiting.setdefault(query, [])
        rows.append(values)
        if len(rows) >= _AT_ONCE:
            # All of them: a label is written after the cell that it belongs to.
            for other in list(self._waiting):
                self._flush(other)

    def _flush(self, query: str) -> None:
        rows = self._waiting[query]
        if rows:
            self._db.executemany(query, rows)
            rows.clear()

    def _advance(self, size: int) -> None:
        before, self._read = self._read, self._read + size
        if before * 200 // self._total != self._read * 200 // self._total:
            self._told(0.95 * min(1.0, self._read / self._total), "reading")


def _turns(prompt: Prompt) -> list[Turn]:
    """The earlier turns; records hold what a file says, which may be of another type than they declare."""
    found: object = prompt.turns
    return [turn for turn in found if isinstance(turn, Turn)] if isinstance(found, tuple) else []


def _texts(values: tuple[object, ...]) -> tuple[str, ...]:
    """Records hold what a file says, which may be of another type than they declare."""
    return tuple(encodable(str(value)) for value in values)


def _policy(folder: Path) -> dict[str, Json]:
    """The titles of the policy's categories, and why they are not known. They are kept here since to read a
    policy takes half a second."""
    try:
        policy = load_policy(str(folder / "policy.yaml"))
    except (OvertError, OSError) as error:
        return {"categories": {}, "policy_fault": visible(error)}
    titles: dict[str, Json] = {one.id: visible(one.title or one.id) for one in policy.categories}
    return {"categories": titles, "policy_fault": ""}


def _facets(db: sqlite3.Connection) -> dict[str, Json]:
    """How many prompts and cells there are, and what can be filtered by, the most frequent first."""

    def counted(query: str) -> list[Json]:
        return [list(row) for row in db.execute(f"{query} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500")]

    return {
        "prompts": db.execute("SELECT count(*) FROM prompt").fetchone()[0],
        "cells": db.execute("SELECT count(*) FROM cell").fetchone()[0],
        "pictures": db.execute("SELECT coalesce(sum(pictures), 0) FROM cell").fetchone()[0],
        "targets": [name for (name,) in db.execute("SELECT name FROM target ORDER BY n")],
        "category": counted("SELECT category, count(*) FROM prompt"),
        "label": counted("SELECT label, count(*) FROM prompt"),
        **{
            name: counted(f"SELECT {name}, count(*) FROM cell WHERE {name} != ''")
            for name in ("state", "stage", "code", "harm")
        },
        "sample": counted("SELECT sample, count(*) FROM cell"),
    }
