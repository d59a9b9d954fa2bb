"""The console: what operations do stands in data, and no call can hurt it."""

import json
import random
import time

import pytest

from overt.data.errors import InputError
from overt.data.tools import Call
from overt.environments.operations.console import MOST_GIVEN, MOST_PRINTED, ConsoleWorld
from overt.environments.operations.jobs import job_files

START = {
    "operations": {
        "queues": {
            "purge": {"about": "Drops all.", "does": [{"set": "messages", "to": 0}]},
            "rename": {"about": "Names it.", "takes": "text", "does": [{"set": "title"}]},
            "lock": {"about": "Locks it or not.", "takes": "flag", "does": [{"set": "locked"}]},
            "grow": {"about": "Adds some.", "takes": "number", "does": [{"add": "messages"}]},
            "note": {"about": "Puts in.", "takes": "text", "does": [{"put": "ids"}]},
            "drop": {
                "about": "Takes out, and counts.",
                "takes": "text",
                "does": [{"add": "messages", "to": -1}, {"take": "ids"}],
            },
            "drain": {"about": "Moves.", "takes": "text", "does": [{"move": "messages"}, {"move": "ids"}]},
            "delete": {
                "about": "Deletes, with its consumers.",
                "needs": [{"field": "locked", "is": False, "says": "it is locked"}],
                "does": [{"delete": "this", "each": "consumers", "where": "queue"}, {"delete": "this"}],
            },
        },
    },
    "queues": {
        "a": {"messages": 2, "ids": ["x", "y"], "locked": False},
        "b": {"messages": 1, "ids": ["z"], "locked": True},
    },
    "consumers": {"a-1": {"queue": "a"}, "a-2": {"queue": "a"}, "b-1": {"queue": "b"}},
}


@pytest.fixture
def console():
    return ConsoleWorld(START)


def operate(console, operation, name, value=None, kind="queues"):
    arguments = {"operation": operation, "kind": kind, "name": name}
    return console.do(Call("", "operate", {**arguments, **({} if value is None else {"value": value})}))


def test_each_effect(console):
    assert operate(console, "purge", "b") == "purge b: ok"
    operate(console, "rename", "b", "Bee")
    operate(console, "lock", "b", "FALSE")
    operate(console, "grow", "b", "-5")
    operate(console, "note", "b", "w")
    assert console.state()["queues"]["b"] == {
        "messages": -5, "title": "Bee", "locked": False, "ids": ["z", "w"],
    }  # fmt: skip
    operate(console, "drop", "a", "x")
    assert console.state()["queues"]["a"] == {"messages": 1, "ids": ["y"], "locked": False}


def test_moving_moves_and_loses_nothing(console):
    operate(console, "drain", "a", "b")
    queues = console.state()["queues"]
    assert (queues["a"]["messages"], queues["a"]["ids"]) == (0, [])
    assert (queues["b"]["messages"], queues["b"]["ids"]) == (3, ["z", "x", "y"])
    before = console.state()
    assert "itself" in operate(console, "drain", "b", "b")
    assert "has no 'c'" in operate(console, "drain", "b", "c")
    assert console.state() == before


def test_an_effect_reaches_those_that_name_the_object(console):
    assert operate(console, "delete", "b") == "error: it is locked"
    assert "b" in console.state()["queues"]
    operate(console, "delete", "a")
    assert console.state()["queues"].keys() == {"b"}
    assert console.state()["consumers"] == {"b-1": {"queue": "b"}}


def test_an_operation_that_fails_half_way_did_nothing(console):
    before = console.state()
    assert "has no 'nothing' in ids" in operate(console, "drop", "a", "nothing")
    assert console.state() == before  # though the count came first


def test_looking(console):
    listed = console.do(Call("", "list", {"kind": "queues"}))
    assert 'a: messages 2, ids ["x", "y"], locked false' in listed
    assert "- rename (value: a text): Names it." in listed
    assert json.loads(console.do(Call("", "show", {"kind": "consumers", "name": "a-1"}))) == {
        "name": "a-1", "queue": "a",
    }  # fmt: skip
    assert "no operations" in console.do(Call("", "list", {"kind": "consumers"}))
    assert {tool.name for tool in console.tools} == {"list", "show", "operate"}
    assert "operations" not in console.state()


@pytest.mark.parametrize(
    ("operation", "name", "value", "part"),
    [
        ("explode", "a", None, "no operation 'explode'; there are purge"),
        ("purge", "c", None, "queues has no 'c'"),
        ("purge", "a", "now", "takes no value"),
        ("rename", "a", None, "takes a text"),
        ("rename", "a", "x" * (MOST_GIVEN + 1), "at most"),
        ("grow", "a", "many", "whole number"),
        ("grow", "a", "1e9", "whole number"),
        ("grow", "a", "9999999999", "whole number"),
        ("grow", "a", "9" * 1900, "whole number"),
        ("grow", "a", "\u00b2", "whole number"),
        ("grow", "a", "--1", "whole number"),
        ("lock", "a", "maybe", "true or false"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(console, operation, name, value, part):
    before = console.state()
    said = operate(console, operation, name, value)
    assert said.startswith("error: ")
    assert part in said
    assert console.state() == before


def test_numbers_stay_in_bounds(console):
    for _ in range(5):
        operate(console, "grow", "a", "999999999")
    assert console.state()["queues"]["a"]["messages"] == 10**9


def test_a_kind_that_does_not_exist(console):
    assert console.do(Call("", "list", {"kind": "operations"})) == (
        "error: there is no kind 'operations'; there are queues, consumers"
    )
    assert "no kind" in operate(console, "purge", "a", kind="x" * 1_000_000)


@pytest.mark.parametrize(
    "operation",
    [
        {"about": "x", "does": [{}]},
        {"about": "x", "does": [{"set": "a", "add": "b"}]},
        {"about": "x", "does": [{"set": "a", "each": "queues"}]},
        {"about": "x", "does": [{"sets": "a"}]},
        {"does": [{"set": "a"}]},
        {"about": "x", "takes": "anything", "does": [{"set": "a"}]},
    ],
)
def test_an_operation_that_is_not_in_form_is_told_with_its_place(operation):
    with pytest.raises(InputError) as error:
        ConsoleWorld({"operations": {"queues": {"bad": operation}}, "queues": {}})
    assert "operations.queues.bad" in str(error.value)


def test_thousands_of_odd_operations_on_the_shipped_objects():
    """Any operation on any object with any value: what comes is a text, and the state stays JSON data."""
    chance = random.Random(18)
    started = time.process_time()
    for file in job_files():
        if file.world != "console":
            continue
        console = ConsoleWorld(file.start(file.jobs[0]))
        operations = [name for kind in file.state["operations"].values() for name in kind] + ["x"]
        for _ in range(300):
            kind = chance.choice([*file.state["operations"], "x"])
            names = [*console.state().get(kind, {}), "x"]
            value = chance.choice([None, "1", "true", "-7", "x" * 2000, *names])
            said = operate(console, chance.choice(operations), chance.choice(names), value, kind)
            assert len(said) <= MOST_PRINTED
            json.dumps(console.state())
    assert time.process_time() - started < 10
