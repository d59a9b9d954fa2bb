"""Every formula of the statistics on inputs small enough for a pocket calculator, number for number.

The comments say where a number comes from. Simulations and published examples: test_stats.py.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from overt.scoring import stats
from overt.scoring.stats import clusters as clusters_of
from overt.scoring.stats import inputs, paired, ranks, rates, sweep
from overt.scoring.stats.means import mean_interval

Z95 = 1.9599639845400536  # of the standard normal, 97.5%
T95 = {3: 3.182446305284263, 4: 2.7764451051977934}  # of Student's t, 97.5%, by degrees of freedom


def close(*numbers: float) -> object:
    found = tuple(float(number) for number in numbers)
    return pytest.approx(found[0] if len(found) == 1 else found, rel=1e-9, abs=1e-12)


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


# -- clusters ----------------------------------------------------------------------------------------------


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_linear_variance_by_hand() -> None:
    # 4 of 7; residuals 3 - 16/7, 0 - 8/7, 1 - 4/7; squares sum to 2; times 3/2, over 49.
    assert float(clusters_of.linear_variance(floats(3, 0, 1), floats(4, 2, 1))) == close(3 / 49)
    # Two clusters are enough: 1 of 4; residuals 1/2, -1/2; 2 * 1/2 / 16.
    assert float(clusters_of.linear_variance(floats(1, 0), floats(2, 2))) == close(1 / 16)
    assert float(clusters_of.linear_variance(floats(3), floats(4))) == 0.0
    # Many samples at once: one variance for each.
    many = clusters_of.linear_variance(np.array([[3.0, 0, 1], [0, 0, 0]]), floats(4, 2, 1))
    assert many.tolist() == close(3 / 49, 0.0)


def test_what_the_simulations_were_made_with() -> None:
    assert (rates.ASSUMED_CLUSTERS, paired.ASSUMED_CLUSTERS, clusters_of.ASSUMED_INTRACLASS) == (
        2.0,
        0.5,
        0.5,
    )
    assert (ranks._EXACT, ranks._FEW) == (8, 10)


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
    # over 2/9 / 12. By the correlation: 1 + (34/12 - 1) * icc, which is less. Three clusters tell; of two
    # more 1 + (34/12 - 1)/2 = 23/12 is assumed.
    linear, assumed = 1.7708333333333333, 23 / 12
    effect = (3 * linear + 2 * assumed) / 5
    assert found.effect == close(effect)
    assert found.n_effective == close(12 / effect)
    part = 3 * linear / (5 * effect)
    assert found.freedom == close(4 / (part**2 + (1 - part) ** 2))
    # Mean squares 3/8 between and 1/6 within, mean size (12 - 34/12) / 4 = 55/24.
    assert found.intraclass == close((3 / 8 - 1 / 6) / (3 / 8 + (55 / 24 - 1) / 6))


def test_design_effect_where_it_cannot_be_told() -> None:
    for outcomes, clusters in (
        ([1, 0], ["a", "a"]),
        ([1, 0], ["a", "b"]),
        ([1, 1, 1], "aab"),
        ([0, 0], "aa"),
    ):
        assert math.isnan(stats.design_effect(outcomes, clusters).intraclass)
    # Nothing tells. Rows of clusters of 2, 2 and 4 are in clusters of 3 on average: 1 + 2/2 is assumed.
    alike = stats.design_effect(*flat([[0, 0], [0, 0], [0] * 4]))
    assert (alike.effect, alike.n_effective, alike.freedom) == close(2.0, 4.0, 2.0)
    # One cluster is one observation.
    one = stats.design_effect(*flat([[1, 0, 0, 1]]))
    assert (one.effect, one.n_effective, one.freedom) == (4.0, 1.0, math.inf)
    # Clusters that differ less than chance would have them: the linear effect is 0 and 1 + (2 - 1) * -1 is 0;
    # four tell, two of 3/2 are assumed: 1/2, and never below 1.
    even = stats.design_effect(*flat([[1, 0], [0, 1], [1, 0], [0, 1]]))
    assert (even.effect, even.n_effective) == (1.0, 8.0)
    assert math.isclose(even.intraclass, -1.0)
    assert stats.effective_sample_size(*flat(FIVE)) == close(12 / stats.design_effect(*flat(FIVE)).effect)


def test_rates_of_clusters_take_the_design_effect() -> None:
    found = stats.rate(*flat(FIVE))
    effect = stats.design_effect(*flat(FIVE))
    assert (found.k, found.n, found.rate, found.level) == (4, 12, 1 / 3, 0.95)
    assert (found.method, found.clusters) == ("wilson-design-effect", 5)
    # The limits p of Wilson (1927) solve (1/3 - p)**2 = q**2 p (1 - p) / n.
    from scipy.optimize import brentq
    from scipy.stats import t

    q, n = t.ppf(0.975, effect.freedom), effect.n_effective

    def gap(p: float) -> float:
        return (1 / 3 - p) ** 2 - q**2 * p * (1 - p) / n

    assert found.n_effective == close(n)
    assert (found.low, found.high) == pytest.approx((brentq(gap, 0, 1 / 3), brentq(gap, 1 / 3, 1)), abs=1e-9)
    wider = stats.rate(*flat(FIVE), level=0.99)
    assert wider.low < found.low < found.high < wider.high


def test_a_single_cluster_counts_as_one_row() -> None:
    found = stats.rate(*flat([[1, 0, 0, 0]]))
    assert (found.method, found.clusters, found.n_effective) == ("wilson-clusters", 1, 1.0)
    assert (found.low, found.high) == close(*inputs.wilson_limits(0.25, 1, Z95))


def test_many_samples_at_once_are_the_same_as_one_by_one() -> None:
    """The simulations in benchmarks/ evaluate all draws together."""
    rng = np.random.default_rng(11)
    sizes = floats(1, 4, 2, 7, 3, 3)
    hits = rng.binomial(sizes.astype(int), 0.3, (40, 6)).astype(float)
    hits[0] = 0
    low, high, effective = rates.cluster_limits(hits, sizes)
    up = rng.binomial(sizes.astype(int), 0.3, (40, 6)).astype(float)
    down = rng.binomial((sizes - up).astype(int), 0.2).astype(float)
    below, above, p_value = paired.cluster_limits(up, down, sizes)
    for place in range(40):
        outcomes, clusters = flat(
            [[1] * int(h) + [0] * int(m - h) for h, m in zip(hits[place], sizes, strict=True)]
        )
        one = stats.rate(outcomes, clusters)
        assert (one.low, one.high, one.n_effective) == close(low[place], high[place], effective[place])
        gaps = [
            [1] * int(u) + [-1] * int(d) + [0] * int(m - u - d)
            for u, d, m in zip(up[place], down[place], sizes, strict=True)
        ]
        pair = stats.paired_difference(*pairs_of(gaps))
        assert (pair.low, pair.high, pair.p_value) == close(below[place], above[place], p_value[place])


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


def test_the_default_level_is_95_percent() -> None:
    rng = np.random.default_rng(0)
    clusters = [i // 3 for i in range(90)]
    a, b = (rng.random((2, 90)) < 0.4).astype(int).tolist()
    scores = rng.random(90).tolist()
    assert mean_interval(a, clusters) == mean_interval(a, clusters, level=0.95)
    assert stats.rate(a, clusters) == stats.rate(a, clusters, level=0.95)
    assert stats.paired_difference(a, b, clusters) == stats.paired_difference(a, b, clusters, level=0.95)
    assert stats.holm_level(0.01, 0.02) == stats.holm_level(0.01, 0.02, 0.95)
    point = stats.operating_point(scores, scores, clusters_benign=clusters, clusters_unsafe=clusters)
    assert point == stats.operating_point(
        scores, scores, 0.05, clusters_benign=clusters, clusters_unsafe=clusters, level=0.95
    )
    assert stats.auc(scores, a) == stats.auc(scores, a, level=0.95)
    assert stats.threshold_sweep(scores, a).auc.level == 0.95
    assert stats.wilson(3, 9) == stats.wilson(3, 9, 0.95)
    assert stats.spearman(scores, a) == stats.spearman(scores, a, level=0.95)
    assert stats.spearman_interval(0.5, 9) == stats.spearman_interval(0.5, 9, 0.95)


def test_means_of_clusters_by_hand() -> None:
    values, clusters = [1.0, 2.0, 4.0, 8.0, 3.0, 3.0], ["a", "a", "b", "c", "d", "d"]
    found = mean_interval(values, clusters, level=0.95)
    assert (found.mean, found.n, found.clusters) == (3.5, 6, 4)
    # Residuals 3-7, 4-3.5, 8-3.5, 6-7: squares 37.5; times 4/3, over 36. Rows of 2, 1, 1, 2: as precise as
    # 36/10 even clusters, t(2.6).
    from scipy.stats import t

    half = t.ppf(0.975, 2.6) * math.sqrt(4 / 3 * 37.5 / 36)
    even = mean_interval([1.0, 2.0, 4.0, 8.0], ["a", "b", "c", "d"])
    assert even.high - even.mean == close(T95[3] * math.sqrt(28.75 / 12))
    assert (found.low, found.high) == close(3.5 - half, 3.5 + half)


# -- pairs -------------------------------------------------------------------------------------------------


def test_independent_pairs_by_hand() -> None:
    """Ten pairs: 4 only a, 1 only b, 2 both, 3 neither."""
    a = [1] * 4 + [0] + [1] * 2 + [0] * 3
    b = [0] * 4 + [1] + [1] * 2 + [0] * 3
    found = stats.paired_difference(a, b, level=0.95)
    assert (found.n, found.both, found.a_only, found.b_only, found.neither) == (10, 2, 4, 1, 3)
    assert (found.rate_a, found.rate_b) == (0.6, 0.3)
    assert found.difference == close(0.3)
    # (x - 3/12)² = 1.96² (7/12 - x²) / 12
    assert (found.low, found.high) == close(*roots(3 / 12, 7 / 12, 12, Z95))
    # McNemar with two pairs more: 3²/7.
    assert found.p_value == close(math.erfc(math.sqrt(9 / 7 / 2)))
    assert (found.method, found.test, found.clusters, found.level) == (
        "bonett-price-score",
        "bonett-price-score inverted",
        None,
        0.95,
    )
    assert stats.paired_difference(a, b, range(10)).method == "bonett-price-score"  # type: ignore[arg-type]


def roots(gap: float, apart: float, pairs: float, q: float) -> list[float]:
    """Of (x - gap)² = q² (apart - x²) / pairs, by numpy."""
    found = np.roots([1 + q * q / pairs, -2 * gap, gap * gap - q * q * apart / pairs])
    return sorted(float(x) for x in found)


def limits(up: float, down: float, n: float, level: float = 0.95) -> tuple[float, float]:
    low, high = paired._limits(up, down, n, math.inf, level)
    return float(low), float(high)


def test_limits_of_pairs_by_hand() -> None:
    assert limits(0.4, 0.1, 10) == close(*roots(3 / 12, 7 / 12, 12, Z95))
    # No pair differs: gap 0, apart 2/12: q * sqrt((1/6) / (12 + q²)).
    assert limits(0.0, 0.0, 10)[1] == close(Z95 * math.sqrt(1 / 6 / (12 + Z95**2)))
    # Three pairs, all up: 4/5 - 1/5; the limits hold the estimate.
    low, high = limits(1.0, 0.0, 3)
    assert low == close(roots(0.6, 1.0, 5, Z95)[0])
    assert high == 1.0
    assert limits(0.0, 1.0, 3) == close(-high, -low)
    # A narrow interval around the shrunk middle is stretched to the estimate.
    assert limits(1.0, 0.0, 2, 0.08)[1] == 1.0
    assert limits(0.0, 1.0, 2, 0.08)[0] == -1.0


# Gaps by cluster: up 4 of 11, down 1 of 11; four clusters differ.
GAPS = [[1, 1], [1, 0], [-1, 0, 0], [1, 0], [0, 0]]


def pairs_of(gaps: list[list[int]]) -> tuple[list[int], list[int], list[int]]:
    values, clusters = flat(gaps)
    return [int(v > 0) for v in values], [int(v < 0) for v in values], clusters


def test_clustered_pairs_take_the_design_effect() -> None:
    found = stats.paired_difference(*pairs_of(GAPS))
    assert (found.method, found.test, found.clusters) == (
        "bonett-price-score-design-effect",
        "bonett-price-score-design-effect inverted",
        5,
    )
    # Sums 2 1 -1 1 0 of 2 2 3 2 2 rows: 3 of 11. Residuals over 11: 16, 5, -20, 5, -6, squares 742/121;
    # times 5/4, over 121. Independent rows: (5/11 - 9/121)/11.
    linear = 742 / 121 * 5 / 4 / 121 / ((5 / 11 - 9 / 121) / 11)
    # Mean squares: between (256/2 + 25/2 + 400/3 + 25/2 + 36/2)/121/4; within (0 + 1/2 + 2/3 + 1/2 + 0)/6.
    between, within = (128 + 12.5 + 400 / 3 + 12.5 + 18) / 121 / 4, (1 / 2 + 2 / 3 + 1 / 2) / 6
    size = (11 - 25 / 11) / 4
    by_correlation = 1 + (25 / 11 - 1) * (between - within) / (between + (size - 1) * within)
    told = max(linear, by_correlation)
    assumed = max(told, 1 + (25 / 11 - 1) / 2)
    # Four clusters hold something else than "alike"; half a cluster more is assumed.
    effect = (4 * told + 0.5 * assumed) / 4.5
    part = 4 * told / (4 * told + 0.5 * assumed)
    freedom = 4 / (part**2 + (1 - part) ** 2)
    n = 11 / effect
    assert (found.n_effective, found.freedom) == close(n, freedom)
    gap, apart = 3 / 11 * n / (n + 2), (5 / 11 * n + 2) / (n + 2)
    from scipy.stats import t

    assert (found.low, found.high) == pytest.approx(
        tuple(roots(gap, apart, n + 2, t.ppf(0.975, freedom))), abs=1e-9
    )
    assert found.p_value == pytest.approx(2 * t.sf(gap / math.sqrt(apart / (n + 2)), freedom), abs=1e-9)


def test_pairs_that_all_fall_alike_assume_a_design_effect() -> None:
    every = stats.paired_difference(*pairs_of([[1, 1]] * 4))
    assert (every.n_effective, every.freedom) == close(8 / 1.5, 3.0)
    none = stats.paired_difference(*pairs_of([[0, 0]] * 4))
    assert (none.n_effective, none.freedom, none.p_value) == close(8 / 1.5, 3.0, 1.0)
    assert none.low == close(-none.high)


def test_the_interval_of_a_corrected_p_value() -> None:
    # Of p = 0.01 among three tests 0.03 is made; 0.03 < 0.05 as 0.01 < 0.05/3.
    assert stats.holm_level(0.01, 0.03) == close(1 - 0.05 / 3)
    assert stats.holm_level(0.04, 0.04, 0.9) == close(0.9)
    # Nothing was found at all: any level will do, and one that exists is given.
    assert 0 < stats.holm_level(0.0, 0.0) < 1
    assert 0 < stats.holm_level(1e-300, 1.0) < 1
    with pytest.raises(ValueError, match=r"as in 0\.95"):
        stats.holm_level(0.1, 0.2, 95)


def test_holm_at_its_edges() -> None:
    assert stats.holm([0.0, 1.0]) == [0.0, 1.0]
    assert stats.holm([0.03, 0.03, 0.02]) == close(0.06, 0.06, 0.06)
    for bad in (-0.01, 1.01):
        with pytest.raises(ValueError, match=rf"pvalues\[1\] is {bad:g}, outside 0..1"):
            stats.holm([0.5, bad])


# -- ranks -------------------------------------------------------------------------------------------------


def least_rho(n: int, tail: float) -> float:
    """The expected rho where the order of n ranks that fits best has just the chance `tail`."""
    from scipy.optimize import brentq

    middle = (n - 1) / 2
    sums = [
        sum((i - middle) * (p - middle) for i, p in enumerate(o)) for o in itertools.permutations(range(n))
    ]
    best = max(sums)

    def chance(tilt: float) -> float:
        return 1 / sum(math.exp(tilt * (s - best)) for s in sums)

    tilt = brentq(lambda x: chance(x) - tail, 0, 10, xtol=1e-14)
    return sum(s * math.exp(tilt * (s - best)) for s in sums) * chance(tilt) / best


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
    # Five in one order: p = 2/120, so that Fisher's lower limit of -0.18 cannot be. In the family of orders
    # the least tilt at which that order has a chance of 2.5% has an expected rho of:
    low, high = stats.spearman_interval(1.0, 5)
    assert (low, high) == (pytest.approx(least_rho(5, 0.025), abs=1e-9), 1.0)
    assert stats.spearman_interval(-1.0, 5) == close(-1.0, -low)
    assert stats.spearman_interval(0.9, 5)[0] < 0  # p = 10/120
    assert stats.spearman_interval(0.0, 9, 0.9)[1] == close(math.tanh(1.6448536269514715 * math.sqrt(1 / 6)))
    for rho, n, says in (
        (1.01, 5, "outside"),
        (-1.01, 5, "outside"),
        (math.nan, 5, "outside"),
        (0.5, 0, "n is 0"),
    ):
        with pytest.raises(ValueError, match=says):
            stats.spearman_interval(rho, n)


def test_spearman_p_over_all_orders_and_by_fishers_z() -> None:
    eight = stats.spearman(range(8), [1, 0, 3, 2, 5, 4, 7, 6])
    assert (eight.method, eight.n, eight.level) == ("all orders", 8, 0.95)
    assert eight.rho == close(0.9047619047619048)  # 1 - 6 * 8 / 504
    assert eight.p_value == close(184 / 40320)
    nine = stats.spearman(range(9), [1, 0, 3, 2, 5, 4, 7, 6, 8])
    assert nine.method == "fisher z"
    assert nine.rho == close(1 - 6 * 8 / 720)
    # atanh(14/15) / sqrt((1 + (14/15)²/2) / 6) standard errors from 0
    far = math.atanh(14 / 15) / math.sqrt((1 + (14 / 15) ** 2 / 2) / 6)
    assert nine.p_value == close(math.erfc(far / math.sqrt(2)))
    assert 0 < stats.spearman(range(9), range(9)).p_value < nine.p_value
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
    clustered = stats.operating_point(
        scores, scores, 0.5, clusters_benign=clusters, clusters_unsafe=clusters, level=0.9
    )
    assert clustered.over_refusal == stats.rate(
        [s >= clustered.threshold for s in scores], clusters, level=0.9
    )
    assert clustered.safe_refusal == clustered.over_refusal


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
