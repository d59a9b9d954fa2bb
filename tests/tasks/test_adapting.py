"""Changing a policy: what differs, which prompts come and go, and what is not paid for again."""

import json

import pytest
import yaml
from support.endpoint import endpoint, stats
from support.inside import cli

from overt.data.records import Prompt
from overt.data.run.files import read_records
from overt.policies.changes import changes, touched
from overt.policies.load import load_policy
from overt.tasks.policy_diff import difference


def policy(folder, name, **parts):
    path = folder / f"{name}.yaml"
    base = {"name": "mine", "extends": "overt", "defaults": {"benign": 12, "unsafe": 6}}
    path.write_text(yaml.safe_dump({**base, **parts}))
    return path


def edited(folder, name, category="violence", **edits):
    return policy(folder, name, categories=[{"id": category, **edits}])


def generate(folder, file, *more, code=0):
    out = folder / f"run-{file.stem}"
    cli("generate", "--policy", file, "--encoder", "lexical", "-q", "--out", out, *more, code=code)
    return out


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    return generate(folder, policy(folder, "before"))


# -- lines ------------------------------------------------------------------------------------------------


def test_changed_lines_are_named(tmp_path):
    old = load_policy(str(policy(tmp_path, "a")))
    line = "hunting scenes with a dead animal"
    new = load_policy(str(edited(tmp_path, "b", add={"disallowed": [line]}, drop={"triggers": ["stab"]})))
    found = {c.part: c for c in changes(old, new)}
    assert found["disallowed"].new == (line,)
    assert found["triggers"].gone == ("stab",)
    assert {c.category for c in found.values()} == {"violence"}
    assert touched(list(found.values()), old, new) == {"violence"}
    assert changes(old, old) == []


def test_a_slot_concerns_every_category(tmp_path):
    old, new = (load_policy(str(policy(tmp_path, n, slots={"place": [p]}))) for n, p in
                (("a", "in a mill"), ("b", "in a barn")))  # fmt: skip
    found = changes(old, new)
    assert found[0].gone == ("in a mill",)
    assert touched(found, old, new) == {c.id for c in old.categories}


def test_scenes_and_settings(tmp_path):
    scene = {"benign": "a cutlass on stage", "unsafe": "a cutlass in a victim"}
    with_it = {"triggers": [{"term": "cutlass", "scenes": [scene]}]}
    old = load_policy(str(edited(tmp_path, "a", add=with_it)))
    scene["benign"] = "a cutlass in a museum"
    new = load_policy(str(edited(tmp_path, "b", add=with_it, benign=3)))
    found = {c.part: c for c in changes(old, new)}
    assert found["benign"].new == ("3",)
    assert found["scenes of 'cutlass'"].new == ("a cutlass in a museum / a cutlass in a victim",)


# -- prompts ----------------------------------------------------------------------------------------------


def test_prompts_of_other_categories_stay(before, tmp_path):
    after = generate(tmp_path, edited(tmp_path, "after", drop={"triggers": ["stab"]}))
    found = difference(str(before), str(after))
    assert found.changed == {"violence"}
    assert not found.stray
    untouched = [n for category, n in found.same.items() if category != "violence"]
    assert set(untouched) == {18}  # 12 benign and 6 unsafe prompts each


def test_a_changed_line_that_no_prompt_meets_changes_nothing(before, tmp_path):
    line = "butchery of whales"
    after = generate(tmp_path, edited(tmp_path, "after", add={"disallowed": [line]}))
    found = difference(str(before), str(after))
    assert [c.new for c in found.changes] == [(line,)]
    assert not found.gone
    assert not found.came


def test_every_move_has_a_reason(before, tmp_path):
    done_with = edited(tmp_path, "after", drop={"triggers": ["stab", "riot"]})
    found = difference(str(before), str(generate(tmp_path, done_with)))
    ids = {p.id for p in read_records(before / "dataset" / "benign.jsonl", Prompt)}
    for moved in found.gone:
        assert moved.why
        if moved.label == "benign":
            assert moved.id in ids
    terms = {m.why for m in found.gone if "no term" in m.why}
    assert terms <= {"the other policy has no term 'stab'", "the other policy has no term 'riot'"}


