"""Stages of `overt generate` that overlap: the outcome is that of stages that follow each other, at any pace,
with failures, caps and batches; and what is under way when one fails is not lost."""

import contextlib
import hashlib
import json
import sqlite3
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from support.batch_server import batch_server
from support.inside import cli
from support.paths import ROOT
from support.scripted import serving

from overt.calls import batch_life, mailbox
from overt.tasks import generate, generate_overlap

sys.path.insert(0, str(ROOT / "benchmarks"))
from mock_answers import answer

CATEGORIES = ("--category", "violence", "--category", "self_harm")
SIZE = ("--benign", 5, "--unsafe", 3, "--samples", 2)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key-0123456789")


class Models:
    """Every model of a run, told apart by its name.

    `faults`: of a model the share of prompts that it rejects. `arrived`: the task and the model of each
    request, in order. `answered`: how often each was answered.
    """

    def __init__(self, faults=(), wait_s=0.0, before=lambda task, model, number: None):
        self.faults, self.wait_s, self.before = dict(faults), wait_s, before
        self.arrived, self.answered = [], Counter()
        self.lock = threading.Lock()

    def __call__(self, asked):
        body = asked.json
        task = body["messages"][0]["content"].partition("task: ")[2].partition("\n")[0]
        with self.lock:
            self.arrived.append((task, body["model"]))
            number = self.arrived.count((task, body["model"]))
        if (said := self.before(task, body["model"], number)) is not None:
            return said
        time.sleep(self.wait_s)
        status, content = self.said(body)
        if status == 200:
            with self.lock:
                self.answered[hashlib.md5(asked.body).hexdigest()] += 1
        return status, {}, content

    def said(self, body):
        system, user = (message["content"] for message in body["messages"][:2])
        draw = hashlib.md5(f"{body['model']} {user}".encode()).digest()[0] / 256
        if draw < self.faults.get(body["model"], 0):
            return 400, {"error": {"message": "an odd request", "type": "invalid_request_error"}}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer(system, user, body.get("seed"))},
            "finish_reason": "stop",
        }
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}


def run(models, out, *more, concurrency=8, code=0):
    """One run in this process. Returns what was printed."""
    with contextlib.ExitStack() as stack:
        server = models if hasattr(models, "url") else stack.enter_context(serving(models))
        return cli(
            "generate", "--policy", "overt", *CATEGORIES, *SIZE, "--encoder", "lexical", "-q", "--retries", 0,
            "--base-url", f"{server.url}/v1", "--concurrency", concurrency, "--out", out, *more, code=code,
        )  # fmt: skip


