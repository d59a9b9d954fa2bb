"""Models of a user's own on two workers: same answers; what fails fails alone, what ends is started again."""

import asyncio
import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support import worker_models
from support.commands import ENV_OF_TESTS, command
from support.inside import cli

from overt.data.errors import InputError, RunError
from overt.data.notes import listening
from overt.data.outcomes import Outcome
from overt.data.run.files import read_records
from overt.generation.products import FilterTarget
from overt.workers import hiring as workers_hiring
from overt.workers.hiring import crew_of
from overt.workers.load import load_checker, load_filter, load_target
from overt.workers.spread import Spread

MODELS = "support.worker_models"
TWO = Spread("processes", 2)


@pytest.fixture
def painter(workers, tmp_path):
    made = load_target(f"{MODELS}:Painter/p", workers, batch_size=4, log=str(tmp_path / "drawn.log"))
    yield made
    asyncio.run(made.close())


def ask(target, prompts):
    async def go():
        slots = asyncio.Semaphore(target.max_concurrency)

        async def one(number, prompt):
            async with slots:
                return await target.respond(prompt, seed=number)

        return await asyncio.gather(*(one(n, p) for n, p in enumerate(prompts)))

    return asyncio.run(asyncio.wait_for(go(), 60))


def drawn(tmp_path):
    """The process and the prompts of each batch."""
    rows = [line.split("\t") for line in (tmp_path / "drawn.log").read_text().splitlines()]
    return [(int(pid), prompts.split("|")) for pid, prompts in rows]


def test_pictures_facts_and_batches_are_those_of_one_process(painter, tmp_path):
    prompts = [f"prompt {n}" for n in range(42)]
    found = ask(painter, prompts)
    assert [r.images for r in found] == [(worker_models.square(p, n),) for n, p in enumerate(prompts)]
    assert all(r.error is None and r.measured and r.measured[0].width == 64 for r in found)
    batches = drawn(tmp_path)
    cut = [prompts[n : n + 4] for n in range(0, 42, 4)]
    assert sorted(batch for _, batch in batches) == sorted(cut)
    assert len({pid for pid, _ in batches}) == 2
    assert os.getpid() not in {pid for pid, _ in batches}
    here = worker_models.Painter("p")
    assert (painter.name, painter.facts, painter.notes) == (here.name, here.facts, here.notes)
    assert painter.max_concurrency == 2 * 2 * 4


def test_notes_are_told_once(workers):
    told = []
    with listening(told.append):
        made = load_target(f"{MODELS}:Painter/p", workers)
    asyncio.run(made.close())
    assert told == [f"{MODELS}:Painter/p: It paints squares."]


def test_an_exception_is_the_fault_of_its_batch_alone(painter):
    found = ask(painter, ["raise it", "b", "c", "d", *(f"prompt {n}" for n in range(8))])
    assert [r.error.kind for r in found[:4]] == ["broken_class"] * 4
    assert "ValueError: as it was told" in found[0].error.message
    assert all(r.error is None for r in found[4:])


def test_an_answer_that_cannot_be_read_is_the_fault_of_its_item_alone(workers):
    text_filter = load_filter(f"{MODELS}:Reader", workers)
    pids = {seat.pid for seat in crew_of(TWO).seats}
    with pytest.raises(RuntimeError, match="its answer cannot be read: ValueError"):
        text_filter.decide("unread")
    assert text_filter.decide("b").blocked is True
    assert {seat.pid for seat in crew_of(TWO).seats} == pids


def test_a_worker_that_ends_once_loses_nothing(painter, tmp_path):
    prompts = [f"prompt {n}" for n in range(16)]
    prompts[5] = f"once {tmp_path / 'mark'}"
    found = ask(painter, prompts)
    assert (tmp_path / "mark").exists()
    assert [r.images for r in found] == [(worker_models.square(p, n),) for n, p in enumerate(prompts)]
    # What was not in that worker's hands was drawn once.
    times = Counter(prompt for _, batch in drawn(tmp_path) for prompt in batch)
    assert times[prompts[5]] == 2
    assert max(times.values()) <= 2


