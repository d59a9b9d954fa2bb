"""The tails of Student's t and of the binomial distribution, against scipy, which only the tests need."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from overt.scoring.stats.inputs import t_quantile, t_tails
from overt.scoring.stats.tails import binomial_tail, midranks, t_point, t_tail

FREEDOM = (0.3, 1, 1.5, 2, 4.7, 9, 29.5, 31, 33, 100, 999.3, 1e4, 1e5, 1e6)


def exact_t_tail(t: float, freedom: float) -> float:
    """By the incomplete beta function, since scipy's stdtr itself loses digits where t is small."""
    beyond = special.betainc(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return float(beyond if t < 0 else 1 - beyond)


@pytest.mark.parametrize("freedom", FREEDOM)
def test_t_tails_are_those_of_scipy(freedom):
    for t in (-40, -12, -6, -3, -1.96, -1, -0.5, -0.01, 0, 0.3, 1, 2.5, 9):
        expected = exact_t_tail(t, freedom)
        if expected > 1e-280:
            assert t_tail(t, freedom) == pytest.approx(expected, rel=1e-8)
        assert t_tail(t, freedom) == pytest.approx(float(special.stdtr(freedom, t)), rel=1e-8, abs=1e-280)


@pytest.mark.parametrize("freedom", FREEDOM)
def test_points_of_t_are_those_of_scipy_and_go_back(freedom):
    for share in (0.51, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.99999, 0.4, 0.025, 1e-6, 1e-12):
        point = t_point(share, freedom)
        assert point == pytest.approx(float(special.stdtrit(freedom, share)), rel=2e-9)
        assert t_tail(point, freedom) == pytest.approx(share, rel=1e-10)


def test_points_known_by_formula():
    # One degree of freedom is Cauchy's distribution, two have a closed form.
    assert t_point(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-13)
    assert t_point(0.975, 2) == pytest.approx(0.95 / math.sqrt(2 * 0.975 * 0.025), rel=1e-13)
    assert t_tail(-1e-8, 1) == pytest.approx(0.5 - 1e-8 / math.pi, rel=1e-15)
    assert t_point(0.5, 7) == 0.0
    assert t_point(0.975, math.inf) == NormalDist().inv_cdf(0.975)
    assert t_tail(-1.96, math.inf) == pytest.approx(float(special.ndtr(-1.96)), rel=1e-14)


def test_what_has_no_answer_is_nan():
    for bad in (math.nan, 0.0, -1.0):
        assert math.isnan(t_tail(-1.0, bad))
        assert math.isnan(t_point(0.9, bad))
    assert math.isnan(t_tail(math.nan, 3))
    assert math.isnan(t_point(1.0, 3))
    assert (t_tail(-math.inf, 3), t_tail(math.inf, 3), t_tail(-1e200, 3)) == (0.0, 1.0, 0.0)


@given(st.integers(1, 20_000), st.floats(0, 1), st.floats(1e-9, 1 - 1e-9))
def test_binomial_tails_are_those_of_scipy(n, part, share):
    k = int(part * n)
    expected = float(stats.binom.cdf(k, n, share))
    assert binomial_tail(k, n, share) == pytest.approx(expected, rel=1e-10, abs=1e-280)


def test_the_ends_of_the_binomial():
    tails = [binomial_tail(k, 3, 0.5) for k in (-1, 0, 1, 2, 3, 4)]
    assert tails == pytest.approx([0, 0.125, 0.5, 0.875, 1, 1], rel=1e-14)
    assert (binomial_tail(2, 3, 0.0), binomial_tail(2, 3, 1.0)) == (1.0, 0.0)


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, math.inf, -math.inf]) | st.floats(-9, 9), min_size=1))
def test_midranks_are_those_of_scipy(values):
    assert midranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


def test_arrays_keep_their_shapes():
    freedom = np.array([[1.0, 5.0, math.inf], [2.0, 30.0, 4.5]])
    quantiles = t_quantile(0.95, freedom)
    assert quantiles.shape == (2, 3)
    assert quantiles == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)
    tails = t_tails(np.array([-2.0, 0.0, 2.0]), freedom)
    assert tails == pytest.approx(2 * stats.t.cdf([-2.0, 0.0, -2.0], freedom), rel=1e-9)
    assert t_quantile(0.95, 3.0).shape == ()
