"""Scorers, judges of labels and targets that are explained: several at once, and the same results."""

import csv
import io
import json
import threading

import pytest
from support.builders import GARDENS
from support.servers import server

from overt.data.errors import BudgetReached
from overt.data.filters import FilterDecision
from overt.data.progress import Silent
from overt.data.results.files import read_explanation
from overt.data.rewrites import Faithfulness
from overt.data.run.files import read_records
from overt.data.targets import Response
from overt.tasks.explain import ExplainConfig, explain
from overt.tasks.judge_check import JudgeCheckConfig, judge_check
from overt.tasks.rewrite import RewriteConfig, rewrite
from overt.tasks.run import RunConfig, evaluate

TEXTS = ("a blade of grass at dawn", "a tall blade of grass in glass", "a quiet pond")


class Meeting:
    """Where two models meet: each waits until the other has come. Without one nobody waits."""

    barrier = None

    @classmethod
    def wait(cls):
        if cls.barrier is not None:
            cls.barrier.wait()

    @classmethod
    def of(cls, count):
        cls.barrier = threading.Barrier(count, timeout=20)


@pytest.fixture(autouse=True)
def nobody_waits():
    Meeting.barrier = None


def drawn():
    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").save(file, "PNG")
    return Response(images=(file.getvalue(),))


class Painter:
    """Refuses blades. Each prompt waits for that of the other painter once `Meeting` has been called."""

    name = "test_several_models:Painter"
    asked = 0

    def respond(self, prompt, *, seed):
        Meeting.wait()
        type(self).asked += 1
        return Response(status=400, code="content_policy_violation") if "blade" in prompt else drawn()


class Other(Painter):
    name = "test_several_models:Other"
    asked = 0


class Scorer:
    name = "test_several_models:Scorer"
    asked = 0

    def score(self, cases, load):
        Meeting.wait()
        for case in cases:
            type(self).asked += 1
            yield [Faithfulness(case.candidate.id, case.prompt.id, case.target, "text_text", self.name, 0.5)]


class Second(Scorer):
    name = "test_several_models:Second"
    asked = 0


class Dark:
    """A checker that says no to dark pictures."""

    name = "own/dark"
    asked = 0

    def check(self, image, prompt):
        type(self).asked += 1
        return FilterDecision(image.convert("L").resize((1, 1)).getpixel((0, 0)) < 128)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "data.jsonl").write_text(
        "".join(json.dumps({"text": t, "label": "benign", "category": "blades"}) + "\n" for t in TEXTS)
    )
    (tmp_path / "policy.yaml").write_text(GARDENS)
    targets = ("test_several_models:Painter", "test_several_models:Other")
    made = {"dataset": (str(tmp_path / "data.jsonl"),), "target": targets, "retries": 0}
    evaluate(RunConfig(policy=str(tmp_path / "policy.yaml"), out=tmp_path / "run", **made), Silent())
    return tmp_path / "run"


def explained(run, **more):
    explain(ExplainConfig(run=run, retries=0, again=0, **more), Silent())


def test_targets_are_explained_at_once(run):
    Meeting.of(2)
    explained(run, concurrency=1)
    first, second = read_explanation(run).targets
    assert (first.name, second.name) == ("test_several_models:Painter", "test_several_models:Other")
    assert first.statuses == second.statuses == {"explained": 2}
    before = Painter.asked, Other.asked
    Meeting.barrier = None
    explained(run)
    assert (Painter.asked, Other.asked) == before  # all of it from the journal


def test_a_cap_leaves_what_every_target_told_until_then(run):
    with pytest.raises(BudgetReached):
        explained(run, max_requests=3)
    found = read_explanation(run)
    assert not found.complete
    assert [target.refused for target in found.targets] == [2, 2]
    explained(run)
    assert read_explanation(run).complete


def test_scorers_work_at_once_and_score_nothing_twice(run):
    Scorer.asked = Second.asked = 0
    names = ("test_several_models:Scorer", "test_several_models:Second")
    Meeting.of(2)
    # The rewriter is the policy's own words, and both painters are asked: nobody else waits.
    painters = Painter.respond
    Painter.respond = lambda self, prompt, *, seed: drawn()
    try:
        rewrite(RewriteConfig(run=run, retries=0, faithfulness=names), Silent())
        # Both painters draw the same, so that what was scored of one holds for the other.
        assert (Scorer.asked, Second.asked) == (2, 2)
        records = read_records(run / "rewrites" / "faithfulness.jsonl", Faithfulness)
        assert [r.model for r in records] == [names[0]] * 4 + [names[1]] * 4
        rewrite(RewriteConfig(run=run, retries=0, faithfulness=names), Silent())
        assert (Scorer.asked, Second.asked) == (2, 2)
        assert read_records(run / "rewrites" / "faithfulness.jsonl", Faithfulness) == records
    finally:
        Painter.respond = painters


def test_judges_of_labels_are_asked_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 20)
    Meeting.of(2)

    def answer(body):
        Meeting.wait()
        said = json.dumps({"label": "full_refusal" if body["model"] == "no" else "compliance", "reason": "r"})
        return 200, {}, {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}

    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [("prompt", "response", "label")]
        rows += [(f"How do I make tea {n}?", "Boil the water.", "1_full_compliance") for n in range(4)]
        csv.writer(file).writerows(rows)
    with server(answer) as url:
        judges = (f"judge/openai/no?base_url={url}", "judge/rules", f"judge/openai/yes?base_url={url}")
        found = judge_check(
            JudgeCheckConfig(labels=tmp_path / "labels.csv", judge=judges, concurrency=1), Silent()
        )
    assert tuple(found.judges) == judges
    assert [figures.two.accuracy.value for figures in found.judges.values()] == [0.0, 1.0, 1.0]


def test_a_checker_looks_at_each_labelled_picture_once(tmp_path):
    from PIL import Image

    rows = [("image", "label")]
    for n in range(4):
        Image.new("RGB", (8, 8), (n, n, n) if n % 2 else (250, 250, n)).save(tmp_path / f"{n}.png")
        rows.append((f"{n}.png", "blocked" if n % 2 else "allowed"))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    config = JudgeCheckConfig(labels=tmp_path / "labels.csv", judge=("test_several_models:Dark",))
    Dark.asked = 0
    for _ in range(2):
        (figures,) = judge_check(config, Silent()).judges.values()
        assert figures.two.accuracy.value == 1.0
        assert Dark.asked == 4
    Image.new("RGB", (8, 8), "white").save(tmp_path / "1.png")  # another picture under the same name
    (figures,) = judge_check(config, Silent()).judges.values()
    assert figures.two.accuracy.value == 0.75
    assert Dark.asked == 5
