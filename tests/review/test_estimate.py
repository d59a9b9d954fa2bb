"""The score interval of a review's shares, against the definition by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t

from overt.review.estimate import Reviewed, share

# Stratum: items, reviewed ones, those of them that were rejected.
STRATA = ((60, 40, 11), (940, 80, 1))


def reviewed(strata):
    return [Reviewed(h, True, float(i < found)) for h, (_, n, found) in enumerate(strata) for i in range(n)]


def score(limit, strata):
    """The distance of the data from a share, in standard errors under that share.

    The strata's shares are the most likely ones that add up to it, sought by brute force; finite strata count
    as n / (1 - n / N) independent items.
    """
    (size_a, n_a, k_a), (size_b, n_b, k_b) = strata
    weights = [size / (size_a + size_b) for size in (size_a, size_b)]
    free = [1 - n / size for size, n in ((size_a, n_a), (size_b, n_b))]
    seen = weights[0] * k_a / n_a + weights[1] * k_b / n_b

    def other(a):
        return (limit - weights[0] * a) / weights[1]

    def unlikely(a):
        total = 0.0
        for p, k, n, f in ((a, k_a, n_a, free[0]), (other(a), k_b, n_b, free[1])):
            if not 0 < p < 1:
                return math.inf
            total -= (k * math.log(p) + (n - k) * math.log(1 - p)) / f
        return total

    least, most = max(1e-12, (limit - weights[1]) / weights[0]), min(1 - 1e-12, limit / weights[0])
    a = minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-13}).x
    variance = sum(
        w * w * f * p * (1 - p) / (n - 1)
        for w, f, p, n in ((weights[0], free[0], a, n_a), (weights[1], free[1], other(a), n_b))
    )
    return (limit - seen) / math.sqrt(variance)


@pytest.mark.parametrize("strata", [STRATA, ((300, 60, 12), (700, 60, 3)), ((100, 50, 5), (900, 50, 1))])
def test_a_limit_is_as_far_from_the_data_as_the_level_allows(strata):
    found = share({h: size for h, (size, _, _) in enumerate(strata)}, reviewed(strata))
    quantile = t.ppf(0.975, sum(n for _, n, _ in strata) - 2)
    assert score(found.high, strata) == pytest.approx(quantile, abs=1e-3)
    assert score(found.low, strata) == pytest.approx(-quantile, abs=1e-3)


def test_of_one_stratum_it_is_wilsons_interval_of_one_item_less():
    found = share({0: 10**9}, reviewed(((10**9, 30, 6),)))
    quantile = t.ppf(0.975, 29)
    for limit in (found.low, found.high):
        assert (0.2 - limit) ** 2 == pytest.approx(quantile**2 * limit * (1 - limit) / 29, rel=1e-6)


def test_it_mirrors_and_is_never_of_width_zero():
    strata = ((100, 20, 0), (900, 50, 0), (50, 50, 0))
    sizes = {h: size for h, (size, _, _) in enumerate(strata)}
    none = share(sizes, reviewed(strata))
    every = share(sizes, [Reviewed(r.stratum, True, 1.0) for r in reviewed(strata)])
    assert (none.low, every.high) == (0.0, 1.0)
    assert 0.02 < none.high < 0.1
    assert every.low == pytest.approx(1 - none.high, abs=1e-9)


def test_a_part_of_which_the_size_is_not_known_is_told_less_well():
    """Half of a stratum's items belong to the part: how many do is then chance, too."""
    rng = np.random.default_rng(4)
    rows = [
        Reviewed(h, bool(i % 2), float(rng.random() < p)) for h, p in ((0, 0.5), (1, 0.05)) for i in range(60)
    ]
    part = share({0: 200, 1: 800}, rows)
    # As if the part's own strata had been known: 100 and 400 items, 30 reviewed of each.
    known = share({0: 100, 1: 400}, [r for r in rows if r.inside])
    assert part.value == pytest.approx(known.value)
    assert part.n == known.n == 60
    assert part.high - part.low > 1.02 * (known.high - known.low)


def test_reviewers_of_two_minds_vary_less_than_zeros_and_ones():
    ones = share({0: 1000}, [Reviewed(0, True, float(i < 20)) for i in range(40)])
    halves = share({0: 1000}, [Reviewed(0, True, 0.5 + 0.1 * (-1) ** i) for i in range(40)])
    assert ones.value == halves.value == 0.5
    assert halves.high - halves.low < 0.3 * (ones.high - ones.low)
