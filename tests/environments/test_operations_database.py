"""The simulated database: what SQL may do there, and what it may not."""

import random

import pytest

from overt.data.tools import Call
from overt.environments.operations.database import DatabaseWorld

START = {
    "tables": {
        "people": {
            "columns": "id INTEGER PRIMARY KEY, name TEXT, seen TEXT DEFAULT CURRENT_TIMESTAMP",
            "rows": [[1, "anna", "2020-01-01"], [2, "ben", "2021-01-01"]],
        },
        "sessions": {"columns": "id INTEGER PRIMARY KEY, account TEXT", "rows": [[71, "report"]]},
        "statements": {
            "columns": "name TEXT, sql TEXT",
            "rows": [["forget", "DELETE FROM people WHERE id = 2"], ["bad", "ATTACH 'x' AS y"]],
        },
        "backups": {"columns": "name TEXT", "rows": [["full"], ["tmp"]]},
    },
    "setup": ["CREATE INDEX people_by_name ON people (name)", "CREATE VIEW names AS SELECT name FROM people"],
}


class Base:
    def __init__(self):
        self.world = DatabaseWorld(START)

    def __call__(self, value, tool="sql", argument="statement"):
        return self.world.do(Call("", tool, {argument: value}))

    def rows(self, table="people"):
        return self.world.state()["tables"][table]["rows"]


@pytest.fixture
def base():
    return Base()


def test_rows_come_with_their_columns_and_a_count(base):
    assert base("SELECT id, name FROM people ORDER BY id") == "id | name\n1 | anna\n2 | ben\n(2 rows)"
    assert base("SELECT NULL AS none, x'ff' AS bytes") == "none | bytes\nNULL | ff\n(1 rows)"
    assert base("DELETE FROM people WHERE id = 1") == "1 rows changed"
    assert base("SELEC 1").startswith("ERROR: near")


def test_the_state_holds_tables_and_names(base):
    state = base.world.state()
    assert state["tables"]["people"]["columns"] == ["id", "name", "seen"]
    assert base.rows()[0] == {"id": 1, "name": "anna", "seen": "2020-01-01"}
    assert (state["indexes"], state["views"], state["triggers"]) == (["people_by_name"], ["names"], [])
    base("DROP INDEX people_by_name; DROP VIEW names; ALTER TABLE people RENAME TO folk")
    assert base.world.state()["indexes"] == []
    assert "folk" in base.world.state()["tables"]


def test_what_is_not_committed_is_rolled_back(base):
    assert base("BEGIN; DELETE FROM people").endswith("rolled back: the call ended without COMMIT")
    assert len(base.rows()) == 2
    base("BEGIN; DELETE FROM people; COMMIT")
    assert base.rows() == []


def test_an_error_ends_a_script(base):
    assert "ERROR" in base("DELETE FROM people WHERE id = 1; nonsense; DELETE FROM people")
    assert len(base.rows()) == 1


def test_statements_are_split_outside_of_texts_and_triggers(base):
    base("INSERT INTO people (name) VALUES ('a;b'); UPDATE people SET name = 'c' WHERE id = 1")
    assert [row["name"] for row in base.rows()] == ["c", "ben", "a;b"]
    base("CREATE TRIGGER t AFTER DELETE ON people BEGIN DELETE FROM people; DELETE FROM people; END")
    assert base.world.state()["triggers"] == ["t"]


def test_the_tools_of_the_server(base):
    assert {tool.name for tool in base.world.tools} == {
        "sql", "terminate_session", "execute_statement", "delete_backup",
    }  # fmt: skip
    assert base(71, "terminate_session", "session") == "1 session gone"
    assert base(71, "terminate_session", "session") == "ERROR: there is no such session"
    assert base(10**40, "terminate_session", "session") == "ERROR: there is no such session"
    assert base("forget", "execute_statement", "name") == "1 rows changed"
    assert len(base.rows()) == 1
    assert base("nope", "execute_statement", "name") == "ERROR: there is no such statement"
    assert base("bad", "execute_statement", "name").startswith("ERROR: not allowed")
    assert base("tmp", "delete_backup", "name") == "1 backup gone"
    assert base.rows("backups") == [{"name": "full"}]
    assert [tool.name for tool in DatabaseWorld({}).tools] == ["sql"]


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM sessions", "UPDATE statements SET sql = 'x'", "INSERT INTO backups VALUES ('x')",
     "DROP TABLE sessions", "ALTER TABLE backups RENAME TO b", "REPLACE INTO SESSIONS VALUES (1, 'x')",
     "CREATE TRIGGER t AFTER DELETE ON people BEGIN DELETE FROM sessions; END; DELETE FROM people"],
)  # fmt: skip
def test_the_servers_own_tables_change_by_its_tools_alone(base, statement):
    assert "the server's own table" in base(statement)
    assert (len(base.rows("sessions")), len(base.rows("backups"))) == (1, 2)


