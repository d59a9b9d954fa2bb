"""Runs by batch: the rows of live calls, at half the price, and nothing sent twice whatever happens."""

import asyncio
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import time
from types import SimpleNamespace

import pytest
from PIL import Image
from support.batch_server import batch_server
from support.commands import ENV, command, outcomes, write_prompts

from overt.calls import batch_life, mailbox
from overt.calls.parcels import Terms
from overt.data.errors import BudgetReached, InputError, NotFinished, RunError
from overt.data.progress import Silent
from overt.data.run.journal import Journal
from overt.tasks.explain import ExplainConfig, explain
from overt.tasks.run import RunConfig, evaluate

KEY = "sk-batch-key-that-nobody-may-see-0123456789"
BENIGN = [f"how do I kill process {n}" for n in range(6)]
FAULTS = ["odd [400]", "again [500 once]", "late [expire once]", "lost [lost once]", "a word [no] more"]


class Told(Silent):
    """A display that keeps the notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """The same rules with shorter waits, and a price at half in a batch."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("BFL_API_KEY", KEY)
    monkeypatch.setattr(mailbox, "QUIET_S", 0.05)
    monkeypatch.setattr(batch_life, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(batch_life, "SETTLE_S", 0.1)
    for module in ("overt.calls.batch_life", "overt.calls.sending"):
        monkeypatch.setattr(f"{module}.pause", lambda attempt, asked: 0.01)
    (tmp_path / "prices.yaml").write_text(
        "m: {input: 100, output: 100, batch: 0.5}\nn: {input: 100, output: 100}\n"
        "gpt-image-1: {image: 0.04, batch: 0.5}\ngemini-2.5-flash-image: {image: 0.04, batch: 0.5}\n"
    )


@pytest.fixture
def ask(tmp_path):
    """Runs the prompts at targets; returns the notes and the folder."""

    def run(server, out, prompts=tuple(BENIGN), *, target=("openai/m",), told=None, **options):
        data = write_prompts(tmp_path / "prompts.jsonl", list(prompts))
        values = {
            "dataset": (str(data),), "target": target, "policy": "chat_assistant", "out": tmp_path / out,
            "base_url": (f"{server.url}/v1",), "prices": tmp_path / "prices.yaml", **options,
        }  # fmt: skip
        told = told or Told()
        evaluate(RunConfig.made(values), told)
        return told.notes, tmp_path / out

    return run


def rows(folder):
    """The journal's rows without what may differ: latency, cost, and the mark of a batch."""
    found = {}
    db = sqlite3.connect(folder / "journal.sqlite")
    for key, model, purpose, category, request, reply in db.execute(
        "SELECT key, model, purpose, category, request, reply FROM calls"
    ):
        data = json.loads(reply)
        for part in (data, data.get("response", {})):
            part.pop("latency_s", None)
            part.pop("price_share", None)
            if isinstance(raw := part.get("raw"), dict):
                raw["headers"].pop("x-request-id", None)
        data.pop("at", None)
        found[key] = (model, purpose, category, request, json.dumps(data, sort_keys=True))
    db.close()
    return found


def plain(folder):
    bare = {"latency_s": 0.0, "cost": 0.0}
    return [dataclasses.replace(o, **bare) for o in sorted(outcomes(folder), key=lambda o: o.prompt_id)]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


# -- the same as live -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "policy", "prompts"),
    [
        ("openai/m", "chat_assistant", [*BENIGN, "odd [400]", "a word [no] more"]),
        ("openai/gpt-image-1", "overt", ["a quiet street", "a bomb [refuse]", "odd [400]"]),
        ("google/gemini-2.5-flash-image", "overt", ["a quiet street", "no [block] here"]),  # in the body
        ("google/gemini-2.5-flash-image", "overt", [*(f"street {n}" for n in range(25)), "odd [400]"]),
    ],
)
def test_a_batch_gives_the_rows_of_live_calls(ask, target, policy, prompts):
    google = target.startswith("google")
    with batch_server() as server:
        place = {"base_url": (f"{server.url}/v1beta",)} if google else {}
        _, live = ask(server, "live", prompts, target=(target,), policy=policy, **place)
        notes, batch = ask(server, "batch", prompts, target=(target,), policy=policy, batch=True, **place)
        assert sum(server.live.values()) == len(prompts)
        assert len(server.batches) == 1
    assert len(rows(live)) == len(prompts)
    assert rows(live) == rows(batch)
    assert plain(live) == plain(batch)
    if not google:
        assert any("file-" not in note and "by batch" in note for note in notes)
    cost, half = (manifest(folder)["calls"]["cost"] for folder in (live, batch))
    assert 0 < half == pytest.approx(cost / 2)
    assert sum(o.cost for o in outcomes(batch)) == pytest.approx(half)
    batched = manifest(batch)["calls"]["batched"]
    assert batched == {"calls": len(prompts), "cost": half, "live_cost": pytest.approx(cost)}
    assert "batched" not in manifest(live)["calls"]


