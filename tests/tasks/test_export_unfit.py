"""Answers and prompts that no model should learn from, and rows that are read as prompts again."""

import json
from pathlib import Path

import pytest
from support.inside import cli
from support.resa_model import canned
from support.servers import server

from overt.data.answer_then_check import Checked, read_checked
from overt.data.prompts import read_prompts
from overt.data.splits import SPLITS

NO = "I'm sorry, but I can't help with that, because it could hurt someone."
YES = "Here is how it is done: make a plan first, and then follow it step by step."
# What a service gave before its filter stopped it, or the limit of tokens did.
BEGUN = "Sure, here is how: first you"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k")


def jsonl(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def words_of(number):
    return " ".join(f"w{number}{letter}" for letter in "abcdef")


def served(says, asked=None):
    """A server that says the text and the finish reason that stand for a prompt, else `YES`. `asked` gets the
    prompts."""

    def answer(body):
        last = body["messages"][-1]["content"]
        if asked is not None:
            asked.append(last)
        said, finish = says.get(last, (YES, "stop"))
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": finish}
        return 200, {}, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}

    return server(answer)


def rows_of(run, splits=SPLITS):
    files = [Path(run) / "dataset" / f"{name}.jsonl" for name in splits]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def facts_of(run):
    return json.loads((Path(run) / "manifest.json").read_text())


def texts_of(run):
    return {row["prompt"][-1]["content"]: row["completion"][0]["content"] for row in rows_of(run)}


# -- answers that were stopped -------------------------------------------------------------------------------


ENDS = {"filtered": (BEGUN, "content_filter"), "cut": (BEGUN, "length"), "declined": (NO, "stop")}


def prompts():
    says, rows = {}, []
    for number, (name, end) in enumerate(ENDS.items()):
        for label in ("benign", "unsafe"):
            text = f"{label} {name} {words_of(number)}"
            says[text] = end
            rows.append({"text": text, "label": label, "category": "c"})
    rows.append({"text": f"benign {words_of(9)}", "label": "benign", "category": "c"})
    return says, rows


def test_what_a_filter_or_the_limit_left_of_an_answer_of_a_run_is_nothing_to_learn():
    says, rows = prompts()
    with served(says) as url:
        told = ["--policy", "chat_assistant", "--judge", "judge/rules", "--base-url", url]
        cli("run", jsonl("p.jsonl", rows), "--target", "openai/m", *told, "--out", "asked", "-q", code=None)
    cli("export", "asked", "--format", "refusal-tokens", "--out", "run", "-q")
    assert texts_of("run") == {
        f"unsafe declined {words_of(2)}": f" [refuse]{NO}",
        f"benign {words_of(9)}": f" [respond]{YES}",
    }
    assert facts_of("run")["dropped"]["judge"] == {
        "a filter stopped the answer, and what came is no refusal in words": 2,
        "the answer ended at the limit of tokens": 2,
        "a benign prompt was refused": 1,
    }
    assert BEGUN not in "".join(path.read_text() for path in Path("run").rglob("*.jsonl"))


def test_what_a_filter_left_of_a_models_answer_is_not_taken_and_not_asked_for_again():
    says, rows = prompts()
    asked = []
    with served(says, asked) as url:
        cli("export", jsonl("p.jsonl", rows[:2] + rows[-1:]), "--format", "sft", "--answers", "openai/m",
            "--base-url", url, "--out", "run", "-q")  # fmt: skip
    assert set(texts_of("run")) == {f"benign {words_of(9)}"}
    assert facts_of("run")["dropped"]["answer"] == {"failed: refused": 2}
    assert len(asked) == 3


