"""`--recipe`: named values of options. The paper's recipe runs here on stand-ins: a mock endpoint for its API
models, a made table with the columns of its seeds, a tiny model of its surrogate's family."""

import csv
import json

import pytest
import yaml
from support.endpoint import endpoint
from support.inside import cli

from overt.data.errors import InputError
from overt.data.records import Prompt, Seed
from overt.data.run.files import read_records
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.recipes import applied, list_recipes, load_recipe
from overt.tasks.score import ScoreConfig

SUBCATEGORIES = {
    "fraud_assisting_illegal_activities": "illegal_activities",
    "sexual_content": "sexual_content",
    "copyright_violations": "copyright_violations",
}


def seeds_file(folder):
    """A table with the columns of WildGuardMix: harmless prompts, and rows that are no seeds."""
    rows = []
    for number in range(12):
        for name in SUBCATEGORIES:
            text = f"Tell me about {name.replace('_', ' ')} in story number {number}"
            rows.append((text, "unharmful", "false", name))
    rows.append(("A harmful request", "harmful", "false", "sexual_content"))
    rows.append(("A harmless jailbreak", "unharmful", "true", "sexual_content"))
    path = folder / "wildguard_train.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "prompt_harm_label", "adversarial", "subcategory"])
        writer.writerows(rows)
    return path


# -- the paper's recipe, end to end -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pytest.importorskip("torch", reason="needs the extra [local]")
    pytest.importorskip("transformers", reason="needs the extra [local]")
    from support.tiny_vlm import build

    folder = tmp_path_factory.mktemp("paper")
    surrogate = build("Chameleon", folder / "chameleon")
    with pytest.MonkeyPatch.context() as patched, endpoint() as url:
        patched.setenv("GEMINI_API_KEY", "sk-test-not-a-key-0123456789")
        done = cli(
            *("generate", "--recipe", "overt-paper", "-q", "--encoder", "lexical", "--device", "cpu"),
            *("--seeds", seeds_file(folder), "--probe", f"hf/{surrogate}", "--samples", "2"),
            *("--base-url", f"model={url}", "--base-url", f"judge={url}"),
            *("--category", "illegal_activities", "--category", "sexual_content", "--category", "violence"),
            *("--benign", "3", "--unsafe", "2", "--rounds", "1", "--out", folder / "run"),
            code=None,
        )
        again = cli("generate", "--resume", folder / "run", "-q", code=None)
    return folder / "run", done, again


@pytest.mark.usefixtures("light_torch")
def test_the_paper_s_steps_on_stand_ins(run):
    folder, done, _ = run
    assert done.code in (0, 1, 3), done.said  # a model of random weights refuses as it likes
    read = read_records(folder / "stages" / "seeds.read.jsonl", Seed)
    assert len(read) == 36
    assert not [s for s in read if "harmful" in s.text or "jailbreak" in s.text]
    written = read_records(folder / "stages" / "synthesize.jsonl", Prompt)
    ways = {category: {p.strategy for p in written if p.category == category} for category in
            ("illegal_activities", "sexual_content", "violence")}  # fmt: skip
    assert ways["violence"] == {"direct"}
    assert "convert" in ways["illegal_activities"]
    assert "convert" in ways["sexual_content"]
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["model"] == "openai/gemini-2.0-flash"
    assert record["config"]["judge"] == ["openai/gemini-2.0-flash"]
    assert record["config"]["oversample"] == 4
    assert record["config"]["samples"] == 2  # what is given wins
    assert record["inputs"]["recipe"]["name"] == "overt-paper"
    manifest = json.loads((folder / "manifest.json").read_text())
    probed = [row for row in manifest["stages"] if "probe" in row]
    assert probed, "the surrogate was asked"
    assert "--samples 2 (there 8)" in " ".join(manifest["notes"])


def test_counts_stand_beside_the_published_ones(run):
    folder, done, _ = run
    recipe = json.loads((folder / "manifest.json").read_text())["recipe"]
    violence = {c["stage"]: c for c in recipe["counts"] if c["category"] == "violence"}
    assert {stage: c["published"] for stage, c in violence.items()} == {
        "probe": 599,
        "select": 200,
        "pair": 200,
    }
    benign = read_records(folder / "dataset" / "benign.jsonl", Prompt)
    assert violence["select"]["here"] == sum(p.category == "violence" for p in benign)
    assert "published in arXiv 2505.21347 / this run" in done.said
    card = (folder / "dataset" / "README.md").read_text()
    assert "| violence | probe |" in card
    assert "| published | this run |" in card
    assert "What the source does not tell is ours" in card
    assert "0.25 in every category" in card.replace("&#48;", "0")


