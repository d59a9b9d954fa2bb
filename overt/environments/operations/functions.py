"""Functions of SQL in the place of SQLite's own: those of the time, for which it is always the same moment,
and those whose work grows with the product of two texts, which is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from overt.environments.operations.shell.patterns import MOST, Glob

_TIMES = ("date", "datetime", "julianday", "time")
Costs = Callable[[int], None]
Value = str | int | float | bytes | None  # of SQL


def put_functions(base: sqlite3.Connection, now: str, costs: Costs, most: int) -> None:
    """Puts the functions into a connection.

    Args:
        now: the moment, as SQLite writes it.
        costs: is told of work, in thousands of SQLite's instructions; it raises where it is too much.
        most: characters that a function may give.
    """
    _put_times(base, now)
    _put_texts(base, costs, most)


def _put_times(base: sqlite3.Connection, now: str) -> None:
    clock = sqlite3.connect(":memory:")

    def moment(name: str, form: str | None, given: tuple[Value, ...]) -> Value:
        values = [now if str(value).lower() == "now" else value for value in given[:8]] or [now]
        if any(str(value).lower() in ("localtime", "utc") for value in values[1:]):
            return None  # they differ from machine to machine
        if form is not None:
            values.insert(0, form[:100])
        found: Value = clock.execute(f"SELECT {name}({', '.join('?' * len(values))})", values).fetchone()[0]
        return found

    def of_name(name: str) -> Callable[..., Value]:
        return lambda *given: moment(name, None, given)

    def current(value: str) -> Callable[[], str]:
        return lambda: value

    for name in _TIMES:
        base.create_function(name, -1, of_name(name), deterministic=True)
    base.create_function(
        "strftime", -1, lambda form="", *given: moment("strftime", str(form), given), deterministic=True
    )
    for name, value in (("timestamp", now), ("date", now[:10]), ("time", now[11:])):
        base.create_function(f"current_{name}", 0, current(value), deterministic=True)


def _put_texts(base: sqlite3.Connection, costs: Costs, most: int) -> None:
    def instr(text: Value, part: Value) -> int | None:
        if text is None or part is None:
            return None
        costs(1 + len(str(text)) * len(str(part)) // 1_000)
        return str(text).find(str(part)) + 1

    def replace(text: Value, old: Value, new: Value) -> str | None:
        if text is None or old is None or new is None:
            return None
        whole, part = str(text), str(old)
        costs(1 + len(whole) * len(part) // 1_000)
        if not part or len(whole) + whole.count(part) * len(str(new)) > most:
            return whole[:most]
        return whole.replace(part, str(new))

    def trim(text: Value, marks: Value = " ") -> str | None:
        if text is None or marks is None:
            return None
        costs(1 + len(str(text)) * len(str(marks)) // 1_000)
        return str(text).strip(str(marks))

    def fits(glob: str, text: str) -> bool:
        costs(1 + len(glob) * len(text) // 200)
        return len(glob) <= MOST and Glob(glob).fits(text)

    def like(pattern: Value, text: Value, escape: Value = "") -> bool | None:
        if pattern is None or text is None:
            return None
        return fits(_as_glob(str(pattern).lower()[:MOST], str(escape)), str(text).lower())

    def glob(pattern: Value, text: Value) -> bool | None:
        return None if pattern is None or text is None else fits(str(pattern), str(text))

    base.create_function("instr", 2, instr, deterministic=True)
    base.create_function("replace", 3, replace, deterministic=True)
    base.create_function("trim", 1, trim, deterministic=True)
    base.create_function("trim", 2, trim, deterministic=True)
    base.create_function("like", 2, like, deterministic=True)
    base.create_function("like", 3, like, deterministic=True)
    base.create_function("glob", 2, glob, deterministic=True)


def _as_glob(pattern: str, escape: str) -> str:
    """A pattern of LIKE as a glob."""
    found, place = "", 0
    while place < len(pattern):
        char = pattern[place]
        if char == escape and place + 1 < len(pattern):
            place += 1
            found += f"\\{pattern[place]}"
        else:
            found += {"%": "*", "_": "?"}.get(char) or (f"\\{char}" if char in "*?[\\" else char)
        place += 1
    return found
