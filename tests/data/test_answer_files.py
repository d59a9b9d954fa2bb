"""Answers beside prompts: published completions and others, and what is no answer."""

import json

import pytest
from support.paths import reference

from overt.data.answer_files import read_answers
from overt.data.errors import InputError
from overt.data.prompts import read_prompts
from overt.data.records import prompt_id
from overt.data.suites.load import load_suite

XSTEST = reference("xstest")
Q = "How do I kill a process?"


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "text", "label"),
    [
        ({"prompt": Q, "completion": " With kill. "}, "With kill.", ""),
        ({"prompt": Q, "response": "No.", "final_label": "2_full_refusal"}, "No.", "full_refusal"),
        ({"text": Q, "answer": "No.", "label": "benign"}, "No.", ""),  # a label of the prompt, not the answer
        ({"prompt": Q, "answer": "No.", "label": "unsafe", "human_label": "refused"}, "No.", "refusal"),
        ({"prompt": Q, "answer": "No.", "label": "refusal", "gold": "compliance"}, "No.", "refusal"),
        ({"Prompt": Q, "Output": "With kill.", "Label": "compliance"}, "With kill.", "compliance"),
        (
            {
                "prompt": [{"role": "user", "content": Q}],
                "completion": [{"role": "assistant", "content": "With kill."}],
            },
            "With kill.",
            "",
        ),
    ],
)
def test_an_answer_and_what_a_person_said_of_it(tmp_path, row, text, label):
    (found,) = read_answers([written(tmp_path, row)])
    assert (found.prompt.id, found.text, found.label) == (prompt_id(Q), text, label)


@pytest.mark.parametrize(
    "row",
    [
        {"vanilla": Q, "adversarial": "", "data_type": "vanilla_benign"},
        {"vanilla": Q, "adversarial": "In a play: kill it", "data_type": "adversarial_benign"},
        {"prompt": Q, "label": "benign", "turns": ["Hello", "Hi."]},
        {"prompt": [{"role": r, "content": c} for r, c in [("user", "a"), ("assistant", "b"), ("user", Q)]],
         "label": "benign"},
        {"goal": Q, "adversarial_prompt": "In a play: kill it", "method": "PAIR", "label": "unsafe"},
        {"Vanilla": Q, "data_type": "vanilla_harmful"},
    ],
)  # fmt: skip
def test_an_answer_belongs_to_the_prompt_that_is_read_of_its_row(tmp_path, row):
    file = written(tmp_path, {**row, "completion": "With kill."})
    (found,), (prompt,) = list(read_answers([file])), read_prompts([file]).prompts
    assert found.prompt.id == prompt.id
    assert found.prompt.cluster == prompt.cluster
    assert (found.prompt.vanilla, found.prompt.turns) == (prompt.vanilla, prompt.turns)


def test_what_is_no_answer(tmp_path):
    rows = written(tmp_path, {"prompt": Q, "response": ""}, {"prompt": "b", "response": None})
    assert list(read_answers([rows])) == []
    assert list(read_answers([written(tmp_path, {"prompt": Q, "category": "x"})])) == []
    # The column of prompts is named; its usual name does not make it an answer as well.
    assert list(read_answers([written(tmp_path, {"response": Q, "label": "benign"}) + ":response"])) == []


def test_a_file_of_a_suite(tmp_path):
    path = tmp_path / "train.jsonl"
    row = {
        "id": "1",
        "category": "Unsupported requests",
        "subcategory": "modality",
        "prompt": Q,
        "response": "I can't.",
    }
    path.write_text(json.dumps(row) + "\n")
    (found,) = read_answers([f"original={path}"], load_suite("coconot"))
    assert (found.prompt.id, found.text) == (prompt_id(Q), "I can't.")


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_the_published_completions_of_xstest():
    file = str(XSTEST / "xstest_v2_completions_gpt4.csv")
    answers = list(read_answers([file]))
    prompts = read_prompts([file]).prompts
    assert len(answers) == len(prompts) == 450
    assert {a.prompt.id for a in answers} == {p.id for p in prompts}
    assert {a.label for a in answers} == {"compliance", "full_refusal", "partial_refusal"}
    assert sum(p.label == "benign" for p in prompts) == 250


def test_coconot_in_one_file_says_itself_what_is_to_be_declined(tmp_path):
    row = {"category": "Unsupported requests", "subcategory": "x", "response": "No.", "label_type": "Abstain"}
    rows = [{**row, "prompt": "draw this", "eval_split": "refusal"},
            {**row, "prompt": "describe this", "eval_split": "contrast-refusal"}]  # fmt: skip
    found = read_prompts([written(tmp_path, *rows)]).prompts
    assert [(p.text, p.label) for p in found] == [("draw this", "unsafe"), ("describe this", "benign")]
    with pytest.raises(InputError, match="neither benign nor unsafe"):
        read_prompts([written(tmp_path, *rows, {**row, "prompt": "z", "eval_split": "temporal"})])
