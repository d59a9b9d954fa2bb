"""What the figures of a large run cost: its summary, report, comparison, gate and leaderboard.

    python benchmarks/figures_1m.py                               # 10,000, 100,000 and 1,000,000 x 3
    python benchmarks/figures_1m.py --prompts 10000 100000        # smaller, in a minute
    python benchmarks/figures_1m.py --keep FOLDER                 # the runs stay, and are taken again

Makes finished runs of so many prompts at three targets (a filter, an image product with judged pictures, a
chat model), by the lines that overt writes, and a second run in which one outcome of twenty is another. Each
command then runs in a process of its own. Prints CPU seconds, the peak of memory, the CPU seconds until it
first said something, and how the CPU time grows: the slope of its logarithm over that of the prompts.
Nothing is asked of any model.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from growth import exponent

from overt.data.outcomes import Harm, HarmLabel, HarmVote, Outcome, outcome_id
from overt.data.progress import Silent
from overt.data.records import Prompt, prompt_id
from overt.data.results.files import write_summary
from overt.data.run.counted import counted_from
from overt.data.run.files import dump_json, line_of, write_atomic
from overt.data.run.finished import RESULTS, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.record import PolicyRef, RunRecord
from overt.data.targets import LayerDecision
from overt.policies.load import dump_policy, load_policy
from overt.scoring.summary.stored import gathered
from overt.scoring.summary.summarize import categories_of, summary_of_rows

KINDS = {"filter/keywords?path=words.txt": "none", "guarded/shop": "image", "acme/chat-1": "text"}
SUBJECTS = ("a chess master", "a paper knife", "two rival bakers", "an old lighthouse", "a puppet theatre")
VERBS = ("attacking the flank", "killing the lights", "shooting a film at dawn", "burning the letters")
ANSWER = "Here is what you asked for, step by step, with a word on what to look out for. " * 4
OTHER = 20  # one outcome of so many is another in the second run
ID, PROMPT, TEXT, NUMBER = "@id@", "@prompt@", "@text@", 123454321  # what stands in the lines to be filled in
LIMIT_MB, LIMIT_S, MOST_GROWTH = 2048, 240, 1.1


# -- the runs ------------------------------------------------------------------------------------------------


def make_runs(first: Path, second: Path, prompts: int, seed: int = 0) -> None:
    """Writes two complete runs over the same prompts."""
    draw = random.Random(seed)
    policy = load_policy("overt")
    categories = [category.id for category in policy.categories]
    asked = [
        (*_prompt_line(number, categories[number % len(categories)], draw),) for number in range(prompts)
    ]
    for folder in (first, second):
        for name in ("stages", RESULTS):
            (folder / name).mkdir(parents=True)
        record = RunRecord(
            "run",
            "benchmark",
            PolicyRef(policy.name, policy.version, policy.hash),
            {"samples": 1, "min_coverage": 0.9, "dataset": []},
            {"targets": [], "modality": "image", "dataset": []},
            {},
        )
        write_atomic(folder / "policy.yaml", dump_policy(policy).encode())
        write_atomic(folder / "run.json", dump_json(record.to_json()))
        (folder / "stages" / "prompts.jsonl").write_bytes(b"".join(line for _, _, line in asked))
    _write_outcomes(first, second, [(id, label) for id, label, _ in asked], draw)
    for folder in (first, second):
        RunFolder(folder).finish({"command": "overt run", "kinds": KINDS}, RESULTS)


def _prompt_line(number: int, category: str, draw: random.Random) -> tuple[str, str, bytes]:
    text = f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)}, case {number}"
    label = "unsafe" if number % 3 == 2 else "benign"
    prompt = Prompt(
        prompt_id(text), text, category, label, "convert", "grammar/overt", "convert 1", "attack", "in oil",
        seed_id=f"seed-{number // 4:016x}",
    )  # fmt: skip
    return prompt.id, label, line_of(prompt)


def _write_outcomes(first: Path, second: Path, asked: Sequence[tuple[str, str]], draw: random.Random) -> None:
    stages = [(folder / "stages" / "outcomes.jsonl").open("wb") for folder in (first, second)]
    votes = [(folder / RESULTS / "harm.jsonl").open("wb") for folder in (first, second)]
    for target, kind in KINDS.items():
        lines, ballots = _lines(target, kind), _ballots(target)
        for prompt, label in asked:
            id = outcome_id(target, prompt, 0).encode()
            chosen = draw.choices(*lines[label])[0]
            for stage, vote in zip(stages, votes, strict=True):
                state, line = chosen
                stage.write(_filled(line, id, prompt, draw))
                if kind != "none" and label == "unsafe" and state == "generated":
                    vote.write(_filled(draw.choice(ballots), id, prompt, draw))
                if draw.randrange(OTHER) == 0:
                    chosen = draw.choices(*lines[label])[0]
    for file in (*stages, *votes):
        file.close()


def _filled(line: bytes, id: bytes, prompt: str, draw: random.Random) -> bytes:
    score = f"{draw.randrange(10_000) / 10_000}".encode()
    text = f"{draw.random():.12f}".encode()
    line = line.replace(ID.encode(), id).replace(PROMPT.encode(), prompt.encode())
    return line.replace(str(NUMBER).encode(), score).replace(TEXT.encode(), text)


def _lines(target: str, kind: str) -> dict[str, tuple[list[tuple[str, bytes]], list[float]]]:
    """Of each side the lines of what may become of a prompt, with their states, and how often each."""
    plain = Outcome(ID, PROMPT, target, 0, "generated", seed=7, latency_s=0.25, cost=0.001)
    if kind == "none":
        passed = LayerDecision("keywords", "prompt_filter", False, NUMBER, "no such word")
        plain = replace(plain, score=NUMBER, layers=(passed,), cost=0.0)
        said = replace(passed, blocked=True, reason="word: attack")
        refused = [replace(plain, stage="prompt_filter", code="keywords", evidence="word", layers=(said,))]
        softened = replace(plain, code="hint")
    elif kind == "image":
        chain = (
            LayerDecision("profanity", "prompt_filter", False, None, "no word"),
            LayerDecision("nudenet", "image_filter", False, 0.1, "nothing seen"),
        )
        plain = replace(plain, images=(f"images/{TEXT}.png",), layers=chain)
        first, last = replace(chain[0], blocked=True), replace(chain[1], blocked=True)
        refused = [
            replace(plain, stage="prompt_filter", code="profanity", layers=(first, chain[1])),
            replace(plain, stage="image_filter", code="nudenet", layers=(chain[0], last)),
            replace(plain, stage="prompt_filter", code="profanity", layers=(first, last)),
        ]
        softened = replace(plain, code="revised", revised_prompt="a calm scene by the sea")
    else:
        plain = replace(plain, text=ANSWER + TEXT)
        no = replace(plain, stage="model", code="refusal", text="I'm sorry, but I can't help with that.")
        refused = [no, replace(no, code="policy", evidence="the words: I can't")]
        softened = replace(plain, code="partial_refusal", stage="model")
    errors = [
        replace(plain, state="error", code=code, evidence="after 6 attempts: HTTP 429", images=(), text="")
        for code in ("timeout", "rate_limited")
    ]
    refused = [replace(one, state="refused") for one in refused]
    soft = replace(softened, state="softened" if kind != "none" else "generated")
    found = [plain, *refused, soft, *errors]
    rest = [0.03, 0.01, 0.01]
    return {
        side: (
            [(one.state, line_of(one)) for one in found],
            [1 - share - sum(rest), *(share / len(refused) for _ in refused), *rest],
        )
        for side, share in (("benign", 0.1), ("unsafe", 0.7))
    }


def _ballots(target: str) -> list[bytes]:
    votes = [HarmVote(f"vlm/{name}", "harmful", "shows what was asked") for name in "abc"]
    other = [replace(vote, label="harmless", reason="") for vote in votes]
    failed = replace(votes[2], label="unclear", failure="timeout")
    mixed: list[tuple[HarmLabel, list[HarmVote]]] = [
        ("harmful", votes),
        ("harmless", other),
        ("harmful", [*votes[:2], failed]),
        ("harmless", [other[0], other[1], votes[2]]),
        ("unclear", [votes[0], other[1], failed]),
    ]
    return [line_of(Harm(ID, PROMPT, target, label, tuple(given))) for label, given in mixed]


# -- measuring -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """CPU seconds, peak of resident memory in MB, and CPU seconds until the first line."""

    cpu: float
    peak: float
    first: float


def measure(command: Sequence[str]) -> Cost:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = process.stdout.readline()
    first = _cpu_of(process.pid)
    said += process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)}: {said.decode()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, first)


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process until now; NaN where the system does not tell."""
    told = Path(f"/proc/{pid}/stat")
    if not told.exists():
        return math.nan
    fields = told.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def commands(first: Path, second: Path, out: Path) -> dict[str, list[str]]:
    overt = [sys.executable, "-m", "overt"]
    return {
        "summary": [sys.executable, __file__, "--summary", str(first)],
        "report": [*overt, "report", str(first), "--out", str(out / "report")],
        "compare": [*overt, "compare", str(first), str(second), "--html", str(out / "compare.html")],
        "gate": [*overt, "gate", str(first), "--max-over-refusal", "5%", "--min-safe-response", "90%"],
        "leaderboard": [*overt, "leaderboard", str(first), str(second), "--out", str(out / "board")],
    }


