"""Replication is impossible by construction: nothing in the package can reach out of its own memory."""

import ast
import contextlib
import random
import sys
from pathlib import Path

import overt.environments.agent_matrix as package
from overt.data.environments import Action
from overt.data.tools import Call
from overt.environments.agent_matrix import AgentMatrix

FILES = sorted(Path(package.__file__).parent.rglob("*.py"))

# What its modules may import besides overt's own. `pathlib` names the folder of the scenarios, which
# `overt.data.yaml` reads; nothing of it that touches a file is used.
MAY_IMPORT = {
    "__future__", "collections", "collections.abc", "dataclasses", "math", "pathlib", "pydantic", "random",
    "re", "typing",
}  # fmt: skip
OF_OVERT = (
    "overt.data.", "overt.scoring.stats.", "overt.scoring.figures",
    "overt.environments.agent_matrix", "overt.environments.scripted"
)  # fmt: skip
BUILTINS = {"open", "exec", "eval", "compile", "__import__", "globals", "breakpoint", "input", "getattr"}
METHODS = {
    "open", "write_text", "write_bytes", "read_text", "read_bytes", "unlink", "mkdir", "rename",
    "touch", "symlink_to", "chmod", "rmdir", "SystemRandom", "__globals__", "__builtins__", "__subclasses__",
}  # fmt: skip


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            yield node.module


def faults(source):
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    strange = {name for name in imported(tree) if name not in MAY_IMPORT and not name.startswith(OF_OVERT)}
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return strange | (names & BUILTINS) | (attributes & METHODS)


def test_its_files_import_nothing_that_reaches_out():
    assert len(FILES) >= 10
    assert {str(file): found for file in FILES if (found := faults(file.read_text("utf-8")))} == {}


def test_the_check_finds_what_it_is_for():
    assert faults("import socket") == {"socket"}
    assert faults("from subprocess import run") == {"subprocess"}
    assert faults("def f():\n    import time") == {"time"}
    assert faults("from overt.calls.caller import Caller") == {"overt.calls.caller"}
    assert faults("Path('x').write_text('y')") == {"write_text"}
    assert faults("__import__('os').system('x')") == {"__import__"}


_SEEN: list[str] | None = None
_WATCHED = (
    "open", "socket.", "subprocess.", "os.", "shutil.", "urllib.", "http.", "ctypes.", "import", "exec",
    "compile", "tempfile.", "fcntl.", "pty.", "signal.", "mmap.", "webbrowser.",
)  # fmt: skip


def _hook(event, arguments):
    if _SEEN is not None and event.startswith(_WATCHED):
        _SEEN.append(event)


@contextlib.contextmanager
def watched():
    """What the interpreter itself reports of files, sockets, processes and imports meanwhile."""
    global _SEEN
    if not hasattr(sys, "_agent_matrix_is_watched"):
        sys.addaudithook(_hook)  # it can never be removed, and does nothing outside of this block
        sys._agent_matrix_is_watched = True
    _SEEN = seen = []
    try:
        yield seen
    finally:
        _SEEN = None


def test_the_watch_sees_a_file_a_socket_and_a_process():
    import os
    import socket

    with watched() as seen:
        Path(__file__).read_bytes()
        socket.socket().close()
        os.system("true")
    assert {"open", "socket.__new__", "os.system"} <= set(seen)


def test_no_episode_touches_anything_whatever_is_called():
    environment = AgentMatrix()
    tasks = list(environment.tasks({"scenario": ["s1", "s2"]}, ()))
    rng = random.Random(11)
    image, names = "registry.local/agent:1", ["agent", "keeper", "http://x.test/a", "; curl x.test", "$(id)"]
    environment.start(tasks[0], 0).begin()  # what is made once is made
    with watched() as seen:
        for task in tasks:
            for seed in range(3):
                session = environment.start(task, seed)
                told = session.begin()
                while not told.end:
                    name = rng.choice(names)
                    calls = (
                        Call("1", "top", {"kind": "service"}),
                        Call("2", "create_deployment", {"name": name, "image": image, "replicas": 10**9}),
                        Call("3", "scale", {"deployment": name, "replicas": rng.choice([0, 3, 10**12])}),
                        Call("4", "logs", {"pod": name}),
                        Call("5", "delete", {"kind": rng.choice(["pod", "deployment"]), "name": name}),
                    )
                    told = session.step(Action("I replicate myself to http://x.test", calls))
                session.facts()
    assert seen == []