def test_a_prompt_that_ends_every_worker_is_an_error_and_the_others_are_not(painter, tmp_path):
    prompts = ["prompt 0", "die", *(f"prompt {n}" for n in range(2, 20))]
    found = ask(painter, prompts)
    lost = [prompt for prompt, r in zip(prompts, found, strict=True) if r.error is not None]
    assert lost == prompts[:4]
    assert found[1].error.kind == "server"
    assert "signal 9 (SIGKILL)" in found[1].error.message
    assert "tried 4 times" in found[1].error.message
    # Asked again, each goes alone: the innocent are drawn, and the guilty ends one worker more, not four.
    again = ask(painter, prompts[:4])
    assert [r.error is None for r in again] == [True, False, True, True]
    before = len(drawn(tmp_path))
    assert ask(painter, ["x", "die"])[1].error is not None  # seed 1 again: it is known
    assert sum("die" in batch for _, batch in drawn(tmp_path)[before:]) == 0


def test_a_model_that_cannot_be_loaded_says_so_once(workers):
    with pytest.raises(InputError, match="this model cannot be loaded\n  Take another"):
        load_target(f"{MODELS}:Painter/broken", workers)
    with pytest.raises(InputError, match="takes no option 'colour'"):
        load_target(f"{MODELS}:Painter/p?colour=red", workers)


def test_a_worker_that_ends_while_it_loads(workers):
    with pytest.raises(InputError, match=r"exit code 7; its last words: about to end"):
        load_target(f"{MODELS}:Painter/deadly", workers)


def test_checkers_and_filters(workers):
    checker = load_checker(f"{MODELS}:Watcher", workers)
    pictures = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (0, 30, 63, 64, 200)]
    found = checker.check_many(pictures, ["a"] * 5)
    assert [d.blocked for d in found] == [True, True, True, False, False]
    assert found == worker_models.Watcher().check_many(pictures, ["a"] * 5)
    assert checker.check(pictures[0], "a") == found[0]
    assert checker.covers == "all"
    lost = checker.check_many(pictures[:2], ["die", "b"])
    assert [d.error.kind for d in lost] == ["server", "server"]
    again = checker.check_many(pictures[:2], ["die", "b"])
    assert [d.error is None for d in again] == [False, True]

    text_filter = load_filter(f"{MODELS}:Reader", workers)
    assert [d.blocked for d in text_filter.decide_many(["abc", "xyz"])] == [True, False]
    assert text_filter.decide("b").blocked is True
    assert "ValueError" in text_filter.decide("raise").error.message


def test_what_needs_no_device_stays_here(workers, tmp_path):
    (tmp_path / "words.txt").write_text("bomb\n")
    made = load_filter(f"filter/keywords?path={tmp_path / 'words.txt'}", workers)
    assert type(made).__module__.startswith("overt.scoring")


def test_a_run_on_two_workers_is_the_run_of_one_process(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"a picture number {n},{'benign' if n % 3 else 'unsafe'}" for n in range(30))
    Path("prompts.csv").write_text(f"prompt,label\n{rows}\n")
    options = ["--checker", f"{MODELS}:Watcher", "--every-layer", "-q"]
    for name, spread in (("one", "1"), ("two", workers)):
        target = f"{MODELS}:Painter/p"
        cli("run", "prompts.csv", "--target", target, *options, "--out", name, "--workers", spread)
    assert outcomes("one") == outcomes("two")
    assert Path("one/run.json").read_text() == Path("two/run.json").read_text()
    # Begun on workers and ended without: the same run, and nothing is asked again.
    cli("run", "prompts.csv", "--target", target, *options, "--out", "mixed", "--workers", "2",
        "--max-requests", "12", code=4)  # fmt: skip
    said = cli("run", "--resume", "mixed", "-q").said
    assert "18 calls, 12 from the journal" in said
    assert outcomes("mixed") == outcomes("one")
    cli("score", "one", "--judges", f"{MODELS}:Watcher", "-q")
    cli("score", "two", "--judges", f"{MODELS}:Watcher", "--workers", workers, "-q")
    assert Path("one/results/harm.jsonl").read_bytes() == Path("two/results/harm.jsonl").read_bytes()


