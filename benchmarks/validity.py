"""Does a generated data set order filters as OVERT-mini does?

    python benchmarks/validity.py RUN_OR_DATASET ... --mini OVERT_mini.csv --unsafe OVERT_unsafe.csv

Fifteen filters that run offline refuse some share of the benign prompts of each set; the table has the
shares, then Spearman's correlation over filters, overall and by category. Its interval is a bootstrap over
seeds: the clusters of both sets are drawn anew 1,000 times, all filters on the same draw.

Thresholds of one filter are ordered alike by any set, so the correlation over all filters flatters. Two more
figures do not have that: the correlation over one filter of each family (`*` in the table), and the share of
pairs of filters of different families that both sets put in the same order (ties in one of the sets count
half).

Prompts of OVERT-mini that `filter/semantic` was trained on are left out for every filter. Needs
overt[local,filters].
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from against_overt import benign, decisions, options
from ending import leave
from scipy.stats import rankdata
from train_semantic import Trained

from overt.data.filters import decide_all
from overt.data.records import Prompt
from overt.registry import load_filter
from overt.scoring.encoders import pick_encoder

RESAMPLES, SEED = 1000, 14
# Short lists as teams write them on the first day; fixed before any set was looked at.
LISTS = {
    "violence": "kill killing killed gun guns knife weapon weapons blood bloody bomb murder dead death "
    "attack war shoot shooting stab fight explosion terrorist torture corpse",
    "nudity": "nude naked sex sexual sexy porn erotic lingerie underwear topless breasts bikini kissing",
    "crime": "drug drugs cocaine heroin steal stealing theft hack hacking hacker illegal robbery criminal "
    "crime fraud fake scam smuggling",
    "self-harm": "suicide suicidal self-harm cutting overdose hang hanging noose razor pills",
}
# filter -> its thresholds; the second of each refuses 5% of captions and stands for its family
SCORED = {
    "profanity-check": (0.2, 0.2953, 0.1, 0.5),
    "semantic": (0.1, 0.1699, 0.3, 0.5),
}


@dataclass(frozen=True)
class Said:
    """One set: the filters' decisions, (filters, prompts) of 0 and 1, the seed and the category of each
    prompt."""

    blocked: np.ndarray
    clusters: np.ndarray
    categories: np.ndarray

    def of(self, category: str) -> Said:
        chosen = self.categories == category
        return Said(self.blocked[:, chosen], self.clusters[chosen], self.categories[chosen])

    def rates(self) -> np.ndarray:
        return self.blocked.mean(axis=1)

    def drawn(self, dice: np.random.Generator, count: int) -> np.ndarray:
        """(count, filters) rates of so many samples of whole clusters with replacement."""
        _, codes = np.unique(self.clusters, return_inverse=True)
        groups = int(codes.max()) + 1
        sizes = np.bincount(codes, minlength=groups)
        hits = np.array([np.bincount(codes, weights=row, minlength=groups) for row in self.blocked])
        times = dice.multinomial(groups, [1 / groups] * groups, size=count)
        return np.asarray((times @ hits.T) / (times @ sizes)[:, None])


def asked_all(prompts: Sequence[Prompt]) -> dict[str, list[bool | None]]:
    """Label -> decisions. The family is the label's first word; a label with `*` stands for its family."""
    found = {"better-profanity *": decisions("filter/better-profanity", prompts)}
    with tempfile.TemporaryDirectory() as folder:
        for name, terms in LISTS.items():
            path = Path(folder) / f"{name}.txt"
            path.write_text("\n".join(terms.split()) + "\n", "utf-8")
            found[f"keywords {name}"] = decisions(f"filter/keywords?path={path}", prompts)
    lists = [any(row) for row in zip(*list(found.values())[1:], strict=True)]
    found["keywords all lists *"] = list(lists)
    for kind, limits in SCORED.items():
        scores = [d.score for d in decide_all(load_filter(f"filter/{kind}"), (p.text for p in prompts))]
        for limit in sorted(limits):
            label = f"{kind} {limit:g}{' *' if limit == limits[1] else ''}"
            found[label] = [None if score is None else score >= limit for score in scores]
    behind = found["profanity-check 0.5"]
    found["guarded lists, then classifier *"] = [a or b for a, b in zip(lists, behind, strict=True)]
    return found


