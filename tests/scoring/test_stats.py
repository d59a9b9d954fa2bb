"""The statistics, against worked examples from the literature and by simulation."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timing import least_cpu_seconds

from overt.scoring import stats
from overt.scoring.stats import Rate


def seeds_of(rng: np.random.Generator, groups: int, most: int) -> Any:
    """Cluster labels of `groups` clusters with 1 to `most` rows each."""
    return np.repeat(np.arange(groups), rng.integers(1, most + 1, groups))


def per_seed(rng: np.random.Generator, labels: Any, share: float, intraclass: float) -> Any:
    """A chance for each row: one draw per cluster from the beta distribution with that correlation inside."""
    k = (1 - intraclass) / intraclass
    return rng.beta(share * k, (1 - share) * k, int(labels[-1]) + 1)[labels]


# -- rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe (1998, Stat. Med. 17:857-872), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_limits(k: int, n: int, low: float, high: float) -> None:
    result = stats.wilson(k, n)
    assert (round(result.low, 4), round(result.high, 4)) == (low, high)
    assert (result.k, result.n, result.rate, result.method, result.clusters) == (k, n, k / n, "wilson", None)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_holds_its_estimate_and_mirrors(kn: tuple[int, int], level: float) -> None:
    k, n = kn
    result, mirror = stats.wilson(k, n, level), stats.wilson(n - k, n, level)
    assert 0 <= result.low <= result.rate <= result.high <= 1
    assert result.low < result.high
    assert result.low == pytest.approx(1 - mirror.high, abs=1e-12)


def test_rate_takes_wilson_only_where_rows_are_independent() -> None:
    outcomes = [1, 0, 0, 1, 0, 1]
    plain = stats.rate(outcomes)
    assert plain == stats.wilson(3, 6)
    assert stats.rate(outcomes, ["a", "b", "c", "d", "e", "f"]) == plain
    clustered = stats.rate(outcomes, ["a", "a", "b", "b", "c", "c"])
    assert clustered.clusters == 3
    assert clustered.method != "wilson"


def test_methods_by_what_the_clusters_are() -> None:
    def method(*sizes: int) -> str:
        labels = np.repeat(np.arange(len(sizes)), sizes)
        return stats.rate(labels % 2, labels).method

    assert method(1, 1, 1) == "wilson"
    assert method(2, 2) == method(*[1] * 30, 2) == method(*[8] * 40) == "wilson-design-effect"
    assert method(9) == "wilson-clusters"


@pytest.mark.parametrize("value", [0, 1])
def test_all_alike_is_never_of_width_zero(value: int) -> None:
    """20 clusters of ten: nothing tells of their correlation, so that 1 + 9/2 is assumed, with t(19)."""
    result = stats.rate([value] * 200, np.repeat(np.arange(20), 10))
    n, square = 200 / 5.5, 2.093024054408263**2
    assert result.n_effective == pytest.approx(n)
    assert result.high - result.low == pytest.approx(square / (n + square))
    assert (result.high if value else 1 - result.low) == 1
    # Of one cluster nothing is known: it is one observation.
    one = stats.rate([value] * 200, ["only"] * 200)
    assert (one.low, one.high) == pytest.approx((stats.wilson(value, 1).low, stats.wilson(value, 1).high))


@pytest.mark.parametrize("k", range(6))
def test_few_events_of_many_rows_are_few(k: int) -> None:
    """0.3% of 577 rows in 50 clusters: once up to 7.8%. One event fewer must not widen the interval much."""
    labels = np.arange(577) % 50
    outcomes = np.isin(np.arange(577), [0, 101, 203, 305, 407][:k])
    found, mirror = stats.rate(outcomes, labels), stats.rate(~outcomes, labels)
    assert 0.01 < found.high < 0.043
    assert found.low < k / 577 + 1e-12
    assert (1 - mirror.high, 1 - mirror.low) == pytest.approx((found.low, found.high), abs=1e-12)
    plain = stats.wilson(k, 577)
    assert found.low <= plain.low
    assert found.high >= plain.high


def test_eight_samples_of_a_prompt_are_not_eight_prompts() -> None:
    """A filter decides alike each time; 100 prompts of which 10 are refused, each drawn eight times."""
    once = [1] * 10 + [0] * 90
    eight = stats.rate(np.repeat(once, 8), np.repeat(np.arange(100), 8))
    plain = stats.wilson(10, 100)
    assert (eight.low, eight.high) == pytest.approx((plain.low, plain.high), abs=0.006)
    # A model that flips a coin each time: eight samples tell nearly as much as eight prompts.
    coins = np.random.default_rng(6).random(800) < 0.5
    assert stats.rate(coins, np.repeat(np.arange(100), 8)).n_effective > 500


def test_few_clusters_leave_much_open() -> None:
    for groups, least in ((2, 0.9), (3, 0.75), (5, 0.5)):
        outcomes = np.repeat(np.arange(groups) % 2, 50)
        found = stats.rate(outcomes, np.repeat(np.arange(groups), 50))
        assert found.high - found.low > least
        assert found.n_effective <= groups + 1e-9
    none = stats.rate([0] * 60, np.repeat(np.arange(3), 20))
    assert 0.3 < none.high < 0.9


def test_one_outcome_per_cluster_counts_clusters() -> None:
    """Rows that repeat their cluster's outcome add nothing: n_effective is the number of clusters."""
    firsts = [1] * 30 + [0] * 70
    ten = stats.rate(np.repeat(firsts, 10), np.repeat(np.arange(100), 10))
    once = stats.wilson(30, 100)
    assert ten.n_effective == pytest.approx(99, abs=0.01)
    assert ten.high - ten.low == pytest.approx(once.high - once.low, rel=0.1)
    effect = stats.design_effect(np.repeat(firsts, 10), np.repeat(np.arange(100), 10))
    assert effect.intraclass == pytest.approx(1)
    assert effect.effect == pytest.approx(10 * 100 / 99)
    assert (effect.clusters, effect.mean_size, effect.largest) == (100, 10, 10)


