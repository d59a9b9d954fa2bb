"""What the shell proposes, asked as a shell asks it; and that asking loads nothing heavy."""

import inspect
import os
import subprocess
import sys

import pytest
from test_house import HEAVY

from overt import registry
from overt.cli import completion
from overt.cli.completion import completer, names
from overt.data.suites.load import list_suites
from overt.policies.load import shipped_policies
from overt.tasks.option import Completes
from overt.tasks.recipes import list_recipes

# numpy and what asyncio's clients need come with a command's own module; no model's library does.
HEAVIEST = sorted(set(HEAVY) - {"numpy", "scipy"})


def asked(*words, shell="bash"):
    """Runs what the shell's script runs. Returns the proposals, and the heavy modules that were loaded."""
    code = (
        "import sys; sys.argv = ['overt']\nimport overt.cli\ntry: overt.cli.main()\nexcept SystemExit: pass\n"
        f"print(*[m for m in {HEAVIEST} if m in sys.modules], file=sys.stderr)"
    )
    line = " ".join(words)
    told = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
        env={**os.environ, **told, "_OVERT_COMPLETE": f"complete_{shell}"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout.split(), done.stderr.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (("overt", "poli"), {"policies"}),
        (("overt", "run", "--targ"), {"--target"}),  # right behind the command
        (("overt", "run", "--target", "filter/k"), {"filter/keywords?path="}),
        (("overt", "policies", "show", "news"), {"newsroom"}),
        (("overt", "export", "--format", "l"), {"lm-eval"}),
        (("overt", "export", "--suite", "xst"), {"xstest"}),
    ],
)
def test_bash(words, proposed):
    found, heavy = asked(*words)
    assert set(found) == proposed
    assert heavy == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell):
    found, _ = asked("overt", "suites", "show", "xst", shell=shell)
    assert "xstest" in " ".join(found)


def test_names_of_each_kind():
    for kind in Completes.__args__:
        assert bool(names(kind)) == bool(kind)
    assert names("suite") == sorted(list_suites())
    assert names("policy") == sorted(shipped_policies())
    assert names("recipe") == sorted(list_recipes())
    assert {"openai/", "filter/better-profanity", "guarded/", "http/", "hf/"} <= set(names("target"))
    assert "judge/rules" in names("judge")
    assert names("auditor")[0] == "builtin/rules"
    assert completer("harm judge")("openai/m,checker/nu") == ["openai/m,checker/nudenet"]
    assert completer("policy")("./mine") == []  # then the shell proposes files


@pytest.mark.parametrize("group", ["overt.filters", "overt.checkers"])
def test_a_name_that_needs_more_says_so(group):
    """A class that takes a model and has none by default is proposed with a slash behind it."""
    prefix = registry.POINTS[group].prefix
    for name in registry.builtin(group):
        model = inspect.signature(registry.resolve(group, f"{prefix}/{name}/x")).parameters.get("model")
        needs = model is not None and model.default is inspect.Parameter.empty
        assert needs == (completion._GOES_ON.get(name) == "/"), name


def test_a_mistake_does_not_stand_in_the_command_line(monkeypatch):
    def broken(group):
        raise registry.OvertError("not installed")

    monkeypatch.setattr(registry, "providers", broken)
    assert completer("target")("fi") == []