def said(prompts: Sequence[Prompt]) -> tuple[list[str], Said]:
    """The filters' labels and decisions. A prompt that one of them cannot judge is left out for all."""
    asked = asked_all(prompts)
    kept = [n for n in range(len(prompts)) if all(one[n] is not None for one in asked.values())]
    return list(asked), Said(
        np.array([[float(bool(one[n])) for n in kept] for one in asked.values()]),
        np.array([prompts[n].cluster for n in kept]),
        np.array([prompts[n].category for n in kept]),
    )


def rank_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of two (samples, filters) arrays, NaN where a row does not vary."""
    first, second = (rankdata(side, axis=1) - (side.shape[1] + 1) / 2 for side in (a, b))
    with np.errstate(invalid="ignore"):
        products = (first * second).sum(axis=1)
        return np.asarray(products / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1)))


def interval(a: Said, b: Said, places: Sequence[int]) -> tuple[float, float, float]:
    """Spearman's correlation over the filters at these places and its 95% bootstrap interval (percentiles;
    samples in which all filters refuse alike in one set are left out)."""
    dice = np.random.default_rng(SEED)
    rhos = rank_correlations(a.drawn(dice, RESAMPLES)[:, places], b.drawn(dice, RESAMPLES)[:, places])
    low, high = np.quantile(rhos[~np.isnan(rhos)], [0.025, 0.975])
    seen = rank_correlations(a.rates()[None, places], b.rates()[None, places])[0]
    return float(seen), float(low), float(high)


def pairs_alike(a: np.ndarray, b: np.ndarray, families: Sequence[str]) -> tuple[float, int]:
    """The share of pairs of filters of different families in the same order in both sets, and how many
    pairs."""
    points, total = 0.0, 0
    for m, n in itertools.combinations(range(len(families)), 2):
        if families[m] != families[n]:
            total += 1
            signs = np.sign(a[m] - a[n]), np.sign(b[m] - b[n])
            points += 1.0 if signs[0] == signs[1] else 0.5 if 0 in signs else 0.0
    return points / total, total


@dataclass(frozen=True)
class Agreement:
    """How a set orders the filters beside OVERT-mini."""

    what: str
    rho: float
    low: float
    high: float
    filters: int
    prompts: int

    def line(self) -> str:
        span = f"{self.rho:.3f} ({self.low:.3f} to {self.high:.3f})"
        return f"| {self.what} | {span} | {self.filters} | {self.prompts} |"


def compare(mini: Said, other: Said, labels: Sequence[str]) -> tuple[list[Agreement], float, int]:
    """Spearman's correlations (all filters, one a family, each category), and the pairs that are ordered
    alike."""
    every = list(range(len(labels)))
    stars = [n for n in every if labels[n].endswith("*")]
    found = [
        Agreement("all filters", *interval(mini, other, every), len(every), other.blocked.shape[1]),
        Agreement("one a family", *interval(mini, other, stars), len(stars), other.blocked.shape[1]),
    ]
    for category in sorted(set(mini.categories) & set(other.categories)):
        a, b = mini.of(category), other.of(category)
        found.append(Agreement(category, *interval(a, b, every), len(every), b.blocked.shape[1]))
    return found, *pairs_alike(mini.rates(), other.rates(), [label.split()[0] for label in labels])


def main() -> int:
    reader = options()
    reader.description = __doc__
    asked = reader.parse_args()
    encoder, _ = pick_encoder("minilm")
    assert encoder is not None
    rows = benign(asked.mini)
    unseen = Trained(asked.unsafe, encoder.encode).unseen(rows, encoder.encode([p.text for p in rows]))
    labels, mini = said([p for p, new in zip(rows, unseen, strict=True) if new])
    others = {name: said(benign(name))[1] for name in asked.sets}
    print(f"| refused benign prompts | OVERT-mini ({mini.blocked.shape[1]}) | " + " | ".join(others) + " |")
    print("|---|---|" + "---|" * len(others))
    for n, label in enumerate(labels):
        cells = " | ".join(f"{other.rates()[n]:.1%}" for other in others.values())
        print(f"| {label} | {mini.rates()[n]:.1%} | {cells} |")
    kept = {}
    for name, other in others.items():
        found, alike, pairs = compare(mini, other, labels)
        print(f"\n| {name} beside OVERT-mini | Spearman's rho (95% interval) | filters | prompts |")
        print("|---|---|---|---|")
        print("\n".join(one.line() for one in found))
        print(f"\npairs of filters of different families in the same order: {alike:.1%} of {pairs}")
        kept[name] = {"agreement": [asdict(one) for one in found], "pairs_alike": alike, "pairs": pairs}
    if asked.json:
        asked.json.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    leave(main)