# -- tokens and tags within prompts and answers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "prompt", "answer"),
    [
        ("single", "why does it print [refuse] here", YES),
        ("single", "what is a prompt", f"[respond] {YES}"),
        ("single", "what is a prompt", f"It begins so: [refuse]{NO}"),
        ("category", "why does it print [violence] here", YES),
    ],
)
def test_a_row_with_a_token_in_it_is_left_out(tokens, prompt, answer):
    rows = [
        {"prompt": prompt, "label": "benign", "category": "violence", "response": answer,
         "final_label": "compliance"},
        {"prompt": "how do I hit him", "label": "unsafe", "category": "violence", "response": NO},
        {"prompt": "how do I bake bread", "label": "benign", "category": "violence", "response": YES},
    ]  # fmt: skip
    told = ["--format", "refusal-tokens", "--tokens", tokens]
    cli("export", jsonl("p.jsonl", rows), *told, "--out", "run", "-q")
    assert set(texts_of("run")) == {"how do I hit him", "how do I bake bread"}
    where = "answer" if answer != YES else "prompt"
    assert facts_of("run")["dropped"]["token"] == {f"a token stands in the {where}": 1}
    assert facts_of("run")["stages"]["token"] == {"in": 3, "out": 2}
    cli("export", "p.jsonl", "--format", "sft", "--out", "plain", "-q")
    assert len(rows_of("plain")) == 3  # nothing is special about them without tokens


@pytest.mark.parametrize("name", ["Respond", "refuse"])
def test_a_category_cannot_be_called_as_the_other_tokens(name):
    rows = [
        {"prompt": f"unsafe {words_of(n)}", "label": "unsafe", "category": category, "response": NO}
        for n, category in enumerate([name, "violence"])
    ]
    told = ["export", jsonl("p.jsonl", rows), "--format", "refusal-tokens", "--out", "run"]
    done = cli(*told, "--tokens", "category", code=2)
    assert f"no name for the token of the category '{name.casefold()}'" in done.said
    assert not Path("run").exists()
    cli(*told, "-q")  # with one token for all it has a name


def analyst(unsafe):
    """A server of the stages of answer-then-check."""

    def answer(body):
        said = {message["role"]: message["content"] for message in reversed(body["messages"])}
        text = canned(said.get("system", ""), said["user"], unsafe=unsafe)
        return 200, {}, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}

    return server(answer)


def test_an_answer_with_tags_of_its_own_is_no_row_of_answer_then_check():
    tagged = "It closes with </safety_check>, and then the answer comes."
    unsafe = "how do I hit him with a stick"
    rows = [
        {"prompt": "what closes the check of this model", "label": "benign", "response": tagged},
        {"prompt": "how do I bake a loaf of bread", "label": "benign", "response": YES},
        {"prompt": unsafe, "label": "unsafe", "response": NO},
    ]
    jsonl("data.jsonl", [{**row, "category": "violence"} for row in rows])
    plain = [{"prompt": "which mark ends it all", "completion": f"<safety_check>no</safety_check> {YES}"},
             {"prompt": "which spices go with rice", "completion": "Cumin, and bay leaves."}]  # fmt: skip

    with analyst({unsafe}) as url:
        cli("export", "data.jsonl", "--format", "resa", "--analyst", "openai/a", "--guard", "none",
            "--plain", jsonl("plain.jsonl", plain), "--base-url", url, "--out", "run", "--subset", "1",
            "-q")  # fmt: skip
    checked = [row for row in rows_of("run") if row["form"] != "plain"]
    assert all(isinstance(read_checked(row["completion"][0]["content"]), Checked) for row in checked)
    assert [row["completion"][0]["content"] for row in rows_of("run") if row["form"] == "plain"] == [
        "Cumin, and bay leaves."
    ]
    facts = facts_of("run")
    assert facts["dropped"]["ending"] == {"its answer would break the format": 1}
    assert facts["dropped"]["plain form"] == {"tags stand in the answer": 1}
    # Every row is accounted for: those of the last stage that took some away, and the plain ones.
    assert facts["stages"]["ending"] == {"in": 3, "out": 2}
    assert facts["stages"]["answer"] == {"in": 2, "out": 2}  # of benign prompts, without the plain ones
    assert facts["stages"]["subset"]["out"] == len(checked)
    assert facts["stages"]["plain form"]["out"] == 1
    assert facts["stages"]["subset"]["out"] + 1 == sum(facts["rows"].values())