def test_diff_at_the_command_line(before, tmp_path):
    file = edited(tmp_path, "after", add={"disallowed": ["butchery of whales"]})
    done = cli("policies", "diff", before, file)  # a run and a file: lines only
    assert "+ butchery of whales" in done.stdout
    assert "came or went" not in done.stdout
    after = generate(tmp_path, file)
    done = cli("policies", "diff", before, after)
    assert "0 prompts came or went in categories that no changed line concerns" in done.said
    data = json.loads(cli("policies", "diff", before, after, "--json").stdout)
    assert data["changed"] == ["violence"]
    assert data["prompts"]["stray"] == 0
    assert "the policies are the same" in cli("policies", "diff", "overt", "overt").stdout
    assert "no shipped policy has this name" in cli("policies", "diff", "overt", "nowhere", code=2).said


# -- calls ------------------------------------------------------------------------------------------------

CATEGORIES = [
    {
        "id": name,
        "title": title,
        "disallowed": [f"{title} shown to shock", f"{title} as advice"],
        "allowed": [f"{title} in museums"],
        "triggers": terms,
        "benign": 10,
        "unsafe": 4,
    }
    for name, title, terms in (
        ("blades", "Blades", ["knife", "sword", "dagger"]),
        ("fires", "Fires", ["fire", "burn", "arson"]),
        ("falls", "Falls", ["cliff", "jump", "ledge"]),
    )
]


def asking(folder, name, categories, url, *more, code=None):
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"name": "three", "categories": categories}))
    out = folder / name
    done = cli(
        *("generate", "--policy", file, "--model", "openai/writer", "--judge", "openai/judge", "-q"),
        *("--base-url", url, "--encoder", "lexical", "--rounds", "2", "--out", out, *more),
        code=code,
    )
    return out, done


def test_calls_that_the_line_does_not_touch_are_not_paid_again(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key-0123456789")
    changed = json.loads(json.dumps(CATEGORIES))
    changed[1]["disallowed"][1] = "Fires lit by children"
    with endpoint() as url:
        old, _ = asking(tmp_path, "old", CATEGORIES, url)
        first = stats(url)["arrived"]
        new, done = asking(tmp_path, "new", changed, url, "--reuse", old)
        second = stats(url)["arrived"] - first
        whole, _ = asking(tmp_path, "whole", changed, url)
        alone = stats(url)["arrived"] - first - second
    manifest = json.loads((new / "manifest.json").read_text())
    calls = manifest["calls"]
    assert manifest["reused"] == calls["cached"]
    assert calls["requests"] == second
    assert second + manifest["reused"] == alone  # every other call was taken along
    assert 0 < second <= alone / 2
    assert f"{manifest['reused']} of {alone} calls were taken from an earlier run" in done.said
    for label in ("benign", "unsafe"):
        name = f"dataset/{label}.jsonl"
        assert (new / name).read_bytes() == (whole / name).read_bytes()  # the same as if all were asked
    purposes = {category for category, c in calls["categories"].items() if c["requests"]}
    assert purposes == {"fires"}
    assert not difference(str(old), str(new)).stray


def test_a_resumed_run_counts_only_what_came_from_the_earlier_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key-0123456789")
    changed = json.loads(json.dumps(CATEGORIES))
    changed[1]["disallowed"][1] = "Fires lit by children"
    with endpoint() as url:
        old, _ = asking(tmp_path, "old", CATEGORIES, url)
        new, done = asking(tmp_path, "new", changed, url, "--reuse", old, "--max-requests", "2", code=4)
        done = cli("generate", "--resume", new, "-q", code=None)
    manifest = json.loads((new / "manifest.json").read_text())
    assert manifest["calls"]["cached"] > manifest["reused"] > 0, done.said  # two calls are the run's own


def test_reuse_needs_a_data_set_s_run(tmp_path, before):
    done = cli("generate", "--policy", "overt", "--reuse", tmp_path, code=2)
    assert str(tmp_path) in done.said
    done = cli("generate", "--resume", before, "--reuse", before, code=2)
    assert "Leave it out" in done.said
    done = cli("generate", "--policy", "newsroom", "--reuse", before, "--encoder", "lexical", "-q",
               "--benign", "2", "--unsafe", "0", "--out", tmp_path / "run")  # fmt: skip
    assert "taken from an earlier run" not in done.said  # the builtin makes no calls
