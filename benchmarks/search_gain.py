"""What `overt generate --search` gains over one-shot generation with as many calls of the surrogate.

    python benchmarks/search_gain.py --search filter/profanity-check --held-out filter/semantic

One filter takes part in the search; the other one sees its prompts only afterwards. The threshold of each
stands where it refuses `--refused` (20%) of one-shot prompts of another seed. Three sets of equal size are
compared:

    one-shot    what `overt generate` makes without a surrogate
    rejection   of as many one-shot prompts as the search asked its surrogate about, those of each category
                that it refuses, then those with the highest score
    search      what `overt generate --probe ... --search N` makes

Printed: the share refused by either filter with k of n and a Wilson interval; odds ratios with the interval
of Woolf (1955, doi 10.1111/j.1469-1809.1955.tb01348.x), 0.5 added to each cell (Haldane 1956); the share of
written prompts that the audit called benign; distinct-2. Filters without a score keep their own threshold.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overt.data.filters import TextFilter, decide_all
from overt.data.progress import make_progress
from overt.data.records import Prompt
from overt.data.run.files import read_records
from overt.data.run.finished import Run
from overt.registry import load_filter
from overt.scoring.diversity import distinct_n
from overt.scoring.stats.rates import wilson
from overt.tasks.generate import generate
from overt.tasks.generate_config import GenerateConfig

GOAL_ODDS, GOAL_DISTINCT = 2.0, 0.95
Z95 = 1.959964


@dataclass(frozen=True)
class Judge:
    """A filter with the threshold of this comparison."""

    spec: str
    filter: TextFilter
    threshold: float | None

    @property
    def with_threshold(self) -> str:
        return self.spec if self.threshold is None else f"{self.spec}?threshold={self.threshold!r}"

    def scores(self, prompts: Sequence[Prompt]) -> list[tuple[bool, float]]:
        decisions = decide_all(self.filter, [p.text for p in prompts])
        return [
            (bool(d.blocked), float(bool(d.blocked)))
            if d.score is None or self.threshold is None
            else (d.score >= self.threshold, d.score)
            for d in decisions
        ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", default="overt")
    parser.add_argument("--search", required=True, metavar="FILTER")
    parser.add_argument("--held-out", required=True, metavar="FILTER")
    parser.add_argument("--benign", type=int, default=20, help="prompts of a category")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--refused", type=float, default=0.2, help="share of one-shot prompts that is refused"
    )
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        facts = compare(options, Path(folder))
    show(facts)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1), "utf-8")


def compare(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Makes the three sets and measures them."""

    def made(name: str, **changes: object) -> Run:
        values = {"policy": options.policy, "benign": options.benign, "unsafe": 0, "encoder": options.encoder}
        values |= {"seed": options.seed, "out": folder / name, "quiet": True, **changes}
        return generate(GenerateConfig.made(values), make_progress(True))

    other = read(made("other", seed=options.seed + 1))
    searcher, held_out = (judge(spec, other, options.refused) for spec in (options.search, options.held_out))
    found = made("search", probe=searcher.with_threshold, search=options.rounds)
    told = json.loads((found.folder / "manifest.json").read_text("utf-8"))
    asked = told["search"]["prompts"] + told["search"]["calls"]
    categories = len(told["counts"])
    wide = made("wide", oversample=asked / (options.benign * categories), rounds=1)
    pool = read_records(wide.folder / "stages" / "dedupe.jsonl", Prompt)[:]
    sets = {
        "one-shot": read(made("plain")),
        "rejection": rejected(pool, searcher, options.benign),
        "search": read(found),
    }
    return {
        "policy": options.policy,
        "searcher": searcher.with_threshold,
        "held out": held_out.with_threshold,
        "calls of the surrogate": {"search": asked, "one-shot": len(pool)},
        "search": told["search"],
        "benign by the audit": {name: audited(run) for name, run in (("one-shot", wide), ("search", found))},
        "sets": {
            name: {
                "n": len(prompts),
                "searcher": sum(b for b, _ in searcher.scores(prompts)),
                "held out": sum(b for b, _ in held_out.scores(prompts)),
                "distinct-2": distinct_n([p.text for p in prompts], 2),
                "words": sum(len(p.text.split()) for p in prompts) / len(prompts),
            }
            for name, prompts in sets.items()
        },
        "all asked about": [sum(b for b, _ in searcher.scores(pool)), len(pool)],
    }


