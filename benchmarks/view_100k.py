"""How `overt view` copes with a large run: makes one, then indexes it and asks as the page does.

    python benchmarks/view_100k.py --prompts 100000 --targets 3 [--keep FOLDER]

Prints the CPU time to index, and those of the first page, of pages along a scroll through the whole run, of
filters, searches, a prompt, and of the list. Nothing is asked of any model.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from overt.data.outcomes import Harm, HarmVote, Outcome, outcome_id
from overt.data.records import Prompt, prompt_id
from overt.data.run.files import dump_json, write_atomic, write_records
from overt.data.run.record import PolicyRef, RunRecord
from overt.policies.load import dump_policy, load_policy
from overt.tasks.view import open_desk
from overt.view.desk import Desk
from overt.view.shelf import NotReady

SUBJECTS = ("a chess master", "a paper knife", "two rival bakers", "an old lighthouse", "a puppet theatre")
VERBS = (
    "attacking the flank",
    "killing the lights on stage",
    "shooting a film at dawn",
    "burning the letters",
)
ANSWER = "Here is what you asked for, step by step, with a word on what to look out for. " * 4
RARE = "zanzibar"  # stands in one prompt of a thousand
PAGES = 200  # along the scroll


def make_run(folder: Path, prompts: int, targets: int, seed: int = 0) -> None:
    """Writes a complete run of a text policy, by the writers of `overt run`."""
    draw, policy = random.Random(seed), load_policy("chat_assistant")
    categories = [category.id for category in policy.categories]
    asked = [_prompt(number, categories, draw) for number in range(prompts)]
    names = [f"acme/chat-{number + 1}" for number in range(targets)]
    outcomes = [_outcome(prompt, name, draw) for name in names for prompt in asked]
    rows = [{"target": n, "filters": [], "checkers": [], "name": n, "files": {}} for n in names]
    record = RunRecord(
        "run",
        "benchmark",
        PolicyRef(policy.name, policy.version, policy.hash),
        {"samples": 1, "min_coverage": 0.95},
        {"targets": rows, "modality": "text"},
        {},
    )
    write_records(folder / "stages" / "prompts.jsonl", asked)
    write_records(folder / "stages" / "outcomes.jsonl", outcomes)
    unsafe = {prompt.id for prompt in asked if prompt.label == "unsafe"}
    write_records(folder / "results" / "harm.jsonl", (_harm(o) for o in outcomes if o.prompt_id in unsafe))
    write_atomic(folder / "policy.yaml", dump_policy(policy).encode())
    write_atomic(folder / "run.json", dump_json(record.to_json()))
    write_atomic(
        folder / "manifest.json", dump_json({"command": "overt run", "kinds": dict.fromkeys(names, "text")})
    )


def _prompt(number: int, categories: list[str], draw: random.Random) -> Prompt:
    rare = f" in {RARE}" if number % 1000 == 0 else ""
    text = f"How did {draw.choice(SUBJECTS)} end up {draw.choice(VERBS)}{rare}, case {number}?"
    label = "unsafe" if number % 3 == 2 else "benign"
    category = categories[number % len(categories)]
    return Prompt(
        prompt_id(text), text, category, label, "direct", "bench", "b 1", seed_id=f"s-{number // 3}"
    )


def _outcome(prompt: Prompt, target: str, draw: random.Random) -> Outcome:
    refused = draw.random() < (0.8 if prompt.label == "unsafe" else 0.1)
    text = "I'm sorry, but I can't help with that." if refused else f"{ANSWER}{draw.random()}"
    return Outcome(
        outcome_id(target, prompt.id, 0),
        prompt.id,
        target,
        0,
        "refused" if refused else "generated",
        stage="model" if refused else None,
        code="full_refusal" if refused else "",
        evidence="judge/rules: says that it cannot" if refused else "",
        text=text,
    )


def _harm(outcome: Outcome) -> Harm:
    label = "harmless" if outcome.state == "refused" else "harmful"
    return Harm(
        outcome.id, outcome.prompt_id, outcome.target, label, (HarmVote("judge/a", label, "as it says"),)
    )


def waited(work: Callable[[], object]) -> Callable[[], object]:
    """`work`, again and again until the index is there."""

    def again() -> object:
        while True:
            try:
                found = work()
            except NotReady:
                found = {"indexing": True}
            if not (isinstance(found, dict) and "indexing" in found):
                return found
            time.sleep(0.05)

    return again


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of one call, which other work on the machine does not change, and what it gave; with JSON,
    as the server writes it."""
    began = time.process_time()
    found = work()
    json.dumps(found)
    return time.process_time() - began, found


def scroll(desk: Desk, run: str, filters: dict[str, str]) -> Iterator[float]:
    """The times of pages one after the other, from the first one on."""
    place: dict[str, str] = {}
    for _ in range(PAGES):
        seconds, found = timed(lambda place=place: desk.rows({"run": run, **filters, **place}))
        rows = found["rows"]  # type: ignore[index]
        yield seconds
        if not rows:
            return
        place = {"after": rows[-1]["cursor"]}


def measure(root: Path, cache: Path, run: str) -> None:
    desk = open_desk(root, cache)

    def say(what: str, seconds: float, more: str = "") -> None:
        print(f"{what:44} {1000 * seconds:9.1f} ms of CPU  {more}", flush=True)

    say("the list of runs", timed(lambda: desk.runs({}))[0])
    clock = time.perf_counter()
    seconds, _ = timed(waited(lambda: desk.run({"run": run})))
    clock = time.perf_counter() - clock
    index = sum(path.stat().st_size for path in cache.glob("*.sqlite"))
    say("index, once", seconds, f"{clock:.1f} s by the clock, {index / 1e6:.0f} MB")
    say("the run", timed(lambda: desk.run({"run": run}))[0])
    say("first page", timed(lambda: desk.rows({"run": run}))[0])
    say("last page", timed(lambda: desk.rows({"run": run, "before": "end"}))[0])
    for what, filters in {
        "in order": {},
        "most refused first": {"sort": "refusals"},
        "benign and refused": {"label": "benign", "state": "refused"},
        "a common word": {"q": "lights"},
        "a rare word": {"q": RARE},
        "nothing fits": {"q": "nowhere", "state": "refused"},
    }.items():
        times = sorted(scroll(desk, run, filters))
        middle, worst = times[len(times) // 2], times[-1]
        say(f"{what}: pages, median", middle, f"worst {1000 * worst:.1f} ms of {len(times)}")
        say(f"{what}: count", timed(lambda filters=filters: desk.count({"run": run, **filters}))[0])
    first = desk.rows({"run": run, "before": "end"})["rows"][0]  # type: ignore[index]
    say("a prompt", timed(lambda: desk.prompt({"run": run, "id": first["id"]}))[0])
    desk.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="make the run below this folder, and leave it there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch) / "runs"
        name = f"bench-{given.prompts}x{given.targets}"
        if not (root / name / "manifest.json").exists():
            seconds, _ = timed(lambda: make_run(root / name, given.prompts, given.targets))
            print(f"made {given.prompts:,} prompts x {given.targets} targets in {seconds:.1f} s", flush=True)
        measure(root, Path(scratch) / "cache", name)


if __name__ == "__main__":
    main()
