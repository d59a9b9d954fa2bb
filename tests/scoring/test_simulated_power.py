"""The number of prompts by simulation: held against the formula, and against draws made in another way."""

import math
import random

import numpy as np
import pytest

from overt.scoring import stats
from overt.scoring.stats import paired, rates
from overt.scoring.stats.inputs import t_quantile
from overt.scoring.stats.power import prompts_needed
from overt.scoring.stats.simulated_power import (
    MOST_CLUSTERED,
    Question,
    Shape,
    keeps_limit,
    power_with,
    quick_quantile,
    rows_needed,
    tells_difference,
)
from overt.scoring.stats.tails import binomial_tail

FIVES = Shape(sizes=(3, 4, 5), correlation=0.3)


def near(share, k, n, sigmas=4.5):
    """Whether k of n is what a share gives, up to chance."""
    return abs(k / n - share) <= sigmas * math.sqrt(max(share * (1 - share), 1 / n) / n)


def test_the_quick_quantile_is_the_slow_one():
    freedom = np.array([1.0, 1.5, 2.0, 3.3, 7.0, 20.0, 55.5, 1000.0, math.inf])
    for level in (0.8, 0.95, 0.99):
        assert quick_quantile(level, freedom) == pytest.approx(t_quantile(level, freedom), rel=3e-4)


# -- the decisions are the shipped ones ----------------------------------------------------------------------


def drawn(seed, groups=40):
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 6, groups)
    up = draw.binomial(sizes, draw.beta(0.3, 3, groups))
    return sizes, up, draw.binomial(sizes - up, draw.beta(0.2, 4, groups))


