"""`overt doctor`: names and versions, never a value, never a path; what is there and broken is told."""

import importlib.metadata
import json
import os
from email.message import Message
from pathlib import Path

import pytest
from support.commands import overt
from typer.testing import CliRunner

from overt import registry
from overt.cli import app
from overt.data.plugins import packages
from overt.data.plugins.install import ADDS, EXTRAS
from overt.data.plugins.packages import BASE, Package, imported, modules_of, package, requirements
from overt.data.plugins.wrapped import WRAPPERS
from overt.tasks import doctor
from overt.tasks.doctor import examine

KEY = "sk-value-that-nobody-may-see-0123456789"


def test_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = {**os.environ, "OPENAI_API_KEY": KEY, "BFL_API_KEY": "  ", "HOME": str(tmp_path)}
    env.pop("GEMINI_API_KEY", None)
    done = overt("doctor", "--seconds", "0", "--json", code=None, env=env)
    found = json.loads(done.stdout)
    states = {key["name"]: key["state"] for key in found["keys"]}
    assert (states["OPENAI_API_KEY"], states["BFL_API_KEY"], states["GEMINI_API_KEY"]) == (
        "set",
        "empty",
        "not set",
    )
    assert KEY not in done.stdout
    assert str(tmp_path) not in done.stdout
    assert str(Path(doctor.__file__).parents[2]) not in done.stdout
    assert done.returncode == (1 if found["problems"] else 0)
    assert found["hub"] is None, "it is not asked without --online"
    assert found["machine"]["folder_problem"] == ""
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    versions = {one["name"]: one["version"] for extra in found["extras"] for one in extra["packages"]}
    assert versions["pydantic"] == importlib.metadata.version("pydantic")


def test_the_text_of_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("a file")
    done = CliRunner().invoke(app, ["doctor", "--seconds", "0"])
    assert done.exit_code == 1
    assert "nothing can be written to runs: it is a file" in done.output
    assert "OPENAI_API_KEY" in done.output
    for name, adds in ADDS.items():
        assert f"[{name}]" in done.output
        assert adds in done.output


def test_every_service_names_its_variable():
    """A new service shows up by itself."""
    found = {model for key in doctor._keys() for model in key.used_by}
    for group in ("overt.targets", "overt.chat_models"):
        named = {f"{provider}/" for provider in registry.providers(group)}
        of_others = {f"{name}/" for name in WRAPPERS}  # the key is that of the model behind it
        assert named - found <= {"diffusers/", "diffusers-edit/", "hf/", "http/", "scripted/", *of_others}, (
            "no key, or one that its file names"
        )


def test_extras_and_what_they_are_for():
    wanted = requirements()
    assert set(wanted) - {"dev", BASE} == set(ADDS)
    assert {module for extra in ADDS for module in modules_of(extra)} == set(EXTRAS)
    assert "mlcroissant>=1.0" in wanted["dev"], "the extras of an extra are resolved"
    assert not any(line.startswith("overt[") for lines in wanted.values() for line in lines)


def test_requirements_of_an_installed_package(monkeypatch):
    """Without a checkout they come from what pip wrote down."""
    monkeypatch.setattr(packages, "project_in", lambda folder: {})

    class Distribution:
        metadata = Message()
        requires = ("rich>=13.7", 'nudenet>=3.4; extra == "filters"', "overt[filters]; extra == 'all'")

    Distribution.metadata["Provides-Extra"] = "filters"
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution)
    assert requirements() == {BASE: ["rich>=13.7"], "filters": ["nudenet>=3.4"], "all": ["nudenet>=3.4"]}


@pytest.mark.parametrize(
    ("requirement", "state"),
    [
        ("pydantic>=2.7", "installed"),
        ("pydantic>=900", "other version"),
        ("nobody-has-this-package>=1", "missing"),
        ("not a requirement", "missing"),
    ],
)
def test_a_package(requirement, state):
    assert package(requirement).state == state
    assert package("pydantic; python_version < '3'") is None


def test_modules_that_break(tmp_path, monkeypatch):
    (tmp_path / "fine_x.py").write_text("print('noise'); print('[1]')")
    (tmp_path / "torn_x.py").write_text("raise OSError('undefined symbol: \\x1b[31m ' + 'x' * 900)")
    (tmp_path / "lost_x.py").write_text("from fine_x import nothing_of_it")
    (tmp_path / "dead_x.py").write_text("import os; os._exit(9)")
    (tmp_path / "slow_x.py").write_text("import time; time.sleep(60)")
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    is_available = staticmethod(lambda: True)\n"
        "    device_count = staticmethod(lambda: 1)\n"
        "    get_device_name = staticmethod(lambda n: 'H')\nclass backends:\n    class mps:\n"
        "        is_available = staticmethod(lambda: False)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    found = imported(["fine_x", "torn_x", "lost_x", "torch", "dead_x", "never_x"], 50)
    assert found.broken["torn_x"].startswith("OSError: undefined symbol")
    assert len(found.broken["torn_x"]) < 400
    assert "nothing_of_it" in found.broken["lost_x"]
    assert "(fine_x.py)" in found.broken["lost_x"]
    assert found.broken["dead_x"] == "importing it ended Python with code 9"
    assert found.late == ("never_x",)
    assert found.devices == ("cuda:0 H",)
    assert imported(["slow_x"], 1).late == ("slow_x",)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("No such file: '/home/ada lovelace/lib.so'", "No such file: 'lib.so'"),
        (r'DLL "C:\Users\ada b\torch.dll" failed', 'DLL "torch.dll" failed'),
        ("/home/ada/a.so: undefined symbol, see /opt/x/b.so", "a.so: undefined symbol, see b.so"),
        ("CPU and/or GPU, 3/4 of it", "CPU and/or GPU, 3/4 of it"),
    ],
)
def test_a_message_keeps_names_of_files_alone(said, kept):
    assert packages.without_folders(said) == kept


def test_a_broken_package_is_a_problem_with_its_command(monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda: {BASE: ["pydantic>=900"], "review": ["uvicorn>=0.1"]})
    monkeypatch.setattr(doctor, "is_installed", lambda module: True)
    monkeypatch.setattr(
        doctor, "imported", lambda modules, seconds: packages.Imported({"uvicorn": "OSError: torn"})
    )
    monkeypatch.setattr(doctor, "_distribution", lambda module: module)
    monkeypatch.setattr(
        doctor, "package", lambda line: Package(line.partition(">")[0], ">=1", "0.5", "installed")
    )
    (problem,) = examine(seconds=1, online=False).problems
    assert "uvicorn 0.5 is there and cannot be imported (import uvicorn: OSError: torn)" in problem
    assert '[review]"' in problem
    monkeypatch.setattr(doctor, "package", package)
    monkeypatch.setattr(doctor, "imported", lambda modules, seconds: packages.Imported({}))
    problems = examine(seconds=0, online=False).problems
    assert any(">=900 is needed: pip install" in problem for problem in problems)


def test_the_hub_is_asked_when_it_is_wanted(monkeypatch):
    from support.scripted import serving

    with serving((200, {}, b"")) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert examine(seconds=0, online=True).hub.startswith("reachable: HTTP 200")
        assert [asked.method for asked in server.asked] == ["HEAD"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = examine(seconds=0, online=True)
    assert found.hub.startswith("not reachable")
    assert any("the Hub is not reachable" in problem for problem in found.problems)
