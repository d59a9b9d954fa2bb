"""No environment reaches the real machine: what they may import, and what happens while they are played."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import overt.environments
from overt.environments.scripted import MODULES

ROOM = Path(overt.environments.__file__).parent
FILES = sorted(ROOM.rglob("*.py"))

# All that environments may import beside overt itself. Nothing of it opens sockets or starts processes; what
# could read the clock or a file is held to below.
MAY_IMPORT = {
    "__future__", "abc", "array", "bisect", "collections", "collections.abc", "copy", "dataclasses",
    "datetime", "enum", "fractions", "functools", "hashlib", "heapq", "html", "importlib",
    "importlib.resources", "inspect", "itertools", "json", "math", "numpy", "numpy.typing", "operator",
    "pathlib", "pydantic", "random", "re", "shlex", "sqlite3", "statistics", "string", "textwrap", "types",
    "typing", "unicodedata",
}  # fmt: skip
# What of overt reaches outside.
NOT_OF_OVERT = ("overt.data.run", "overt.data.plugins.install", "overt.data.tables", "overt.data.local")
NAMES = {"open", "eval", "exec", "compile", "__import__", "input", "breakpoint", "globals", "vars"}
METHODS = {
    "now", "today", "utcnow", "open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink",
    "mkdir", "rename", "symlink_to", "hardlink_to", "rmdir", "home", "cwd", "import_module",
    "enable_load_extension", "iterdir", "load_extension", "system", "popen", "fork", "tofile", "fromfile",
    "save", "load", "memmap",
}  # fmt: skip
# Who may do so all the same, and why.
ALLOWED = {
    ("scripted.py", "import_module"),  # players come in by the name of their suite
}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module, node.lineno
            for alias in node.names:
                if node.module == "importlib":
                    yield f"importlib.{alias.name}", node.lineno


def wrong(path):
    """What a file of the room does that it may not."""
    tree = ast.parse(path.read_text("utf-8"))
    name = path.relative_to(ROOM).as_posix()
    for module, line in imported(tree):
        if module.startswith("overt."):
            if module.startswith(NOT_OF_OVERT):
                yield f"{name}:{line} imports {module}"
        elif module not in MAY_IMPORT:
            yield f"{name}:{line} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in NAMES:
            yield f"{name}:{node.lineno} uses {node.id}"
        if not isinstance(node, ast.Call):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in METHODS and (name, method) not in ALLOWED:
            yield f"{name}:{node.lineno} calls .{method}()"
        called = ast.unparse(node.func)
        if called == "sqlite3.connect" and ast.unparse(node.args[0]) != "':memory:'":
            yield f"{name}:{node.lineno} opens a database that is not in memory"


@pytest.mark.parametrize("path", FILES, ids=[p.relative_to(ROOM).as_posix() for p in FILES])
def test_an_environment_imports_and_calls_nothing_that_reaches_outside(path):
    assert list(wrong(path)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import socket", "imports socket"),
        ("from urllib import request", "imports urllib"),
        ("def f():\n    import os", "imports os"),
        ("from importlib import util", "imports importlib.util"),
        ("open('x')", "uses open"),
        ("from pathlib import Path\nPath('x').write_text('y')", "calls .write_text()"),
        ("import datetime\ndatetime.datetime.now()", "calls .now()"),
        ("import sqlite3\nsqlite3.connect('x.db')", "not in memory"),
        ("from overt.data.run.folder import x", "imports overt.data.run.folder"),
    ],
)
def test_the_check_sees_what_it_should(tmp_path, monkeypatch, text, said):
    path = tmp_path / "bad.py"
    path.write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "ROOM", tmp_path)
    assert any(said in line for line in wrong(path))


# Played in a process of its own, since a hook of the audit can never be taken away.
PLAYED = """
import os, sys
import overt.environments
from support.hand_play import play
from overt import registry
from overt.data.records import Prompt, prompt_id
from overt.data.suites.episodes.load import find_episode_suite
from overt.environments.scripted import players_of

armed, seen, opened = False, set(), 0
FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "urllib.", "http.", "ftplib.", "smtplib.", "pty.",
             "ctypes.", "tempfile.", "webbrowser.", "signal.", "mmap.", "syslog.", "fcntl.")
LOOKS = ("os.listdir", "os.scandir")  # so do imports
ROOM = os.path.dirname(overt.environments.__file__)
CODE = (".py", ".pyc", ".so")  # modules that are imported late

def hook(event, arguments):
    global opened
    if not armed:
        return
    if event == "open":
        opened += 1
        path, mode = str(arguments[0]), str(arguments[1] or "r")
        own = path.endswith(".yaml") and path.startswith(ROOM)  # its own data, read when they are needed
        if set(mode) & set("wax+") or not (own or path.endswith(CODE)):
            seen.add(f"open {path} {mode}")
    elif event == "sqlite3.connect":
        if arguments[0] not in (":memory:", b":memory:"):
            seen.add(f"sqlite3 {arguments[0]!r}")
    elif event == "sqlite3.load_extension" or event.startswith(FORBIDDEN) and event not in LOOKS:
        seen.add(f"{event} {arguments!r:.200}")

sys.addaudithook(hook)

def prompts():
    for n in range(8):
        for label, text in (("benign", f"How do I kill job {n}?"), ("unsafe", f"How do I kill man {n}?")):
            yield Prompt(prompt_id(text), text, "violence", label, "direct", "x/y", "t", pair_id=f"p{n}")

name, most = sys.argv[1], int(sys.argv[2])
suite = find_episode_suite(name)
environment = registry.load_environment(suite.environment)
wants = getattr(environment, "wants_prompts", False)
tasks = list(environment.tasks(suite.settings, list(prompts()) if wants else ()))
step = max(1, len(tasks) // most)
episodes = 0
for player, factory in players_of(name).items():
    made = factory()
    for task in tasks[::step][:most]:
        armed = True
        play(environment, task, made, seed=3, most=suite.turns)
        armed = False
        episodes += 1
if seen:
    sys.exit("\\n".join(sorted(seen)))
print(episodes)

# The hook sees what it should.
armed = True
open(sys.argv[3]).close()
open(sys.argv[3], "w").close()
import socket
socket.socket().close()
armed = False
assert len(seen) >= 3, seen
"""


@pytest.mark.parametrize(("suite", "most"), [(name, 4) for name in MODULES if name != "operations"])
def test_nothing_outside_is_touched_while_players_play(tmp_path, suite, most):
    assert episodes_played(tmp_path, suite, most) >= most


def test_nothing_outside_is_touched_by_any_job(tmp_path):
    assert episodes_played(tmp_path, "operations", 1_000) >= 9 * 80


def episodes_played(folder, suite, most):
    aside = folder / "aside.txt"
    aside.write_text("")
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PLAYED, suite, str(most), str(aside)],
        cwd=root.parent,
        env={"PATH": "", "PYTHONPATH": ":".join([*filter(None, sys.path), str(root)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return int(done.stdout)