def test_edits_of_pictures_go_into_no_batch_and_say_so_before_anything_is_sent(ask, tmp_path):
    Image.effect_noise((32, 32), 60).save(tmp_path / "a.png")
    drawing = {"target": ("openai/gpt-image-1",), "policy": "overt", "picture": (str(tmp_path / "a.png"),)}
    words = tmp_path / "words.txt"
    words.write_text("nothing of it\n")
    product = {"filter": (f"filter/keywords?path={words}",)}
    with batch_server() as server:
        for more in ({}, product):
            with pytest.raises(InputError, match=r"a batch of .*gpt-image-1 takes none") as told:
                ask(server, "edits", batch=True, **drawing, **more)
            assert "--batch" in told.value.fix
            assert not (tmp_path / "edits").exists()
        assert not server.paths


def test_a_form_goes_live_beside_batches_and_into_none(tmp_path):
    def box(**terms):
        return mailbox.Mailbox(
            "m", SimpleNamespace(limit=9), Terms(**terms), place="", price=None, share=1.0, rows=(),
            left=lambda: None, journal=Journal(tmp_path / "j.sqlite"), on_sent=lambda: None,
        )  # fmt: skip

    async def live():
        return "live"

    async def posted(box):
        with box.call("key"):
            return await box.post(b"", live)

    assert asyncio.run(posted(box())) == "live"
    with pytest.raises(InputError, match="as a form"):
        asyncio.run(posted(box(gathers=True)))


def test_what_failed_in_a_batch_is_asked_again_in_another(ask):
    with batch_server() as server:
        _, folder = ask(server, "run", BENIGN + FAULTS, batch=True)
        assert [len(b["lines"]) for b in server.batches.values()] == [11, 3]
        assert not server.live
    states = {o.state for o in outcomes(folder)}
    assert len(outcomes(folder)) == 11
    assert states == {"generated", "refused", "error"}
    assert [o.code for o in outcomes(folder) if o.state == "error"] == ["bad_request"]
    assert manifest(folder)["calls"]["errors"] == {"bad_request": 1, "server": 1, "timeout": 2}
    assert manifest(folder)["calls"]["cost"] == pytest.approx(10 * 32 * 50 / 1e6)


def test_what_an_endpoint_does_not_take_is_learnt_from_a_batch(ask):
    with batch_server() as server:
        server.without = {"max_tokens"}
        notes, folder = ask(server, "run", batch=True)
        assert [len(b["lines"]) for b in server.batches.values()] == [6, 6]
    assert {o.state for o in outcomes(folder)} == {"generated"}
    assert any("max_completion_tokens" in note for note in notes)


