"""Filters as SQL over an index. Pages are cut by keyset: a deep one costs what the first one does."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overt.data.json_types import Json
from overt.view.index import words_of
from overt.web.guard import Refused

PAGE = 40  # prompts
MOST = 200
# Parameters of a request that hold for a prompt, and those that hold for one of its cells.
OF_PROMPT = ("category", "label")
OF_CELL = ("state", "stage", "code", "harm", "sample")
NAMES = (*OF_PROMPT, *OF_CELL, "target", "differ", "q", "sort")
# Each order as the columns of its keyset, the last of which tells prompts apart. "-" before one that falls.
ORDERS = {"run": ("n",), "refusals": ("-refusals", "n")}
_LONGEST = 500
_TERM = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for: parameters by name, and the conditions that they are."""

    where: str
    values: tuple[object, ...]
    order: tuple[str, ...]
    sample: int | None = None


def filters_of(asked: Mapping[str, str], targets: Sequence[str]) -> Filters:
    """The filters in a request; parameters of other names are left alone.

    Args:
        targets: the targets of the index, in its order.

    Raises:
        Refused: a value that cannot be one.
    """
    given = {name: asked[name] for name in NAMES if asked.get(name)}
    if any(len(value) > _LONGEST for value in given.values()):
        raise Refused(400, f"a filter has at most {_LONGEST} characters")
    order = ORDERS.get(given.get("sort", "run"))
    if order is None:
        raise Refused(400, f"sort is one of {', '.join(ORDERS)}")
    parts, values = [], []
    for name in OF_PROMPT:
        if name in given:
            parts.append(f"p.{name} = ?")
            values.append(given[name])
    of_cell, cell_values = _of_cell(given, targets)
    if of_cell:
        parts.append(f"EXISTS (SELECT 1 FROM cell c WHERE c.prompt = p.n AND {' AND '.join(of_cell)})")
        values += cell_values
    if "differ" in given:
        parts.append("p.refusals > 0 AND p.refusals < ?")
        values.append(str(len(targets)))
    if "q" in given:
        part, found = _search(given["q"])
        parts.append(part)
        values += found
    sample = int(given["sample"]) if "sample" in given else None
    return Filters(" AND ".join(parts) or "1", tuple(values), order, sample)


def _of_cell(given: Mapping[str, str], targets: Sequence[str]) -> tuple[list[str], list[str]]:
    parts, values = [], []
    if "target" in given:
        if given["target"] not in targets:
            raise Refused(404, "the run has no such target")
        parts.append("c.target = ?")
        values.append(str(targets.index(given["target"]) + 1))
    if not re.fullmatch("[0-9]{1,9}", given.get("sample", "0")):
        raise Refused(400, "sample is a number")
    for name in OF_CELL:
        if name in given:
            parts.append(f"c.{name} = ?")
            values.append(given[name])
    return parts, values


def _search(text: str) -> tuple[str, list[str]]:
    """Prompts whose text and earlier turns, or whose answers, have all words of a search; "in quotes" for
    words in a row. The last word may be only begun. An id finds its prompt, and those of its pair."""
    said = match_of(text)
    ids = "p.id = ? OR p.pair = ?"
    if not said:
        return f"({ids})", [text.strip()] * 2
    words = (
        "p.n IN (SELECT rowid FROM prompt_words WHERE prompt_words MATCH ?) OR p.n IN "
        "(SELECT prompt FROM cell WHERE n IN (SELECT rowid FROM cell_words WHERE cell_words MATCH ?))"
    )
    return f"({words} OR {ids})", [said, said, text.strip(), text.strip()]


def match_of(text: str) -> str:
    """A search as FTS5 reads it: every term in quotes, so that nothing in it is an operator. "" without a
    word."""
    terms = []
    found = [(phrase, word) for phrase, word in _TERM.findall(text) if re.search(r"\w", phrase + word)]
    for place, (phrase, word) in enumerate(found):
        inner = words_of(phrase or word).replace('"', " ").replace("\0", " ").strip()
        begun = place == len(found) - 1 and word and not text.endswith(" ")
        terms.append(f'"{inner}"{"*" if begun else ""}')
    return " ".join(terms)


