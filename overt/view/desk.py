"""The requests of the page, without HTTP: the runs, one of them, its prompts, a picture.

Requests call runs by their name in the list, prompts and pictures by number or id: no request names a path.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from overt.data.json_types import Json, JsonObject
from overt.data.records import Prompt
from overt.data.text import STAGES, STATES, visible
from overt.view import query
from overt.view.answers import KINDS, NO_PICTURE, Lines, brief, cut, input_picture, picture, said, whole
from overt.view.catalogue import Catalogue, Entry, headline_titles
from overt.view.index import opened
from overt.view.live import Live
from overt.view.made import Made, MadePage, Makers
from overt.view.query import cells, count, filters_of, page
from overt.view.shapes import PARTS
from overt.view.shelf import NotReady, Shelf
from overt.web.guard import Refused

SIDES = {"small": 320, "large": 1024}  # pixels
_KEPT = 48 << 20  # bytes of pictures
_COUNTS = 200
_LONGEST = 1200  # characters of a prompt in the list
_DAMAGED = re.compile("malformed|not a database|no such|disk image")
Asked = Mapping[str, str]


class _Open(NamedTuple):
    entry: Entry
    db: sqlite3.Connection
    facets: Mapping[str, Json]
    policy: Mapping[str, Json]
    signature: str

    @property
    def targets(self) -> list[str]:
        names = self.facets["targets"]
        return [str(name) for name in names] if isinstance(names, list) else []


class Desk:
    """The requests of the page. Safe to use from several threads."""

    def __init__(self, root: Path, cache: Path, makers: Makers) -> None:
        """
        Raises:
            InputError: there is no such folder.
        """
        self._catalogue, self._live, self._made = Catalogue(root), Live(), Made()
        self._shelf, self._makers = Shelf(cache), makers
        self._lock = threading.Lock()
        self._pictures: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._counts: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._shelf.tidy()

    def close(self) -> None:
        self._shelf.close()
        self._made.close()

    # -- the list -------------------------------------------------------------------------------------------

    def runs(self, asked: Asked) -> JsonObject:
        """Every run below the folder, and how far those are that are not complete."""
        return {
            "root": visible(self._catalogue.root),
            "titles": headline_titles(),
            "runs": [self._with_live(entry) for entry in self._catalogue.entries()],
        }

    def run(self, asked: Asked) -> JsonObject:
        """One run: what the list says of it, what it can be filtered by, and what can be done with it. While
        its index is being made, `indexing` says how far that is."""
        entry = self._entry(asked.get("run", ""))
        found: dict[str, Json] = {
            "facts": self._with_live(entry),
            "titles": headline_titles(),
            "categories": {},
            "policy_fault": "",
            "words": {"state": {**STATES}, "stage": {**STAGES}},
            "folder": visible(entry.folder),
            "reviewed": (entry.folder / "review.sqlite").exists(),
            "others": [
                other.name
                for other in self._catalogue.entries()
                if other.name != entry.name and other.is_complete and other.facts["kind"] == "run"
            ],
        }
        try:
            with self._open(entry) as at:
                facets = {name: _visible(value) for name, value in at.facets.items()}
                return {**found, **at.policy, "facets": facets, "values": dict(at.facets)}
        except NotReady as waiting:
            return {**found, **waiting.to_json()}
        except Refused as error:
            return {**found, "fault": error.why}

    def _with_live(self, entry: Entry) -> dict[str, Json]:
        facts = {**entry.facts, "faults": [*_list(entry.facts["faults"]), *self._shelf.faults(entry.folder)]}
        if entry.is_complete or entry.record is None:
            return facts
        return {**facts, "live": self._live.progress(entry.folder, entry.record)}

    # -- prompts --------------------------------------------------------------------------------------------

    def rows(self, asked: Asked) -> JsonObject:
        """A page of prompts with their cells (see `query.page`)."""
        limit = asked.get("limit", str(query.PAGE))
        if not limit.isdecimal() or not 0 < int(limit[:9]) <= query.MOST:
            raise Refused(400, f"limit is 1 to {query.MOST}")
        with self._open(self._entry(asked.get("run", ""))) as at:
            filters = filters_of(asked, at.targets)
            rows = page(at.db, filters, asked, int(limit))
            found = cells(at.db, [_int(row["n"]) for row in rows], filters.sample)
            with Lines(at.entry.folder, at.signature) as lines:
                return {
                    "rows": [
                        {**_shown(row), "cells": [brief(cell, lines) for cell in found[_int(row["n"])]]}
                        for row in rows
                    ]
                }

    def count(self, asked: Asked) -> JsonObject:
        """How many prompts the filters let through."""
        with self._open(self._entry(asked.get("run", ""))) as at:
            filters = filters_of(asked, at.targets)
            key = (at.entry.folder, at.signature, filters.where, filters.values)
            with self._lock:
                known = self._counts.get(key)
            if known is None:
                known = count(at.db, filters)
                with self._lock:
                    self._counts[key] = known
                    while len(self._counts) > _COUNTS:
                        self._counts.popitem(last=False)
            return {"count": known}

    def prompt(self, asked: Asked) -> JsonObject:
        """Everything about one prompt, and its neighbours under the filters."""
        with self._open(self._entry(asked.get("run", ""))) as at:
            filters = filters_of(asked, at.targets)
            row = at.db.execute(
                "SELECT n, refusals FROM prompt WHERE id = ?", (asked.get("id", ""),)
            ).fetchone()
            if row is None:
                raise Refused(404, "the run has no such prompt")
            number = {"n": int(row[0]), "refusals": int(row[1])}
            cursor = query.cursor_of(filters.order, number)
            found = page(at.db, filters_of({}, ()), {"from": str(row[0])}, 1)[0]
            places = at.db.execute("SELECT part, at, size FROM line WHERE prompt = ? ORDER BY rowid", row[:1])
            with Lines(at.entry.folder, at.signature) as lines:
                return {
                    **_shown(found, None),
                    "targets": [visible(name) for name in at.targets],
                    "cells": [whole(cell, lines) for cell in cells(at.db, row[:1])[number["n"]]],
                    "said": said(places.fetchall(), lines),
                    "relatives": _relatives(at.db, found),
                    "cursor": cursor,
                    **{
                        name: next((one["id"] for one in page(at.db, filters, {how: cursor}, 1)), None)
                        for name, how in (("next", "after"), ("previous", "before"))
                    },
                }

    def picture(self, asked: Asked, cell: int, number: int) -> bytes:
        """A picture of a cell as a JPEG without metadata; `side` is "small" or "large"."""

        def read(at: _Open, lines: Lines, side: int) -> bytes:
            row = at.db.execute("SELECT part, at, size FROM cell WHERE n = ?", (cell,)).fetchone()
            if row is None:
                raise Refused(404, NO_PICTURE)
            place = dict(zip(("part", "at", "size"), row, strict=True))
            return picture(place, lines, at.entry.folder, number, side)

        return self._kept_picture(asked, ("cell", cell, number), read)

    def input_picture(self, asked: Asked, prompt: int) -> bytes:
        """The picture that a prompt carries, by the prompt's number; as `picture`."""

        def read(at: _Open, lines: Lines, side: int) -> bytes:
            places = at.db.execute(
                "SELECT part, at, size FROM line WHERE prompt = ? ORDER BY rowid", (prompt,)
            )
            for part, place, size in places:
                if KINDS[part] is Prompt:
                    return input_picture((part, place, size), lines, at.entry.folder, side)
            raise Refused(404, NO_PICTURE)

        return self._kept_picture(asked, ("prompt", prompt), read)

    def _kept_picture(
        self, asked: Asked, which: tuple[object, ...], read: Callable[[_Open, Lines, int], bytes]
    ) -> bytes:
        side = SIDES.get(asked.get("side", "small"))
        if side is None:
            raise Refused(400, f"side is {' or '.join(SIDES)}")
        with self._open(self._entry(asked.get("run", ""))) as at:
            key = (at.entry.folder, at.signature, *which, side)
            with self._lock:
                if key in self._pictures:
                    self._pictures.move_to_end(key)
                    return self._pictures[key]
            with Lines(at.entry.folder, at.signature) as lines:
                data = read(at, lines, side)
        with self._lock:
            self._pictures[key] = data
            while sum(map(len, self._pictures.values())) > _KEPT:
                self._pictures.popitem(last=False)
        return data

    # -- what takes a while ---------------------------------------------------------------------------------

    def make(self, asked: Asked) -> JsonObject:
        """Begins the report of a run, or its comparison with an earlier one (`other`); says where it is."""
        entry = self._complete(asked.get("run", ""))
        if asked.get("what") == "report":
            return self._made.ask(("report", *_key(entry)), lambda: self._makers.report(entry.folder))
        if asked.get("what") != "comparison":
            raise Refused(400, "what is report or comparison")
        other = self._complete(asked.get("other", ""))
        return self._made.ask(
            ("comparison", *_key(other), *_key(entry)),
            lambda: self._makers.comparison(other.folder, entry.folder),
        )

    def made(self, number: int) -> MadePage:
        found = self._made.page(number)
        if found is None:
            raise Refused(404, "this page is not kept any more; ask for it again from the run's page")
        return found

    def review(self, asked: Asked) -> JsonObject:
        """What people's labels say of a run."""
        entry = self._entry(asked.get("run", ""))
        if not (entry.folder / "review.sqlite").exists():
            raise Refused(404, "this run has not been reviewed")
        return self._makers.review(entry.folder)

    # -- small things ---------------------------------------------------------------------------------------

    def _entry(self, name: str) -> Entry:
        entry = self._catalogue.entry(name)
        if entry is None:
            self._catalogue.entries()  # a permalink may be the first thing that is asked for
            entry = self._catalogue.entry(name)
        if entry is None:
            raise Refused(404, "there is no such run in this folder")
        return entry

    def _complete(self, name: str) -> Entry:
        entry = self._entry(name)
        if entry.record is None or entry.record.kind != "run" or not entry.is_complete:
            raise Refused(422, f"{visible(name)} is not a complete run of `overt run`")
        return entry

    @contextmanager
    def _open(self, entry: Entry) -> Iterator[_Open]:
        path, signature = self._shelf.index(entry)
        try:
            with opened(path) as db:
                facts = dict(db.execute("SELECT name, value FROM meta"))
                yield _Open(entry, db, json.loads(facts["facets"]), json.loads(facts["policy"]), signature)
        except OverflowError as error:
            raise Refused(404, "there is nothing of this number") from error
        except (sqlite3.Error, KeyError) as error:
            if isinstance(error, KeyError) or _DAMAGED.search(str(error)):
                self._shelf.drop(entry.folder)
            raise Refused(422, f"the index cannot be read: {visible(error)}; ask again") from error


