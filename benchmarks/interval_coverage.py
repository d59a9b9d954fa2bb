"""How often the intervals hold the truth, by simulation of the code that overt ships.

    python benchmarks/interval_coverage.py              # everything, about five minutes on one core
    python benchmarks/interval_coverage.py rates pairs  # some of it; --draws 2000 for a quick look

For each interval in use it prints, over all cells of a grid: the worst cell, the mean coverage, the number
of cells below 93.5%, and the mean width. Cells with fewer than five expected events are counted apart.
Outcomes of a cluster are drawn from a beta-binomial distribution, which has the intraclass correlation that
the cell says. docs/metrics.md has the table.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overt.review.estimate import Parts, kind_limits, share_limits
from overt.scoring.judge_agreement import check
from overt.scoring.stats import auc, spearman
from overt.scoring.stats.inputs import normal_quantile, t_quantile, wilson_limits
from overt.scoring.stats.means import mean_limits
from overt.scoring.stats.paired import cluster_limits as pair_limits
from overt.scoring.stats.paired import paired_difference
from overt.scoring.stats.rates import cluster_limits
from overt.scoring.stats.two_phase import Estimate, joint_effect, refused_of_benign, truly_refused

Floats = NDArray[np.float64]

# Rows of the clusters, repeated until there are enough clusters.
SIZES = {
    "1": (1,),
    "2": (2,),
    "5": (5,),
    "10": (10,),
    "1-10": tuple(range(1, 11)),
    "1,1,1,10": (1, 1, 1, 10),
}
GROUPS = (20, 60, 200)
CORRELATIONS = (0.0, 0.1, 0.3, 0.5)
SHARES = (0.01, 0.05, 0.2, 0.5)
FEW_EVENTS = 5  # an interval is held to its level from so many expected events on
LEVEL = 0.95
BATCH = 4_000_000  # numbers held at once


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a grid: what it is, whether it has enough events, its coverage and mean width."""

    name: str
    is_held: bool
    coverage: float
    width: float


def sizes_of(kind: str, groups: int) -> Floats:
    """The rows of each of `groups` clusters."""
    return np.resize(np.array(SIZES[kind], dtype=np.float64), groups)


def hits_of(rng: np.random.Generator, sizes: Floats, share: float, correlation: float, draws: int) -> Floats:
    """Events in each cluster: draws x clusters."""
    chances: Floats = np.full((draws, len(sizes)), share)
    if correlation:
        weight = (1 - correlation) / correlation
        chances = rng.beta(share * weight, (1 - share) * weight, (draws, len(sizes)))
    return rng.binomial(sizes.astype(np.int64), chances).astype(np.float64)