def test_fixed_sentences_of_answer_then_check_are_named_and_plain_prompts_are_benign_ones():
    jsonl("data.jsonl", [{"text": "how do I bake a loaf", "label": "benign", "category": "violence"}])
    plain = [{"prompt": "which spices go with rice", "completion": "Cumin.", "label": "benign"},
             {"prompt": "how do I hit him hard", "completion": NO, "label": "unsafe"}]  # fmt: skip
    with analyst(set()) as url:
        cli("export", "data.jsonl", "--format", "resa", "--answers", "templates", "--analyst", "openai/a",
            "--guard", "none", "--plain", jsonl("plain.jsonl", plain), "--base-url", url, "--out", "run",
            "-q")  # fmt: skip
    assert {row["answer_by"] for row in rows_of("run")} == {"template answer@1", "file"}
    assert "are fixed sentences, not answers.**" in Path("run/dataset/README.md").read_text()
    assert facts_of("run")["dropped"]["plain"] == {"it is not benign": 1}


# -- splits that lack something ------------------------------------------------------------------------------


def test_a_split_without_rows_or_without_one_side_is_said():
    rows = [
        {"text": f"{label} {words_of(n)}", "label": label, "pair_id": f"p{n}"}
        for n in range(2)
        for label in ("benign", "unsafe")
    ]
    told = ["export", jsonl("p.jsonl", rows), "--format", "sft", "--answers", "templates"]
    done = cli(*told, "--out", "run")
    assert "rows 4 train, 0 validation, 0 test" in done.said
    card = Path("run/dataset/README.md").read_text()
    for name in ("validation", "test"):
        assert f"the split {name} has no row" in done.said
        assert f"**The split {name} has no row.**" in card
    assert "measure on other data" in card
    done = cli(*told, "--split", "1/0/0", "--out", "all")
    assert "has no" not in done.said  # nobody asked for more
    done = cli(*told, "--label", "benign", "--out", "one", code=None)
    jsonl("benign.jsonl", rows[::2])
    done = cli("export", "benign.jsonl", *told[2:], "--out", "benign")
    assert "the split train has no refusal" in done.said


# -- an export is a data set again ---------------------------------------------------------------------------


def test_the_prompts_of_an_export_are_those_it_was_made_of():
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    rows = [
        {"text": f"benign {words_of(1)}", "label": "benign", "category": "c", "seed_id": "s", "pair_id": "p"},
        {"text": f"unsafe {words_of(2)}", "label": "unsafe", "category": "c", "seed_id": "s", "pair_id": "p"},
        {"text": f"benign {words_of(3)}", "label": "benign", "category": "c", "turns": turns},
        {"text": f"unsafe in a play {words_of(4)}", "label": "unsafe", "category": "c", "attack": "pair",
         "vanilla": "how do I do it"},
    ]  # fmt: skip
    before = {prompt.id: prompt for prompt in read_prompts([jsonl("p.jsonl", rows)]).prompts}
    cli("export", "p.jsonl", "--format", "sft", "--answers", "templates", "--out", "run", "-q")
    files = [f"run/dataset/{split}.jsonl" for split in SPLITS if rows_of("run", (split,))]
    after = {prompt.id: prompt for prompt in read_prompts(files).prompts}
    assert after.keys() == before.keys()
    for name, prompt in before.items():
        again = after[name]
        for field in ("text", "label", "category", "turns", "vanilla", "attack", "seed_id", "pair_id"):
            assert getattr(again, field) == getattr(prompt, field), field
        assert again.cluster == prompt.cluster


def test_a_conversation_in_one_column_ends_with_the_user():
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    jsonl("p.jsonl", [{"prompt": said, "label": "benign"}])
    done = cli("export", "p.jsonl", "--format", "sft", "--answers", "templates", "--out", "run", code=2)
    assert "holds 2 turns" in done.said
    system = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    jsonl("p.jsonl", [{"prompt": system, "label": "benign"}])
    done = cli("export", "p.jsonl", "--format", "sft", "--answers", "templates", "--out", "run", code=2)
    assert "turn 1 is not a text of a user or an assistant" in done.said
