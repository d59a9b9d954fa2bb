"""Judges of one scoring side by side: at once, one slow, one barred, a cap, Ctrl-C, a kill; nothing is asked
twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.commands import ENV, command, write_prompts
from support.image_server import YAML, image_server
from support.inside import cli
from support.servers import server

from overt.data.outcomes import Harm
from overt.data.run.files import read_records

UNSAFE = [f"an unsafe scene {i}" for i in range(12)]
BENIGN = [f"a benign scene {i}" for i in range(3)]
KEY = "judge-key-that-nobody-may-see-0123456789"

CHECKER = '''
import os, signal
from pathlib import Path
from overt.data.filters import FilterDecision

LOG = Path({log!r})


class Checker:
    """Says no to dark pictures; writes down what it looks at."""

    name = "own/checker"
    covers = "all"

    def check(self, image, prompt):
        level = image.convert("L").resize((1, 1)).getpixel((0, 0))
        with LOG.open("a") as log:
            log.write(f"{{prompt}}\\n")
        if len(LOG.read_text().splitlines()) == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        return FilterDecision(level < 128, level / 255, f"level {{level}}")
'''

BATCHED = (
    CHECKER
    + """

class Many(Checker):
    name = "own/many"

    def check_many(self, images, prompts):
        if len(images) > 1 and any(prompt.endswith(" 5") for prompt in prompts):
            raise RuntimeError("one of these is odd")
        return [self.check(*row) for row in zip(images, prompts)]


class Remote(Checker):
    name = "own/remote"
    api_key_env = "JUDGE_KEY"

    def check(self, image, prompt):
        TOGETHER.wait()
        return super().check(image, prompt)


import threading
TOGETHER = threading.Barrier(4, timeout=20)
"""
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run whose pictures are there; each test gets a copy."""
    folder = tmp_path_factory.mktemp("drawn")
    prompts = write_prompts(folder / "p.jsonl", BENIGN, UNSAFE)
    with image_server() as drawing, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VENDOR_KEY", "x" * 20)
        (folder / "vendor.yaml").write_text(YAML.format(url=drawing.url))
        cli("run", prompts, "--target", f"http/{folder}/vendor.yaml", "--out", folder / "run", "-q")
    return folder / "run"


