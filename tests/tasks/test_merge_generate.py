"""`overt generate --shard` and `overt merge`: shards of categories are the whole data set."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from support.endpoint import endpoint, stats
from support.inside import cli

from overt import generation
from overt.data.chat import ChatReply
from overt.data.run.shards import Shard
from overt.policies.load import load_policy
from overt.tasks.generate import in_shard
from overt.tasks.merge_generate import unasked
from overt.tasks.roles import ModelOptions

POLICY = ["generate", "--policy", "newsroom", "--encoder", "lexical", "--benign", "6", "-q"]
MODELS = ["--model", "openai/m", "--judge", "openai/j", "--rounds", "2"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key-0123456789")


def dataset(folder):
    files = sorted((folder / "dataset").rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def made(base, options, count, code=None):
    """The whole data set, and its shards."""
    cli(*options, "--out", base / "whole", code=code)
    shards = [base / f"part-{number}" for number in range(1, count + 1)]
    for number, shard in enumerate(shards, 1):
        cli(*options, "--shard", f"{number}/{count}", "--out", shard, code=code)
    return shards


def assert_same(one, other):
    assert dataset(one) == dataset(other)
    for name in ("run.json", "policy.yaml", "stages/audit.jsonl", "stages/drops.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    mine, theirs = manifest(other), manifest(one)
    for name in ("counts", "short", "stages", "reasons", "gold", "distinct_2", "index", "notes"):
        assert mine[name] == theirs[name], name


def test_without_a_model(tmp_path):
    """More shards than categories: one of them has none, and ends well."""
    shards = made(tmp_path, POLICY, 7, code=0)
    counts = [len((s / "dataset" / "benign.jsonl").read_text().splitlines()) for s in shards]
    assert counts.count(0) == 7 - len(load_policy("newsroom").categories)
    cli("merge", *reversed(shards), "--out", tmp_path / "out", "-q")
    assert_same(tmp_path / "whole", tmp_path / "out")
    assert "nothing to do" in cli("merge", *shards, "--out", tmp_path / "out").said


@pytest.mark.parametrize(
    "extra", [[], ["--seeds", "SEEDS", "--probe", "openai/p", "--samples", "2", "--vary", "groups"]]
)
def test_with_models_nothing_is_sent_twice(tmp_path, monkeypatch, extra):
    seeds = tmp_path / "seeds.csv"
    seeds.write_text(
        "prompt\n" + "".join(f"a seed about a crime scene in the city number {n}\n" for n in range(8))
    )
    more = [str(seeds) if word == "SEEDS" else word for word in extra]
    with endpoint("--latency-ms", "1") as url:
        options = [
            *POLICY,
            "--model",
            "openai/m",
            "--judge",
            "openai/j",
            "--base-url",
            url,
            "--rounds",
            "2",
            *more,
        ]
        shards = made(tmp_path, options, 3)
        before = stats(url)
        monkeypatch.delenv("OPENAI_API_KEY")  # no model is asked, so that none needs its key
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        seeds.unlink()
        cli("merge", *shards, "--out", tmp_path / "out", "-q", code=None)
        assert stats(url) == before
    assert_same(tmp_path / "whole", tmp_path / "out")
    whole, merged = manifest(tmp_path / "whole")["calls"], manifest(tmp_path / "out")["calls"]
    placing = whole["purposes"].get("classify", {}).get("requests", 0)  # each shard places all seeds
    assert merged["requests"] == whole["requests"] + 2 * placing
    assert whole["requests"] > 100


def test_an_answer_that_no_shard_has(tmp_path):
    """Is not asked for here; the whole data set goes on with it, and with nothing else."""
    with endpoint("--latency-ms", "1") as url:
        options = [*POLICY, *MODELS, "--base-url", url]
        shards = made(tmp_path, options, 2)
        with sqlite3.connect(shards[1] / "journal.sqlite") as db:
            db.execute("DELETE FROM calls WHERE key = (SELECT min(key) FROM calls WHERE purpose = 'twin')")
        before = stats(url)
        done = cli("merge", *shards, "--out", tmp_path / "out", code=4)
        assert f"overt generate --resume {tmp_path / 'out'}" in done.said
        assert stats(url) == before
        cli("merge", *shards, "--out", tmp_path / "out", code=4)  # the same command, the same answer
        cli("generate", "--resume", tmp_path / "out", "-q", "--trust-addresses", code=None)
        assert stats(url)["arrived"] == before["arrived"] + 1
    assert dataset(tmp_path / "whole") == dataset(tmp_path / "out")


def test_what_does_not_go_together(tmp_path):
    for number, more in ((1, []), (2, ["--seed", "4"])):
        cli(*POLICY, *more, "--shard", f"{number}/2", "--out", tmp_path / f"part-{number}")
    shards = [tmp_path / "part-1", tmp_path / "part-2"]
    assert "config.seed: there 0, here 4" in cli("merge", *shards, "--out", tmp_path / "out", code=2).said
    shutil.rmtree(shards[1])
    cli(*POLICY, "--shard", "2/2", "--out", shards[1])
    path = shards[1] / "decisions.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "encoder_version": "other"}))
    assert "chose the encoder_version" in cli("merge", *shards, "--out", tmp_path / "out", code=2).said
    cli(*POLICY, "--out", tmp_path / "whole")
    assert "a whole data set, not a shard" in cli("merge", tmp_path / "whole", code=2).said
    assert not (tmp_path / "out").exists()


def test_the_templates_must_be_those_of_the_shards(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    text = (Path(next(iter(generation.__path__))) / "templates" / "twin.yaml").read_text()
    (own / "twin.yaml").write_text(text)
    for number in (1, 2):
        cli(*POLICY, "--templates", own, "--shard", f"{number}/2", "--out", tmp_path / f"part-{number}")
    (own / "twin.yaml").write_text(text.replace("version:", "version: own #"))
    shards = [tmp_path / "part-1", tmp_path / "part-2"]
    said = cli("merge", *shards, "--out", tmp_path / "out", code=2).said
    assert "the files of --templates are not those that the shards read" in said
    (own / "twin.yaml").write_text(text)
    cli("merge", *shards, "--out", tmp_path / "out", "-q")


def test_a_shard_changes_nothing_that_a_model_reads():
    policy = load_policy("overt")
    ids = []
    for number in range(1, 4):
        part, mine = in_shard(policy, Shard(number, 3))
        ids += [c.id for c in part.categories if c.benign or c.unsafe]
        assert set(ids[-len(mine) :]) == mine
        bare = {"benign": 0, "unsafe": 0}
        assert [c.model_copy(update=bare) for c in part.categories] == [
            c.model_copy(update=bare) for c in policy.categories
        ]
    assert ids == [c.id for c in policy.categories]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("openai/gpt-4.1?base_url=http://localhost:1/v1", "openai/gpt-4.1"),
        ("hf/org/model?dtype=bfloat16&enable_thinking=false", "hf/org/model?enable_thinking=false"),
        ("hf/org/model?batch_size=4", "hf/org/model"),
    ],
)
def test_a_model_that_is_not_asked_has_the_name_of_its_answers(spec, name):
    assert unasked(spec, "model", ModelOptions()).name == name


class Author:
    """A chat model of the user's own, which answers nothing."""

    name = "test_merge_generate:Author"

    async def complete(self, request):
        return ChatReply(text="{}", input_tokens=1, output_tokens=1)

    async def close(self):
        pass


def test_code_that_only_a_folder_names_is_not_run(tmp_path, monkeypatch):
    """The shards may be another person's."""
    mine = [*POLICY, "--model", "test_merge_generate:Author", "--rounds", "1"]
    for number in (1, 2):
        cli(*mine, "--shard", f"{number}/2", "--out", tmp_path / f"part-{number}", code=None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-user"))
    shards = [tmp_path / "part-1", tmp_path / "part-2"]
    said = cli("merge", *shards, "--out", tmp_path / "out", code=2).said
    assert "test_merge_generate:Author: code of its own, which would be run" in said
    assert not (tmp_path / "out").exists()
    cli("merge", *shards, "--out", tmp_path / "out", "--trust-addresses", "-q", code=None)
    assert (tmp_path / "out" / "manifest.json").exists()
