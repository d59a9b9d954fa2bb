"""`overt demo`: the whole chain on the embedded world, pictures and scores included."""

import json
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.commands import overt

import overt as package
from overt.data.errors import InputError
from overt.data.plugins.names import quoted
from overt.data.progress import Silent
from overt.data.rewrites import Choice
from overt.data.run.files import read_records
from overt.registry import parse
from overt.tasks.demo import run_demo

ODD = "R&D 100%25 done?"  # a name that a folder may have


def test_without_torch_it_says_so_before_it_starts(tmp_path, monkeypatch):
    for name in ("torch", "open_clip"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    told = []
    with pytest.raises(InputError, match=r"these are not installed: torch, open_clip") as caught:
        run_demo(tmp_path / "demo", Silent(), told.append)
    assert caught.value.exit_code == 2
    assert '[local]"' in caught.value.fix
    assert not told
    assert not (tmp_path / "demo").exists()


def test_the_demo_runs_whole_and_goes_on(tmp_path):
    for package_of_local in ("diffusers", "open_clip"):  # not imported here, which takes seconds
        if find_spec(package_of_local) is None:
            pytest.skip("needs the extra [local]")
    assert package.__file__
    shutil.copytree(Path(package.__file__).parent, tmp_path / ODD / "overt")
    here = tmp_path / ODD  # `python -m` takes the package from where it stands
    done = overt("demo", "--out", tmp_path / "demo", cwd=here)
    printed = [line for line in done.stdout.splitlines() if line]
    assert len(printed) == len({re.sub(r"[-+]\d\.\d+", "", line) for line in printed}), "no line twice"
    assert done.stderr.count("overt: pair: ") == done.stderr.count("overt: audit of pairs: ") == 1
    run = tmp_path / "demo" / "run"
    page = run / "report" / "index.html"
    assert str(page) in done.stdout
    target = json.loads((run / "results" / "summary.json").read_text())["targets"][0]
    remedy = json.loads((run / "results" / "rewrite.json").read_text())["targets"][0]
    assert target["coverage"]["share"] == 1.0
    assert target["over_refusal"]["rate"] > 0.9  # the word list is a hasty one
    assert remedy["benign"]["won"]["rate"] > 0.7  # neutral words win most of them back
    # And do not help the red blade through: what gets by is worded so that something else was drawn.
    assert 0.5 < remedy["unsafe"]["after"]["rate"] < 1
    measures = {row["measure"]: row for row in remedy["faithfulness"]}
    assert {"text_image", "image_image", "text_text"} <= set(measures)
    assert measures["text_image"]["difference"]["n"] >= 10  # real pictures on both sides
    layers = {layer["stage"] for layer in target["layers"]}
    assert layers == {"prompt_filter", "image_filter"}
    chosen = read_records(run / "rewrites" / "choices.jsonl", Choice)
    assert any(c.candidate_id for c in chosen)
    text = page.read_text("utf-8")
    assert text.count("data:image/") > 20
    before = (run / "manifest.json").stat().st_mtime_ns
    again = overt("demo", "--out", tmp_path / "demo", "-q", cwd=here)  # all of it comes from the journal
    assert "The report" in again.stdout
    assert (run / "manifest.json").stat().st_mtime_ns >= before


def test_a_folder_of_any_name_can_stand_in_a_name():
    folder = f"/opt/{ODD}/a&b=c#d"
    name = parse("overt.targets", f"diffusers/{quoted(folder)}?steps=2&dtype={quoted('100%&?')}")
    assert (name.provider, name.model) == ("diffusers", folder)
    assert name.options == {"steps": "2", "dtype": "100%&?"}
    assert parse("overt.scorers", "clip/a%20b").model == "a%20b", "as it always was"
