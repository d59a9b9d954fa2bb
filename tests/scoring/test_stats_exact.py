"""Every formula of the statistics on inputs small enough for a pocket calculator, number for number.

The comments say where a number comes from. Simulations and published examples: test_stats.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from overt.scoring import stats
from overt.scoring.stats import inputs, paired, ranks, rates, resample, sweep
from overt.scoring.stats.means import mean_interval

Z95 = 1.9599639845400536  # of the standard normal, 97.5%
T95 = {3: 3.182446305284263, 4: 2.7764451051977934}  # of Student's t, 97.5%, by degrees of freedom


def close(*numbers: float) -> object:
    return pytest.approx(numbers[0] if len(numbers) == 1 else numbers, rel=1e-9, abs=1e-12)


# -- quantiles, Wilson's limits, input ---------------------------------------------------------------------


def test_quantiles() -> None:
    assert inputs.normal_quantile(0.95) == close(Z95)
    assert inputs.normal_quantile(0.9) == close(1.6448536269514715)
    assert inputs.t_quantile(0.95, 9) == close(2.262157162798205)
    assert inputs.t_quantile(0.9, 3) == close(2.3533634348018233)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_a_level_is_a_share(level: float) -> None:
    for call in (inputs.check_level, inputs.normal_quantile, lambda x: inputs.t_quantile(x, 3)):
        with pytest.raises(ValueError, match=r"as in 0\.95"):
            call(level)


def test_wilson_limits_by_hand() -> None:
    # quantile 2, n 10: (0.5 + 4/20) / 1.4 = 0.5; 2/1.4 * sqrt(0.25/10 + 4/400) = 0.26726.
    assert inputs.wilson_limits(0.5, 10, 2.0) == close(0.2327387580875756, 0.7672612419124244)
    assert inputs.wilson_limits(0.25, 7.5, 1.5) == close(0.09182745845534956, 0.5235571569292659)
    # No event: the upper limit is q²/(n + q²).
    assert inputs.wilson_limits(0.0, 6, 2.0) == close(0.0, 0.4)
    assert inputs.wilson_limits(1.0, 6, 2.0) == close(0.6, 1.0)
    assert inputs.wilson_limits(0.0, 6, 2.0)[0] == 0.0
    assert inputs.wilson_limits(1.0, 6, 2.0)[1] == 1.0


def test_clusters_are_numbered_as_they_come() -> None:
    assert inputs.cluster_codes(["b", "a", "b", "c"], 4).tolist() == [0, 1, 0, 2]
    assert inputs.cluster_codes(np.array([7, 7, 3]), 3).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match=r"^clusters has 2 rows and gaps has 3; they must match row by row$"):
        inputs.cluster_codes(["a", "b"], 3, "gaps")
    for missing in (None, math.nan):
        with pytest.raises(ValueError, match=r"clusters\[2\] is missing"):
            inputs.cluster_codes(["a", "b", missing], 3)


def test_numbers_and_outcomes() -> None:
    assert inputs.numbers("x", (v for v in (1, 2.5, math.inf))).tolist() == [1.0, 2.5, math.inf]
    assert inputs.binary("x", [True, 0, 1.0]).tolist() == [1, 0, 1]
    assert inputs.binary("x", [1]).dtype == np.int64
    for values, says in (
        ([1, None], r"x\[1\] is missing"),
        ([1, 2, math.nan], r"x\[2\] is missing"),
        ([], "x is empty"),
        ([[1, 2]], r"not of shape \(1, 2\)"),
        (["one"], "one flat sequence of numbers$"),
    ):
        with pytest.raises(ValueError, match=says):
            inputs.numbers("x", values)
    for values in ([0, 1, -1], [1, 0, 0.5], [0, 1, 2]):
        with pytest.raises(ValueError, match=rf"^x\[2\] is {values[2]:g}; outcomes are 0 or 1"):
            inputs.binary("x", values)


# -- resampling --------------------------------------------------------------------------------------------


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_linear_variance_by_hand() -> None:
    # 4 of 7; residuals 3 - 16/7, 0 - 8/7, 1 - 4/7; squares sum to 2; times 3/2, over 49.
    assert resample.linear_variance(ints(3, 0, 1), ints(4, 2, 1)) == close(3 / 49)
    # Two clusters are enough: 1 of 4; residuals 1/2, -1/2; 2 * 1/2 / 16.
    assert resample.linear_variance(ints(1, 0), ints(2, 2)) == close(1 / 16)
    assert resample.linear_variance(ints(3), ints(4)) == 0.0


def test_jackknife_by_hand() -> None:
    assert resample.jackknife(ints(3, 0, 1), ints(4, 2, 1)).tolist() == close(1 / 3, 4 / 5, 3 / 6)


def test_resamples_draw_as_many_clusters_as_there_are() -> None:
    # One kind only: each draw is the estimate itself.
    assert resample.resampled_shares(ints(1, 1, 1), ints(4, 4, 4), 5, 0).tolist() == [0.25] * 5
    sums, sizes = ints(0, 0, 1, 2), ints(1, 1, 1, 3)
    drawn = resample.resampled_shares(sums, sizes, 400, 3)
    # Kinds in order (0,1) twice, (1,1), (2,3): the same draws from one multinomial.
    counts = np.random.default_rng(3).multinomial(4, [0.5, 0.25, 0.25], size=400)
    assert (counts.sum(axis=1) == 4).all()
    expected = (counts[:, 1] + 2 * counts[:, 2]) / (counts[:, 0] + counts[:, 1] + 3 * counts[:, 2])
    assert drawn.tolist() == expected.tolist()


def test_resampling_in_steps_draws_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little memory: the draws come in parts, and every one of them is made."""
    sums, sizes = ints(0, 0, 1, 2), ints(1, 1, 1, 3)
    whole = resample.resampled_shares(sums, sizes, 10, 3)
    for cells in (1, 7, 30):  # steps of 1, 2 and 10 draws of three kinds
        monkeypatch.setattr(resample, "_CELLS", cells)
        assert resample.resampled_shares(sums, sizes, 10, 3).tolist() == whole.tolist()


