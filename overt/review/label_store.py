"""RUN/review.sqlite: the plan of a review, and all labels.

Labels are never changed or deleted: a row is added, and the last one of a reviewer for an item counts; a
row without a label takes the earlier one back (undo). As in the journal of calls: in WAL mode a committed
label survives `kill -9`; with `synchronous=NORMAL` a power cut may cost the last few, never the file, and a
key does not wait for the disk (8 ms on a plain one).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.errors import InputError, RunError
from overt.data.records import content_id
from overt.data.text import writable
from overt.review.population import ByOutcome, Frame, Subject
from overt.review.questions import QUESTIONS, QuestionName
from overt.review.sample import Key, Pick, Sample, Stratum, draw

FILE = "review.sqlite"
VERSION = "1"
_FIELDS = tuple(field.name for field in dataclasses.fields(Subject))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS strata (
    question TEXT NOT NULL, id INTEGER NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL,
    planned INTEGER NOT NULL, PRIMARY KEY (question, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, question TEXT NOT NULL, stratum INTEGER NOT NULL,
    shared INTEGER NOT NULL, subject TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS labels (
    id INTEGER PRIMARY KEY, place INTEGER NOT NULL, reviewer TEXT NOT NULL, label TEXT, note TEXT NOT NULL,
    seconds REAL NOT NULL, at REAL NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a review was set up. `population` is a hash of what it was drawn from; `by` is set where it was
    drawn by outcome."""

    ask: tuple[str, ...]
    items: int
    overlap: float
    seed: int
    population: str
    by: ByOutcome | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the sample. `place` is where it stands in the queue; `shared` ones go to everybody."""

    place: int
    id: str
    stratum: int
    shared: bool
    subject: Subject


@dataclass(frozen=True, slots=True)
class HumanLabel:
    """A reviewer's current label of an item. `seconds` from display to key press, `at` seconds since 1970."""

    place: int
    reviewer: str
    label: str
    note: str
    seconds: float
    at: float


