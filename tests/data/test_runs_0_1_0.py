"""Runs made by 0.1.0 (tests/runs_0_1_0) can still be reported on, compared, published and gone on with.

The folder is copied before it is used. See its README.txt.
"""

import json
import shutil

import pytest
from support.builders import page_text
from support.commands import ENV, overt
from support.paths import TESTS

KEPT = TESTS / "runs_0_1_0"
SHOP, WORDS = "guarded/shop", "filter/keywords?path=words.txt"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the runs, as the current folder, where commands find the classes that they were made with."""
    folder = tmp_path / "runs"
    shutil.copytree(KEPT, folder)
    monkeypatch.chdir(folder)
    return folder


def run(*arguments, folder, code=0):
    env = {**ENV, "XDG_CACHE_HOME": str(folder.parent / "cache")}
    return overt(*arguments, cwd=folder, env=env, code=code)


def figures(path):
    """Numbers to 12 digits: the last ones are rounding."""
    return json.loads(path.read_text(), parse_float=lambda digits: round(float(digits), 12))


def test_a_report_has_the_figures_that_were_found_then(old):
    for name in ("pictures", "answers"):
        run("report", name, folder=old)
        shown = figures(old / name / "report/summary.json")
        found = figures(KEPT / name / "results/summary.json")
        # Pairs have other intervals since then, and nothing is resampled for them.
        same = found.keys() - {"pairs", "resamples"}
        assert {key: shown[key] for key in same} == {key: found[key] for key in same}
        differences = [
            [(p["a"], p["b"], p["difference"], p["n"]) for p in s["pairs"]] for s in (shown, found)
        ]
        assert differences[0] == differences[1]
    run("report", "pictures", "answers", "--out", "out", folder=old)
    both = figures(old / "out/summary.json")
    assert len(both["targets"]) == 3
    said = page_text((old / "out/index.html").read_text("utf-8"))
    assert "Rewriting: refusal won, meaning lost" in said
    assert "Dropping “filter/keywords?path=words.txt” would free 2 benign prompts" in said
    assert "tiny_classes:Stripes" in said
    remedy = figures(KEPT / "pictures/results/rewrite.json")
    for target in remedy["targets"]:
        found = next(t for t in both["remedy"]["targets"] if t["name"] == target["name"])
        assert {key: found[key] for key in target} == target


def test_the_same_run_twice_keeps_its_targets_apart(old):
    run("report", "pictures", "pictures", "--out", "out", folder=old)
    summary = json.loads((old / "out/summary.json").read_text())
    names = {WORDS, SHOP, f"{WORDS} (pictures)", f"{SHOP} (pictures)"}
    assert {target["name"] for target in summary["targets"]} == names
    assert {target["name"] for target in summary["remedy"]["targets"]} == names
    by_name = {target["name"]: {**target, "name": ""} for target in summary["targets"]}
    assert by_name[SHOP] == by_name[f"{SHOP} (pictures)"]
    assert by_name[SHOP]["safe_basis"] == "judged"  # the verdicts went along with the new name


def test_gate_and_compare_read_it(old):
    said = run("gate", "pictures", "--max-over-refusal", "5%", folder=old, code=1).stdout
    assert f"fail       {WORDS}: over-refusal 66.7% (2 of 3" in said
    found = json.loads(run("compare", "pictures", "pictures", "--json", folder=old).stdout)
    assert {row["difference"] for row in found["differences"]} == {0.0}
    assert found["flips"] == []


def test_it_can_be_published(old):
    said = run("publish", "pictures", "--repo", "a/b", "--dry-run", folder=old).stdout
    assert "nothing was sent" in said
    assert (old / "pictures/publish/b/README.md").exists()


def decided(run):
    """The outcomes without the words in which judge/rules tells its reasons."""
    lines = (run / "stages/outcomes.jsonl").read_text("utf-8").splitlines()
    return [{**json.loads(line), "evidence": ""} for line in lines]


@pytest.mark.parametrize("name", ["pictures", "answers"])
def test_an_unfinished_one_goes_on_without_a_call(old, name):
    (old / name / "manifest.json").unlink()
    before = decided(old / name)
    said = run("run", "--resume", name, "--trust-addresses", "-q", folder=old).stdout
    assert "0 calls" in said
    assert decided(old / name) == before
    manifest = json.loads((old / name / "manifest.json").read_text())
    assert manifest["kinds"] == json.loads((KEPT / name / "manifest.json").read_text())["kinds"]