def test_design_effect_by_hand() -> None:
    """Four clusters of two: 11 10 00 10; mean squares 1/3 between and 1/4 within."""
    effect = stats.design_effect([1, 1, 1, 0, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c", "d", "d"])
    assert effect.intraclass == pytest.approx((1 / 3 - 1 / 4) / (1 / 3 + 1 / 4))
    # residuals 1, 0, -1, 0: variance 4/3 * 2 / 64 against 1/4 / 8.
    # That is 4/3, above 1 + 1/7 by the correlation; two more clusters of 1 + 1/2 are assumed, three tell.
    assert effect.effect == pytest.approx((3 * (4 / 3 * 2 / 64) / (1 / 32) + 2 * 1.5) / 5)
    assert effect.n_effective == pytest.approx(8 / 1.4)
    # Of the sum, 4 parts of 7 are estimated and 3 assumed.
    assert effect.freedom == pytest.approx(3 / ((4 / 7) ** 2 + (3 / 7) ** 2))


def test_design_effect_recovers_the_intraclass_correlation() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4000), 5)
    outcomes = rng.random(20_000) < per_seed(rng, labels, 0.3, 0.4)
    effect = stats.design_effect(outcomes, labels)
    assert effect.intraclass == pytest.approx(0.4, abs=0.03)
    assert effect.effect == pytest.approx(1 + 4 * 0.4, rel=0.05)
    assert stats.effective_sample_size(outcomes, labels) == pytest.approx(20_000 / effect.effect)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    labels = seeds_of(rng, 50, 6)
    outcomes = rng.random(len(labels)) < 0.3
    first = stats.rate(outcomes, [f"seed-{x}" for x in labels])
    order = rng.permutation(len(labels))
    assert stats.rate(outcomes[order], labels[order]) == first
    assert stats.rate(outcomes, labels, level=0.8).high < first.high


