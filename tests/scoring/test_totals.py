"""Totals of a run to come: how often the interval holds them, and when there is none."""

import math

import numpy as np
import pytest

from overt.scoring.stats.totals import FEWEST, _untransformed, foretold


def coverage(draw, seen, ahead, draws=1500):
    """The share of future totals in the interval that a pilot of `seen` units gives."""
    hits = 0
    for _ in range(draws):
        found = foretold(draw(seen), ahead)
        hits += found.low <= draw(ahead).sum() <= found.high
    return hits / draws


@pytest.mark.parametrize(
    ("sigma", "seen", "least"), [(0.5, 20, 0.92), (0.5, 100, 0.925), (1.0, 20, 0.895), (1.0, 100, 0.91)]
)
def test_the_interval_holds_totals_of_skewed_latencies(sigma, seen, least):
    draw = np.random.default_rng(5)
    assert least <= coverage(lambda n: draw.lognormal(0, sigma, n), seen, 500) <= 0.98


def test_the_interval_holds_what_few_prompts_take():
    """Most prompts take nothing, as of a judge who is seldom asked."""
    draw = np.random.default_rng(6)
    found = coverage(lambda n: draw.lognormal(0, 0.7, n) * (draw.random(n) < 0.3), 40, 500)
    assert 0.91 <= found <= 0.98


def test_a_symmetric_pilot_gives_students_interval():
    values = [1.0, 2.0, 3.0, 4.0, 5.0] * 4
    found = foretold(values, 100)
    spread = float(np.std(values, ddof=1))
    half = 2.093024 * spread * math.sqrt(1 / 20 + 1 / 100) * 100
    assert found.value == pytest.approx(300)
    assert (found.low, found.high) == pytest.approx((300 - half, 300 + half), rel=1e-5)


def test_a_small_future_errs_more_than_a_large_one():
    draw = np.random.default_rng(0)
    values = draw.lognormal(0, 1, 50)
    small, large = foretold(values, 10), foretold(values, 10_000)
    assert (small.high - small.low) / 10 > 1.5 * (large.high - large.low) / 10_000
    assert large.high - large.value > large.value - large.low  # skewed as the values are


@pytest.mark.parametrize("quantile", [-2.1, -0.3, 1.4, 2.1])
def test_halls_transformation_is_turned_around(quantile):
    skew, count = 1.7, 23
    t, bend = _untransformed(quantile, skew, count), skew / (3 * math.sqrt(count))
    there = t + bend * t**2 + bend**2 * t**3 / 3 + skew / (6 * math.sqrt(count))
    assert there == pytest.approx(quantile)


def test_few_units_or_such_that_are_all_alike_have_no_interval():
    few = foretold([1.0, 2.0] * 4, 100)
    assert (few.value, few.low, few.high) == (150, None, None)
    assert str(FEWEST) in few.why
    alike = foretold([2.0] * 30, 100, unit="episodes")
    assert (alike.value, alike.low, alike.high) == (200, None, None)
    assert alike.why == "all 30 episodes of the small run took the same"
    assert few.times(2).value == 300
    assert few.times(2).high is None
    with pytest.raises(ValueError, match="empty"):
        foretold([], 5)


def test_units_that_are_alike_widen_the_interval_until_there_is_none():
    values = np.random.default_rng(0).lognormal(0, 0.5, 200)
    plain, alike = foretold(values, 1000), foretold(values, 1000, alike=4)
    assert 1.9 < (alike.high - alike.low) / (plain.high - plain.low) < 2.3
    none = foretold(values, 1000, alike=40)
    assert (none.value, none.low) == (plain.value, None)
    assert "200 prompts tell as little as 5" in none.why