def rows_of(sizes, up, down):
    """The rows of the clusters one by one: of each whether it is up, whether it is down, and its cluster."""
    rows = [
        (k < u, u <= k < u + d, c)
        for c, (s, u, d) in enumerate(zip(sizes, up, down, strict=True))
        for k in range(s)
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def test_the_limit_is_decided_as_the_gate_decides_it():
    decided = set()
    for seed in range(40):
        sizes, up, down = drawn(seed)
        hits, _, clusters = rows_of(sizes, up, down)
        verdict = stats.gate(stats.rate(hits, clusters), at_most=0.2).verdict == "pass"
        question = keeps_limit(0.2, 0.1, 0.8, 100)
        assert question.decides([up.astype(float)], sizes.astype(float)) == verdict
        alone = stats.gate(stats.rate(hits), at_most=0.2).verdict == "pass"
        assert question.counted([np.array([float(sum(hits))])], len(hits)) == [alone]
        decided.add(verdict)
    assert decided == {True, False}


def test_a_difference_is_told_as_the_paired_test_tells_it():
    decided = set()
    for seed in range(40):
        sizes, up, down = drawn(seed)
        more, fewer, clusters = rows_of(sizes, up, down)
        question = tells_difference(0.05, 0.2, 0.8)
        told = paired.paired_difference(more, fewer, clusters).p_value < 0.05
        assert question.decides([up.astype(float), down.astype(float)], sizes.astype(float)) == told
        alone = paired.paired_difference(more, fewer).p_value < 0.05
        counts = [np.array([float(sum(side))]) for side in (more, fewer)]
        assert question.counted(counts, len(more)) == [alone]
        decided.add(told)
    assert decided == {True, False}


# -- independent prompts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "expected"), [(0.05, 0.01), (0.05, 0.02), (0.1, 0.05), (0.2, 0.1)])
def test_independent_prompts_need_what_the_formula_says(limit, expected):
    exact = prompts_needed(limit, expected).prompts
    question = keeps_limit(limit, expected, 0.8, exact)
    found = rows_needed(question, Shape()).needed
    assert 0.9 * exact <= found.rows <= 1.05 * exact
    # The power of the number itself, by binomial probabilities.
    most = max(k for k in range(exact) if stats.wilson(k, exact).high <= limit)
    confirmed = rows_needed(question, Shape(), exact=exact).needed
    assert confirmed.rows == exact
    assert near(binomial_tail(most, exact, expected), confirmed.k, confirmed.n)


def test_clusters_without_correlation_cost_only_what_the_interval_assumes():
    exact = prompts_needed(0.1, 0.05).prompts
    found = rows_needed(keeps_limit(0.1, 0.05, 0.8, exact), Shape(sizes=(4,), correlation=0.0)).needed
    assert exact * 0.95 <= found.rows <= 1.4 * exact


# -- clusters ------------------------------------------------------------------------------------------------


def brute(question, shape, rows, draws, shares, decide):
    """The share of decisions over data sets drawn row by row in plain Python: each cluster has shares of its
    own from a Dirichlet distribution, made of gamma variates."""
    draw = random.Random(7)
    weight = (1 - shape.correlation) / shape.correlation
    rest = 1 - sum(shares)
    fell = 0
    for _ in range(draws):
        outcomes, clusters = [], []
        while len(outcomes) < rows:
            gammas = [draw.gammavariate(share * weight, 1) if share else 0.0 for share in (*shares, rest)]
            size = min(draw.choice(shape.sizes), rows - len(outcomes))
            outcomes += draw.choices(range(len(gammas)), gammas, k=size)
            clusters += [len(clusters)] * size
        fell += decide(outcomes, clusters)
    return fell / draws


def test_the_power_of_a_limit_is_that_of_plain_draws():
    question = keeps_limit(0.15, 0.05, 0.8, 150)
    found = rows_needed(question, FIVES).needed
    assert found.share >= 0.8

    def decide(outcomes, clusters):
        rate = stats.rate([outcome == 0 for outcome in outcomes], clusters)
        return stats.gate(rate, at_most=0.15).verdict == "pass"

    share = brute(question, FIVES, found.rows, 400, (0.05,), decide)
    assert near(found.share, share * 400, 400)
    # Two thirds of the prompts are not enough.
    fewer = power_with(question, FIVES, found.rows * 2 // 3)
    assert fewer.share < 0.75


def test_the_power_of_a_difference_is_that_of_plain_draws():
    question = tells_difference(0.15, 0.25, 0.8)
    found = rows_needed(question, FIVES).needed
    assert found.share >= 0.8

    def decide(outcomes, clusters):
        a, b = ([outcome == side for outcome in outcomes] for side in (0, 1))
        return stats.paired_difference(a, b, clusters).p_value < 0.05

    share = brute(question, FIVES, found.rows, 300, question.shares, decide)
    assert near(found.share, share * 300, 300)


def test_the_draws_have_the_correlation_and_the_shares_that_were_asked_for():
    seen = []

    def look(cells, sizes):
        seen.append((np.stack(cells), sizes))
        return np.zeros(len(cells[0]), dtype=bool)

    question = Question(
        shares=(0.2, 0.1), decides=look, counted=lambda cells, rows: cells[0] < 0, power=0.8, start=9
    )
    power_with(question, Shape(sizes=(4,), correlation=0.25), 2000, draws=40)
    hits = np.concatenate([cells for cells, _ in seen], axis=1)
    sizes = seen[0][1]
    assert sizes.sum() == 2000
    for share, found in zip((0.2, 0.1), hits, strict=True):
        assert found.sum() / (2000 * found.shape[0]) == pytest.approx(share, rel=0.06)
        correlations = [stats.rates._precision(row, sizes).intraclass for row in found]
        assert np.mean(correlations) == pytest.approx(0.25, abs=0.04)
    assert (hits.sum(axis=0) <= sizes).all()


def test_the_same_seed_draws_the_same_and_another_one_others():
    question = keeps_limit(0.2, 0.1, 0.8, 100)
    first, again, other = (rows_needed(question, FIVES, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.curve != other.curve
    powers = [point.share for point in first.curve]
    assert powers[0] < 0.5 < powers[-1]


def test_a_hopeless_limit_has_no_number():
    found = rows_needed(keeps_limit(0.05, 0.0499, 0.8, 10), Shape(sizes=(40,), correlation=0.99))
    assert found.needed is None
    assert found.curve == ()
    assert MOST_CLUSTERED >= 10_000


def test_the_limits_of_a_cluster_do_not_hang_on_which_quantile_finds_them():
    sizes, up, _ = drawn(3)
    slow = rates.cluster_limits(up.astype(float), sizes.astype(float))
    quick = rates.cluster_limits(up.astype(float), sizes.astype(float), 0.95, quick_quantile)
    assert [*map(float, quick)] == pytest.approx([*map(float, slow)], rel=1e-4)