@pytest.fixture
def run(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("VENDOR_KEY", "x" * 20)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    shutil.copytree(drawn, tmp_path / "run")
    return tmp_path / "run"


class Judges:
    """Vision models on loopback, one for each name; what they were asked, and what they say by name."""

    def __init__(self, **says):
        self.asked, self.lock, self.says = Counter(), threading.Lock(), says

    def __call__(self, body):
        model = body["model"]
        with self.lock:
            self.asked[model] += 1
        if (said := self.says.get(model)) and (answer := said(self)):
            return answer
        return 200, {}, {
            "choices": [
                {"message": {"content": '{"label": "harmless", "reason": "r"}'}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }  # fmt: skip


def names(url, *models):
    return ",".join(f"openai/{model}?base_url={url}" for model in models)


def harm(run):
    return (run / "results" / "harm.jsonl").read_bytes()


def test_judges_are_asked_at_once(run):
    together = threading.Barrier(3, timeout=20)
    judges = Judges(**dict.fromkeys("abc", lambda judges: together.wait() and None))
    with server(judges) as url:  # each waits until all three are asked
        cli("score", run, "--judges", names(url, *"abc"), "-q", "--concurrency", "1")
    assert judges.asked == {"a": 12, "b": 12, "c": 12}
    assert all(len(h.votes) == 3 for h in read_records(run / "results" / "harm.jsonl", Harm))


def test_a_slow_judge_does_not_hold_up_the_others(run):
    done = threading.Event()

    def last(judges):
        if judges.asked["a"] == 12:
            done.set()

    judges = Judges(slow=lambda judges: done.wait(20) and None, a=last)
    with server(judges) as url:
        cli("score", run, "--judges", names(url, "slow", "a"), "-q", "--concurrency", "1")
    assert done.is_set()  # the other one was through before the slow one had answered once
    assert [
        v.judge.partition("?")[0] for v in read_records(run / "results" / "harm.jsonl", Harm)[0].votes
    ] == [
        "openai/slow",
        "openai/a",
    ]


def test_a_barred_key_ends_the_scoring_and_loses_nothing(run):
    refused, came = threading.Event(), threading.Event()

    def waits(judges):  # its answers are on the way while the other's key is refused
        came.set()
        refused.wait(20)

    def barred(judges):
        came.wait(20)
        refused.set()
        return 401, {}, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}

    judges = Judges(a=waits, barred=barred)
    with server(judges) as url:
        done = cli("score", run, "--judges", names(url, "a", "barred"), "-q", "--concurrency", "4", code=1)
        assert "the key was not accepted" in done.said
        assert KEY not in done.said
        assert not (run / "results" / "harm.jsonl").exists()
        paid = judges.asked["a"]
        assert 0 < paid < 12
        del judges.says["barred"]
        cli("score", run, "--judges", names(url, "a", "barred"), "-q")
    assert judges.asked["a"] == 12  # what was paid for was kept


def test_a_cap_in_the_middle_and_on_with_a_higher_one(run):
    judges = Judges()
    with server(judges) as url:
        three = names(url, *"abc")
        done = cli("score", run, "--judges", three, "-q", "--max-requests", "20", code=None)
        assert done.code not in (0, 2)
        assert "--max-requests 20 is reached" in done.said
        assert judges.asked.total() == 20
        assert not (run / "results" / "harm.jsonl").exists()
        cli("score", run, "--judges", three, "-q")
    assert judges.asked == {"a": 12, "b": 12, "c": 12}


def test_ctrl_c_ends_it_at_once_and_keeps_what_came(run):
    never = threading.Event()

    def stuck(judges):
        if judges.asked["stuck"] == 3:
            os.kill(os.getpid(), signal.SIGINT)
        if judges.asked["stuck"] >= 3:
            never.wait(20)

    judges = Judges(stuck=stuck)
    with server(judges) as url:
        try:
            cli("score", run, "--judges", names(url, "a", "stuck"), "-q", "--concurrency", "1", code=130)
        finally:
            never.set()
        before = judges.asked["stuck"]
        assert before == 3
        judges.says.clear()
        cli("score", run, "--judges", names(url, "a", "stuck"), "-q")
    assert judges.asked["stuck"] == 13  # what was on the way is asked again, and nothing else
    assert judges.asked["a"] <= 13


# -- checkers -------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A checker of the user's own, in a module of its own for each test."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(BATCHED.format(log=str(tmp_path / "log")))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def looked(tmp_path):
    log = tmp_path / "log"
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def test_a_kill_in_the_middle_loses_no_verdict(run, own, tmp_path):
    judges = f"{own}:Checker"
    whole = shutil.copytree(run, tmp_path / "whole")
    line = command("score", run, "--judges", judges, "-q")
    killed = subprocess.run(line, env={**ENV, "KILL_AT": "9"}, cwd=tmp_path, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    at_kill = looked(tmp_path)
    assert at_kill.total() == 9
    cli("score", run, "--judges", judges, "-q")
    twice = looked(tmp_path) - Counter(UNSAFE)
    assert twice.total() <= 2  # those on the way: one looked at, one with its verdict just given
    assert looked(tmp_path).keys() == set(UNSAFE)
    cli("score", run, "--judges", judges, "-q")  # and nothing again
    assert looked(tmp_path) - Counter(UNSAFE) == twice
    cli("score", whole, "--judges", judges, "-q")
    assert harm(run) == harm(whole)


def test_a_batch_with_an_odd_picture_is_taken_apart(run, own, tmp_path):
    cli("score", run, "--judges", f"{own}:Many,{own}:Checker", "-q")
    for row in read_records(run / "results" / "harm.jsonl", Harm):
        many, one = row.votes
        assert (many.label, many.reason) == (one.label, one.reason)
        assert many.failure is None
    assert looked(tmp_path) == dict.fromkeys(UNSAFE, 2)


def test_a_checker_behind_a_service_is_asked_many_at_once(run, own, tmp_path):
    """Each look waits for three others."""
    cli("score", run, "--judges", f"{own}:Remote", "-q", "--concurrency", "4")
    assert looked(tmp_path) == dict.fromkeys(UNSAFE, 1)


def test_a_changed_checker_shares_no_verdicts(run, own, tmp_path):
    cli("score", run, "--judges", f"{own}:Checker", "-q")
    file = tmp_path / f"{own}.py"
    file.write_text(file.read_text().replace("level < 128", "level >= 0"))
    del sys.modules[own]
    cli("score", run, "--judges", f"{own}:Checker", "-q", code=None)
    assert looked(tmp_path) == dict.fromkeys(UNSAFE, 2)
    assert {row.label for row in read_records(run / "results" / "harm.jsonl", Harm)} == {"harmful"}


def test_a_lost_picture_and_a_broken_one_are_counted(run, own):
    pictures = sorted(Path(run / "images").rglob("*.png"))
    shown = {image: row for row in outcomes_of(run) for image in row["images"]}
    mine = [p for p in pictures if str(p.relative_to(run)) in shown]
    mine[0].unlink()
    mine[1].write_bytes(b"\x89PNG and no more")
    cli("score", run, "--judges", f"{own}:Checker", "-q", "--benign", code=None)
    votes = {row.outcome_id: row.votes[0] for row in read_records(run / "results" / "harm.jsonl", Harm)}
    lost, broken = (votes[shown[str(p.relative_to(run))]["id"]] for p in mine[:2])
    assert (lost.failure, broken.failure) == ("failed", "broken_picture")
    assert "No such file" in lost.reason
    assert sum(vote.failure is not None for vote in votes.values()) == 2


def outcomes_of(run):
    return [json.loads(line) for line in (run / "stages" / "outcomes.jsonl").read_text().splitlines()]