def in_batches(
    draws: int, numbers: int, one: Callable[[int], tuple[Floats, Floats, Floats | float]]
) -> tuple[float, float]:
    """Coverage and mean width of `draws` intervals; `one` makes some: low, high and the truth."""
    step = max(1, min(draws, BATCH // numbers))
    covered = width = 0.0
    for start in range(0, draws, step):
        low, high, true = one(min(step, draws - start))
        # Sums of weights differ from the truth in the last digit.
        covered += float(((low <= true + 1e-12) & (true <= high + 1e-12)).sum())
        width += float((high - low).sum())
    return covered / draws, width / draws


# -- rates ---------------------------------------------------------------------------------------------------


def rate_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """A share over clusters."""
    for groups in GROUPS:
        for kind in SIZES:
            for correlation in CORRELATIONS if kind != "1" else (0.0,):
                for share in SHARES:
                    yield rate_cell(rng, groups, kind, correlation, share, draws)


def rate_cell(
    rng: np.random.Generator, groups: int, kind: str, correlation: float, share: float, draws: int
) -> Cell:
    sizes = sizes_of(kind, groups)

    def one(many: int) -> tuple[Floats, Floats, float]:
        hits = hits_of(rng, sizes, share, correlation, many)
        if kind == "1":  # independent rows
            low, high = wilson_limits(hits.mean(axis=1), groups, normal_quantile(LEVEL))
        else:
            low, high, _ = cluster_limits(hits, sizes, LEVEL)
        return low, high, share

    coverage, width = in_batches(draws, groups, one)
    name = f"{groups} clusters of {kind}, correlation {correlation:g}, rate {share:g}"
    return Cell(name, share * sizes.sum() >= FEW_EVENTS, coverage, width)


# -- paired differences --------------------------------------------------------------------------------------


def pair_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """A difference of two targets on the same prompts.

    A share of the prompts is refused by the first target only, and one by the second only, each with the
    correlation within clusters that the cell says; the others are refused by both or neither.
    """
    for groups in GROUPS:
        for kind in SIZES:
            for correlation in CORRELATIONS if kind != "1" else (0.0,):
                for up, down in (
                    (0.01, 0.01),
                    (0.05, 0.05),
                    (0.2, 0.2),
                    (0.05, 0.01),
                    (0.2, 0.05),
                    (0.4, 0.1),
                ):
                    yield pair_cell(rng, groups, kind, correlation, (up, down), draws)


def pair_cell(
    rng: np.random.Generator,
    groups: int,
    kind: str,
    correlation: float,
    shares: tuple[float, float],
    draws: int,
) -> Cell:
    sizes, (more, fewer) = sizes_of(kind, groups), shares

    def one(many: int) -> tuple[Floats, Floats, float]:
        up, down = gaps_of(rng, sizes, shares, correlation, many)
        if kind == "1":
            low, high = independent_pairs(up.sum(axis=1), down.sum(axis=1), groups)
        else:
            low, high, _ = pair_limits(up, down, sizes, LEVEL)
        return low, high, more - fewer

    coverage, width = in_batches(draws, groups, one)
    name = f"{groups} clusters of {kind}, correlation {correlation:g}, only one {more:g} and {fewer:g}"
    return Cell(name, (more + fewer) * sizes.sum() >= FEW_EVENTS, coverage, width)


def gaps_of(
    rng: np.random.Generator, sizes: Floats, shares: tuple[float, float], correlation: float, draws: int
) -> tuple[Floats, Floats]:
    """Rows up and rows down in each cluster: Dirichlet-multinomial, as two beta-binomials in a row."""
    more, fewer = shares
    up = hits_of(rng, sizes, more, correlation, draws)
    rest = (sizes - up).astype(np.int64)
    share = fewer / (1 - more)
    chances: Floats = np.full(up.shape, share)
    if correlation:
        weight = (1 - correlation) / correlation
        chances = rng.beta(fewer * weight, (1 - more - fewer) * weight, up.shape)
    return up, rng.binomial(rest, chances).astype(np.float64)


def independent_pairs(up: Floats, down: Floats, n: int) -> tuple[Floats, Floats]:
    """The interval of independent pairs. It depends on two counts only, so each is made once."""
    low, high = np.empty(len(up)), np.empty(len(up))
    counts, where = np.unique(np.stack([up, down], axis=1), axis=0, return_inverse=True)
    for number, (a, b) in enumerate(counts.astype(int)):
        rest = n - a - b
        found = paired_difference([1] * a + [0] * (b + rest), [0] * a + [1] * b + [0] * rest, level=LEVEL)
        low[where == number], high[where == number] = found.low, found.high
    return low, high


# -- means, kappa, AUC ---------------------------------------------------------------------------------------


def mean_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """The mean of scores from 0 to 1, even and skewed; half of their variance lies between clusters."""
    for groups in GROUPS:
        for kind in ("5", "1-10"):
            for a, b in ((4.0, 4.0), (6.0, 1.5)):
                sizes = sizes_of(kind, groups)

                def one(
                    many: int, sizes: Floats = sizes, a: float = a, b: float = b
                ) -> tuple[Floats, Floats, float]:
                    shape = (many, len(sizes))
                    own = rng.beta(a, b, (*shape, int(sizes.max())))
                    rows = np.arange(own.shape[-1]) < sizes[:, None]
                    shared = rng.beta(a, b, shape)
                    sums = ((own + shared[..., None]) / 2 * rows).sum(axis=-1)
                    return *mean_limits(sums, sizes, LEVEL), a / (a + b)

                coverage, width = in_batches(draws, groups * 10, one)
                yield Cell(f"{groups} clusters of {kind}, mean {a / (a + b):g}", True, coverage, width)


def kappa_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """Cohen's kappa of a judge with people, independent rows; a bootstrap, so of fewer cells."""
    for n, right in ((200, 0.9), (500, 0.95)):
        truth = 0.5 * right  # both say yes; a judge that errs alike on both sides of an even question
        kappa = 2 * right - 1
        low, high = np.empty(draws), np.empty(draws)
        made: dict[tuple[int, ...], tuple[float, float]] = {}
        for place, counts in enumerate(
            rng.multinomial(n, [truth, (1 - right) / 2, (1 - right) / 2, truth], draws)
        ):
            # The interval depends on the four counts only.
            key = tuple(int(c) for c in counts)
            if key not in made:
                people = ["y"] * (key[0] + key[1]) + ["n"] * (key[2] + key[3])
                judge = ["y"] * key[0] + ["n"] * key[1] + ["y"] * key[2] + ["n"] * key[3]
                found = check(people, judge, level=LEVEL).kappa
                made[key] = (found.low or 0.0, found.high or 1.0)
            low[place], high[place] = made[key]
        coverage = float(((low <= kappa) & (kappa <= high)).mean())
        yield Cell(f"{n} answers, kappa {kappa:g}", True, coverage, float((high - low).mean()))


def auc_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """The area under the curve of normal scores; a third of their variance lies between clusters."""
    for groups, apart in ((40, 1.0), (40, 2.0)):
        clusters = np.repeat(np.arange(groups), 5)
        unsafe = clusters % 2
        true = 0.5 * (1 + math.erf(apart / 2))
        covered = width = 0.0
        for _ in range(draws):
            noise = math.sqrt(1 / 3) * rng.normal(size=groups)[clusters]
            scores = noise + math.sqrt(2 / 3) * rng.normal(size=len(clusters)) + apart * unsafe
            found = auc(scores, unsafe, clusters, level=LEVEL)
            covered += found.low <= true <= found.high
            width += found.high - found.low
        yield Cell(f"{groups} clusters of 5, AUC {true:.3f}", True, covered / draws, width / draws)


# -- review estimates ----------------------------------------------------------------------------------------

# Items of each stratum, reviewed ones, and the share that people would reject.
REVIEWS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]] = {
    "one stratum": ((1000,), (150,), (0.05,)),
    "by outcome, 50 and 50": ((100, 900), (50, 50), (0.1, 0.02)),
    "by outcome, 40 and 80": ((60, 940), (40, 80), (0.3, 0.01)),
    "by outcome, 60 and 60": ((300, 700), (60, 60), (0.2, 0.05)),
    "by outcome, the refused whole": ((100, 900), (100, 100), (0.4, 0.03)),
    "by outcome, 100 and 200": ((200, 1800), (100, 200), (0.08, 0.01)),
    "two alike": ((500, 500), (100, 100), (0.05, 0.05)),
    "doubtful drawn more often": ((20, 180, 2000), (20, 60, 120), (0.5, 0.1, 0.05)),
    "three by doubt": ((50, 150, 800), (40, 50, 60), (0.4, 0.1, 0.03)),
    "nine categories by doubt": (
        (20, 30, 170) * 9,
        (8, 5, 12) * 9,
        (0.35, 0.12, 0.03) * 9,
    ),
    "ten categories": ((200,) * 10, (10,) * 10, (0.02, 0.2) * 5),
    "thirty of four": ((20,) * 30, (4,) * 30, (0.1,) * 30),
}