# -- pages --------------------------------------------------------------------------------------------------


def cursor_of(order: Sequence[str], row: Mapping[str, int]) -> str:
    """Where a prompt stands in an order, as a request names it: "3.1041"."""
    return ".".join(str(row[name.lstrip("-")]) for name in order)


def page(
    db: sqlite3.Connection, filters: Filters, asked: Mapping[str, str], limit: int
) -> list[dict[str, Json]]:
    """A page of prompts: from a cursor on (`from`), `after` one, or `before` one; without any, the first.

    Raises:
        Refused: the cursor cannot be read.
    """
    how = next((name for name in ("from", "after", "before") if asked.get(name)), "")
    backward = how == "before"
    where, values = filters.where, list(filters.values)
    if how and not (backward and asked[how] == "end"):
        keyset, found = _keyset(filters.order, asked[how], how)
        where, values = f"({where}) AND {keyset}", [*values, *found]
    order = ", ".join(
        f"p.{name.lstrip('-')} {'DESC' if name.startswith('-') != backward else 'ASC'}"
        for name in filters.order
    )
    names = ("n", "id", "text", "category", "label", "pair", "variant", "picture", "turns", "refusals")
    rows = db.execute(
        f"SELECT {', '.join(f'p.{name}' for name in names)} FROM prompt p "
        f"WHERE {where} ORDER BY {order} LIMIT ?",
        (*values, limit),
    ).fetchall()
    found_rows = [dict(zip(names, row, strict=True)) for row in (reversed(rows) if backward else rows)]
    return [{**row, "cursor": cursor_of(filters.order, row)} for row in found_rows]


def _keyset(order: Sequence[str], cursor: str, how: str) -> tuple[str, list[int]]:
    """(a, b) beyond (x, y) as `a > x OR (a = x AND b > y)`, so that a falling column can stand beside a
    rising one; a condition on the first column alone goes before, for the index."""
    parts = cursor.split(".")
    if len(parts) != len(order) or not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise Refused(400, "this is no place in the list")
    values = [int(part) for part in parts]
    clauses, bound = [], []
    for depth, name in enumerate(order):
        last = depth == len(order) - 1
        rising = name.startswith("-") == (how == "before")
        sign = (">" if rising else "<") + ("=" if last and how == "from" else "")
        same = [f"p.{before.lstrip('-')} = ?" for before in order[:depth]]
        clauses.append("(" + " AND ".join([*same, f"p.{name.lstrip('-')} {sign} ?"]) + ")")
        bound += values[: depth + 1]
    first = order[0].lstrip("-")
    lead = ">=" if order[0].startswith("-") == (how == "before") else "<="
    return f"(p.{first} {lead} ? AND ({' OR '.join(clauses)}))", [values[0], *bound]


def count(db: sqlite3.Connection, filters: Filters) -> int:
    """How many prompts there are."""
    row = db.execute(f"SELECT count(*) FROM prompt p WHERE {filters.where}", filters.values).fetchone()
    return int(row[0])


def cells(
    db: sqlite3.Connection, prompts: Sequence[int], sample: int | None = None
) -> dict[int, list[dict[str, Json]]]:
    """The cells of prompts by their numbers, in the order of targets and samples."""
    marks = ", ".join("?" * len(prompts))
    one, values = ("AND sample = ?", (*prompts, sample)) if sample is not None else ("", (*prompts,))
    names = (
        "n",
        "prompt",
        "target",
        "sample",
        "state",
        "stage",
        "code",
        "harm",
        "pictures",
        "part",
        "at",
        "size",
    )
    found: dict[int, list[dict[str, Json]]] = {n: [] for n in prompts}
    query = (
        f"SELECT {', '.join(names)} FROM cell WHERE prompt IN ({marks}) {one} ORDER BY prompt, target, sample"
    )
    for row in db.execute(query, values):
        cell = dict(zip(names, row, strict=True))
        found[row[1]].append(cell)
    return found