def _key(entry: Entry) -> tuple[object, ...]:
    """What a page of a run is made of: the dates of everything that a command may add to it."""
    files = (
        entry.folder / part for part in (*PARTS["run"], "manifest.json", "review.sqlite", "review.sqlite-wal")
    )
    return (entry.folder, *(path.stat().st_mtime_ns if path.exists() else 0 for path in files))


def _relatives(db: sqlite3.Connection, row: Mapping[str, Json]) -> list[Json]:
    """Prompts that belong together with this one: its twins, its versions, what it is a version of."""
    found = []
    for why, where, value in (
        ("twin", "pair = ? AND pair != ''", row["pair"]),
        ("version of it", "variant = ? AND variant != ''", row["id"]),
        ("what it is a version of", "id = ? AND id != ''", row["variant"]),
    ):
        rows = db.execute(f"SELECT id, label, text FROM prompt WHERE {where} LIMIT 21", (value,)).fetchall()
        found += [
            {"why": why, "id": visible(id_), "label": visible(label), "text": cut(text, 300)}
            for id_, label, text in rows
            if id_ != row["id"]
        ]
    return list(found)


def _shown(row: Mapping[str, Json], longest: int | None = _LONGEST) -> dict[str, Json]:
    found = {name: visible(value) if isinstance(value, str) else value for name, value in row.items()}
    text = str(row["text"])
    found["text"] = visible(text) if longest is None else cut(text, longest)
    return found


def _visible(value: Json) -> Json:
    """Facets with every hidden character made visible."""
    if isinstance(value, list):
        return [_visible(inner) for inner in value]
    return visible(value) if isinstance(value, str) else value


def _list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list) else []


def _int(value: Json) -> int:
    return value if isinstance(value, int) else 0