def review_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """A share of a finite population from strata with known chances; the truth is that of the population."""
    for name, (sizes, counts, shares) in REVIEWS.items():
        size, n = np.array(sizes), np.array(counts)
        freedom = float(n.sum() - len(n))
        whole = np.ones(len(n))

        def one(
            many: int,
            size: NDArray[np.int64] = size,
            n: NDArray[np.int64] = n,
            shares: tuple[float, ...] = shares,
            freedom: float = freedom,
            whole: Floats = whole,
        ) -> tuple[Floats, Floats, Floats]:
            # A new population every hundred draws, so that no single one decides.
            wrong = np.repeat(rng.binomial(size, shares, (many // 100 + 1, len(size))), 100, axis=0)[:many]
            found = rng.hypergeometric(wrong, size - wrong, n) / n
            parts = Parts(size / size.sum(), whole, found, n.astype(np.float64), n / size, whole)
            low, high, _ = share_limits(parts, t_quantile(LEVEL, freedom))
            return low, high, wrong.sum(axis=1) / size.sum()

        coverage, width = in_batches(draws, 4 * len(size), one)
        yield Cell(name, float(n @ np.array(shares)) >= FEW_EVENTS, coverage, width)


# -- rates that labels correct -------------------------------------------------------------------------------

LABELLED = (40, 100, 200, 400)  # half of them refused, half answered, as far as there are so many
PROMPTS = ((200, 1), (200, 5), (600, 5), (1000, 10))  # prompts, and how many of a cluster
REFUSED_BENIGN = 0.1
# The share of prompts that are not benign, and the chance that such a prompt is refused.
WRONG = ((0.0, 0.5), (0.05, 0.1), (0.05, 0.9), (0.15, 0.1), (0.15, 0.9))


@dataclass(frozen=True, slots=True)
class Labelling:
    """A cell of the grid: prompts, prompts of a cluster, labels, wrong ones, correlation within clusters.

    `whole` clusters are not benign, or single prompts. With `misread`, the run takes so large a share of the
    refusals for answers and as many answers for refusals; people then say that too.
    """

    prompts: int
    size: int
    labels: int
    wrong: float
    refused_wrong: float
    correlation: float
    whole: bool = False
    misread: float = 0.0

    def __str__(self) -> str:
        wrong = f"{self.wrong:.0%} mislabelled{' in whole clusters' if self.whole else ''}"
        read = f", {self.misread:.0%} misread" if self.misread else ""
        return (
            f"{self.prompts} prompts in clusters of {self.size}, {self.labels} labels, {wrong}, "
            f"{self.refused_wrong:.0%} of them refused{read}, correlation {self.correlation:g}"
        )


def labelled_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """The share refused of the truly benign prompts, from labels of a sample by outcome."""
    for prompts, size in PROMPTS:
        for wrong, refused_wrong in WRONG:
            for labels in LABELLED:
                if labels <= prompts:
                    correlation = 0.3 if size > 1 else 0.0
                    cell = Labelling(prompts, size, labels, wrong, refused_wrong, correlation)
                    yield labelled_cell(rng, cell, draws)
    for labels in (100, 400):
        for whole, misread in ((True, 0.0), (False, 0.05)):
            cell = Labelling(600, 5, labels, 0.08, 0.9, 0.3, whole, misread)
            yield labelled_cell(rng, cell, draws)


def labelled_cell(rng: np.random.Generator, cell: Labelling, draws: int) -> Cell:
    """One cell; each draw is a new run of new prompts, with new labels."""
    groups = cell.prompts // cell.size

    def one(many: int) -> tuple[Floats, Floats, float]:
        shape = (many, groups, cell.size)
        wrong = rng.random((many, groups, 1) if cell.whole else shape) < cell.wrong
        chances = np.full((many, groups, 1), REFUSED_BENIGN)
        if cell.correlation:
            weight = (1 - cell.correlation) / cell.correlation
            chances = rng.beta(REFUSED_BENIGN * weight, (1 - REFUSED_BENIGN) * weight, chances.shape)
        true = rng.random(shape) < np.where(wrong, cell.refused_wrong, chances)
        said = true ^ (rng.random(shape) < np.where(true, cell.misread, cell.misread * REFUSED_BENIGN))
        benign = np.broadcast_to(~wrong, shape)
        found = Estimate(said.mean(axis=(1, 2)), *cluster_limits(
            said.sum(axis=2).astype(np.float64), np.full((many, groups), float(cell.size)), LEVEL
        )[:2])  # fmt: skip
        if cell.size == 1:
            found = Estimate(found.value, *wilson_limits(found.value, cell.prompts, normal_quantile(LEVEL)))
        drawn = [drawn_of(rng, side, cell.labels // 2) for side in (said, ~said)]
        if cell.labels // 2 < cell.prompts:  # what the refused lack goes to the answered
            short = np.maximum(cell.labels // 2 - said.sum(axis=(1, 2)), 0)
            drawn[1] = drawn_of(rng, ~said, cell.labels // 2 + short)
        kinds, pulls = zip(*(labels_of(benign, picked) for picked in drawn), strict=True)
        rows = said - np.asarray(found.value)[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = cell.prompts * np.var(said, axis=(1, 2))
            first = np.where(spread[:, None] > 0, rows.sum(axis=2) / spread[:, None], 0.0)
            terms = [
                first,
                *(pull / np.asarray(k.value)[:, None] for k, pull in zip(kinds, pulls, strict=True)),
            ]
        terms[2] = -terms[2]
        together = joint_effect([np.nan_to_num(term, posinf=0, neginf=0) for term in terms])
        if not cell.misread:
            found = refused_of_benign(found, *kinds, together)
            return np.asarray(found.low), np.asarray(found.high), REFUSED_BENIGN
        found = refused_of_benign(found, *kinds)
        read, more = zip(*(labels_of(true, picked & benign) for picked in drawn), strict=True)
        q = np.asarray(found.value)[:, None]
        apart = np.asarray(read[0].value)[:, None] - np.asarray(read[1].value)[:, None]
        all_terms = [*(apart * q * (1 - q) * term for term in terms), q * more[0], (1 - q) * more[1]]
        found = truly_refused(found, *read, joint_effect(all_terms))
        return np.asarray(found.low), np.asarray(found.high), REFUSED_BENIGN

    coverage, width = in_batches(draws, 4 * cell.prompts, one)
    refused = cell.prompts * (REFUSED_BENIGN * (1 - cell.wrong) + cell.wrong * cell.refused_wrong)
    seen = min(cell.labels / 2, refused) * (1 - cell.wrong) * REFUSED_BENIGN * cell.prompts / refused
    return Cell(str(cell), seen >= FEW_EVENTS and groups >= 20, coverage, width)


def drawn_of(
    rng: np.random.Generator, side: NDArray[np.bool_], most: int | NDArray[np.int64]
) -> NDArray[np.bool_]:
    """At most so many of the marked prompts, at random: draws x clusters x prompts."""
    keys = np.where(side, rng.random(side.shape, dtype=np.float32), 2.0).reshape(len(side), -1)
    ranks = np.argsort(np.argsort(keys, axis=1), axis=1)
    return side & (ranks < np.reshape(most, (-1, 1))).reshape(side.shape)


def labels_of(yes: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> tuple[Estimate, Floats]:
    """What the labels of a draw say of its side, and how each cluster pulls at it. Without labels everything
    is possible."""
    rows = drawn.sum(axis=2).astype(np.float64)
    hits = (yes & drawn).sum(axis=2).astype(np.float64)
    n = rows.sum(axis=1, keepdims=True)
    one = np.ones_like(n)
    share = hits.sum(axis=1, keepdims=True) / np.maximum(n, 1.0)
    parts = Parts(one, one, share, np.maximum(n, 1.0), np.zeros_like(n), one)
    low, high, _ = kind_limits(parts, n[:, 0] - 1, hits, rows, LEVEL)
    is_empty = n[:, 0] == 0
    found = Estimate(
        np.where(is_empty, 1.0, share[:, 0]), np.where(is_empty, 0.0, low), np.where(is_empty, 1.0, high)
    )
    return found, (hits - rows * share) / np.maximum(n, 1.0)


# -- Spearman ------------------------------------------------------------------------------------------------


def rank_cells(rng: np.random.Generator, draws: int) -> Iterator[Cell]:
    """Spearman's correlation of normal pairs over a few targets."""
    for n in (4, 5, 6, 8, 9, 12, 30):
        for pearson in (0.0, 0.5, 0.9):
            true = 6 / math.pi * math.asin(pearson / 2)
            low, high = np.empty(draws), np.empty(draws)
            made: dict[int, tuple[float, float]] = {}
            x = np.argsort(np.argsort(rng.normal(size=(draws, n)), axis=1), axis=1)
            for place in range(draws):
                a, b = rng.normal(size=(2, n))
                x, y = (
                    np.argsort(np.argsort(a)),
                    np.argsort(np.argsort(pearson * a + math.sqrt(1 - pearson**2) * b)),
                )
                key = int(x @ y)  # without ties the interval depends on this alone
                if key not in made:
                    found = spearman(x.tolist(), y.tolist(), level=LEVEL)
                    made[key] = (found.low, found.high)
                low[place], high[place] = made[key]
            coverage = float(((low <= true) & (true <= high)).mean())
            yield Cell(f"{n} targets, rho {true:.2f}", True, coverage, float((high - low).mean()))


# -- what is printed -----------------------------------------------------------------------------------------

GRIDS: dict[str, Callable[[np.random.Generator, int], Iterator[Cell]]] = {
    "rates": rate_cells,
    "pairs": pair_cells,
    "reviews": review_cells,
    "labels": labelled_cells,
    "ranks": rank_cells,
    "means": mean_cells,
    "kappa": kappa_cells,
    "auc": auc_cells,
}


def told(name: str, cells: list[Cell]) -> str:
    """One line of the table."""
    if not cells:
        return ""
    worst = min(cells, key=lambda cell: cell.coverage)
    mean, width = (float(np.mean([getattr(c, key) for c in cells])) for key in ("coverage", "width"))
    low = sum(cell.coverage < 0.935 for cell in cells)
    return f"{name:22} {len(cells):5} {worst.coverage:7.1%} {mean:7.1%} {low:9} {width:8.4f}   {worst.name}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grids", nargs="*", default=list(GRIDS), help=f"some of: {', '.join(GRIDS)}")
    parser.add_argument("--draws", type=int, default=10_000, help="samples in each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", action="store_true", help="print every cell")
    chosen = parser.parse_args()
    print(f"{'interval':22} {'cells':>5} {'worst':>7} {'mean':>7} {'<93.5%':>9} {'width':>8}   worst cell")
    for name in chosen.grids:
        started = time.perf_counter()
        cells = list(GRIDS[name](np.random.default_rng(chosen.seed), chosen.draws))
        if chosen.cells:
            for cell in cells:
                print(f"  {cell.coverage:6.1%} {cell.width:7.4f} {'' if cell.is_held else 'few '}{cell.name}")
        held, few = [c for c in cells if c.is_held], [c for c in cells if not c.is_held]
        for line in (told(name, held), told(f"{name}, few events", few)):
            if line:
                print(line, flush=True)
        print(f"{'':22} {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
