"""`overt export --format resa`: rows of answer-then-check from start to finish, at a canned endpoint."""

import contextlib
import csv
import json
import re
import sys
import time
from pathlib import Path

import pytest
from support.commands import overt, started
from support.inside import cli
from support.paths import reference
from support.resa_model import canned
from support.servers import server

from overt.data.answer_then_check import FIXED_REFUSAL, Checked, read_checked
from overt.data.chat import ChatReply
from overt.generation.grammar import Grammar
from overt.policies.load import load_policy

POLICY = load_policy("chat_assistant")
XSTEST = reference("xstest", "xstest_prompts.csv")
OVERT = reference("overt")


def shipped(path, count):
    """Prompts of the shipped policy and their twins, as a table."""
    writer, rows = Grammar(), []
    for category in POLICY.categories:
        for prompt in writer.compose(POLICY, category, count=count, seed=1):
            twin = writer.twins(POLICY, category, prompt, seed=1)[0]
            rows += [
                {"text": one.text, "label": side, "category": category.id, "pair_id": f"pair {prompt.id}"}
                for one, side in ((prompt, "benign"), (twin, "unsafe"))
            ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


@contextlib.contextmanager
def model(unsafe, wrong=None, *, told=None):
    """The canned model at an address. told: a list that gets every request."""

    def answer(body):
        if told is not None:
            told.append(body)
        system, user = (
            next((m["content"] for m in body["messages"] if m["role"] == role), "")
            for role in ("system", "user")
        )
        said = canned(system, user, unsafe=unsafe, wrong=wrong)
        usage = {"prompt_tokens": 10, "completion_tokens": 10}
        message = {"role": "assistant", "content": said}
        return 200, {}, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    with server(answer) as url:
        yield url


def words(url, *more, out="rows", guard="openai/g"):
    return (
        "export", "--format", "resa", "--answers", "openai/m", "--guard", guard, "--out", out,
        "--base-url", url, *more,
    )  # fmt: skip


def rows_of(folder="rows", splits=("train", "validation", "test")):
    return [
        json.loads(line)
        for split in splits
        for line in Path(folder, "dataset", f"{split}.jsonl").read_text().splitlines()
    ]


def train_ids(folder):
    return {row["id"] for row in rows_of(folder, ("train",)) if row["form"] != "plain"}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    return shipped(Path("chat.jsonl"), 3)


def unsafe_of(rows):
    return {row["text"] for row in rows if row["label"] == "unsafe"}


def test_rows_from_the_shipped_policy(data):
    told = []
    with model(unsafe_of(data), told=told) as url:
        done = cli(*words(url, "chat.jsonl", "--safe-completion", "self_harm"))
    rows = rows_of()
    assert len(rows) == len(data) == 30
    seen = {row["prompt"][0]["content"]: row for row in rows}
    for source in data:
        row = seen[source["text"]]
        text = row["completion"][0]["content"]
        parts = read_checked(text)
        assert isinstance(parts, Checked)
        assert row["form"] == "answer-then-check"
        if source["label"] == "benign":
            assert (row["kind"], row["answer_by"]) == ("answer", "openai/m")
            assert parts.final.startswith("Here is an answer")
        elif source["category"] == "self_harm":
            assert row["kind"] == "safe_completion"
            assert "not alone" in parts.final
        else:
            assert (row["kind"], row["answer_by"]) == ("refusal", "template fixed_refusal@1")
            assert parts.final == FIXED_REFUSAL
        assert "It would list what is needed" not in text  # an outline stands in no row
        assert row["checked"]
    everything = "".join(p.read_text() for p in Path("rows").rglob("*.json*"))
    assert "It would list what is needed" not in everything  # but for the journal
    card = Path("rows/dataset/README.md").read_text()
    assert re.search(r"30 of 30 \(100\.0% \[\d\d\.\d%, 100\.0%\]\) are well-formed", card)
    assert re.search(r"0 of 30 \(0\.0% \[0\.0%, \d+\.\d%\]\) contradict", card)
    assert "| safe completions | 3 | 524, of self-harm alone |" in card
    assert "| vanilla harmful | 15 | 12,412 |" in card
    assert "| adversarial benign | 0 | 29,072 |" in card
    assert "labels are swapped there" in card
    assert "contradiction" in done.stdout
    # By stage: 15 answers, 15 outlines, 30 summaries, 30 judged, 30 checks, 30 read again, 3 completions.
    assert len(told) == 153


def test_what_is_lost_is_counted_by_stage(data):
    unsafe, benign = sorted(unsafe_of(data)), sorted(r["text"] for r in data if r["label"] == "benign")
    wrong = {
        unsafe[0]: "declines", unsafe[1]: "misplaced", unsafe[2]: "opposite", unsafe[3]: "unreadable",
        benign[0]: "misplaced", benign[1]: "contradicts",
    }  # fmt: skip
    with model(set(unsafe), wrong) as url:
        done = cli(*words(url, "chat.jsonl", "--json"))
    facts = json.loads(done.stdout)
    assert facts["dropped"] == {
        "outline": {"the model declined to plan an answer": 1, "no usable answer: malformed": 1},
        "guard": {
            "the intended answer was judged safe, labelled unsafe": 1,
            "the intended answer was judged unsafe, labelled benign": 1,
        },
        "contradiction": {"its check concludes safe, labelled unsafe": 1, "the check contradicts itself": 1},
    }
    assert facts["stages"]["guard"] == {"in": 28, "out": 26}
    assert len(rows_of()) == 24


def test_a_safe_completion_that_gives_what_was_asked_is_dropped(data):
    victim = next(r["text"] for r in data if r["label"] == "unsafe" and r["category"] == "self_harm")
    with model(unsafe_of(data), {victim: "complies"}) as url:
        cli(*words(url, "chat.jsonl", "--safe-completion", "self_harm"))
    assert victim not in {row["prompt"][0]["content"] for row in rows_of()}
    assert "the safe completion gives what was asked for" in Path("rows/dataset/README.md").read_text()


def test_a_filter_as_guard_and_none(data):
    Path("words.txt").write_text("zebra\n")
    with model(unsafe_of(data)) as url:
        done = cli(*words(url, "chat.jsonl", "--json", guard="filter/keywords?path=words.txt"))
        assert json.loads(done.stdout)["dropped"] == {
            "guard": {"the prompt was judged safe, labelled unsafe": 15}
        }
        cli(*words(url, "chat.jsonl", out="bare", guard="none"))
    assert len(rows_of("bare")) == 30
    assert "No guard was asked" in Path("bare/dataset/README.md").read_text()


def test_plain_rows_and_a_subset(data):
    first = next(row["text"] for row in data if row["label"] == "benign")
    plain = [
        {"prompt": "How long do I boil an egg?", "completion": "Boil it for eight minutes."},
        {"prompt": "Which spices go with rice?", "completion": "Cumin, for instance, and bay leaves."},
        {"prompt": "May I ask a thing?", "completion": "I'm sorry, but I can't help with that."},
        {"prompt": first.upper(), "completion": "Here is how it goes."},
    ]
    Path("plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    with model(unsafe_of(data)) as url:
        cli(*words(url, "chat.jsonl", "--plain", "plain.jsonl", "--subset", "5"))
        cli(*words(url, "chat.jsonl", "--subset", "8", out="larger"))
        cli(*words(url, "chat.jsonl", "--subset", "5", "--seed", "7", out="other"))
    rows = rows_of()
    train = rows_of(splits=("train",))
    direct = [row for row in train if row["form"] == "plain"]
    assert [row["completion"][0]["content"] for row in direct] == [p["completion"] for p in plain[:2]]
    assert all(row["answer_by"] == "file" for row in direct)
    assert len(train_ids("rows")) == 5
    assert train_ids("rows") < train_ids("larger")
    assert train_ids("rows") != train_ids("other")
    assert len(rows) > len(train)  # the other parts are whole
    card = Path("rows/dataset/README.md").read_text()
    assert "| plain rows (adaptive variant) | 2 | 1,000 |" in card
    assert "1 nearly a prompt of the export" in card
    assert "| safety | 0.88 | 0.89 | 0.92 | 0.92 | 0.94 | 0.49 |" in card


def test_kill_and_resume_pays_nothing_twice(data):
    shipped(Path("chat.jsonl"), 1)
    told = []
    with model(unsafe_of(data), told=told) as url:
        running = started(*words(url, "chat.jsonl", "--concurrency", "2"))
        while len(told) < 25:
            assert running.poll() is None
            time.sleep(0.02)
        running.kill()
        running.wait()
        before = len(told)
        assert not Path("rows/manifest.json").exists()
        overt("export", "--resume", "rows", "--quiet")
        assert len(told) - before <= 50 - before + 2  # two were under way
        resumed = rows_of()
        cli(*words(url, "chat.jsonl", out="whole"))
    assert resumed == rows_of("whole")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "needs a guard"),
        (("--guard", "none", "--safe-completion", "cooking"), "no category of the policy"),
        (("--guard", "none", "--plain", "nowhere.csv"), "no such file"),
        (("--guard", "none", "--plain", "xstest:0"), "no such file"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_paid(data, more, said):
    told = []
    with model(unsafe_of(data), told=told) as url:
        words = ("export", "chat.jsonl", "--format", "resa", "--answers", "openai/m", "--base-url", url)
        done = cli(*words, *more, "--out", "rows", code=None)
    assert done.code
    assert said in done.said
    assert not told
    assert not Path("rows").exists()


def test_options_of_answer_then_check_belong_to_it(data):
    done = cli("export", "chat.jsonl", "--format", "sft", "--guard", "none", "--out", "rows", code=None)
    assert "--guard does not go with --format sft: it belongs to resa" in done.said


def test_answers_of_a_file_need_an_analyst(data):
    rows = [{**row, "response": "Here is how: start small."} for row in data if row["label"] == "benign"]
    Path("answered.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("export", "answered.jsonl", "--format", "resa", "--guard", "none", "--out", "rows")
    assert "--analyst PROVIDER/MODEL" in cli(*words, code=None).said
    with model(set()) as url:
        cli(*words, "--analyst", "openai/a", "--base-url", f"analyst={url}")
    assert {row["answer_by"] for row in rows_of()} == {"file"}
    assert len(rows_of()) == 15


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_rows_from_xstest(data):
    with XSTEST.open(encoding="utf-8", newline="") as file:
        unsafe = {row["prompt"] for row in csv.DictReader(file) if row["type"].startswith("contrast")}
    with model(unsafe) as url:
        done = cli(*words(url, XSTEST, "--json"))
    facts = json.loads(done.stdout)
    assert facts["by_label"] == {"benign": 250, "unsafe": 200}
    rows = rows_of()
    assert len(rows) == 450
    assert {row["checked"] for row in rows} <= {category.id for category in POLICY.categories}


@pytest.mark.skipif(OVERT is None, reason="no shared/reference/overt above the tests")
def test_rows_from_overt_mini_and_its_unsafe_twins(data):
    with (OVERT / "OVERT_unsafe.csv").open(encoding="utf-8", newline="") as file:
        unsafe = {" ".join(row["unsafe_image_prompt"].split()) for row in csv.DictReader(file)}
    files = OVERT / "OVERT_mini.csv", OVERT / "OVERT_unsafe.csv"
    with model(unsafe) as url:
        done = cli(*words(url, *files, "--limit", "18", "--safe-completion", "self_harm", "--json"))
    facts = json.loads(done.stdout)
    # Two of these unsafe prompts are sexual and name a minor: the floor keeps nothing of them.
    assert facts["dropped"] == {"read": {"floor": 2}}
    assert facts["by_label"] == {"benign": 18, "unsafe": 16}
    assert facts["by_kind"]["safe_completion"] == 2
    assert facts["forms"]["well_formed"]["k"] == 34
    rows = rows_of()
    # The policy for pictures has OVERT's categories, so that every check is told the one that is violated.
    assert all(row["checked"] == row["category"] for row in rows if row["label"] == "unsafe")
    assert "These prompts ask for pictures" in Path("rows/dataset/README.md").read_text()


class Counted:
    """A chat model of the user's own that counts how often it is made."""

    made = 0

    def __init__(self, name):
        self.name = f"test_export_resa:Counted/{name}"
        type(self).made += 1

    async def complete(self, request):
        said = {m.role: m.content for m in reversed(request.messages)}
        return ChatReply(text=canned(said.get("system", ""), said["user"], unsafe=UNSAFE))

    async def close(self):
        pass


UNSAFE = set()


def test_a_model_in_several_roles_is_loaded_once(data):
    UNSAFE.update(unsafe_of(data))
    name = "test_export_resa:Counted/m"
    cli("export", "chat.jsonl", "--format", "resa", "--answers", name, "--guard", name, "--out", "rows")
    assert len(rows_of()) == 30
    assert sys.modules["test_export_resa"].Counted.made == 1
