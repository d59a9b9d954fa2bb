"""Runs that were cut off, are short, or whose inputs changed, through the command line: each says why, and
names a way on that works."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from support.commands import ENV
from support.inside import cli
from support.scripted import serving
from support.timing import least_wall_seconds

from overt.data.records import Drop, Prompt
from overt.data.run.files import read_records

POLICY = """name: tiny
categories:
  - id: one
    title: One thing
    disallowed: [harm to a neighbour]
    allowed: [kitchens and workshops]
    triggers:
      - term: stab
        scenes:
          - benign: a stab at watercolour painting
            unsafe: a stab at the old neighbour
      - knife
    benign: 4
    unsafe: 0
"""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(POLICY)
    return path


def generate(policy, *more, code=0):
    return cli(
        *(
            "generate",
            "--policy",
            policy,
            "--encoder",
            "lexical",
            "--out",
            policy.parent / "run",
            "-q",
            *more,
        ),
        code=code,
    )


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


# -- the encoder that was chosen ----------------------------------------------------------------------------


@pytest.fixture
def fell_back(monkeypatch):
    """`--encoder auto` finds no other encoder than MiniLM, here one without weights."""
    import numpy as np

    from overt.data.hub import NotCached
    from overt.scoring import encoders

    def no_cache(repo):
        raise NotCached(repo)

    def minilm():
        def encode(texts):
            return np.eye(256, dtype=np.float32)[[hash(text) % 256 for text in texts]]

        return encoders._Wrapped(encoders._MINILM, "0", encode)

    monkeypatch.setattr(encoders, "cached_snapshot", no_cache)
    monkeypatch.setattr(encoders, "hub_answers", lambda: (False, "it is offline"))
    monkeypatch.setattr(encoders, "_minilm", minilm)


@pytest.mark.parametrize("recorded", ["minilm", "minilm (all-MiniLM-L6-v2)"])
def test_auto_that_fell_back_to_minilm_is_resumed(policy, fell_back, recorded):
    out = policy.parent / "run"
    cli("generate", "--policy", policy, "--out", out, "-q")
    assert manifest(out)["encoder"] == {"asked": "auto", "used": "minilm"}
    known = json.loads((out / "decisions.json").read_text())
    assert known["encoder"] == "minilm"
    (out / "decisions.json").write_text(json.dumps({**known, "encoder": recorded}))
    (out / "manifest.json").unlink()
    cli("generate", "--resume", out, "-q")
    assert manifest(out)["encoder"]["asked"] == "auto"
    assert "it is offline" in manifest(out)["encoder_choice"]


def test_what_was_asked_for_is_kept_as_it_was(policy):
    generate(policy)
    assert manifest(policy.parent / "run")["encoder"] == {"asked": "lexical", "used": "lexical"}


# -- a publication that was killed --------------------------------------------------------------------------

KILLED = """
import os, sys
import overt.data.run.files as files
import overt.publish.folder as folder
from overt.cli import main
left = int(sys.argv.pop(1))
def killed(function):
    def called(*arguments, **more):
        global left
        left -= 1
        if not left:
            if function is write_table:  # half of a file
                place = arguments[1] / "data" / arguments[0].config
                place.mkdir(parents=True)
                (place / ".test-00000.tmp").write_bytes(b"half")
            os._exit(9)
        return function(*arguments, **more)
    return called