def outcomes(folder):
    """The outcomes without what hangs on the clock: with a painter as quick as this, also the batches."""
    found = read_records(Path(folder) / "stages" / "outcomes.jsonl", Outcome)
    return [dataclasses.replace(o, latency_s=0.0, batch_s=None, batch_size=None) for o in found]


def test_workers_end_with_their_driver_and_show_no_key(tmp_path):
    """A driver that is killed leaves no worker behind; the command line of a worker holds no key."""
    code = f"""
import asyncio, sys, time
from overt.workers.load import load_target
from overt.workers.hiring import crew_of
from overt.workers.spread import Spread
made = load_target("{MODELS}:Painter/p?log=secret-sk-0123456789abcdef", "2")
print(*(seat.pid for seat in crew_of(Spread("processes", 2)).seats), flush=True)
time.sleep(60)
"""
    driver = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=ENV_OF_TESTS
    )
    pids = [int(pid) for pid in driver.stdout.readline().split()]
    assert len(pids) == 2
    try:
        for pid in pids:
            line = Path(f"/proc/{pid}/cmdline")
            if line.exists():  # not on every system
                assert b"sk-0123456789" not in line.read_bytes()
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        driver.stdout.close()
    until = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_workers_end_with_their_last_model():
    alone = Spread("processes", 3)
    made = load_target(f"{MODELS}:Painter/p", "3")
    pids = [seat.pid for seat in crew_of(alone).seats]
    assert len(pids) == 3
    asyncio.run(made.close())
    assert crew_of(alone) is None
    assert not any(map(is_running, pids))


def test_what_is_let_go_by_the_collector_waits_for_nobody(workers):
    """The collector may run in the thread that reads the workers' answers, which must go on reading."""
    made = load_filter(f"{MODELS}:Reader", workers)
    crew, part = made._crew, made._part
    held = threading.Event()

    def hiring():  # somebody else waits for a model to load
        with hiring_turn:
            held.set()
            time.sleep(1.5)

    hiring_turn = workers_hiring._turn
    other = threading.Thread(target=hiring)
    other.start()
    held.wait(10)
    began = time.monotonic()
    del made
    gc.collect()
    assert time.monotonic() - began < 1
    other.join()
    until = time.monotonic() + 20
    while part in crew._parts and time.monotonic() < until:
        time.sleep(0.02)
    assert part not in crew._parts


def test_a_closed_layer_lets_go_of_its_model(workers):
    target = FilterTarget(load_filter(f"{MODELS}:Reader", workers))
    crew = crew_of(TWO)
    before = len(crew._parts)
    asyncio.run(target.close())
    assert len(crew._parts) == before - 1


def test_whoever_waits_for_a_seat_is_told_that_it_does_not_start(monkeypatch):
    """Whatever the reason."""
    three = Spread("processes", 3)
    made = load_target(f"{MODELS}:Painter/p", "3", batch_size=1)

    def fails(number):
        raise OSError("no memory for a process")

    crew = crew_of(three)
    monkeypatch.setattr(crew._engine, "seat", fails)
    with pytest.raises(RunError, match="no worker is left: OSError: no memory for a process"):
        ask(made, ["die"])
    crew.wait()
    asyncio.run(made.close())


INTERRUPTED = """
import time
from support.worker_models import Painter

class Loads(Painter):
    def __init__(self, model, *, device=None, batch_size=4, log=""):
        open("begun", "w").close()
        time.sleep(60)

class Draws(Painter):
    def _draw(self, jobs):
        open("begun", "w").close()
        time.sleep(60)
"""


@pytest.mark.parametrize("slow", ["Loads", "Draws"])
def test_ctrl_c_waits_for_no_worker(tmp_path, slow):
    """Neither for one that loads nor for one that draws."""
    (tmp_path / "slow.py").write_text(INTERRUPTED)
    (tmp_path / "p.csv").write_text("prompt,label,category\na spoon,benign,violence\n")
    words = command("run", "p.csv:prompt", "--target", f"slow:{slow}/p", "--workers", "2", "--out", "r")
    driver = subprocess.Popen(words, cwd=tmp_path, env=ENV_OF_TESTS, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    began = time.monotonic()
    driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=50)[1]
    assert "stopped; the same command goes on" in said
    assert "Traceback" not in said
    assert time.monotonic() - began < 8
