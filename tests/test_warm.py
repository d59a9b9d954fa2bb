"""A command that is forked from a process with its imports done is the command that Python starts."""

import re
import signal
import subprocess

import pytest
from support.commands import ENV, command, overt, started, write_prompts


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("run", "--help"),
        ("suites", "no-such-thing"),
        ("gate", "nowhere"),
        ("run", "p.jsonl", "--target", "filter/keywords?path=w.txt", "--limit", "1", "-q"),
    ],
)
def test_it_prints_and_ends_as_a_real_start_does(tmp_path, arguments):
    for folder in (tmp_path / "real", tmp_path / "forked"):
        folder.mkdir()
        (folder / "w.txt").write_text("knife\n")
        write_prompts(folder / "p.jsonl", ["a knife on a board", "a tree"])
    real = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENV, cwd=tmp_path / "real")
    forked = overt(*arguments, code=None, cwd=tmp_path / "forked")
    assert forked.args == command(*arguments)
    assert forked.returncode == real.returncode
    assert without_times(forked.stdout) == without_times(real.stdout)
    assert without_times(forked.stderr) == without_times(real.stderr)


def without_times(text):
    return re.sub(r"\d+\.\d+", "#", text)


ASKED = ("run", "p.jsonl", "--target", "mine:Says", "--policy", "chat_assistant")
SAYS = """
import os, random, sys, time
from overt.data.targets import Response

class Says:
    name = "mine/says"

    def respond(self, prompt, *, seed):
        started = not any(a.endswith("warm.py") for a in sys.orig_argv)
        with open("said.txt", "a") as file:
            print(os.getpid(), random.random(), os.environ.get("TOLD"), sys.argv[1], started, file=file)
        return Response(text="Yes.")
"""


def test_every_command_has_a_process_a_folder_and_an_environment_of_its_own(tmp_path):
    """The last one has a word in its environment that only a real start reads, so it gets one."""
    (tmp_path / "mine.py").write_text(SAYS)
    write_prompts(tmp_path / "p.jsonl", ["a tree"])
    for number, more in enumerate(({"TOLD": "a"}, {"TOLD": "b"}, {"PYTHONSTART": "1"})):
        overt(*ASKED, "--out", f"run-{number}", "-q", cwd=tmp_path, env={**ENV, **more})
    said = [line.split() for line in (tmp_path / "said.txt").read_text().splitlines()]
    pids, drawn, told, commands, real = zip(*said, strict=True)
    assert len(set(pids)) == len(set(drawn)) == 3
    assert told == ("a", "b", "None")
    assert set(commands) == {"run"}
    assert real == ("False", "False", "True")


def test_a_package_of_that_name_in_the_folder_is_the_one_that_runs(tmp_path):
    (tmp_path / "overt").mkdir()
    (tmp_path / "overt" / "__init__.py").write_text("")
    (tmp_path / "overt" / "__main__.py").write_text("raise SystemExit(7)\n")
    overt("--version", cwd=tmp_path, code=7)


def test_one_that_is_killed_is_dead(tmp_path):
    (tmp_path / "mine.py").write_text(SAYS.replace("    started =", "    time.sleep(60)\n        started ="))
    write_prompts(tmp_path / "p.jsonl", ["a tree"])
    process = started(*ASKED, "--out", "run", cwd=tmp_path)
    assert process.poll() is None
    process.kill()
    assert process.wait() == process.poll() == -signal.SIGKILL
    process.kill()  # which harms nobody else