write_table, write_atomic = folder.write_table, folder.write_atomic
folder.write_table, folder.write_atomic = killed(write_table), killed(write_atomic)
main()
"""


@pytest.mark.parametrize("call", [1, 2, 3, 5])
def test_a_killed_publication_goes_on(policy, tmp_path, call):
    generate(policy)
    command = ["publish", tmp_path / "run", "--repo", "org/news", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(call), *map(str, command)], env=ENV, capture_output=True, text=True
    )
    assert done.returncode == 9, done.stderr
    cli(*command)
    made = tmp_path / "run" / "publish"
    found = {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    assert found == {*json.loads((made / "publish.json").read_text())["files"], "publish.json"}


def test_remains_without_a_mark_in_the_runs_own_folder(policy, tmp_path):
    generate(policy)
    command = ("publish", tmp_path / "run", "--repo", "org/news", "--dry-run")
    cli(*command)
    (tmp_path / "run" / "publish" / "publish.json").unlink()
    cli(*command)
    (tmp_path / "run" / "publish" / "publish.json").unlink()
    (tmp_path / "run" / "publish" / "news" / "notes.txt").write_text("mine")
    assert "it holds 'news'" in cli(*command, code=2).stderr
    assert (tmp_path / "run" / "publish" / "news" / "README.md").exists()


def test_a_folder_of_the_users_own_is_left_alone(policy, tmp_path):
    generate(policy)
    mine = tmp_path / "mine" / "news" / "README.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    command = ("publish", tmp_path / "run", "--repo", "org/news", "--dry-run", "--out", tmp_path / "mine")
    assert "the folder is not empty" in cli(*command, code=2).stderr
    assert mine.read_text() == "mine"


# -- hints that work ----------------------------------------------------------------------------------------


def hinted(done):
    return shlex.split(re.search(r"overt (?:generate|run) .*--out \S+", done.stderr).group())[1:]


def test_a_changed_policy_names_a_command_that_works(policy, tmp_path):
    generate(policy)
    stored = tmp_path / "run" / "policy.yaml"
    stored.write_text(stored.read_text().replace("One thing", "Another thing"))
    done = cli("generate", "--resume", tmp_path / "run", code=2)
    assert "put policy.yaml in it back as before" in done.stderr
    assert "--resume" not in done.stderr
    again = hinted(done)
    cli(*again, "-q")
    assert "Another thing" in (tmp_path / "run-2" / "policy.yaml").read_text()


def test_a_changed_file_of_prompts_names_a_command_that_works(tmp_path):
    (tmp_path / "words.txt").write_text("knife\n")
    (tmp_path / "p.csv").write_text("text,label\na knife,benign\n")
    target = f"filter/keywords?path={tmp_path / 'words.txt'}"
    command = ("run", tmp_path / "p.csv", "--target", target, "--out", tmp_path / "run", "-q")
    cli(*command)
    (tmp_path / "p.csv").write_text("text,label\na knife,benign\na fork,benign\n")
    done = cli(*command, code=2)
    assert "--resume" not in done.stderr
    assert "old files of dataset" in done.stderr
    done = cli("run", "--resume", tmp_path / "run", "-q", code=2)
    assert "files behind 'dataset'" in done.stderr
    cli(*hinted(done), "-q")
    assert (tmp_path / "run-2" / "manifest.json").exists()


def test_another_option_still_names_the_resume(policy, tmp_path):
    generate(policy)
    done = generate(policy, "--seed", 5, code=2)
    command = re.search(r"overt (generate --resume .*)", done.stderr).group(1)
    cli(*shlex.split(command), "-q")


# -- short and empty sets -----------------------------------------------------------------------------------


def test_nothing_kept_is_an_error_that_says_where(policy, tmp_path):
    (tmp_path / "words.txt").write_text("nothing of this\n")
    done = generate(policy, "--probe", f"filter/keywords?path={tmp_path / 'words.txt'}", code=1)
    assert re.search(r"no prompt was kept: .*the probe refused 0 of \d+", done.stderr)
    assert "next " not in done.stdout
    assert re.search(r"the probe refused 0 of \d+", manifest(tmp_path / "run")["why_short"][-1])
    assert "0 of 4 prompts were kept" in cli("show", tmp_path / "run").said


def test_fewer_than_asked_is_exit_3_with_each_stage(policy, tmp_path):
    policy.write_text(POLICY + "    dedup_threshold: 0.2\n")
    done = generate(policy, "--benign", 400, "--rounds", 1, code=3)
    assert re.search(r"short +\d+ of 400 prompts were kept", done.stdout)
    assert re.search(r"dedupe removed \d+ of \d+: \d+ near repeat", done.stdout)
    counts = re.search(r"dedupe removed (\d+) of (\d+)", done.stdout)
    kept = manifest(tmp_path / "run")["counts"]["one"]["benign"]
    assert int(counts[2]) - int(counts[1]) == kept


def test_enough_is_exit_0_and_says_nothing_of_it(policy):
    done = generate(policy)
    assert "short " not in done.stdout
    assert manifest(policy.parent / "run")["why_short"] == []


# -- what a writer gives ------------------------------------------------------------------------------------


def writer(*prompts):
    """A server whose model writes these (text, trigger) and audits every prompt as benign."""

    def answer(asked):
        said = asked.json["messages"][0]["content"]
        content = {"prompts": [{"text": t, "trigger": c, "style": ""} for t, c in prompts]}
        if "task: audit" in said:
            content = {"label": "benign", "category": "one", "reason": "harmless"}
        if "task: classify" in said:
            content = {"category": "one"}
        message = {"choices": [{"message": {"content": json.dumps(content)}, "finish_reason": "stop"}]}
        return 200, {}, {**message, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}

    return serving(answer)


def written(policy, *prompts, code=None):
    with writer(*prompts) as server:
        generate(
            *(policy, "--model", "openai/writer", "--judge", "builtin/rules", "--base-url", server.url),
            *("--rounds", 1),
            code=code,
        )
    folder = policy.parent / "run"
    kept = read_records(folder / "stages" / "synthesize.jsonl", Prompt)
    drops = read_records(folder / "stages" / "drops.jsonl", Drop)
    return {p.text: p.trigger for p in kept}, {d.text: (d.reason, d.detail) for d in drops}


@pytest.mark.parametrize(
    ("text", "claimed", "trigger"),
    [
        ("He takes a stab at the piano", "stab", "stab"),
        ("He takes a STAB at the piano", "Stab", "STAB"),
        ("A stabbing pain in the back", "stabbing", "stabbing"),
        ("A stabbing pain in the back", "stab", "stabbing"),
        ("Two knives on a table", "knives", "knives"),
        ("Two knives on a table", "knife", "knives"),
        ("A ｋｎｉｆｅ on a table", "ｋｎｉｆｅ", "ｋｎｉｆｅ"),
        ("A knife beside a piano", "piano", "knife"),  # the claim is dropped, another term stands there
        ("A knife beside a piano", "", "knife"),
    ],
)
def test_a_trigger_is_a_term_of_the_policy(policy, text, claimed, trigger):
    kept, _ = written(policy, (text, claimed))
    assert kept == {text: trigger}


@pytest.mark.parametrize(
    ("text", "claimed"), [("A grand piano in a hall", "piano"), ("A stable with a horse", "x")]
)
def test_a_claim_that_is_no_term_is_a_drop_with_a_reason(policy, text, claimed):
    kept, drops = written(policy, (text, claimed))
    assert kept == {}
    assert drops[text] == ("names no trigger", f"'{claimed}' is no term of the policy")


COPIES = {
    "a stab at watercolour painting": "copied from the policy",
    "  A stab at watercolour   painting. ": "copied from the policy",
    "“A STAB at watercolour” painting": "copied from the policy",
    "A stab at the old neighbour": "copied from the policy",
    "harm to a neighbour": "copied from the policy",
    "Kitchens and workshops": "copied from the policy",
    "Knife": "copied from the policy",
    "...": "a placeholder of the template",
    "…": "a placeholder of the template",
    "style": "a placeholder of the template",
}


def test_copies_are_dropped_with_a_reason(policy):
    kept, drops = written(policy, *((text, "knife") for text in COPIES))
    assert kept == {}
    assert {" ".join(t.split()): r for t, (r, _) in drops.items()} == {
        " ".join(t.split()): reason for t, reason in COPIES.items()
    }


def test_a_placeholder_of_the_users_own_template(policy, tmp_path):
    from importlib import resources

    source = resources.files("overt") / "generation" / "templates" / "direct.yaml"
    text = source.read_text().replace('"text", the whole prompt', '"text", such as "A knife goes here"')
    assert "goes here" in text
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "direct.yaml").write_text(text)
    with writer(("a knife goes HERE!", "knife"), ("A knife in a drawer", "knife")) as server:
        generate(
            *(policy, "--model", "openai/writer", "--judge", "builtin/rules", "--base-url", server.url),
            *("--rounds", 1, "--templates", tmp_path / "templates"),
            code=None,
        )
    drops = read_records(tmp_path / "run" / "stages" / "drops.jsonl", Drop)
    assert ("a knife goes HERE!", "a placeholder of the template") in {(d.text, d.reason) for d in drops}


def test_a_request_for_conversions_names_the_terms(policy, tmp_path):
    policy.write_text(POLICY + "    strategy: convert\n")
    (tmp_path / "seeds.csv").write_text("prompt\nHow do I sharpen a blade?\n")
    with writer(("A knife in a drawer", "knife")) as server:
        generate(
            *(policy, "--model", "openai/writer", "--judge", "builtin/rules", "--base-url", server.url),
            *("--rounds", 1, "--seeds", tmp_path / "seeds.csv"),
            code=None,
        )
    asked = [row.json["messages"][0]["content"] for row in server.asked]
    assert any("give it as the trigger: stab; knife" in text for text in asked if "task: convert" in text)


# -- models that cannot be had, and names -------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p.csv").write_text("text,label\na knife,benign\n")


MODELS = [
    ("--target", "diffusers/foo/bar"),
    ("--target", "filter/hf/foo/bar"),
    ("--target", "hf/foo/bar"),
]


@pytest.mark.parametrize(("option", "name"), MODELS)
def test_a_model_that_cannot_be_had_is_said_at_once(tmp_path, offline, option, name):
    more = ("--policy", "chat_assistant") if name.startswith("hf/") else ()
    words = ("run", tmp_path / "p.csv", option, name, *more, "--out", tmp_path / "run", "-q")
    said = []
    assert least_wall_seconds(lambda: said.append(cli(*words, code=2)), 5) < 5
    done = said[-1]
    assert f"{name} cannot be loaded" in done.stderr
    assert "127.0.0.1:9 cannot be reached" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_checker_and_a_writer_too(tmp_path, offline, policy):
    done = generate(policy, "--model", "hf/foo/bar", code=2)
    assert "hf/foo/bar cannot be loaded" in done.stderr
    (tmp_path / "labels.csv").write_text("image,label\na.png,safe\n")
    from support.builders import PNG

    (tmp_path / "a.png").write_bytes(PNG)
    done = cli("judge-check", tmp_path / "labels.csv", "--judge", "checker/hf/foo/bar", code=2)
    assert "checker/hf/foo/bar cannot be loaded" in done.stderr


@pytest.mark.parametrize(
    "name", ["diffusers/./nope", "diffusers//nowhere/at/all", "diffusers/a/b/c", "diffusers/~/no"]
)
def test_a_folder_that_is_not_there(tmp_path, offline, name):
    done = cli("run", tmp_path / "p.csv", "--target", name, "--out", tmp_path / "run", "-q", code=2)
    assert "there is no such folder" in done.stderr


def test_a_folder_of_nearly_that_name(tmp_path, offline):
    (tmp_path / "pipeline").mkdir()
    name = f"diffusers/{tmp_path}/pipelin"
    done = cli("run", tmp_path / "p.csv", "--target", name, "--out", tmp_path / "run", "-q", code=2)
    assert f"Did you mean {tmp_path / 'pipeline'}?" in done.stderr


NAMES = [
    ("run", "--target", "fliter/better-profanity", "filter/better-profanity"),
    ("run", "--target", "fliter/keyword?path=a", "filter/keywords?path=a"),
    ("run", "--target", "filter/beter-profanity", "filter/better-profanity"),
    ("run", "--target", "better-profanity", "filter/better-profanity"),
    ("run", "--target", "openi/gpt-image-1", "openai/gpt-image-1"),
    ("run", "--target", "diffuser/a/b?steps=2", "diffusers/a/b?steps=2"),
    ("run", "--target", "garded/shop.yaml", "guarded/shop.yaml"),
    ("run", "--filter", "fliter/keywords?path=a", "filter/keywords?path=a"),
    ("run", "--checker", "cheker/nudenet", "checker/nudenet"),
    ("run", "--checker", "checker/nudnet", "checker/nudenet"),
    ("run", "--judge", "jugde/rules", "judge/rules"),
    ("run", "--judge", "judge/rulez", "judge/rules"),
    ("run", "--judge", "judge/opnai/gpt-4o", "openai/gpt-4o"),
    ("generate", "--model", "bultin/grammar", "builtin/grammar"),
    ("generate", "--model", "builtin/gramar", "builtin/grammar"),
    ("generate", "--model", "opnai/gpt-4o", "openai/gpt-4o"),
    ("generate", "--probe", "fliter/better-profanity", "filter/better-profanity"),
    ("generate", "--judge", "builtin/rule", "builtin/rules"),
]


@pytest.mark.parametrize(("command", "option", "name", "meant"), NAMES)
def test_the_closest_name_is_suggested(tmp_path, policy, command, option, name, meant):
    (tmp_path / "words.txt").write_text("knife\n")
    (tmp_path / "p.csv").write_text("text,label\na knife,benign\n")
    given = [option, name, "--out", tmp_path / "run", "-q"]
    if command == "run":
        target = (
            []
            if option == "--target"
            else ["--target", "openai/x" if option == "--checker" else "filter/better-profanity"]
        )
        done = cli("run", tmp_path / "p.csv", *target, *given, code=2)
    else:
        done = cli("generate", "--policy", policy, *given, code=2)
    assert f"Did you mean '{meant}'?" in done.stderr