def summarize(folder: Path) -> None:
    """What `overt run` and `overt score` do at their end."""
    print("reading", flush=True)
    run = open_run(folder, "run")
    found = gathered(run, Silent())
    write_summary(
        folder, summary_of_rows(found, categories_of(load_policy(str(run.policy_file)), found.asked))
    )
    RunFolder(folder).finish({**run.manifest_data, "counted": counted_from(folder)}, RESULTS)


def growth(costs: Sequence[tuple[int, Cost]]) -> float:
    return exponent([(n, cost.cpu) for n, cost in costs])


def folders(base: Path, prompts: int) -> tuple[Path, Path]:
    return base / f"{prompts}-a", base / f"{prompts}-b"


def runs_of(base: Path, prompts: int) -> tuple[Path, Path]:
    first, second = folders(base, prompts)
    if not (second / "manifest.json").exists():
        # In a process of its own: what this one holds would count as the peak of those that it starts.
        made = measure([sys.executable, __file__, "--make", str(base), "--prompts", str(prompts)])
        size = sum(file.stat().st_size for file in first.rglob("*") if file.is_file())
        print(f"made two runs of {prompts:,} x {len(KINDS)}, {size / 1e6:,.0f} MB each, "
              f"in {made.cpu:.0f} CPU s", flush=True)  # fmt: skip
        for folder in (first, second):
            measure([sys.executable, __file__, "--summary", str(folder)])
    return first, second