def test_resume_needs_no_recipe(run):
    _, _, again = run
    assert again.code in (0, 1, 3), again.said
    assert "overt-paper" in again.said


def test_the_published_numbers_add_up():
    totals = {p.stage: sum(p.counts.values()) for p in load_recipe("overt-paper").published}
    assert totals == {"probe": 4600, "select": 1800, "pair": 1785}


# -- what is missing --------------------------------------------------------------------------------------


def test_without_a_key_it_says_which(monkeypatch, tmp_path):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    done = cli("generate", "--recipe", "overt-paper", "--out", tmp_path / "run", code=2)
    assert "GEMINI_API_KEY is not set" in done.said
    assert not (tmp_path / "run").exists()


def test_three_makers_judges(monkeypatch):
    config, changed = applied(ScoreConfig(run="runs/x"), load_recipe("overt-paper"))
    makers = [name.partition("?")[0] for name in config.names]
    assert makers == ["openai/gpt-4o", "openai/gemini-2.0-flash", "openai/pixtral-12b-2409"]
    assert changed == ""
    config.check()


def test_score_needs_the_keys_of_all(run, monkeypatch):
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    done = cli("score", run[0], "--recipe", "overt-paper", code=2)
    assert "run" in done.said  # a data set has no answers to judge


# -- a recipe of one's own --------------------------------------------------------------------------------


def own(folder, **parts):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "title": "our test", **parts}))
    return path


def test_a_recipe_of_one_s_own(tmp_path):
    path = own(tmp_path, generate={"policy": "newsroom", "benign": 2, "unsafe": 1, "encoder": "lexical"})
    cli("generate", "--recipe", path, "-q", "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["policy"]["name"] == "newsroom"
    path.unlink()
    cli("generate", "--resume", tmp_path / "run", "-q")  # what it said is in the run


def test_what_decides_is_part_of_the_identity(tmp_path):
    path = own(tmp_path, generate={"policy": "newsroom", "benign": 2, "unsafe": 0, "encoder": "lexical"})
    cli("generate", "--recipe", path, "-q", "--out", tmp_path / "run")
    own(tmp_path, generate={"policy": "newsroom", "benign": 2, "unsafe": 0, "encoder": "lexical", "seed": 3})
    done = cli("generate", "--recipe", path, "-q", "--out", tmp_path / "run", code=2)
    assert "this folder holds a run with other inputs" in done.said


def test_a_default_that_is_given_wins_too(tmp_path):
    path = own(tmp_path, generate={"policy": "newsroom", "model": "openai/nobody", "benign": 2, "unsafe": 0})
    cli(
        *("generate", "--recipe", path, "--model", "builtin/grammar", "--encoder", "lexical", "-q"),
        *("--out", tmp_path / "run"),
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["model"] == "builtin/grammar"


def test_addresses_go_by_role():
    recipe = load_recipe("overt-paper")
    config, _ = applied(
        GenerateConfig.made({"model": "openai/llama3", "base_url": ("probe=http://localhost:1/v1",)}), recipe
    )
    assert set(config.base_url) == {
        "judge=https://generativelanguage.googleapis.com/v1beta/openai/",
        "probe=http://localhost:1/v1",
    }
    config, _ = applied(GenerateConfig.made({"base_url": ("http://localhost:1/v1",)}), recipe)
    assert config.base_url == ("http://localhost:1/v1",)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"generate": {"benin": 3}}, "Did you mean benign?"),
        ({"generate": {"out": "here"}}, "'out', which is no option it can set"),
        ({"generate": {"samples": 0}}, "--samples is 0: must be at least 1"),
        ({"generate": {"benign": "many"}}, "--benign is 'many'"),
        ({"published": [{"stage": "audits", "title": "x", "counts": {}}]}, "audits"),
        ({"score": {"judges": 3}, "colour": "red"}, "colour"),
    ],
)
def test_faults_of_a_recipe(tmp_path, parts, said):
    path = own(tmp_path, **parts)
    done = cli("generate", "--recipe", path, "--policy", "overt", "--out", tmp_path / "run", code=2)
    assert said in done.said
    assert "mine.yaml" in done.said
    assert not (tmp_path / "run").exists()


def test_unknown_recipes():
    assert "overt-paper" in list_recipes()
    with pytest.raises(InputError, match="overt-papr"):
        load_recipe("overt-papr")
    assert "Did you mean overt-paper?" in cli("generate", "--recipe", "overt_paper", code=2).said


def test_it_does_not_go_with_an_earlier_run(tmp_path):
    done = cli("generate", "--recipe", "overt-paper", "--resume", tmp_path, code=2)
    assert "Leave out --recipe" in done.said