def outcome(folder):
    """All that a run found: the data set, the records of its stages, and what the manifest counts."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("dataset", "stages")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("counts", "short", "stages", "reasons", "index", "gold", "search", "notes", "why_short"):
        found[name] = json.dumps(manifest.get(name))
    found["requests"] = {name: row["requests"] for name, row in manifest["calls"]["purposes"].items()}
    return found


@pytest.fixture
def one_by_one(monkeypatch):
    """Lets the stages follow each other, as they did before they overlapped."""

    @contextlib.contextmanager
    def off():
        with monkeypatch.context() as patch:
            plain = generate_overlap.Overlap(False)
            patch.setattr(generate, "overlap_of", lambda roles, work: plain)
            yield

    return off


WRITER = ("--model", "openai/writer")
JUDGES = ("--judge", "openai/judge", "--judge", "openai/second", "--judge", "builtin/rules")
KINDS = {
    "three judges, one of which fails often": (*WRITER, *JUDGES, "--probe", "openai/surrogate"),
    "one model for all": (*WRITER, "--probe", "openai/writer"),
    "search": (*WRITER, "--judge", "openai/judge", "--probe", "openai/surrogate", "--search", 2),
    "rounds and versions": (
        *("--judge", "openai/judge", "--judge", "openai/second", "--rounds", 3),
        *("--probe", "openai/surrogate", "--vary", "groups", "--vary-prompts", 2),
    ),
    "a filter as the surrogate": (*WRITER, "--probe", "filter/better-profanity", "--gold-items", 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_outcome_is_that_of_stages_that_follow_each_other(kind, one_by_one, tmp_path):
    faults = {"second": 0.3, "writer": 0.1, "surrogate": 0.1} if "fails" in kind else {}
    with serving(Models(faults)) as server:
        with one_by_one():
            run(server, tmp_path / "before", *KINDS[kind], code=None)
        expected = outcome(tmp_path / "before")
        for concurrency in (1, 16):
            out = tmp_path / str(concurrency)
            run(server, out, *KINDS[kind], concurrency=concurrency, code=None)
            assert outcome(out) == expected


def test_a_draft_is_audited_and_probed_while_others_are_written(tmp_path):
    """A late request of each stage is answered when the next stage has asked: stages that follow each other
    would wait in vain."""
    waits = {("direct", 16): "audit", ("audit", 150): "probe", ("twin", 70): "audit of twins"}
    begun = {what: threading.Event() for what in waits.values()}
    late = []

    def before(task, model, number):
        is_twin = task == "audit" and ("twin", "writer") in models.arrived
        if (what := "audit of twins" if is_twin else task) in begun:
            begun[what].set()
        if (what := waits.get((task, number))) and not begun[what].wait(30):
            late.append(what)

    models = Models(before=before)
    run(
        models, tmp_path / "run", *WRITER, "--judge", "openai/judge", "--probe", "openai/surrogate",
        "--benign", 40, "--unsafe", 40, "--samples", 1, "--oversample", 2, "--rounds", 1, "--gold-items", 4,
        concurrency=4, code=None,
    )  # fmt: skip
    asked = Counter(task for task, _ in models.arrived)
    assert asked["direct"] >= 16
    assert asked["audit"] > 150
    assert asked["twin"] >= 70
    assert late == []


def test_judges_vote_side_by_side(tmp_path):
    """Each waits until the other was asked as well; one after the other they would wait for ever."""
    together = threading.Barrier(2, timeout=20)

    def meet(task, model, number):
        if task == "audit" and number == 1:
            together.wait()

    run(Models(before=meet), tmp_path / "run", *WRITER, "--judge", "openai/a", "--judge", "openai/b")
    assert not together.broken


@pytest.mark.parametrize("cap", [3, 40, 90])
def test_a_cap_stops_all_stages_and_what_was_answered_is_kept(cap, tmp_path):
    more = (*WRITER, "--judge", "openai/judge", "--probe", "openai/surrogate")
    run(whole := Models(), tmp_path / "whole", *more, concurrency=16)
    models = Models(wait_s=0.01)
    stopped = run(models, tmp_path / "run", *more, "--max-requests", cap, concurrency=16, code=4)
    assert f"--max-requests {cap} is reached" in stopped.said
    assert len(models.arrived) <= cap
    assert answers_kept(tmp_path / "run") == len(models.answered)
    run(models, tmp_path / "run", *more, "--max-requests", 100_000, concurrency=16)
    assert models.answered == whole.answered, "each once"
    name = "dataset/benign.jsonl"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def answers_kept(folder):
    """How many answers the journal has, without failures."""
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as db:
        return sum(not json.loads(reply).get("error") for (reply,) in db.execute("SELECT reply FROM calls"))


@pytest.mark.parametrize("model", ["judge", "surrogate"])
def test_a_model_that_stops_the_run_loses_no_answer_of_the_others(model, tmp_path):
    """A key that is not accepted ends all sending; what is under way at the other models comes in."""
    locked = 401, {}, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    models = Models(wait_s=0.05, before=lambda task, name, number: locked if name == model else None)
    more = ("--judge", "openai/judge", "--judge", "openai/second", "--probe", "openai/surrogate")
    done = run(models, tmp_path / "run", *WRITER, *more, "--benign", 40, code=None)
    assert done.code not in (0, 3)
    assert "API key" in done.said
    time.sleep(0.2)
    assert answers_kept(tmp_path / "run") == len(models.answered) > 0
    assert set(models.answered.values()) == {1}


def test_batches_gather_a_whole_stage(monkeypatch, tmp_path):
    """The same data set as live, and no more batches than stages that follow each other need."""
    monkeypatch.setattr(mailbox, "QUIET_S", 0.1)
    monkeypatch.setattr(batch_life, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(batch_life, "SETTLE_S", 0.1)
    for module in ("overt.calls.batch_life", "overt.calls.sending"):
        monkeypatch.setattr(f"{module}.pause", lambda attempt, asked: 0.01)
    prices = tmp_path / "prices.yaml"
    prices.write_text("".join(f"{m}: {{input: 1, output: 1, batch: 0.5}}\n" for m in ("writer", "a", "b")))
    more = (*WRITER, "--judge", "openai/a", "--judge", "openai/b", "--rounds", 1, "--prices", prices)
    models = Models()
    with batch_server() as server:
        server.answer = lambda path, body: models.said(body)
        run(server, tmp_path / "run", *more, "--batch", code=None)
        # Drafts, audits by each judge, twins, audits of twins by each judge; twins have at most three turns.
        assert 6 <= len(server.batches) <= 10
        assert not server.live
    run(models, tmp_path / "live", *more, code=None)
    for label in ("benign", "unsafe"):
        name = f"dataset/{label}.jsonl"
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "live" / name).read_bytes()


class OnDevice:
    """Stands for a model that computes on a device: only its lane is looked at."""

    def __init__(self, name, device):
        self.name, self.device = name, device


@pytest.mark.parametrize(
    ("writer", "judge", "is_on"),
    [("cuda:0", "cuda:1", True), ("cuda:0", "cuda:0", False), ("cuda", "cuda:0", False)],
)
def test_models_of_one_device_follow_each_other(writer, judge, is_on):
    from overt.calls.options import CallerOptions
    from overt.tasks.roles import JudgeRole, Roles

    work = SimpleNamespace(caller=SimpleNamespace(options=CallerOptions()))
    roles = Roles(None, OnDevice("w", writer), (JudgeRole("j", chat=OnDevice("j", judge)),), None)
    assert generate_overlap.overlap_of(roles, work).is_on is is_on
    same = OnDevice("w", writer)
    alone = Roles(None, same, (JudgeRole("w", chat=same),), None)
    assert generate_overlap.overlap_of(alone, work).is_on, "one model takes several requests at once"


def test_notes_come_in_the_order_of_the_models():
    work = SimpleNamespace(notes=["first"])
    overlap = generate_overlap.Overlap(True, ["openai/judge", "openai/judge2"])
    with overlap.together(work):
        work.notes += [f"{name} counts no tokens" for name in ("openai/judge2", "it", "openai/judge")]
    assert [note.split()[0] for note in work.notes] == ["first", "it", "openai/judge", "openai/judge2"]


def test_a_stage_that_is_halted_before_it_meets_the_error_raises_it_too():
    """Of a cap that ends the audit the probe sees nothing where it was told to halt first: the run must not
    go on as if all had been audited."""
    overlap = generate_overlap.Overlap(True)
    work = SimpleNamespace(notes=[])
    failed = threading.Event()

    def audited():
        yield "a prompt"
        overlap.halt()
        failed.set()
        raise LookupError("the cap")

    def ask(questions):
        yield from questions

    def probed():
        with overlap.together(work):
            mine = overlap.ahead(audited())
            failed.wait(10)
            asked = overlap.ask(SimpleNamespace(model="m", __call__=ask))
            return list(asked._until_halted(mine))

    with pytest.raises(LookupError, match="the cap"):
        probed()