def test_memory_and_thresholds_are_what_the_simulations_were_made_with() -> None:
    assert (resample.BOOTSTRAP_CLUSTERS, resample.DESIGN_CLUSTERS, resample._CELLS) == (10, 3, 4_000_000)
    assert paired._DIRECT == 100_000_000
    assert (ranks._EXACT, ranks._FEW) == (8, 10)


DRAWN = np.arange(101) / 100  # 0.00 to 1.00, so that a quantile is its own level


def test_bca_limits_by_hand() -> None:
    """Five clusters, 80%: the tail is sqrt(5/4) * t(4; 90%) = 1.71418.

    40 draws lie below 0.4 and one on it: z0 of 40.5/101 is -0.25079. The jackknife's mean is 0.43; the
    third moment gives an acceleration of -0.09042. The levels are Phi(z0 + z / (1 - a z)) for z = z0 -+ tail.
    """
    left_out = np.array([0.30, 0.35, 0.38, 0.42, 0.70])
    assert resample.bca_limits(DRAWN, 0.4, left_out, 0.8) == close(0.004141724452027429, 0.8512012597456116)
    # Nothing to lean on: levels Phi(-+1.71418).
    same = np.full(5, 0.5)
    assert resample.bca_limits(DRAWN, 0.5, same, 0.8) == close(0.043248136957235506, 0.9567518630427645)


def test_bca_counts_ties_half() -> None:
    # 50 of 100 draws are the estimate: z0 is that of 25%, not of 0% or 50%.
    drawn = np.array([0.5] * 50 + list(np.linspace(0.6, 0.8, 50)))
    left_out = np.array([0.1, 0.2, 0.3, 0.4])
    # z0 = -0.67449; tail sqrt(4/3) * t(3; 75%) = 0.88322; levels Phi(-2.23220) and Phi(-0.46576).
    low, high = resample.bca_limits(drawn, 0.5, left_out, 0.5)
    assert (low, high) == close(*np.quantile(drawn, [0.012800837914151209, 0.3206943953871296]))


def test_bca_holds_on_where_every_draw_lies_on_one_side() -> None:
    """The share of draws below is kept within 1/B and 1 - 1/B, so that z0 is finite."""
    drawn, left_out = np.linspace(0.5, 0.6, 200), np.array([0.1, 0.2, 0.3, 0.4])
    tail = math.sqrt(4 / 3) * 0.7648923284043453  # t(3; 75%)
    z0 = 2.5758293035489004  # of 199/200
    levels = [0.5 * (1 + math.erf((2 * z0 + sign * tail) / math.sqrt(2))) for sign in (-1, 1)]
    assert resample.bca_limits(drawn, 0.7, left_out, 0.5) == close(*np.quantile(drawn, levels))
    below = [0.5 * (1 + math.erf((-2 * z0 + sign * tail) / math.sqrt(2))) for sign in (-1, 1)]
    assert resample.bca_limits(drawn, 0.4, left_out, 0.5) == close(*np.quantile(drawn, below))


def test_bca_past_its_pole_takes_the_last_draw() -> None:
    # One of 41 clusters holds it all: the acceleration is -0.16, so that 1 - a z turns negative below -6.2.
    one, level = np.array([0.0] * 40 + [1.0]), 1 - 1e-8  # the tail is 1.012 * t(40), about 7.2
    low, high = resample.bca_limits(DRAWN, 0.5, one, level)
    assert low == 0.0
    assert 0.5 < high < 1.0
    low, high = resample.bca_limits(DRAWN, 0.5, 1 - one, level)
    assert high == 1.0
    assert 0.0 < low < 0.5


# -- rates -------------------------------------------------------------------------------------------------

# Five clusters; 4 of 12; three of them show the rarer outcome.
FIVE = [[1, 1, 0], [1], [0, 0], [1, 0], [0, 0, 0, 0]]


def flat(clusters: list[list[int]]) -> tuple[list[int], list[int]]:
    values = [value for cluster in clusters for value in cluster]
    return values, [number for number, cluster in enumerate(clusters) for _ in cluster]


def test_wilson_says_all_of_a_rate() -> None:
    found = stats.wilson(2, 8, 0.9)
    assert (found.k, found.n, found.rate, found.level, found.clusters) == (2, 8, 0.25, 0.9, None)
    assert (found.method, found.n_effective) == ("wilson", 8.0)
    # q = 1.64485: (0.25 + q²/16 -+ q * sqrt(0.1875/8 + q²/256)) / (1 + q²/8)
    assert (found.low, found.high) == close(0.08651484419906227, 0.5398469545128193)
    assert stats.wilson(0, 1).n == 1
    assert stats.wilson(3, 3).rate == 1.0
    for k, n, says in (
        (1, 0, "n is 0"),
        (-1, 2, "k is -1, outside 0..2"),
        (3, 2, "k is 3"),
        (1, 2.5, "whole"),
    ):
        with pytest.raises(ValueError, match=says):
            stats.wilson(k, n)  # type: ignore[arg-type]