def read(run: Run) -> list[Prompt]:
    return read_records(run.folder / "dataset" / "benign.jsonl", Prompt)


def judge(spec: str, prompts: Sequence[Prompt], refused: float) -> Judge:
    """The filter with the threshold that refuses this share of the prompts."""
    text_filter = load_filter(spec)
    scores = [d.score for d in decide_all(text_filter, [p.text for p in prompts])]
    known = sorted((s for s in scores if s is not None), reverse=True)
    if "?" in spec or not known or len(set(known)) < 20:
        return Judge(spec, text_filter, None)
    return Judge(spec, text_filter, round(known[round(refused * len(known))], 4))


def rejected(pool: Sequence[Prompt], searcher: Judge, count: int) -> list[Prompt]:
    """The prompts of each category that the surrogate refuses, then those with the highest scores."""
    ranked = sorted(
        zip(pool, searcher.scores(pool), strict=True), key=lambda row: (row[1], row[0].id), reverse=True
    )
    kept = []
    for category in dict.fromkeys(p.category for p in pool):
        kept += [p for p, _ in ranked if p.category == category][:count]
    return kept


def audited(run: Run) -> list[int]:
    """How many written prompts the audit called benign, of how many."""
    told = json.loads((run.folder / "manifest.json").read_text("utf-8"))
    lost = sum(
        count for reason, count in told["reasons"].get("search", {}).items() if reason.startswith("judged")
    )
    tried = sum(told.get("search", {}).get("tried", {}).values())
    flows = [row["audit"] for row in told["stages"]]
    return [sum(f["out"] for f in flows) + tried - lost, sum(f["in"] for f in flows) + tried]


def odds_ratio(a: tuple[int, int], b: tuple[int, int]) -> tuple[float, float, float]:
    """The odds of `a` over those of `b`, each k of n, with its 95% interval."""
    cells = [a[0] + 0.5, a[1] - a[0] + 0.5, b[0] + 0.5, b[1] - b[0] + 0.5]
    log = math.log(cells[0] / cells[1] / (cells[2] / cells[3]))
    error = Z95 * math.sqrt(sum(1 / cell for cell in cells))
    return math.exp(log), math.exp(log - error), math.exp(log + error)


def show(facts: dict) -> None:  # type: ignore[type-arg]
    print(f"policy {facts['policy']}: searched with {facts['searcher']}, held out {facts['held out']}")
    print(f"calls of the surrogate: {facts['calls of the surrogate']}; {facts['search']}")
    k, n = facts["all asked about"]
    print(f"of all one-shot prompts that it was asked about, it refuses {k} of {n} ({k / n:.1%})")
    for name, (k, n) in facts["benign by the audit"].items():
        print(f"judged benign, {name}: {k} of {n} ({k / n:.1%})")
    print(
        f"\n{'set':<11}{'n':>5}  {'refused by the searcher':<30}{'by the held-out filter':<30}"
        f"{'distinct-2':>10}{'words':>7}"
    )
    for name, row in facts["sets"].items():
        cells = [_share(row[who], row["n"]) for who in ("searcher", "held out")]
        print(
            f"{name:<11}{row['n']:>5}  {cells[0]:<30}{cells[1]:<30}"
            f"{row['distinct-2']:>10.3f}{row['words']:>7.1f}"
        )
    search = facts["sets"]["search"]
    for who in ("searcher", "held out"):
        for name in ("one-shot", "rejection"):
            row = facts["sets"][name]
            ratio, low, high = odds_ratio((search[who], search["n"]), (row[who], row["n"]))
            goal = ""
            if name == "one-shot":
                goal = f"   goal {GOAL_ODDS:g}: {'met' if ratio >= GOAL_ODDS else 'not met'}"
            print(f"odds ratio, {who}, search / {name}: {ratio:.2f} [{low:.2f}, {high:.2f}]{goal}")
    share = search["distinct-2"] / facts["sets"]["one-shot"]["distinct-2"]
    print(f"distinct-2, search / one-shot: {share:.3f}   goal {GOAL_DISTINCT}: "
          f"{'met' if share >= GOAL_DISTINCT else 'not met'}")  # fmt: skip


def _share(k: int, n: int) -> str:
    interval = wilson(k, n)
    return f"{k} of {n} {k / n:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


if __name__ == "__main__":
    main()