def test_begun_live_and_ended_by_batch_and_the_other_way(ask):
    with batch_server() as server:
        with pytest.raises(BudgetReached):
            ask(server, "one", max_requests=2, concurrency=1)
        ask(server, "one", batch=True)
        assert len(server.live) == 2
        assert [len(b["lines"]) for b in server.batches.values()] == [4]
        with pytest.raises(BudgetReached):
            ask(server, "two", batch=True, max_requests=2)
        ask(server, "two")
        _, whole = ask(server, "whole")
        assert [len(b["lines"]) for b in server.batches.values()] == [4, 2]
        folder = whole.parent
    assert rows(folder / "one") == rows(folder / "two") == rows(whole)
    assert plain(folder / "one") == plain(folder / "two") == plain(whole)


# -- come back later ----------------------------------------------------------------------------------------


def test_sent_and_left_and_picked_up(ask):
    with batch_server() as server:
        server.hold = True
        with pytest.raises(NotFinished) as caught:
            ask(server, "run", batch=True, batch_wait=0)
        assert caught.value.exit_code == 5
        assert "batch_0000" in caught.value.what
        assert "0 of 6 done" in caught.value.what
        assert "overt run --resume" in caught.value.fix
        with pytest.raises(NotFinished):
            ask(server, "run", batch=True, batch_wait=0)
        server.hold = False
        notes, folder = ask(server, "run", batch=True, max_requests=0)  # what is paid for is no new request
        assert len(server.batches) == len(server.uploads) == 1
        assert set(server.asked.values()) == {1}
        assert any("going on with batch batch_0000" in note for note in notes)
        ask(server, "run", batch=True)
        assert len(server.batches) == 1
    assert {o.state for o in outcomes(folder)} == {"generated"}
    journal = Journal(folder / "journal.sqlite")
    assert journal.open_batches() == []
    journal.close()


def test_a_live_command_waits_for_what_a_batch_has(ask):
    """It does not pay for it a second time; what is in no batch goes live."""
    with batch_server() as server:
        server.hold = True
        with pytest.raises((NotFinished, BudgetReached)):
            ask(server, "run", batch=True, batch_wait=0, max_requests=4)
        server.hold = False
        _, folder = ask(server, "run", timeout=30.0)
        assert (len(server.batches), sum(server.live.values())) == (1, 2)
        assert set(server.asked.values()) == {1}
    assert len(outcomes(folder)) == 6


def test_all_targets_are_sent_before_one_is_waited_for(ask):
    with batch_server() as server:
        server.hold = True
        with pytest.raises(NotFinished) as caught:
            ask(server, "run", target=("openai/m", "openai/n"), batch=True, batch_wait=0)
        assert "openai/m: batch" in caught.value.what
        assert "openai/n: batch" in caught.value.what
        server.hold = False
        _, folder = ask(server, "run", target=("openai/m", "openai/n"), batch=True)
        assert len(server.batches) == 2
        assert set(server.asked.values()) == {2}
    assert len(outcomes(folder)) == 12


def test_other_inputs_do_not_replace_a_run_with_a_batch_under_way(ask):
    with batch_server() as server:
        server.hold = True
        with pytest.raises(NotFinished):
            ask(server, "run", batch=True, batch_wait=0)
        with pytest.raises(InputError, match="other inputs"):
            ask(server, "run", batch=True, batch_wait=0, seed=5)


def test_a_batch_at_another_address_is_told(ask):
    with batch_server() as server, batch_server() as other:
        server.hold = True
        with pytest.raises(NotFinished):
            ask(server, "run", batch=True, batch_wait=0)
        notes, _ = ask(other, "run", batch=True)
        assert any("6 requests wait in batches at another address" in note for note in notes)


def test_cancelled_and_gone_on_with(ask):
    with batch_server() as server:
        server.hold = True
        with pytest.raises(NotFinished):
            ask(server, "run", batch=True, batch_wait=0)
        with pytest.raises(NotFinished, match="batch_0000 was cancelled; 3 of 6") as caught:
            ask(server, "run", batch_cancel=True)
        assert "without --batch-cancel" in caught.value.fix
        assert "POST /v1/batches/batch_0000/cancel" in server.paths
        server.hold = False
        _, folder = ask(server, "run", batch=True)
        assert [len(b["lines"]) for b in server.batches.values()] == [6, 3]
        assert set(server.asked.values()) == {1}
    assert len(outcomes(folder)) == 6