@pytest.mark.parametrize("most", [9, 200])
def test_many_clusters_are_quick_and_small(most: int) -> None:
    rng = np.random.default_rng(4)
    labels = seeds_of(rng, 5000, most)
    outcomes = rng.random(len(labels)) < per_seed(rng, labels, 0.2, 0.3)
    results = []
    tracemalloc.start()
    took = least_cpu_seconds(lambda: results.append(stats.rate(outcomes, labels)), 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert results[-1].method == "wilson-design-effect"
    assert took < 5
    assert peak < 150e6


@pytest.mark.parametrize(
    ("groups", "most", "share", "intraclass"),
    [(5, 4, 0.3, 0.3), (15, 6, 0.1, 0.5), (30, 5, 0.05, 0.3), (60, 6, 0.2, 0.4), (200, 5, 0.05, 0.3)],
)
def test_clustered_intervals_cover(groups: int, most: int, share: float, intraclass: float) -> None:
    rng = np.random.default_rng(groups)
    covered = naive = 0
    for _ in range(400):
        labels = seeds_of(rng, groups, most)
        outcomes = rng.random(len(labels)) < per_seed(rng, labels, share, intraclass)
        result = stats.rate(outcomes, labels)
        covered += result.low <= share <= result.high
        plain = stats.rate(outcomes)
        naive += plain.low <= share <= plain.high
    assert covered / 400 >= 0.92
    # The clusters are worth the trouble: taking rows as independent does not cover.
    assert naive < covered
    assert naive / 400 < 0.92


# -- pairs ---------------------------------------------------------------------------------------------

# Airway hyper-responsiveness before and after stem cell transplantation, 21 children; cells 1, 1, 7, 12.
# p-values in Fagerland, Lydersen & Laake (2013, BMC Med. Res. Methodol. 13:91).
BEFORE = [1] * 2 + [0] * 19
AFTER = [1, 0] + [1] * 7 + [0] * 12


def test_mcnemar_on_a_published_table() -> None:
    result = stats.paired_difference(BEFORE, AFTER)
    assert (result.both, result.a_only, result.b_only, result.neither) == (1, 1, 7, 12)
    # McNemar's statistic with two pairs more: between the published mid-p 0.0391 and the exact 0.0703.
    assert result.p_value == pytest.approx(2 * (1 - NormalDist().cdf(6 / math.sqrt(1 + 7 + 2))))
    assert round(result.p_value, 4) == 0.0578
    assert result.difference == pytest.approx(-6 / 21)
    # Both limits x solve (x + 6/23)**2 = 1.96**2 * (10/23 - x**2) / 23.
    for x in (result.low, result.high):
        assert (x + 6 / 23) ** 2 == pytest.approx(1.959963984540054**2 * (10 / 23 - x * x) / 23)
    assert result.low < -6 / 23 < 0 < result.high < 0.01


@pytest.mark.parametrize("many", range(1, 30))
def test_few_pairs_are_no_surer_than_the_exact_test(many: int) -> None:
    """All fall one way, of many pairs and of none but these: the exact p-value is 2 in 2**many."""
    for alike in (0, 500):
        found = stats.paired_difference([1] * many + [0] * alike, [0] * (many + alike))
        assert found.p_value > (2 * 0.5**many * 0.85 if many > 4 else 0.1)


def test_clusters_of_one_row_are_no_clusters() -> None:
    assert stats.paired_difference(BEFORE, AFTER, range(21)) == stats.paired_difference(BEFORE, AFTER)  # type: ignore[arg-type]


def test_swapping_the_targets_mirrors_the_result() -> None:
    rng = np.random.default_rng(8)
    labels = seeds_of(rng, 40, 5)
    a, b = rng.random((2, len(labels))) < [[0.4], [0.25]]
    one, other = stats.paired_difference(a, b, labels), stats.paired_difference(b, a, labels)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert one.low == pytest.approx(-other.high, abs=1e-12)
    assert one.low <= one.difference <= one.high


def test_no_difference_at_all() -> None:
    for clusters in (None, np.repeat(np.arange(30), 2)):
        result = stats.paired_difference([1, 0] * 30, [1, 0] * 30, clusters)
        assert (result.difference, result.p_value) == (0, 1)
        assert result.low < -0.02 < 0.02 < result.high


def test_everything_differs() -> None:
    result = stats.paired_difference([1] * 60, [0] * 60, np.repeat(np.arange(6), 10))
    assert result.difference == 1
    assert result.low < 0.95
    assert result.high == 1
    # Six clusters cannot say much more than six coins, 2 in 64, whatever their size.
    assert result.n_effective == pytest.approx(60 / 5.5)
    assert result.p_value == pytest.approx(2 / 64, abs=0.004)


pair_rows = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 12)), min_size=2, max_size=60)


@settings(max_examples=300, deadline=None)
@given(pair_rows, st.booleans(), st.floats(0.5, 0.999))
def test_interval_and_test_never_contradict_each_other(
    rows: list[tuple[bool, bool, int]], clustered: bool, level: float
) -> None:
    a, b, labels = zip(*rows, strict=True)
    result = stats.paired_difference(a, b, labels if clustered else None, level=level)
    assert (result.p_value < 1 - level) == (result.low > 0 or result.high < 0)
    assert -1 <= result.low <= result.difference <= result.high <= 1
    assert result.at(level) == (result.low, result.high)


