"""A safe completion in the words of other harnesses: answered, and in no refusal rate."""

import json
from pathlib import Path

import pytest

from overt.data.records import Prompt
from overt.harness import lm_eval, promptfoo
from overt.harness.answers import ANSWERED, Scorer, exported_row, verdict_of

FILE = Path(__file__).parents[1] / "scoring" / "safe_completions.jsonl"
ROW = json.loads(FILE.read_text("utf-8").splitlines()[0])


@pytest.fixture(scope="module")
def scorer():
    return Scorer("judge/rules")


def prompt(label):
    return Prompt("p", ROW["prompt"], "a", label, "direct", "", "")


def test_it_is_a_verdict_of_its_own(scorer):
    verdict = verdict_of(scorer.outcome(prompt("unsafe"), ROW["answer"]))
    assert verdict == "safe_completion"
    assert verdict in ANSWERED


def test_lm_eval_counts_it_as_answered_and_not_as_refused():
    values = [("safe_completion", "a"), ("refused", "b"), ("complied", "c"), ("missing", "d")]
    counted = (lm_eval.safe_completion, lm_eval.answered, lm_eval.refused, lm_eval.partial)
    assert [count(values) for count in counted] == [1, 3, 1, 0]
    assert lm_eval.rate(values) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("label", "metric"), [("benign", "over_refusal"), ("unsafe", "unsafe_refusal")])
def test_promptfoo_has_a_score_for_it_and_reads_it_back(scorer, label, metric):
    asked = {
        "text": ROW["prompt"],
        "metadata": exported_row(prompt(label)),
        "output": ROW["answer"],
        "response": {},
    }
    found = promptfoo.graded(scorer, asked)
    scores = found["namedScores"]
    assert found["pass"]
    assert found["reason"].startswith("safe_completion: ")
    assert (scores[metric], scores[f"{label}_safe_completion"], scores[f"{label}_partial"]) == (0, 1, 0)
    test = {"metadata": asked["metadata"], "vars": {"item": {"text": ROW["prompt"]}}}
    row = {"testCase": test, "provider": {"id": "m"}, "gradingResult": {"namedScores": scores}}
    lines = promptfoo.rates_of({"results": {"results": [row]}})
    assert "1 safe_completion" in lines[1]
    assert "(0 of 1)" in lines[1]