def test_design_effect_of_unequal_clusters_by_hand() -> None:
    found = stats.design_effect(*flat(FIVE))
    assert (found.n, found.clusters, found.mean_size, found.largest) == (12, 5, 12 / 5, 4)
    # Residuals 2-1, 1-1/3, -2/3, 1-2/3, -4/3 of the share 1/3: squares 34/9; 5/4 * 34/9 / 144 = 0.032793;
    # over 2/9 / 12.
    assert found.effect == close(1.7708333333333333)
    assert found.n_effective == close(12 / 1.7708333333333333)
    # Mean squares 3/8 between and 1/6 within, mean size (12 - 34/12) / 4 = 55/24.
    assert found.intraclass == close((3 / 8 - 1 / 6) / (3 / 8 + (55 / 24 - 1) / 6))


def test_design_effect_where_it_cannot_be_told() -> None:
    two = stats.design_effect(*flat([[1, 0], [1, 0], [0, 0], [0, 0, 0]]))
    assert math.isnan(two.effect)
    assert two.n_effective == 4.0
    for outcomes, clusters in (
        ([1, 0], ["a", "a"]),
        ([1, 0], ["a", "b"]),
        ([1, 1, 1], "aab"),
        ([0, 0], "aa"),
    ):
        assert math.isnan(stats.design_effect(outcomes, clusters).intraclass)
    # Clusters that differ less than chance would have them: never more rows than there are.
    even = stats.design_effect(*flat([[1, 0], [0, 1], [1, 0], [0, 1]]))
    assert (even.effect, even.n_effective) == (0.0, 8.0)
    assert stats.effective_sample_size(*flat(FIVE)) == close(12 / 1.7708333333333333)
    assert math.isclose(even.intraclass, -1.0)


def test_few_clusters_count_as_one_row_each() -> None:
    found = stats.rate(*flat([[1, 0], [1, 0], [0, 0], [0, 0, 0]]))
    assert (found.method, found.clusters, found.n_effective) == ("wilson-clusters", 4, 4.0)
    assert (found.k, found.n, found.rate, found.level) == (2, 9, 2 / 9, 0.95)
    assert (found.low, found.high) == close(0.03707027348818126, 0.6795357467643728)  # 2/9 of 4 rows


def test_some_clusters_take_the_design_effect() -> None:
    found = stats.rate(*flat(FIVE))
    assert (found.method, found.clusters) == ("wilson-design-effect", 5)
    assert found.n_effective == close(6.776470588235295)
    # Wilson's of 1/3 over 6.776 rows, with t(4) for the normal quantile.
    assert (found.low, found.high) == close(0.06688365295650733, 0.7771753648721292)
    # A design effect below 1 is taken as 1.
    even = stats.rate(*flat([[1, 0], [0, 1], [1, 0], [0, 1]]))
    assert (even.n_effective, even.method) == (8.0, "wilson-design-effect")
    assert (even.low, even.high) == close(*inputs.wilson_limits(0.5, 8, T95[3]))


def test_many_clusters_are_resampled() -> None:
    """6 clusters 1 of 2, 3 of 1 of 3, 2 of 2 of 2, 4 of 0 of 1: 13 of 29; BCa over 200 seeded draws."""
    clusters = [[1, 0]] * 6 + [[1, 0, 0]] * 3 + [[1, 1]] * 2 + [[0]] * 4
    found = stats.rate(*flat(clusters), level=0.9, resamples=200, seed=5)
    assert (found.k, found.n, found.method, found.clusters) == (13, 29, "cluster-bca", 15)
    assert found.n_effective == 29.0
    counts = np.random.default_rng(5).multinomial(15, np.array([4, 6, 3, 2]) / 15, size=200)
    drawn = counts @ [0, 1, 1, 2] / (counts @ [1, 2, 3, 2])
    # BCa levels: by the textbook's formula, made without this package.
    levels = [0.06098392225487087, 0.984594813438556]
    assert (found.low, found.high) == close(*np.quantile(drawn, levels))
    assert rates._varied(*rates._cluster_sums(*flat(clusters))) == 11


def test_a_rate_needs_a_hundred_draws() -> None:
    outcomes, clusters = flat(FIVE)
    assert stats.rate(outcomes, clusters, resamples=100).n == 12
    with pytest.raises(ValueError, match="resamples is 99"):
        stats.rate(outcomes, clusters, resamples=99)
    assert stats.paired_difference(outcomes, outcomes, clusters, resamples=100).n == 12
    with pytest.raises(ValueError, match="resamples is 99"):
        stats.paired_difference(outcomes, outcomes, clusters, resamples=99)


def test_rates_are_made_alike_where_rows_come_in_another_order() -> None:
    sums, sizes = rates._cluster_sums([1, 0, 1, 0, 1], ["b", "a", "a", "c", "c"])
    assert (sums.tolist(), sizes.tolist()) == ([1, 1, 1], [1, 2, 2])
    sums, sizes = rates._cluster_sums([1, 1, 0, 0], ["a", "a", "b", "b"])
    assert (sums.tolist(), sizes.tolist()) == ([0, 2], [2, 2])


# -- means -------------------------------------------------------------------------------------------------


def test_means_by_hand() -> None:
    alone = mean_interval([1.0, 2.0, 6.0], ["a", "a", "a"])
    assert (alone.mean, alone.n, alone.clusters, alone.level) == (3.0, 3, 1, 0.95)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    alike = mean_interval([1.0, 3.0, 2.0], ["a", "a", "b"], level=0.8)
    assert (alike.mean, alike.low, alike.high, alike.clusters, alike.level) == (2.0, 2.0, 2.0, 2, 0.8)
    with pytest.raises(ValueError, match=r"values\[1\] is not finite"):
        mean_interval([1.0, math.inf], ["a", "b"])
    with pytest.raises(ValueError, match=r"as in 0\.95"):
        mean_interval([1.0], ["a"], level=95)