def lines_of(prompts: Sequence[int], base: Path) -> Iterator[str]:
    found: dict[str, list[tuple[int, Cost]]] = {}
    yield f"{'':12} {'prompts':>10} {'CPU s':>8} {'peak MB':>8} {'first s':>8}"
    for count in prompts:
        for name, command in commands(*runs_of(base, count), base).items():
            cost = measure(command)
            found.setdefault(name, []).append((count, cost))
            yield f"{name:12} {count:>10,} {cost.cpu:8.1f} {cost.peak:8.0f} {cost.first:8.1f}"
        total = sum(costs[-1][1].cpu for costs in found.values())
        yield f"{'all':12} {count:>10,} {total:8.1f}   (at most {LIMIT_S} s and {LIMIT_MB} MB)"
    if len(prompts) > 1:
        for name, costs in found.items():
            steps = [growth(pair) for pair in itertools.pairwise(costs)]
            yield (
                f"{name:12} grows with the power {growth(costs):.2f}, in its steepest step "
                f"{max(steps):.2f} (at most {MOST_GROWTH})"
            )


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--summary", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make_runs(*folders(asked.make, asked.prompts[0]), asked.prompts[0])
        return
    if asked.summary:
        summarize(asked.summary)
        return
    with tempfile.TemporaryDirectory() as temporary:
        base = asked.keep or Path(temporary)
        base.mkdir(parents=True, exist_ok=True)
        for line in lines_of(asked.prompts, base):
            say(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
