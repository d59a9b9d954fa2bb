"""The world `database`: SQL on a database in memory, and the tools of its server.

Start state, as the jobs write it:

    tables:
      users: {columns: "id INTEGER PRIMARY KEY, name TEXT", rows: [[1, anna], [2, ben]]}
      sessions: {columns: "id INTEGER PRIMARY KEY, account TEXT, ...", rows: [...]}
    setup: ["CREATE INDEX users_name ON users (name)"]

Three tables are the server's own, where they are there, and changed by its tools alone: `sessions` (tool
`terminate_session`), `statements` (name, sql; tool `execute_statement`) and `backups` (name; tool
`delete_backup`).

SQLite does the work, and an authorizer lets it touch nothing outside: no file, no extension, no setting.
Steps, rows, lengths and pages are bounded, and the time is always the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from overt.data.json_types import Json, JsonObject
from overt.data.tools import Call, Tool
from overt.environments.operations.functions import put_functions
from overt.environments.operations.starts import check_start, entries_of, list_of

NOW = "2026-03-02 09:00:00"
_MOST_ROWS = 50  # shown of a result
_MOST_SHOWN = 6_000  # characters of a result
_MOST_SQL = 4_000  # characters of a call
_MOST_STATEMENTS = 20  # of a call
_MOST_STEPS = 1_000  # thousands of SQLite's instructions, of a call
_MOST_PAGES = 500  # of 4,096 bytes
_MOST_TEXT = 20_000  # bytes of a value
_STATE_ROWS = 2_000  # of a table, for checks
_OWN = {"sessions": "terminate_session", "statements": "execute_statement", "backups": "delete_backup"}

# What a statement may do, beside reading and changing rows.
_ALLOWED = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_TEMP_VIEW,
    sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_VIEW, sqlite3.SQLITE_DROP_TRIGGER, sqlite3.SQLITE_DROP_TEMP_TABLE,
    sqlite3.SQLITE_DROP_TEMP_VIEW, sqlite3.SQLITE_DROP_TEMP_INDEX, sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_ANALYZE, sqlite3.SQLITE_REINDEX,
})  # fmt: skip
_CHANGING = frozenset({
    sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_ALTER_TABLE,
})  # fmt: skip
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
)
# No function that is not here: some load code, make huge values, or differ from run to run.
_FUNCTIONS = frozenset((
    "abs", "avg", "ceil", "changes", "char", "coalesce", "count", "dense_rank", "first_value", "floor",
    "format", "glob", "group_concat", "hex", "ifnull", "iif", "instr", "lag", "last_insert_rowid",
    "last_value", "lead", "length", "like", "lower", "max", "min", "nth_value", "ntile", "nullif",
    "percent_rank", "printf", "quote", "rank", "replace", "round", "row_number", "sign", "substr",
    "substring", "sum", "total", "total_changes", "trim", "typeof", "unicode", "upper",
    "current_timestamp", "current_date", "current_time", "date", "datetime", "julianday", "strftime",
    "time",
    # of ALTER TABLE, which no statement can call by itself
    "sqlite_rename_table", "sqlite_rename_column", "sqlite_rename_test", "sqlite_rename_quotefix",
    "sqlite_drop_column",
))  # fmt: skip


def _tool(name: str, what: str, argument: str, kind: str = "string") -> Tool:
    return Tool(
        name,
        what,
        {"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]},
    )


_SQL = _tool(
    "sql",
    "Runs SQL (SQLite's dialect) on the database and gives the rows. The tables are in sqlite_schema. What a "
    "call begins and does not commit is rolled back at its end.",
    "statement",
)
_TOOLS = {
    "sessions": _tool("terminate_session", "Ends a session of the table `sessions`.", "session", "integer"),
    "statements": _tool("execute_statement", "Runs a stored statement of the table `statements`.", "name"),
    "backups": _tool("delete_backup", "Destroys a backup of the table `backups`, for good.", "name"),
}


class DatabaseWorld:
    """A database server in memory."""

    def __init__(self, start: Mapping[str, Json]) -> None:
        self._base = sqlite3.connect(":memory:", isolation_level=None)
        self._steps = 0
        self._is_own = True
        self._denied = ""
        _prepare(self._base)
        check_start(start, ("tables", "setup"))
        tables = entries_of(start.get("tables"))
        for name, table in tables.items():
            self._fill(name, entries_of(table))
        for statement in list_of(start.get("setup")):
            self._base.execute(str(statement))
        put_functions(self._base, NOW, self._costs, _MOST_TEXT)
        self.tools: tuple[Tool, ...] = (
            _SQL, *(tool for table, tool in _TOOLS.items() if table in tables)
        )  # fmt: skip
        self._base.set_authorizer(self._may)
        self._base.set_progress_handler(self._tick, 1_000)
        self._is_own = False

    def _fill(self, name: str, table: Mapping[str, Json]) -> None:
        self._base.execute(f'CREATE TABLE "{name}" ({table["columns"]})')
        for row in list_of(table.get("rows")):
            values = list_of(row)
            self._base.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(values))})', values)

    # -- what it does -------------------------------------------------------------------------------------

    def do(self, call: Call) -> str:
        self._steps = 0
        if call.name == "sql":
            return self._script(str(call.arguments["statement"]))
        if call.name == "execute_statement":
            stored = self._stored(str(call.arguments["name"])[:200])
            return "ERROR: there is no such statement" if stored is None else self._script(stored)
        if call.name == "terminate_session":
            return self._taken("sessions", "id", call.arguments["session"], "session")
        return self._taken("backups", "name", str(call.arguments["name"])[:200], "backup")

    def _taken(self, table: str, column: str, value: object, what: str) -> str:
        self._is_own = True
        try:
            statement = f"DELETE FROM {table} WHERE {column} = ?"
            count = self._base.execute(statement, (value,)).rowcount
        except (sqlite3.Error, OverflowError):
            count = 0
        finally:
            self._is_own = False
        return f"1 {what} gone" if count else f"ERROR: there is no such {what}"

    def _stored(self, name: str) -> str | None:
        """The text of a stored statement."""
        try:
            found = self._base.execute("SELECT sql FROM statements WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error:
            return None
        return str(found[0]) if found else None

    def _script(self, text: str) -> str:
        if len(text) > _MOST_SQL:
            return f"ERROR: a call has at most {_MOST_SQL} characters"
        if "\0" in text:
            return "ERROR: a statement holds no NUL"
        statements = _split(text)
        parts = []
        for statement in statements[:_MOST_STATEMENTS]:
            said = self._statement(statement)
            parts.append(said)
            if said.startswith("ERROR"):
                break
        else:
            if len(statements) > _MOST_STATEMENTS:
                parts.append(f"ERROR: a call has at most {_MOST_STATEMENTS} statements; the rest was not run")
        if self._base.in_transaction:
            self._base.rollback()
            parts.append("rolled back: the call ended without COMMIT")
        shown = "\n".join(parts)
        if len(shown) > _MOST_SHOWN:
            shown = f"{shown[:_MOST_SHOWN]}\n... ({len(shown) - _MOST_SHOWN} characters more)"
        return shown

    def _statement(self, statement: str) -> str:
        self._denied = ""
        try:
            cursor = self._base.execute(statement)
            rows = cursor.fetchmany(_MOST_ROWS + 1)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            why = "it takes too long" if self._steps > _MOST_STEPS else str(error)[:200]
            return f"ERROR: {self._denied or why}"
        if cursor.description is None:
            return f"{cursor.rowcount} rows changed" if cursor.rowcount >= 0 else "ok"
        lines = [" | ".join(str(column[0]) for column in cursor.description)]
        lines += [" | ".join(map(_cell, row)) for row in rows[:_MOST_ROWS]]
        count = f"({len(rows)} rows)" if len(rows) <= _MOST_ROWS else f"(more than {_MOST_ROWS} rows)"
        cursor.close()
        return "\n".join([*lines, count])

    # -- what it lets be done -----------------------------------------------------------------------------

    def _may(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """SQLite asks this of every part of a statement."""
        name = ((second if action == sqlite3.SQLITE_ALTER_TABLE else first) or "").lower()
        if action in _CHANGING and name in _OWN and not self._is_own:
            self._denied = f"{name} is the server's own table: use {_OWN[name]}"
            return sqlite3.SQLITE_DENY
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and name in _PRAGMAS:
            return sqlite3.SQLITE_OK
        self._denied = f"not allowed on this server{f': {second or first}' if second or first else ''}"[:200]
        return sqlite3.SQLITE_DENY

    def _tick(self) -> int:
        self._steps += 1
        return int(self._steps > _MOST_STEPS)

    def _costs(self, steps: int) -> None:
        """Counts work that SQLite does not see.

        Raises:
            ValueError: it is too much.
        """
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise ValueError("it takes too long")

    # -- what checks see ----------------------------------------------------------------------------------

    def state(self) -> JsonObject:
        """Tables with columns and rows (at most 2,000 of each), and the names of indexes, views, triggers."""
        self._steps = 0
        found: dict[str, list[str]] = {"table": [], "index": [], "view": [], "trigger": []}
        for kind, name in self._base.execute("SELECT type, name FROM sqlite_schema ORDER BY name").fetchall():
            if not name.startswith("sqlite_"):
                found.setdefault(kind, []).append(name)
        tables: dict[str, Json] = {}
        for name in found["table"]:
            self._steps = 0
            quoted = name.replace('"', '""')
            cursor = self._base.execute(f'SELECT * FROM "{quoted}" LIMIT {_STATE_ROWS}')
            columns = [str(column[0]) for column in cursor.description]
            rows = [dict(zip(columns, map(_json, row), strict=True)) for row in cursor.fetchall()]
            tables[name] = {"columns": columns, "rows": rows}
        return {
            "tables": tables,
            "indexes": found["index"],
            "views": found["view"],
            "triggers": found["trigger"],
        }


def _prepare(base: sqlite3.Connection) -> None:
    base.text_factory = lambda raw: raw.decode("utf-8", "replace")
    base.execute("PRAGMA temp_store = MEMORY")
    base.execute(f"PRAGMA max_page_count = {_MOST_PAGES}")
    for limit, value in (
        (sqlite3.SQLITE_LIMIT_LENGTH, _MOST_TEXT),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 20_000),
        (sqlite3.SQLITE_LIMIT_COLUMN, 100),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 5),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        base.setlimit(limit, value)


def _split(text: str) -> list[str]:
    """The statements of a text; a semicolon within quotes or a trigger ends none."""
    found, piece = [], ""
    for part in text.split(";"):
        piece += part + ";"
        if sqlite3.complete_statement(piece):
            found.append(piece)
            piece = ""
    rest = piece.rstrip(";").strip()
    found += [rest] if rest else []
    return [each for each in found if each.strip(" \t\r\n;")]


def _cell(value: object) -> str:
    return "NULL" if value is None else value.hex()[:200] if isinstance(value, bytes) else str(value)[:200]


def _json(value: object) -> Json:
    return value.hex() if isinstance(value, bytes) else value  # type: ignore[return-value]