def test_defaults_are_95_percent_2000_draws_and_seed_0() -> None:
    rng = np.random.default_rng(0)
    clusters = [i // 3 for i in range(90)]
    a, b = (rng.random((2, 90)) < 0.4).astype(int).tolist()
    said = {"level": 0.95, "resamples": 2000, "seed": 0}
    assert mean_interval(a, clusters) == mean_interval(a, clusters, **said)  # type: ignore[arg-type]
    assert stats.rate(a, clusters) == stats.rate(a, clusters, **said)  # type: ignore[arg-type]
    found = stats.cluster_bootstrap_rate(a, clusters)
    assert found == stats.cluster_bootstrap_rate(a, clusters, **said)  # type: ignore[arg-type]
    assert stats.paired_difference(a, b, clusters) == stats.paired_difference(a, b, clusters, **said)  # type: ignore[arg-type]
    scores = rng.random(90).tolist()
    point = stats.operating_point(scores, scores, clusters_benign=clusters, clusters_unsafe=clusters)
    assert point == stats.operating_point(
        scores,
        scores,
        0.05,
        clusters_benign=clusters,
        clusters_unsafe=clusters,
        **said,  # type: ignore[arg-type]
    )
    assert stats.auc(scores, a) == stats.auc(scores, a, level=0.95)
    assert stats.threshold_sweep(scores, a).auc.level == 0.95
    assert stats.wilson(3, 9) == stats.wilson(3, 9, 0.95)
    assert stats.spearman(scores, a) == stats.spearman(scores, a, level=0.95)
    assert stats.spearman_interval(0.5, 9) == stats.spearman_interval(0.5, 9, 0.95)


def test_means_are_resampled_by_cluster() -> None:
    values, clusters = [1.0, 2.0, 4.0, 8.0, 3.0, 3.0], ["a", "a", "b", "c", "d", "d"]
    found = mean_interval(values, clusters, level=0.8, resamples=300, seed=2)
    assert (found.mean, found.n, found.clusters) == (3.5, 6, 4)
    sums, sizes = np.array([3.0, 4.0, 8.0, 6.0]), np.array([2, 1, 1, 2])
    drawn = resample.resampled_shares(sums, sizes, 300, 2)
    left_out = np.array([18 / 4, 17 / 5, 13 / 5, 15 / 4])
    assert (found.low, found.high) == close(*resample.bca_limits(drawn, 3.5, left_out, 0.8))
    assert found.low < 3.5 < found.high


# -- pairs -------------------------------------------------------------------------------------------------


def test_independent_pairs_by_hand() -> None:
    """Ten pairs: 4 only a, 1 only b, 2 both, 3 neither."""
    a = [1] * 4 + [0] + [1] * 2 + [0] * 3
    b = [0] * 4 + [1] + [1] * 2 + [0] * 3
    found = stats.paired_difference(a, b, level=0.95)
    assert (found.n, found.both, found.a_only, found.b_only, found.neither) == (10, 2, 4, 1, 3)
    assert (found.rate_a, found.rate_b) == (0.6, 0.3)
    assert found.difference == close(0.3)
    # (5/12 - 2/12) -+ 1.96 * sqrt((7/12 - (3/12)²) / 12)
    assert (found.low, found.high) == close(-0.15832583011251117, 0.6583258301125112)
    # 5 discordant pairs, 4 on one side: 2 * (5 + 1) / 32, and the mid-p 2 * (1 + 5/2) / 32.
    assert (found.p_exact, found.p_value) == close(12 / 32, 7 / 32)
    assert (found.method, found.test, found.clusters, found.level) == (
        "bonett-price",
        "mcnemar mid-p",
        None,
        0.95,
    )
    assert stats.paired_difference(a, b, range(10)).method == "bonett-price"  # type: ignore[arg-type]


def test_bonett_price_limits_by_hand() -> None:
    assert paired._bonett_price(0.4, 0.1, 10, 2.0) == close(-1 / 6, 2 / 3)
    # Three pairs, all up: 4/5 - 1/5; the limits stay within 1 and hold the estimate.
    low, high = paired._bonett_price(1.0, 0.0, 3, Z95)
    assert low == close(0.6 - Z95 * math.sqrt((1 - 0.36) / 5))
    assert high == 1.0
    low, high = paired._bonett_price(0.0, 1.0, 3, Z95)
    assert low == -1.0
    assert high == close(-0.6 + Z95 * math.sqrt((1 - 0.36) / 5))
    # A narrow interval around the shrunk middle is stretched to the estimate.
    assert paired._bonett_price(1.0, 0.0, 2, 0.1)[1] == 1.0
    assert paired._bonett_price(0.0, 1.0, 2, 0.1)[0] == -1.0


# Gaps by cluster: up 4 of 11, down 1 of 11; four clusters differ.
GAPS = [[1, 1], [1, 0], [-1, 0, 0], [1, 0], [0, 0]]


def pairs_of(gaps: list[list[int]]) -> tuple[list[int], list[int], list[int]]:
    values, clusters = flat(gaps)
    return [int(v > 0) for v in values], [int(v < 0) for v in values], clusters


def test_clustered_pairs_take_the_design_effect() -> None:
    found = stats.paired_difference(*pairs_of(GAPS))
    assert (found.method, found.test, found.clusters) == (
        "bonett-price-design-effect",
        "cluster sign-flip mid-p",
        5,
    )
    # Effective rows 11 / 1.8330 = 6.0011, with t(4).
    assert (found.low, found.high) == close(-0.5227561577176913, 0.9318654421807018)
    # Steps 2, 1, 1, 1, total 3: of 16 signs two reach 5, six reach 3.
    assert (found.p_exact, found.p_value) == close(8 / 16, 5 / 16)


def test_few_differing_clusters_count_as_one_row_each() -> None:
    found = stats.paired_difference(*pairs_of([[1, 0], [1, 0], [0, 0]]))
    assert found.method == "bonett-price-clusters"
    assert (found.low, found.high) == close(-0.4559294077244455, 0.8559294077244455)
    every = stats.paired_difference(*pairs_of([[1, 1]] * 4))  # no variance is left to estimate
    assert every.method == "bonett-price-clusters"
    assert paired._cluster_limits(ints(1, 1, 1, 0), ints(2, 2, 2, 2), 3 / 8, 0.0, 0.95, 100, 0)[0] == (
        "bonett-price-design-effect"
    )


def test_many_differing_clusters_are_resampled() -> None:
    gaps = [[1, 0]] * 6 + [[-1, 0, 0]] * 3 + [[1, 1]] * 2 + [[0]] * 4
    found = stats.paired_difference(*pairs_of(gaps), level=0.8, resamples=200, seed=4)
    assert (found.method, found.n, found.a_only, found.b_only) == ("cluster-bca", 29, 10, 3)
    # Sorted by size and sum: 4 x (0, 1), 6 x (1, 2), 2 x (2, 2), 3 x (-1, 3).
    sums, sizes = ints(*[0] * 4, *[1] * 6, *[2] * 2, *[-1] * 3), ints(*[1] * 4, *[2] * 8, *[3] * 3)
    drawn = resample.resampled_shares(sums, sizes, 200, 4)
    expected = resample.bca_limits(drawn, 10 / 29 - 3 / 29, (7 - sums) / (29 - sizes), 0.8)
    assert (found.low, found.high) == close(*expected)


def test_the_number_of_differing_clusters_decides_the_method() -> None:
    def method(differing: int) -> str:
        gaps = [[1, 0]] * differing + [[0, 0]] * (12 - differing)
        return stats.paired_difference(*pairs_of(gaps), resamples=100).method

    assert [method(n) for n in (2, 3, 9, 10)] == [
        "bonett-price-clusters",
        "bonett-price-design-effect",
        "bonett-price-design-effect",
        "cluster-bca",
    ]


def test_sign_flips_by_the_fft_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ints(0, 1, 1, 2, 3, 3, 5)
    direct = paired._sign_flip(steps, 7)
    # Of 64 signs of 1 1 2 3 3 5: counted out by machine, 18 reach |sum| 7 or more, 8 of them 7.
    signs = [sum(s * x for s, x in zip(bits, (1, 1, 2, 3, 3, 5), strict=True)) for bits in
             np.array(np.meshgrid(*[[1, -1]] * 6)).reshape(6, -1).T]  # fmt: skip
    beyond, at = sum(abs(s) > 7 for s in signs), sum(abs(s) == 7 for s in signs)
    assert direct == close((beyond + at / 2) / 64, (beyond + at) / 64)
    monkeypatch.setattr(paired, "_DIRECT", 0)
    assert paired._sign_flip(steps, 7) == pytest.approx(direct, abs=1e-9)
    assert paired._sign_flip(ints(0, 0), 0) == (1.0, 1.0)
    assert paired._sign_flip(ints(1), 1) == close(0.5, 1.0)


def test_holm_at_its_edges() -> None:
    assert stats.holm([0.0, 1.0]) == [0.0, 1.0]
    assert stats.holm([0.03, 0.03, 0.02]) == close(0.06, 0.06, 0.06)
    for bad in (-0.01, 1.01):
        with pytest.raises(ValueError, match=rf"pvalues\[1\] is {bad:g}, outside 0..1"):
            stats.holm([0.5, bad])


# -- ranks -------------------------------------------------------------------------------------------------


def test_spearman_intervals_by_hand() -> None:
    # atanh(0.5) -+ 1.96 * sqrt(1.125 / (n - 3))
    assert stats.spearman_interval(0.5, 4) == close(-0.9103474853225999, 0.9896252205621434)
    assert stats.spearman_interval(0.5, 5) == close(-0.7262127280589684, 0.9653646507719409)
    assert stats.spearman_interval(0.5, 9) == close(-0.29074801452819277, 0.8849175889269287)
    assert stats.spearman_interval(-0.5, 9) == close(-0.8849175889269287, 0.29074801452819277)
    assert stats.spearman_interval(0.5, 3) == (-1.0, 1.0)
    assert stats.spearman_interval(1.0, 1) == (-1.0, 1.0)
    # At 1 the open side is that of 1 - 12/(6 * 35) = 0.942857.
    assert stats.spearman_interval(1.0, 6) == close(0.3826513363219747, 1.0)
    assert stats.spearman_interval(-1.0, 6) == close(-1.0, -0.3826513363219747)
    assert stats.spearman_interval(0.0, 9, 0.9)[1] == close(math.tanh(1.6448536269514715 * math.sqrt(1 / 6)))
    for rho, n, says in (
        (1.01, 5, "outside"),
        (-1.01, 5, "outside"),
        (math.nan, 5, "outside"),
        (0.5, 0, "n is 0"),
    ):
        with pytest.raises(ValueError, match=says):
            stats.spearman_interval(rho, n)


def test_spearman_p_over_all_orders_and_by_students_t() -> None:
    eight = stats.spearman(range(8), [1, 0, 3, 2, 5, 4, 7, 6])
    assert (eight.method, eight.n, eight.level) == ("all orders", 8, 0.95)
    assert eight.rho == close(0.9047619047619048)  # 1 - 6 * 8 / 504
    assert eight.p_value == close(184 / 40320)
    nine = stats.spearman(range(9), [1, 0, 3, 2, 5, 4, 7, 6, 8])
    assert nine.method == "student t"
    assert nine.rho == close(1 - 6 * 8 / 720)
    assert nine.p_value == close(0.00023589981215941651)
    assert stats.spearman(range(9), range(9)).p_value == close(2 / math.factorial(9))
    assert stats.spearman(range(9), range(9, 0, -1)).rho == -1
    down = stats.spearman(range(9), [-1, 0, -3, -2, -5, -4, -7, -6, -8])
    assert down.p_value == close(nine.p_value)


def test_spearman_warns_of_few_targets() -> None:
    def note(n: int, **options: float) -> str:
        values = [(5 * i) % n if n in (7, 9) else i for i in range(n)]
        return stats.spearman(range(n), values, **options).note

    assert note(2) == "2 targets allow no interval"
    assert note(3) == "3 targets allow no interval"
    assert note(4).startswith("4 targets only: the 95% interval is approximate and wide, ")
    assert note(9, level=0.9).startswith("9 targets only: the 90% interval")
    assert note(10) == ""
    assert note(11) == ""
    firm = stats.spearman(range(9), [1, 0, 3, 2, 5, 4, 7, 6, 8])
    assert firm.note.endswith(f"wide, {firm.low:.2f} to {firm.high:.2f}")  # both above 0: the sign is sure
    assert "even the sign is open" in note(9)
    assert ranks._note(5, 0.0, 0.5, 0.95).endswith("the sign is open")
    assert ranks._note(5, -0.5, 0.0, 0.95).endswith("the sign is open")
    assert ranks._note(5, -0.5, -0.1, 0.95).endswith("-0.50 to -0.10")


def test_the_argument_that_is_wrong_is_named() -> None:
    nan, flat_labels = math.nan, ["a", "b"]
    for call, says in (
        (lambda: stats.spearman([nan], [1]), r"^x\[0\] is missing"),
        (lambda: stats.spearman([1], [nan]), r"^y\[0\] is missing"),
        (lambda: stats.spearman([1, 2], [1]), "^y has 1 rows and x has 2;"),
        (lambda: stats.spearman_interval(0.5, 0), "^n is 0: there is no correlation of nothing$"),
        (lambda: stats.rate([nan]), r"^outcomes\[0\] is missing"),
        (lambda: stats.rate([1], flat_labels), "^clusters has 2 rows and outcomes has 1;"),
        (lambda: stats.paired_difference([nan], [1]), r"^a\[0\] is missing"),
        (lambda: stats.paired_difference([1], [nan]), r"^b\[0\] is missing"),
        (lambda: stats.paired_difference([1], [1, 0]), "^b has 2 rows and a has 1;"),
        (lambda: stats.paired_difference([1], [1], flat_labels), "^clusters has 2 rows and a has 1;"),
        (lambda: stats.holm([nan]), r"^pvalues\[0\] is missing"),
        (lambda: mean_interval([nan], ["a"]), r"^values\[0\] is missing"),
        (lambda: mean_interval([1], flat_labels), "^clusters has 2 rows and outcomes has 1;"),
        (lambda: stats.auc([nan, 1], [0, 1]), r"^scores\[0\] is missing"),
        (lambda: stats.auc([0, 1], [0, nan]), r"^is_unsafe\[1\] is missing"),
        (lambda: stats.auc([0, 1], [0, 1], ["a"]), "^clusters has 1 rows and scores has 2;"),
        (lambda: stats.operating_point([nan], [1]), r"^scores_benign\[0\] is missing"),
        (lambda: stats.operating_point([1], [math.inf]), r"^scores_unsafe\[0\] is infinite"),
        (lambda: stats.wilson(0, 0), "^n is 0: there is no rate of nothing$"),
        (lambda: stats.fleiss_kappa([["a"]]), "^agreement needs two judges or more$"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_spearman_where_one_side_does_not_vary() -> None:
    one, flat_side = stats.spearman([1], [2]), stats.spearman([1, 2, 3], [4, 4, 4], level=0.9)
    assert (one.note, one.n, one.method) == ("no rank correlation: one target only", 1, "none")
    assert flat_side.note == "no rank correlation: all values of one side are equal"
    assert (flat_side.low, flat_side.high, flat_side.level, flat_side.n) == (-1.0, 1.0, 0.9, 3)
    assert math.isnan(flat_side.p_value)
    assert math.isnan(flat_side.rho)


# -- agreement ---------------------------------------------------------------------------------------------


def test_kappas_and_alpha_by_hand() -> None:
    """Two judges on four items: xx xy yy yy."""
    rows = [["x", "x"], ["x", "y"], ["y", "y"], ["y", "y"]]
    # Fleiss: 3/4 seen; shares 3/8 and 5/8, chance 34/64.
    assert stats.fleiss_kappa(rows) == close((3 / 4 - 34 / 64) / (1 - 34 / 64))
    # Krippendorff: chance (3*3 + 5*5 - 8) / (8 * 7).
    assert stats.krippendorff_alpha(rows) == close((3 / 4 - 26 / 56) / (1 - 26 / 56))
    # Cohen: x 2 and 1 of 4, y 2 and 3 of 4: chance 8/16.
    assert stats.cohen_kappa(["x", "x", "y", "y"], ["x", "y", "y", "y"]) == close((3 / 4 - 1 / 2) / (1 / 2))
    # Three judges, one vote missing: items xxx (3), xy. (2), yyy (3): weights 1/(m - 1).
    three = [["x", "x", "x"], ["x", "y", None], ["y", "y", "y"]]
    # seen ((9-3)/2 + 0 + (9-3)/2) / 8; chance (4*4 + 4*4 - 8) / (8 * 7).
    assert stats.krippendorff_alpha(three) == close((6 / 8 - 24 / 56) / (1 - 24 / 56))
    # Three judges for Fleiss: xxx xxy yyy: seen (1 + 1/3 + 1) / 3; shares 5/9 and 4/9.
    assert stats.fleiss_kappa([["x"] * 3, ["x", "x", "y"], ["y"] * 3]) == close((7 / 9 - 41 / 81) / (40 / 81))


def test_agreement_of_one_label_is_not_defined() -> None:
    # One item, xxy: seen 1/3; shares 2/3 and 1/3, chance 5/9.
    assert stats.fleiss_kappa([["x", "x", "y"]]) == close((1 / 3 - 5 / 9) / (4 / 9))
    assert math.isnan(stats.cohen_kappa(["x"] * 3, ["x"] * 3))
    assert stats.cohen_kappa(["x"], ["y"]) == close(0.0)
    assert math.isnan(stats.krippendorff_alpha([["x", None], ["y", None]]))
    assert math.isnan(stats.krippendorff_alpha([[None, None], [None, None]]))


def test_rows_of_labels_are_checked() -> None:
    for rows, says in (
        ([["a", "b"], ["a", "b", "c"]], r"labels\[1\] has 3 judges and labels\[0\] has 2"),
        ([["a", "b"], "ab"], r"labels\[1\] must be a row"),
        ([["a", "b"], ["a", math.nan]], r"labels\[1\] lacks a label"),
        ([["a"], ["b"]], "two judges"),
    ):
        with pytest.raises(ValueError, match=says):
            stats.fleiss_kappa(rows)
    with pytest.raises(ValueError, match=r"^a is empty$"):
        stats.cohen_kappa([], [])
    with pytest.raises(ValueError, match=r"^b has 1 rows and a has 2;"):
        stats.cohen_kappa(["a", "b"], ["a"])
    with pytest.raises(ValueError, match=r"^a\[0\] is missing"):
        stats.cohen_kappa([None, "b"], ["a", "b"])
    with pytest.raises(ValueError, match=r"^b\[1\] is missing"):
        stats.cohen_kappa(["a", "b"], ["a", math.nan])
    for empty in (stats.fleiss_kappa, stats.krippendorff_alpha):
        with pytest.raises(ValueError, match=r"^labels is empty$"):
            empty([])
    with pytest.raises(ValueError, match=r"^votes is empty"):
        stats.majority([])


def test_a_majority_needs_more_than_half_of_both() -> None:
    assert stats.majority(["h", "h", "s", "s"]).label is None
    assert stats.majority(["h", "h", "h", "s"]) == stats.Majority("h", 3, 4, 0)
    assert stats.majority(["h", "h", None, None]) == stats.Majority(None, 0, 2, 2)
    assert stats.majority(["h", "h", "h", math.nan, None]) == stats.Majority("h", 3, 3, 2)
    assert stats.majority(["h", "s", "t"]) == stats.Majority(None, 0, 3, 0)
    assert stats.majority([None, math.nan]) == stats.Majority(None, 0, 0, 2)
    assert stats.majority(["s", "h", "h"]).support == 2


# -- sweeps ------------------------------------------------------------------------------------------------

SCORES, UNSAFE = [0.9, 0.8, 0.5, 0.5, 0.1], [1, 0, 1, 0, 0]


def logit_limits(area: float, error: float, width: float) -> tuple[float, float]:
    middle, half = math.log(area / (1 - area)), width * error / (area * (1 - area))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def test_area_by_hand() -> None:
    """Shares of benign rows below 0.9 and 0.5: 1 and (1 + 1/2)/3; of unsafe rows above 0.8, 0.5 and 0.1: 1/2,
    3/4 and 1.

    Variance: (1/8) / 2 of the unsafe and (1/16) / 3 of the benign rows.
    """
    found = stats.auc(SCORES, UNSAFE)
    assert (found.auc, found.method, found.benign, found.unsafe, found.level) == (0.75, "delong", 3, 2, 0.95)
    assert found.standard_error == close(math.sqrt(1 / 16 + 1 / 48))
    assert (found.low, found.high) == close(*logit_limits(0.75, math.sqrt(1 / 12), Z95))
    low = stats.auc([-s for s in SCORES], UNSAFE)
    assert (low.auc, low.low, low.high) == close(0.25, 1 - found.high, 1 - found.low)


def test_area_of_clusters_by_hand() -> None:
    """Rows a a b b c: pulls (1 - 3/4)/2, (1/2 - 3/4)/3; (1/2 - 3/4)/2, 0; (1 - 3/4)/3, summed by cluster."""
    found = stats.auc(SCORES, UNSAFE, ["a", "a", "b", "b", "c"])
    sums = (1 / 8 - 1 / 12, -1 / 8, 1 / 12)
    error = math.sqrt(3 / 2 * sum(s * s for s in sums))
    assert (found.method, found.standard_error) == ("cluster", close(error))
    assert (found.low, found.high) == close(*logit_limits(0.75, error, 4.302652729911275))  # t(2)
    alone = stats.auc(SCORES, UNSAFE, ["a"] * 5)
    assert (alone.method, alone.standard_error) == ("wilson", 0.0)
    assert (alone.low, alone.high) == close(*inputs.wilson_limits(0.75, 1, Z95))
    two = stats.auc([1, 2, 3, 4], [0, 0, 1, 1], ["a", "b", "a", "b"])
    assert (two.auc, two.low, two.high) == close(1.0, inputs.wilson_limits(1.0, 2, Z95)[0], 1.0)


def test_area_of_one_row_has_the_most_variance_that_a_share_can_have() -> None:
    found = stats.auc([0.9, 0.5, 0.95], [1, 0, 0])
    assert found.auc == 0.5
    assert found.standard_error == close(math.sqrt(0.25 / 1 + 0.5 / 2))
    none = stats.auc([0.1, 0.2, 0.3], [1, 0, 0])
    assert (none.auc, none.low, none.high) == close(0.0, 0.0, inputs.wilson_limits(0.0, 1, Z95)[1])
    assert sweep._logistic(-800) == 0.0
    assert sweep._logistic(0) == 0.5
    assert sweep._logistic(2) == close(1 / (1 + math.exp(-2)))
    assert sweep._logistic(-2) == close(1 / (1 + math.exp(2)))


def test_every_row_of_a_sweep_is_checked() -> None:
    for scores, unsafe, says in (
        ([1, 2], [0, 0], "every row is benign"),
        ([1, 2], [1, 1], "every row is unsafe"),
        ([1, math.inf], [0, 1], r"scores\[1\] is infinite"),
        ([1, 2, 3], [0, 1], "is_unsafe has 2 rows and scores has 3"),
    ):
        with pytest.raises(ValueError, match=says):
            stats.threshold_sweep(scores, unsafe)
    with pytest.raises(ValueError, match="clusters has 1 rows and scores has 2"):
        stats.auc([1, 2], [0, 1], ["a"])
    for limit in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"write 5% as 0\.05"):
            stats.operating_point([1], [1], limit)


def test_operating_points_pass_their_settings_on() -> None:
    benign, unsafe = [0.1, 0.2, 0.3, 0.4], [0.25, 0.5]
    point = stats.operating_point(benign, unsafe, 0.25, level=0.8)
    # One benign row may go: the lowest score above 0.3 is 0.4 itself.
    assert (point.max_over_refusal, point.threshold) == (0.25, 0.4)
    assert point.over_refusal == stats.wilson(1, 4, 0.8)
    assert point.safe_refusal == stats.wilson(1, 2, 0.8)
    assert stats.operating_point(benign, unsafe).max_over_refusal == 0.05
    assert stats.operating_point(benign, unsafe, 0.0).threshold == 0.5
    assert stats.operating_point(benign, unsafe, 1.0).threshold == 0.1
    clusters = [i // 2 for i in range(40)]
    scores = [((i * 7) % 40) / 40 for i in range(40)]
    seeded = stats.operating_point(
        scores, scores, 0.5, clusters_benign=clusters, clusters_unsafe=clusters, resamples=150, seed=3
    )
    assert seeded.over_refusal == stats.rate(
        [s >= seeded.threshold for s in scores], clusters, resamples=150, seed=3
    )
    assert seeded.safe_refusal == seeded.over_refusal


# -- gates -------------------------------------------------------------------------------------------------


def rate_within(low: float, high: float) -> stats.Rate:
    return stats.Rate(25, 100, 0.25, low, high, "wilson", 0.95)


def test_a_limit_on_the_very_end_of_the_interval_is_kept() -> None:
    rate = rate_within(0.2, 0.3)
    assert stats.gate(rate, at_most=0.3).verdict == "pass"
    assert stats.gate(rate, at_most=0.2).verdict == "undecided"
    assert stats.gate(rate, at_most=0.19).verdict == "fail"
    assert stats.gate(rate, at_least=0.2).verdict == "pass"
    assert stats.gate(rate, at_least=0.3).verdict == "undecided"
    assert stats.gate(rate, at_least=0.31).verdict == "fail"
    for edge in (0.0, 1.0):
        stats.gate(rate, at_most=edge)
        stats.gate(rate, at_least=edge)
    assert stats.gate(rate, at_most=0.25, at_least=0.25).verdict == "undecided"
    with pytest.raises(ValueError, match=r"^at_least \(0\.3\) is above at_most \(0\.2\): nothing can pass$"):
        stats.gate(rate, at_most=0.2, at_least=0.3)
    with pytest.raises(ValueError, match=r"^gate needs a limit: at_most, at_least or both$"):
        stats.gate(rate)
    for limits in ({"at_most": -0.1}, {"at_least": 1.1}, {"at_most": 1.1}, {"at_least": -0.1}):
        with pytest.raises(ValueError, match=f"{next(iter(limits))} is .*write 5% as 0.05"):
            stats.gate(rate, **limits)


def test_the_sentence_of_a_gate() -> None:
    seen = "25.0% (25 of 100; 95% interval 20.0% to 30.0%)"
    rate = rate_within(0.2, 0.3)
    assert stats.gate(rate, at_most=0.3, at_least=0.1).sentence == (
        f"{seen} keeps the limit of at most 0.3 and at least 0.1"
    )
    assert stats.gate(rate, at_most=0.12345).sentence == f"{seen} breaks the limit of at most 0.1235"
    assert stats.gate(rate, at_most=0.25, at_least=0.1).sentence == (
        f"{seen} neither keeps nor breaks the limit of at most 0.25: more prompts are needed"
    )
    assert stats.gate(rate, at_most=0.1, at_least=0.05).verdict == "fail"
    assert stats.gate(rate, at_least=0.9, at_most=0.95).sentence == f"{seen} breaks the limit of at least 0.9"