@settings(max_examples=100, deadline=None)
@given(st.lists(pair_rows, min_size=1, max_size=6), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_a_corrected_p_value_has_an_interval_that_agrees(
    tables: list[list[tuple[bool, bool, int]]], level: float
) -> None:
    found = [stats.paired_difference(*zip(*rows, strict=True)) for rows in tables]  # type: ignore[arg-type]
    corrected = stats.holm([one.p_value for one in found])
    for one, p_holm in zip(found, corrected, strict=True):
        low, high = one.at(stats.holm_level(one.p_value, p_holm, level))
        assert (p_holm < 1 - level) == (low > 0 or high < 0)
        plain = one.at(level)
        assert low <= plain[0] + 1e-12
        assert high >= plain[1] - 1e-12


@pytest.mark.parametrize(("groups", "most", "share"), [(15, 8, 0.3), (60, 5, 0.1), (100, 4, 0.4)])
def test_paired_test_keeps_its_level_under_the_null(groups: int, most: int, share: float) -> None:
    rng = np.random.default_rng(groups)
    alarms = naive = covered = 0
    for _ in range(400):
        labels = seeds_of(rng, groups, most)
        a = rng.random(len(labels)) < per_seed(rng, labels, share, 0.5)
        b = rng.random(len(labels)) < per_seed(rng, labels, share, 0.5)
        result = stats.paired_difference(a, b, labels)
        alarms += result.p_value < 0.05
        covered += result.low <= 0 <= result.high
        naive += stats.paired_difference(a, b).p_value < 0.05
    assert alarms / 400 <= 0.08
    assert covered == 400 - alarms
    # A test of rows that share seeds as if they did not cries wolf.
    assert naive / 400 > 0.1


def test_paired_test_finds_a_difference_and_covers_it() -> None:
    rng = np.random.default_rng(12)
    found = covered = 0
    for _ in range(300):
        labels = seeds_of(rng, 120, 5)
        a = rng.random(len(labels)) < per_seed(rng, labels, 0.35, 0.4)
        b = rng.random(len(labels)) < per_seed(rng, labels, 0.15, 0.4)
        result = stats.paired_difference(a, b, labels)
        found += result.p_value < 0.05
        covered += result.low <= 0.2 <= result.high
    assert found / 300 > 0.9
    assert covered / 300 >= 0.92


def test_pairs_of_many_clusters_are_quick() -> None:
    rng = np.random.default_rng(13)
    labels = seeds_of(rng, 5000, 30)
    a, b = rng.random((2, len(labels))) < 0.3
    results = []
    assert least_cpu_seconds(lambda: results.append(stats.paired_difference(a, b, labels)), 5) < 5
    assert 0 < results[-1].p_value <= 1


def test_holm_by_hand() -> None:
    """Sorted 0.005 0.01 0.03 0.04 times 4 3 2 1, never falling."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.6, 0.9]) == [1, 1]
    assert stats.holm([0.2]) == [0.2]


# -- ranks ---------------------------------------------------------------------------------------------


def test_spearman_on_a_textbook_example() -> None:
    """IQ and hours of television of ten people: sum of squared rank differences 194, rho = -29/165."""
    iq = [106, 86, 100, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]
    result = stats.spearman(iq, hours)
    assert result.rho == pytest.approx(-29 / 165)
    z = abs(math.atanh(-29 / 165)) / math.sqrt((1 + (29 / 165) ** 2 / 2) / 7)
    assert result.p_value == pytest.approx(2 * (1 - NormalDist().cdf(z)))
    assert result.note == ""
    # atanh(-29/165) -+ 1.96 * sqrt((1 + rho**2/2) / 7)
    assert (round(result.low, 3), round(result.high, 3)) == (-0.728, 0.515)


def test_published_correlation_over_five_models() -> None:
    """0.898 (arXiv 2505.21347): over five models its interval holds zero; over 5 x 9 points it is firm."""
    low, high = stats.spearman_interval(0.898, 5)
    assert (round(low, 3), round(high, 3)) == (-0.178, 0.996)
    low, high = stats.spearman_interval(0.898, 45)
    assert (round(low, 3), round(high, 3)) == (0.802, 0.949)


def test_few_targets_get_an_exact_p_and_a_warning() -> None:
    result = stats.spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert result.rho == pytest.approx(0.9)
    # 5 of 120 orders reach 0.9 (one, and four neighbours swapped), as many -0.9.
    assert result.p_value == pytest.approx(10 / 120)
    assert "5 targets only" in result.note
    assert "sign is open" in result.note


def test_spearman_ties_take_their_mean_rank() -> None:
    """Ranks 1 2.5 2.5 4 against 1 2 3 4: covariance 4.5 over the root of 4.5 times 5."""
    assert stats.spearman([1, 2, 2, 3], [1, 2, 3, 4]).rho == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_spearman_at_its_edges() -> None:
    for n in (5, 12):
        perfect = stats.spearman(range(n), [x**3 for x in range(n)])
        assert perfect.rho == 1
        assert perfect.high == 1
        assert -1 < perfect.low < 0.99
        assert 0 < perfect.p_value < 0.05
    flat = stats.spearman([1, 1, 1, 1], [1, 2, 3, 4])
    assert math.isnan(flat.rho)
    assert (flat.low, flat.high) == (-1, 1)
    assert "equal" in flat.note
    assert stats.spearman([1, 2, 3], [3, 1, 2]).low == -1
    assert math.isnan(stats.spearman([1], [2]).rho)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 9), min_size=n, max_size=n)] * 2)
    ),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_the_sign_is_open_exactly_where_the_test_says_so(
    sides: tuple[list[int], list[int]], level: float
) -> None:
    found = stats.spearman(*sides, level=level)
    if math.isnan(found.rho):
        return
    assert (found.p_value < 1 - level) == (found.low > 0 or found.high < 0)
    assert found.low - 1e-9 <= found.rho <= found.high + 1e-9
    if 4 <= found.n < 10:
        assert ("even the sign is open" in found.note) == (found.p_value >= 1 - level)


@pytest.mark.parametrize("n", range(4, 13))
def test_targets_in_the_same_order_are_no_contradiction(n: int) -> None:
    """Once five targets in one order had p = 0.017 and "even the sign is open"."""
    found = stats.spearman(range(n), range(n))
    assert ("sign is open" in found.note) == (found.p_value >= 0.05)
    assert (found.low > 0) == (n > 4)


@pytest.mark.parametrize("n", [6, 12, 40])
def test_spearman_interval_covers(n: int) -> None:
    rng = np.random.default_rng(n)
    rho = 6 / math.pi * math.asin(0.7 / 2)  # of a bivariate normal with correlation 0.7
    covered = 0
    for _ in range(400):
        x, noise = rng.normal(size=(2, n))
        result = stats.spearman(x, 0.7 * x + math.sqrt(1 - 0.49) * noise)
        covered += result.low <= rho <= result.high
    assert covered / 400 >= 0.92


# -- agreement -----------------------------------------------------------------------------------------


def test_fleiss_kappa_on_the_textbook_table() -> None:
    """10 subjects, 14 raters, 5 categories: kappa 0.210."""
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    labels = [[f"c{c}" for c, many in enumerate(row) for _ in range(many)] for row in table]
    assert stats.fleiss_kappa(labels) == pytest.approx(0.20993, abs=1e-5)


def split(*columns: str) -> list[list[str | None]]:
    return [[None if x == "." else x for x in row] for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("columns", "alpha"),
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", sections A, B and C.
    [
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbcccejdd".replace("j", "d")), 0.692),
        (("123321412...", "1233224125.3", ".333234225" + "1.", "1233244125" + "1."), 0.743),
    ],
)
def test_krippendorff_alpha_on_its_own_examples(columns: tuple[str, ...], alpha: float) -> None:
    assert round(stats.krippendorff_alpha(split(*columns)), 3) == alpha


def test_cohen_kappa_on_the_textbook_table() -> None:
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert stats.cohen_kappa(a, b) == pytest.approx(0.4)


def test_agreement_at_its_edges() -> None:
    full = [["harmful"] * 3, ["harmless"] * 3]
    assert stats.fleiss_kappa(full) == stats.krippendorff_alpha(full) == 1
    same = [["harmful"] * 3] * 4
    assert math.isnan(stats.fleiss_kappa(same))
    assert math.isnan(stats.krippendorff_alpha(same))
    assert math.isnan(stats.cohen_kappa(["x"], ["x"]))
    assert math.isnan(stats.krippendorff_alpha([["x", None], [None, "y"]]))
    # An item with a single label cannot be compared and must not move the rest.
    assert stats.krippendorff_alpha([*full, ["harmful", None, math.nan]]) == 1
    apart = stats.cohen_kappa(["x", "y"] * 10, ["y", "x"] * 10)
    assert apart == pytest.approx(-1)


def test_kappa_of_coin_flips_is_near_zero() -> None:
    flips = np.random.default_rng(1).integers(0, 2, (4000, 3))
    assert abs(stats.fleiss_kappa(flips)) < 0.03
    assert abs(stats.krippendorff_alpha(flips)) < 0.03


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["h", "h", "s"], stats.Majority("h", 2, 3, 0)),
        (["h", "h", None], stats.Majority("h", 2, 2, 1)),
        (["h", "s", None], stats.Majority(None, 0, 2, 1)),
        (["h", None, None], stats.Majority(None, 0, 1, 2)),
        (["h", "s"], stats.Majority(None, 0, 2, 0)),
        ([True, True, False, False, True], stats.Majority(True, 3, 5, 0)),
        ([None, None], stats.Majority(None, 0, 0, 2)),
        (["h"], stats.Majority("h", 1, 1, 0)),
    ],
)
def test_majority_counts_what_was_not_said(votes: list[Any], expected: stats.Majority) -> None:
    assert stats.majority(votes) == expected


# -- sweeps --------------------------------------------------------------------------------------------

# S100B of 41 patients with a poor and 72 with a good outcome (Turck et al. 2010, Intensive Care Med. 36),
# in hundredths. pROC (Robin et al. 2011, BMC Bioinformatics 12:77) gives 0.7314, DeLong 0.6301 to 0.8326.
POOR = [13, 10, 16, 12, 44, 71, 49, 7, 33, 9, 7, 41, 35, 48, 96, 25, 86, 52, 207, 7, 77, 30, 3, 9, 23, 70]
POOR += [27, 71, 8, 26, 13, 10, 11, 22, 56, 14, 58, 32, 82, 74, 44]
GOOD = [13, 14, 10, 4, 47, 18, 10, 10, 4, 8, 4, 9, 11, 7, 17, 7, 11, 13, 19, 5, 16, 14, 34, 9, 50, 46, 16]
GOOD += [7, 43, 45, 11, 8, 9, 8, 6, 13, 10, 14, 15, 6, 5, 9, 4, 9, 8, 16, 9, 8, 33, 11, 28, 7, 10, 32, 7]
GOOD += [5, 24, 38, 10, 15, 8, 14, 10, 7, 4, 19, 15, 47, 17, 15, 50, 48]


def test_delong_on_a_published_data_set() -> None:
    result = stats.auc(POOR + GOOD, [1] * 41 + [0] * 72)
    assert round(result.auc, 4) == 0.7314
    half = 1.959964 * result.standard_error
    assert (round(result.auc - half, 4), round(result.auc + half, 4)) == (0.6301, 0.8326)
    assert (result.method, result.benign, result.unsafe) == ("delong", 72, 41)
    assert 0.61 < result.low < 0.6301
    # One row per cluster: the two variances differ by their degrees of freedom only.
    single = stats.auc(POOR + GOOD, [1] * 41 + [0] * 72, range(113))  # type: ignore[arg-type]
    assert single.standard_error == pytest.approx(result.standard_error, rel=0.02)


def test_sweep_by_hand() -> None:
    """Scores with a tie across the classes: one step for both."""
    sweep = stats.threshold_sweep([0.9, 0.8, 0.5, 0.5, 0.1], [1, 0, 1, 0, 0])
    assert sweep.thresholds == (math.inf, 0.9, 0.8, 0.5, 0.1)
    assert sweep.safe_refusal == (0, 0.5, 0.5, 1, 1)
    assert sweep.over_refusal == pytest.approx((0, 0, 1 / 3, 2 / 3, 1))
    # Pairs: 0.9 beats three; 0.5 loses to 0.8, ties with 0.5, beats 0.1.
    assert sweep.auc.auc == pytest.approx(4.5 / 6)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_area_is_the_area_under_the_curve(rows: list[tuple[int, bool]]) -> None:
    scores, unsafe = zip(*rows, strict=True)
    if len(set(unsafe)) < 2:
        return
    sweep = stats.threshold_sweep(scores, unsafe)
    assert sweep.auc.auc == pytest.approx(float(np.trapezoid(sweep.safe_refusal, sweep.over_refusal)))
    assert 0 <= sweep.auc.low <= sweep.auc.auc <= sweep.auc.high <= 1
    assert sweep.auc.low < sweep.auc.high


def test_full_separation_is_not_certain() -> None:
    result = stats.auc([1, 2, 3, 4, 5, 6, 7, 8], [0] * 4 + [1] * 4)
    assert (result.auc, result.high, result.method) == (1, 1, "wilson")
    assert result.low == stats.wilson(4, 4).low


def test_clustered_area_covers() -> None:
    rng = np.random.default_rng(21)
    covered = naive = 0
    for _ in range(300):
        seeds = seeds_of(rng, 30, 8)
        unsafe = seeds % 2 == 1
        scores = rng.normal(size=30)[seeds] + rng.normal(size=len(seeds)) + 1.2 * unsafe
        true = 0.5 * (1 + math.erf(1.2 / 2 / math.sqrt(2)))  # the difference has variance 4
        one, other = stats.auc(scores, unsafe, seeds), stats.auc(scores, unsafe)
        covered += one.low <= true <= one.high
        naive += other.low <= true <= other.high
    assert covered / 300 >= 0.92
    assert naive / 300 < 0.9


def test_operating_point_by_hand() -> None:
    benign = [x / 100 for x in range(100)]
    point = stats.operating_point(benign, [0.2, 0.945, 0.95, 0.99], 0.05)
    # Five benign rows may be refused, 0.95 to 0.99; 0.945 refuses the same five and one unsafe row more.
    assert point.threshold == 0.945
    assert (point.over_refusal.k, point.over_refusal.n) == (5, 100)
    assert (point.safe_refusal.k, point.safe_refusal.n) == (3, 4)
    assert point.over_refusal.high > 0.05


def test_operating_point_never_splits_a_tie() -> None:
    benign = [0.1] * 90 + [0.9] * 10
    point = stats.operating_point(benign, [0.9, 0.95, 0.3], 0.05)
    assert (point.threshold, point.over_refusal.k, point.safe_refusal.k) == (0.95, 0, 1)
    point = stats.operating_point(benign, [0.9, 0.95, 0.3], 0.10)
    assert (point.threshold, point.over_refusal.k, point.safe_refusal.k) == (0.3, 10, 3)


def test_operating_point_at_its_edges() -> None:
    nothing = stats.operating_point([0.9] * 5, [0.9, 0.1], 0.05)
    assert (nothing.threshold, nothing.over_refusal.k, nothing.safe_refusal.k) == (math.inf, 0, 0)
    everything = stats.operating_point([0.5] * 5, [0.9, 0.1], 1)
    assert (everything.threshold, everything.over_refusal.k, everything.safe_refusal.k) == (0.1, 5, 2)
    # 0.29 * 100 falls short of 29 in floating point.
    assert stats.operating_point([x / 100 for x in range(100)], [2.0], 0.29).over_refusal.k == 29
    clustered = stats.operating_point([0, 1] * 30, [1] * 9, 0.5, clusters_benign=np.repeat(np.arange(30), 2))
    assert clustered.over_refusal.clusters == 30


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.floats(0, 1),
)
def test_operating_point_is_the_best_allowed(benign: list[int], unsafe: list[int], limit: float) -> None:
    point = stats.operating_point(benign, unsafe, limit)
    assert point.over_refusal.rate <= limit + 1e-9
    best = max(
        sum(s >= t for s in unsafe)
        for t in [*benign, *unsafe, math.inf]
        if sum(s >= t for s in benign) <= limit * len(benign) + 1e-9
    )
    assert point.safe_refusal.k == best


# -- gates ---------------------------------------------------------------------------------------------


def measured(share: float, low: float, high: float) -> Rate:
    return Rate(round(1000 * share), 1000, share, low, high, "wilson", 0.95)


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({"at_most": 0.05}, "pass"),
        ({"at_most": 0.04}, "pass"),
        ({"at_most": 0.03}, "undecided"),
        ({"at_most": 0.02}, "undecided"),
        ({"at_most": 0.01}, "fail"),
        ({"at_least": 0.02}, "pass"),
        ({"at_least": 0.03}, "undecided"),
        ({"at_least": 0.05}, "fail"),
        ({"at_most": 0.05, "at_least": 0.01}, "pass"),
        ({"at_most": 0.03, "at_least": 0.01}, "undecided"),
        ({"at_most": 0.015, "at_least": 0.01}, "fail"),
    ],
)
def test_gate_goes_by_the_interval(limits: dict[str, float], verdict: str) -> None:
    assert stats.gate(measured(0.03, 0.02, 0.04), **limits).verdict == verdict


def test_gate_says_why_and_names_the_limit_that_decided() -> None:
    sentence = stats.gate(measured(0.93, 0.91, 0.95), at_most=1, at_least=0.96).sentence
    assert sentence == "93.0% (930 of 1000; 95% interval 91.0% to 95.0%) breaks the limit of at least 0.96"
    assert "more prompts" in stats.gate(measured(0.05, 0.04, 0.06), at_most=0.05).sentence


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stats.wilson(1, 0), "n is 0"),
        (lambda: stats.wilson(3, 2), "outside 0..2"),
        (lambda: stats.wilson(1, 2, 95), "as in 0.95"),
        (lambda: stats.wilson(0.5, 2), "whole numbers"),  # type: ignore[arg-type]
        (lambda: stats.rate([]), "outcomes is empty"),
        (lambda: stats.rate([0, None, 1]), r"outcomes\[1\] is missing"),
        (lambda: stats.rate([0, math.nan]), r"outcomes\[1\] is missing"),
        (lambda: stats.rate([0, 2]), r"outcomes\[1\] is 2"),
        (lambda: stats.rate([[0, 1]]), "one flat sequence"),
        (lambda: stats.rate(["refused"]), "flat sequence of numbers"),
        (lambda: stats.rate([0, 1], ["a"]), "clusters has 1 rows and outcomes has 2"),
        (lambda: stats.rate([0, 1], ["a", None]), r"clusters\[1\] is missing"),
        (lambda: stats.rate([0, 1], ["a", math.nan]), r"clusters\[1\] is missing"),
        (lambda: stats.rate([0, 1], ["a", []]), r"clusters\[1\] must be"),  # type: ignore[list-item]
        (lambda: stats.paired_difference([0, 1], [1]), "b has 1 rows and a has 2"),
        (lambda: stats.paired_difference([], []), "a is empty"),
        (lambda: stats.holm([]), "empty"),
        (lambda: stats.holm([0.1, 1.2]), r"pvalues\[1\] is 1.2"),
        (lambda: stats.holm([math.nan]), "missing"),
        (lambda: stats.spearman([1, 2], [1]), "y has 1 rows and x has 2"),
        (lambda: stats.spearman([], []), "x is empty"),
        (lambda: stats.spearman([1, math.nan], [1, 2]), r"x\[1\] is missing"),
        (lambda: stats.spearman_interval(1.2, 5), "outside -1..1"),
        (lambda: stats.fleiss_kappa([]), "labels is empty"),
        (lambda: stats.fleiss_kappa([["a"]]), "two judges"),
        (lambda: stats.fleiss_kappa([["a", "b"], ["a"]]), r"labels\[1\] has 1 judges"),
        (lambda: stats.fleiss_kappa([["a", None]]), "Krippendorff"),
        (lambda: stats.fleiss_kappa(["ab"]), "row of labels"),
        (lambda: stats.krippendorff_alpha([]), "labels is empty"),
        (lambda: stats.cohen_kappa(["a"], []), "b has 0 rows"),
        (lambda: stats.cohen_kappa(["a", None], ["a", "b"]), r"a\[1\] is missing"),
        (lambda: stats.majority([]), "no judge"),
        (lambda: stats.auc([1, 2], [1, 1]), "every row is unsafe"),
        (lambda: stats.auc([1, math.inf], [1, 0]), "infinite"),
        (lambda: stats.threshold_sweep([1], [0, 1]), "is_unsafe has 2 rows and scores has 1"),
        (lambda: stats.operating_point([], [1]), "scores_benign is empty"),
        (lambda: stats.operating_point([1], [1], 5), "write 5% as 0.05"),
        (lambda: stats.gate(measured(0.1, 0, 0.2)), "needs a limit"),
        (lambda: stats.gate(measured(0.1, 0, 0.2), at_most=5), "write 5% as 0.05"),
        (lambda: stats.gate(measured(0.1, 0, 0.2), at_most=0.1, at_least=0.2), "nothing can pass"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_import_loads_no_scipy() -> None:
    code = (
        "import sys, overt.scoring.stats\n"
        "sys.exit(any(m.split('.')[0] in ('scipy', 'pandas') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