@pytest.mark.parametrize(
    "statement",
    ["ATTACH '{file}' AS x", "ATTACH ':memory:' AS x", "VACUUM INTO '{file}'", "VACUUM", "DETACH main",
     "PRAGMA writable_schema = 1", "PRAGMA temp_store_directory = '/tmp'", "PRAGMA journal_mode = wal",
     "PRAGMA max_page_count = 100000", "SELECT load_extension('x')", "SELECT randomblob(10)",
     "SELECT random()", "SELECT zeroblob(1000000000)", "SELECT readfile('/etc/passwd')",
     "SELECT writefile('{file}', 'x')",
     "CREATE VIRTUAL TABLE v USING fts5(x)", "SELECT fts3_tokenizer('x')", "SELECT sqlite_version()",
     "CREATE VIEW v AS SELECT load_extension('x'); SELECT * FROM v"],
)  # fmt: skip
def test_nothing_outside_is_reached(base, tmp_path, statement):
    file = tmp_path / "out.db"
    printed = base(statement.format(file=file))
    assert "ERROR" in printed
    assert not file.exists()
    assert len(base.rows()) == 2


@pytest.mark.parametrize(
    "statement",
    ["WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
     "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT max(n) FROM r",
     "CREATE TABLE big AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 900000) "
     "SELECT n, printf('%0500d', n) FROM r",
     "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) "
     "SELECT sum(printf('%09000d', n) LIKE '%1%2%3%4%5%6%7%8%9%') FROM r",
     "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 90000) "
     "SELECT sum(instr(printf('%09000d', n), printf('%04000d', 1))) FROM r"],
)  # fmt: skip
def test_work_ends(base, statement):
    assert "ERROR" in base(statement)
    assert len(base("SELECT name FROM people").splitlines()) == 4  # the next call may work again


def test_results_are_bounded(base):
    many = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 60) SELECT * FROM r"
    assert base(many).endswith("(more than 50 rows)")
    assert len(base("; ".join(["SELECT printf('%0900d', 1) AS a, printf('%0900d', 1) AS b"] * 20))) < 7_000
    assert "at most 20 statements" in base("SELECT 1;" * 21)
    assert "at most 4000 characters" in base("SELECT '" + "x" * 5_000 + "'")
    assert "no NUL" in base("SELECT '\0'")


def test_it_is_always_the_same_moment(base):
    asked = "SELECT datetime('now', '-1 day'), date(), strftime('%Y', 'now'), date('now', 'localtime')"
    assert base(asked).splitlines()[1] == "2026-03-01 09:00:00 | 2026-03-02 | 2026 | NULL"
    base("INSERT INTO people (name) VALUES ('c')")
    assert base.rows()[-1]["seen"] == "2026-03-02 09:00:00"
    assert base("SELECT current_date, current_time").splitlines()[1] == "2026-03-02 | 09:00:00"


@pytest.mark.parametrize(
    ("expression", "value"),
    [("'anna' LIKE '%NN_'", 1), ("'a%b' LIKE 'a!%b' ESCAPE '!'", 1), ("'axb' LIKE 'a!%b' ESCAPE '!'", 0),
     ("'a*' LIKE 'a*'", 1), ("'ab' LIKE 'a*'", 0), ("'anna' GLOB 'a*'", 1), ("'anna' GLOB 'A*'", 0),
     ("NULL LIKE 'a'", "NULL"), ("instr('anna', 'na')", 3), ("replace('anna', 'n', 'm')", "amma"),
     ("trim('  a ')", "a"), ("trim('xax', 'x')", "a"), ("replace('a', '', 'b')", "a")],
)  # fmt: skip
def test_functions_that_were_put_in_the_place_of_sqlites(base, expression, value):
    assert base(f"SELECT {expression} AS v").splitlines()[1] == str(value)


# fmt: off
TOKENS = [
    "SELECT", "FROM", "WHERE", "people", "sessions", "DELETE", "UPDATE", "SET", "name", "=", "'x'", "(",
    ")", ",", ";", "*", "CREATE", "TABLE", "t", "AS", "VIEW", "TRIGGER", "BEGIN", "END", "COMMIT",
    "ROLLBACK", "SAVEPOINT", "RELEASE", "a", "DROP", "INSERT", "INTO", "VALUES", "1", "NULL", "id",
    "LIKE", "'%'", "GLOB", "PRAGMA", "table_info", "WITH", "RECURSIVE", "UNION", "ALL", "EXPLAIN", "'",
    '"', "--", "/*", "*/", "ANALYZE", "REINDEX", "?", ":x", "@y", "CAST", "x'ff'", "TEXT", "é",
]
# fmt: on


def test_no_statement_raises():
    seeded = random.Random(3)
    for _ in range(150):
        base = Base()
        for _ in range(10):
            base(" ".join(seeded.choice(TOKENS) for _ in range(seeded.randint(1, 9))))
        base("CREATE TABLE odd (a, b AS (a + 1)); INSERT INTO odd VALUES (CAST(x'ff' AS TEXT))")
        assert "sessions" in base.world.state()["tables"]
