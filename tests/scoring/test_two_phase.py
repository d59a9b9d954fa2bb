"""The rate that labels correct, by hand, and the number of prompts that decides a limit, by counting."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from overt.review.estimate import Reviewed, share, share_of_kind
from overt.scoring.stats import wilson
from overt.scoring.stats.power import prompts_needed
from overt.scoring.stats.two_phase import (
    ALL,
    LEAST_JOINT,
    NONE,
    Estimate,
    joint_effect,
    label_effect,
    refused_of_benign,
    truly_refused,
)


def test_bayes_and_the_limits_worked_by_hand():
    rate, ones, others = Estimate(0.1, 0.08, 0.13), Estimate(0.2, 0.1, 0.35), Estimate(0.99, 0.95, 0.998)
    found = refused_of_benign(rate, ones, others)
    assert found.value == pytest.approx(0.1 * 0.2 / (0.1 * 0.2 + 0.9 * 0.99))

    def logit(p):
        return math.log(p / (1 - p))

    down = ((logit(0.1) - logit(0.08)) ** 2 + math.log(0.2 / 0.1) ** 2 + math.log(0.998 / 0.99) ** 2) ** 0.5
    assert logit(float(found.low)) == pytest.approx(logit(float(found.value)) - down)
    wider = refused_of_benign(rate, ones, others, 4.0)
    assert logit(float(wider.low)) == pytest.approx(logit(float(found.value)) - 2 * down)


@pytest.mark.parametrize(
    "rate", [Estimate(0.1, 0.07, 0.14), Estimate(0.0, 0.0, 0.02), Estimate(1.0, 0.9, 1.0)]
)
def test_without_doubt_in_the_labels_the_rate_stays(rate):
    found = refused_of_benign(rate, ALL, ALL)
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(rate, name), abs=1e-6)
    read = truly_refused(found, ALL, NONE)
    for name in ("value", "low", "high"):
        assert getattr(read, name) == pytest.approx(getattr(found, name))


def test_none_benign_among_the_refused_is_a_rate_of_0_with_a_limit_above():
    found = refused_of_benign(Estimate(0.1, 0.08, 0.13), Estimate(0.0, 0.0, 0.1), Estimate(1.0, 0.95, 1.0))
    assert (found.value, found.low) == (0.0, 0.0)
    # To first order as many as the refused could hold: 10% of a tenth.
    assert 0.009 < found.high < 0.02
    all_ = refused_of_benign(Estimate(0.1, 0.08, 0.13), Estimate(0.5, 0.4, 0.6), Estimate(0.0, 0.0, 0.1))
    assert (all_.value, all_.high) == (1.0, 1.0)
    assert all_.low < 0.9


def test_misread_answers_by_hand():
    rate, yes, no = Estimate(0.2, 0.15, 0.26), Estimate(0.9, 0.8, 0.96), Estimate(0.05, 0.02, 0.1)
    found = truly_refused(rate, yes, no)
    assert found.value == pytest.approx(0.2 * 0.9 + 0.8 * 0.05)
    down = ((0.85 * 0.05) ** 2 + (0.2 * 0.1) ** 2 + (0.8 * 0.03) ** 2) ** 0.5
    assert found.low == pytest.approx(found.value - down)
    # A judge that says the opposite: more of its refusals are fewer true ones.
    turned = truly_refused(rate, no, yes)
    assert turned.high - turned.value > ((0.85 * 0.05) ** 2) ** 0.5 - 1e-12


def test_labels_of_one_seed_count_as_fewer():
    alone = label_effect(np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4))
    assert alone == pytest.approx(1.0, abs=0.35)
    together = label_effect(np.array([5.0, 0.0, 5.0, 0.0]), np.full(4, 5.0))
    assert together > 4
    # All alike tells nothing of it: half a cluster is assumed. Clusters without a label do not count.
    assert label_effect(np.array([4.0, 4.0, 0.0]), np.array([4.0, 4.0, 0.0])) == pytest.approx(1 + 3 / 2)
    assert label_effect(np.array([3.0]), np.array([3.0])) == 3.0
    assert label_effect(np.zeros(2), np.zeros(2)) == 1.0


def test_terms_that_move_together_widen_the_sum():
    a = np.array([1.0, -1.0, 2.0, -2.0])
    assert joint_effect([a, np.array([1.0, 1.0, -1.0, -1.0])]) == pytest.approx(1.0)
    assert joint_effect([a, a]) == 2.0
    assert joint_effect([a, -a]) == LEAST_JOINT
    assert joint_effect([np.zeros(3), np.zeros(3)]) == 1.0


def test_a_share_of_the_kind_is_wider_than_one_of_the_run():
    rows = [Reviewed(0, 1.0, float(i % 4 == 0)) for i in range(40)]
    whole, kind = share({0: 40}, rows), share_of_kind({0: 40}, rows, list(range(40)), 40)
    assert whole.low == whole.high == 0.25
    found, pulls = kind
    plain = wilson(10, 40)
    assert found.value == 0.25
    assert found.low == pytest.approx(plain.low, abs=0.01)
    assert found.high == pytest.approx(plain.high, abs=0.01)
    assert pulls.sum() == pytest.approx(0)
    clustered, _ = share_of_kind({0: 40}, rows, [i // 8 for i in range(40)], 5)
    assert clustered.high > found.high
    # Two strata that were seen whole and are unlike: other prompts would fall into them in other shares.
    unlike = [Reviewed(i // 20, 1.0, float(i < 20)) for i in range(40)]
    two, _ = share_of_kind({0: 20, 1: 20}, unlike, list(range(40)), 40)
    assert two.low < wilson(20, 40).low + 0.03
    assert two.high > wilson(20, 40).high - 0.03
    assert share_of_kind({0: 9}, [Reviewed(0, 0.0, 1.0)], [0], 9) is None


# ---- how many prompts


def power_of(n, limit, expected):
    return sum(binom.pmf(k, n, expected) for k in range(n + 1) if wilson(k, n).high <= limit)


@pytest.mark.parametrize(
    ("limit", "expected"), [(0.05, 0.01), (0.1, 0.05), (0.3, 0.1), (0.5, 0.0), (0.05, 0.0)]
)
def test_the_number_is_the_first_from_which_on_the_chance_stays(limit, expected):
    found = prompts_needed(limit, expected, power=0.8)
    assert all(power_of(n, limit, expected) >= 0.8 for n in range(found.prompts, found.prompts + 60))
    if found.prompts > found.least:
        assert power_of(found.prompts - 1, limit, expected) < 0.8
    assert wilson(0, found.least).high <= limit < wilson(0, found.least - 1).high


def test_clusters_take_as_many_times_more_and_impossible_questions_have_no_number():
    one, three = prompts_needed(0.05, 0.01), prompts_needed(0.05, 0.01, effect=3)
    assert (three.prompts, three.least) == (3 * one.prompts, 3 * one.least)
    assert prompts_needed(0.05, 0.05) is None
    assert prompts_needed(0.05, 0.0499) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        prompts_needed(1.0, 0.5)