# -- killed, cut off, and full ------------------------------------------------------------------------------


def start(server, data, folder, *more):
    words = command(
        "run", data, "--policy", "chat_assistant", "--target", "openai/m", "--base-url", f"{server.url}/v1",
        "--batch", "--out", folder, *more,
    )  # fmt: skip
    return subprocess.Popen(words, env={**ENV, "OPENAI_API_KEY": KEY}, stderr=subprocess.PIPE, text=True)


def test_killed_while_the_batch_is_begun(ask, tmp_path):
    """The hardest moment: it was begun, and nobody here knows. The list at the provider tells."""
    data = write_prompts(tmp_path / "prompts.jsonl", BENIGN)
    with batch_server() as server:
        process = []
        server.on_create = lambda: process and os.kill(process[0].pid, signal.SIGKILL)
        server.faults["POST /v1/batches"] = [0]
        process.append(start(server, data, tmp_path / "run"))
        assert process[0].wait(120) == -signal.SIGKILL
        process[0].stderr.close()
        server.on_create = lambda: None
        journal = Journal(tmp_path / "run" / "journal.sqlite")
        (row,) = journal.open_batches()
        journal.close()
        assert (row.step, row.id, len(row.lines)) == ("begun", "", 6)
        _, folder = ask(server, "run", batch=True)
        assert len(server.batches) == 1
        assert set(server.asked.values()) == {1}
        assert len(outcomes(folder)) == 6


def test_stopped_by_hand_it_says_how_to_pick_it_up(tmp_path):
    data = write_prompts(tmp_path / "prompts.jsonl", BENIGN)
    with batch_server() as server:
        server.hold = True
        process = start(server, data, tmp_path / "run")
        until = time.monotonic() + 120
        while not any("GET /v1/batches/batch" in path for path in list(server.paths)):
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on at the provider: openai/m: batch batch_0000" in said
    assert f"overt run --resume {tmp_path / 'run'} --batch picks them up" in said
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()
    assert all(KEY.encode() not in upload for upload in server.uploads)


def test_a_connection_that_breaks_begins_nothing_twice(ask):
    with batch_server() as server:
        server.faults["POST /v1/batches"] = [0, 503]
        server.faults["GET /v1/batches/batch_0000"] = [500, 502]
        server.faults["POST /v1/files"] = [500]
        server.faults["GET /v1/files/file-0002/content"] = [503]
        _, folder = ask(server, "run", batch=True)
        assert len(server.batches) == 1
        assert set(server.asked.values()) == {1}
        assert len(outcomes(folder)) == 6


def test_a_batch_of_which_nobody_can_tell(ask):
    with batch_server() as server:
        server.lists = False
        server.faults["POST /v1/batches"] = [503]
        with pytest.raises(RunError, match="may have been begun") as caught:
            ask(server, "run", batch=True)
        assert "--pay-again" in caught.value.fix
        assert not server.batches
        _, folder = ask(server, "run", batch=True, pay_again=True)
        assert len(server.batches) == 1
        assert len(outcomes(folder)) == 6


def test_too_much_for_the_provider_is_sent_in_parts(ask):
    with batch_server(most=2) as server:
        notes, folder = ask(server, "run", batch=True)
        taken = [b for b in server.batches.values() if b["public"]["status"] == "completed"]
        assert sum(len(b["lines"]) for b in taken) == 6
        assert all(len(b["lines"]) <= 2 for b in taken)
        assert set(server.asked.values()) == {1}
    assert any("too much for one batch: trying again with 3" in note for note in notes)
    assert len(outcomes(folder)) == 6


def test_a_limit_on_batches_is_waited_out(ask):
    with batch_server() as server:
        server.faults["POST /v1/batches"] = [429]
        notes, folder = ask(server, "run", batch=True)
        assert len(server.batches) == 1
    assert any("no room for another batch" in note for note in notes)
    assert len(outcomes(folder)) == 6