class LabelStore:
    """One open review. Safe to use from several threads; other processes may read meanwhile."""

    def __init__(self, run: Path, *, make: bool = False) -> None:
        """Opens the review of a run.

        Raises:
            InputError: there is none, and `make` was not asked for; or a newer overt has written it.
            RunError: the file cannot be opened or is not a review.
        """
        self.path = run / FILE
        self._lock = threading.Lock()
        if not make and not self.path.exists():
            raise InputError("this run has not been reviewed", where=str(run), fix=f"overt review {run}")
        with self._speaking("cannot open the review"):
            self._db = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if make:
                self._db.executescript(_SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO facts VALUES ('version', ?)", (VERSION,))
            version = self._fact("version")
        if version != VERSION:
            self.close()
            raise InputError(f"this review has the format {version}, not {VERSION}", where=str(self.path))

    def close(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the plan -----------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """How the review was set up, None where it has not been."""
        with self._lock, self._speaking("cannot read the review"):
            text = self._fact("plan")
        if text is None:
            return None
        data = json.loads(text)
        by = ByOutcome(**data["by"]) if data.get("by") else None
        return Plan(tuple(data["ask"]), data["items"], data["overlap"], data["seed"], data["population"], by)

    def set_up(self, frame: Frame, *, ask: Sequence[str], items: int, overlap: float, seed: int) -> None:
        """Draws the sample, or extends an earlier one.

        Raises:
            InputError: a question that the run has nothing for; more items of a run that has changed since,
                or of other questions, another seed or overlap.
        """
        earlier = self.plan
        if earlier is not None:
            ask = ask or earlier.ask
            same = (set(ask), overlap, seed, frame.by) == (
                set(earlier.ask), earlier.overlap, earlier.seed, earlier.by,
            )  # fmt: skip
            if same and items <= earlier.items:
                return
        chosen = frame.chosen(ask)
        plan = Plan(tuple(chosen), items, overlap, seed, _digest(chosen, frame), frame.by)
        if earlier is not None:
            self._check_same(earlier, plan)
            plan = dataclasses.replace(plan, items=max(items, earlier.items))
        with self._lock, self._speaking("cannot write the review"), self._transaction():
            known = {row[0] for row in self._db.execute("SELECT id FROM items")}
            for question, count in split({q: len(rows) for q, rows in chosen.items()}, plan.items).items():
                self._draw(question, chosen[question], count, plan, known, frame)
            self._db.execute(
                "INSERT OR REPLACE INTO facts VALUES ('plan', ?)", (_dump(dataclasses.asdict(plan)),)
            )

    def _check_same(self, earlier: Plan, plan: Plan) -> None:
        for name, before, now in (
            ("--by-outcome and --by-category", earlier.by, plan.by),
            ("--ask", earlier.ask, plan.ask),
            ("--overlap", earlier.overlap, plan.overlap),
            ("--seed", earlier.seed, plan.seed),
            ("the run itself", earlier.population, plan.population),
        ):
            if before != now:
                raise InputError(
                    f"this review was drawn with another state of {name}; it can go on, but not grow",
                    where=str(self.path),
                    fix="Go on without these options, or move review.sqlite away to begin anew.",
                )

    def _draw(
        self,
        question: QuestionName,
        subjects: Sequence[Subject],
        count: int,
        plan: Plan,
        known: Collection[str],
        frame: Frame,
    ) -> None:
        """Draws the sample of one question and adds what was not drawn before."""
        rows = self._db.execute("SELECT key FROM strata WHERE question = ?", (question,)).fetchall()
        keys = [tuple(json.loads(key)) for (key,) in rows]
        sample = _drawn(subjects, count, plan, keys, frame)
        self._db.executemany(
            "INSERT OR REPLACE INTO strata VALUES (?,?,?,?,?)",
            [(question, s.id, _dump(s.key), s.size, s.planned) for s in sample.strata],
        )
        self._db.executemany(
            "INSERT INTO items (id, question, stratum, shared, subject) VALUES (?,?,?,?,?)",
            [_row(pick) for pick in sample.picks if _id(pick.subject) not in known],
        )

    def strata(self, question: str) -> list[Stratum]:
        """The strata of a question, those alike beside each other."""
        rows = self._read(
            "SELECT id, key, size, planned FROM strata WHERE question = ? ORDER BY key", (question,)
        )
        return [Stratum(id, tuple(json.loads(key)), size, planned) for id, key, size, planned in rows]

    def queue(self) -> list[tuple[int, bool]]:
        """(place, shared) of every item, in the order in which they are handed out."""
        return [
            (place, bool(shared))
            for place, shared in self._read("SELECT place, shared FROM items ORDER BY place")
        ]

    def item(self, place: int) -> Item:
        """One item.

        Raises:
            KeyError: no item has this place.
        """
        if 0 < place < 1 << 63:  # SQLite knows no larger numbers
            for item in self._items("WHERE place = ?", (place,)):
                return item
        raise KeyError(place)

    def items(self) -> list[Item]:
        """Every item, in the order of the queue."""
        return list(self._items("ORDER BY place"))

    def _items(self, where: str, values: Sequence[str | int] = ()) -> Iterator[Item]:
        for place, id, stratum, shared, text in self._read(
            f"SELECT place, id, stratum, shared, subject FROM items {where}", values
        ):
            yield Item(place, id, stratum, bool(shared), Subject(**json.loads(text)))

    # -- labels -------------------------------------------------------------------------------------------

    def add(
        self, place: int, reviewer: str, label: str | None, *, note: str = "", seconds: float = 0
    ) -> None:
        """Stores a label, or takes one back (None). Committed when this returns.

        Raises:
            RunError: disk full, read-only, or locked by another process.
        """
        with self._lock, self._speaking("the label was not stored"):
            self._db.execute(
                "INSERT INTO labels (place, reviewer, label, note, seconds, at) VALUES (?,?,?,?,?,?)",
                (place, writable(reviewer), label, writable(note), seconds, time.time()),
            )

    def labels(self) -> list[HumanLabel]:
        """The current label of each reviewer and item, in the order of the last change."""
        last: dict[tuple[int, str], HumanLabel | None] = {}
        for place, reviewer, label, note, seconds, at in self._read(
            "SELECT place, reviewer, label, note, seconds, at FROM labels ORDER BY id"
        ):
            last.pop((place, reviewer), None)  # a changed label moves to the end
            last[place, reviewer] = (
                HumanLabel(place, reviewer, label, note, seconds, at) if label is not None else None
            )
        return [label for label in last.values() if label is not None]

    def last(self, place: int, reviewer: str) -> tuple[str, str]:
        """Label and note that this reviewer gave an item last; empty where none was given."""
        rows = self._read(
            "SELECT label, note FROM labels WHERE place = ? AND reviewer = ? ORDER BY id DESC LIMIT 1",
            (place, reviewer),
        )
        return (rows[0][0] or "", rows[0][1]) if rows else ("", "")

    # -- small things -------------------------------------------------------------------------------------

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _read(self, sql: str, values: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._speaking("cannot read the review"):
            return self._db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _speaking(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = str(error)
            what, fix = text, "Mend this and press the key again; labels stored before are safe."
            if "full" in text:
                what = "the disk is full"
            elif "locked" in text or "busy" in text:
                what = "another process holds it"
            elif "readonly" in text or "read-only" in text or "unable to open" in text:
                what = "the folder is not writable"
            elif "malformed" in text or "not a database" in text or "no such table" in text:
                what, fix = "the file is damaged or no review", "Move it away to begin a new review."
            raise RunError(f"{doing}: {what}", where=str(self.path), fix=fix) from error


def split(sizes: Mapping[QuestionName, int], items: int) -> dict[QuestionName, int]:
    """Splits the items evenly over the questions; what one cannot use goes to the others."""
    given: dict[QuestionName, int] = {}
    left = items
    ordered = sorted(sizes, key=lambda q: sizes[q])
    for number, question in enumerate(ordered):
        given[question] = min(sizes[question], max(1, left // (len(ordered) - number)))
        left -= given[question]
    return {question: given[question] for question in QUESTIONS if question in given}


def by_item(labels: Sequence[HumanLabel]) -> dict[int, dict[str, str]]:
    """Place -> reviewer -> label."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for label in labels:
        found[label.place][label.reviewer] = label.label
    return dict(found)


def _drawn(subjects: Sequence[Subject], count: int, plan: Plan, keys: Sequence[Key], frame: Frame) -> Sample:
    if frame.by is None:
        return draw(subjects, count, overlap=plan.overlap, seed=plan.seed, keys=keys)
    outcomes, by = frame.outcomes, frame.by
    sizes = Counter(outcomes[s.id] for s in subjects)
    return draw(
        subjects,
        count,
        overlap=plan.overlap,
        seed=plan.seed,
        keys=keys,
        key_of=lambda s: (outcomes[s.id], *((s.category,) if by.by_category else ())),
        worth_of=lambda s: len(subjects) / sizes[outcomes[s.id]],
    )


def _id(subject: Subject) -> str:
    return f"{subject.question}/{subject.id}"


def _row(pick: Pick) -> tuple[str, str, int, bool, str]:
    subject = pick.subject
    fields = {name: getattr(subject, name) for name in _FIELDS}  # `asdict` would copy each value, slowly
    return _id(subject), subject.question, pick.stratum, pick.shared, _dump(fields)


def _digest(chosen: Mapping[QuestionName, Sequence[Subject]], frame: Frame) -> str:
    rows = sorted(
        (s.question, s.id, s.said, s.priority, s.category, s.target) for rows in chosen.values() for s in rows
    )
    if frame.by is None:
        return content_id("population", rows)
    return content_id("population by outcome", [(*row, frame.outcomes[row[1]]) for row in rows])


def _dump(data: object) -> str:
    # ASCII only: a lone surrogate in a hostile answer cannot be stored as UTF-8.
    return json.dumps(data, ensure_ascii=True, separators=(",", ":"))