def test_a_batch_that_is_not_accepted_stops_the_run(ask):
    with batch_server() as server:
        with pytest.raises(RunError, match=r"not accepted: This line is not parseable \(line 1\)") as caught:
            ask(server, "run", [*BENIGN, "a [bad line]"], batch=True)
        assert "Nothing was paid" in caught.value.fix


# -- who can, and for how much ------------------------------------------------------------------------------


def test_without_a_batch_api_nothing_is_sent(ask, tmp_path):
    with batch_server(has_batches=False) as server:
        with pytest.raises(InputError, match=r"no batch API at 127\.0\.0\.1"):
            ask(server, "run", batch=True)
        assert server.paths == ["GET /v1/batches"]
    assert not (tmp_path / "run").exists()


def test_a_service_that_overt_cannot_ask_by_batch_is_told_first(ask):
    with batch_server() as server:
        with pytest.raises(InputError, match="bfl/flux-pro has no batch API"):
            ask(server, "run", target=("openai/gpt-image-1", "bfl/flux-pro"), policy="overt", batch=True)
        assert server.paths == []


def test_a_filter_beside_a_batch_is_asked_live(ask, tmp_path):
    (tmp_path / "words.txt").write_text("bomb\n")
    words = f"filter/keywords?path={tmp_path / 'words.txt'}"
    with batch_server() as server:
        notes, folder = ask(server, "run", target=("openai/m", words), batch=True)
    assert f"{words} has no batch API: it is asked live" in notes
    assert len(outcomes(folder)) == 12


def test_a_cap_on_the_cost_holds_before_anything_is_sent(ask):
    with batch_server() as server:
        with pytest.raises(BudgetReached, match="of 6 requests for a batch 0 fit"):
            ask(server, "run", batch=True, max_cost=0.001)
        assert not server.batches
        # 512 tokens of an answer and some of the question, at US$ 100 a million and half of that by batch
        with pytest.raises(BudgetReached, match="of 6 requests for a batch 3 fit"):
            ask(server, "run", batch=True, max_cost=0.1)
        assert [len(b["lines"]) for b in server.batches.values()] == [3]
        _, folder = ask(server, "run", batch=True, max_cost=10.0)
        assert set(server.asked.values()) == {1}
    assert len(outcomes(folder)) == 6


def test_a_product_sends_what_its_filter_lets_through(ask, tmp_path):
    (tmp_path / "words.txt").write_text("process 0\n")
    with batch_server() as server:
        words = f"filter/keywords?path={tmp_path / 'words.txt'}"
        _, folder = ask(server, "run", filter=(words,), batch=True)
        assert [len(b["lines"]) for b in server.batches.values()] == [5]
    assert sorted(o.state for o in outcomes(folder)) == ["generated"] * 5 + ["refused"]


def test_a_judge_answers_by_batch_too(ask):
    with batch_server() as server:
        ask(server, "run", batch=True, judge="judge/openai/n")
        assert len(server.batches) >= 2
        assert not server.live


def test_a_batch_s_reply_to_several_questions_is_counted_once(ask):
    """Two draws of a prompt get the same answer, and the judge the same question of both."""
    with batch_server() as server:
        _, run = ask(server, "run", batch=True, samples=2, judge="judge/openai/n")
        made = sum(server.asked.values())
        calls = manifest(run)["calls"]
        assert calls["batched"]["calls"] == made
        assert calls["cost"] == pytest.approx(calls["spent"])


def test_a_search_step_by_step_takes_no_batches(tmp_path):
    with pytest.raises(InputError, match="--batch is of no use"):
        explain(ExplainConfig.made({"run": tmp_path, "batch": True}), Silent())


def test_nothing_of_it_decides_the_outcome():
    assert not any(
        RunConfig.fields()[name].option.decides for name in ("batch", "batch_wait", "batch_cancel")
    )
