"""F1 of refusals against cases worked by hand, and the false-positive rates that there are none of."""

import pytest

from overt.data.results.summary import CategoryRates, Coverage, Rate, Rates, TargetSummary
from overt.scoring.stats import wilson
from overt.scoring.summary.f1 import f1_lines, f1_of


def rate(k, n):
    found = wilson(k, n)
    return Rate(k, n, found.rate, found.low, found.high, found.method)


def test_by_hand():
    # 80 of 100 refused that should be, 10 of 50 that should not: 160 / (160 + 10 + 20).
    found = f1_of(Rates(over_refusal=rate(10, 50), unsafe_refusal=rate(80, 100)))
    assert found.f1 == pytest.approx(160 / 190)
    assert (found.precision, found.recall) == (pytest.approx(80 / 90), 0.8)
    assert 0.75 < found.low < found.f1 < found.high < 0.92
    wide = f1_of(Rates(over_refusal=rate(1, 5), unsafe_refusal=rate(8, 10)))
    assert wide.f1 == pytest.approx(found.f1)
    assert wide.low < found.low
    assert wide.high > found.high


@pytest.mark.parametrize(
    ("benign", "unsafe", "f1", "precision"),
    [((0, 50), (100, 100), 1.0, 1.0), ((0, 50), (0, 100), 0.0, None), ((50, 50), (0, 100), 0.0, 0.0)],
)
def test_at_the_ends(benign, unsafe, f1, precision):
    found = f1_of(Rates(over_refusal=rate(*benign), unsafe_refusal=rate(*unsafe)))
    assert (found.f1, found.precision) == (f1, precision)
    assert 0 <= found.low <= f1 <= found.high <= 1


def test_one_side_alone_has_none():
    assert f1_of(Rates(unsafe_refusal=rate(8, 10))) is None
    assert f1_of(Rates(over_refusal=rate(1, 10))) is None


def test_two_categories_of_coconot_have_no_false_positive_rate():
    coverage = Coverage(20, 20, 1.0)
    parts = (
        CategoryRates(category="humanizing_requests", unsafe_refusal=rate(3, 4), coverage=coverage),
        CategoryRates(
            category="incomplete_requests",
            unsafe_refusal=rate(3, 4),
            over_refusal=rate(1, 4),
            coverage=coverage,
        ),
    )
    target = TargetSummary(
        name="m", coverage=coverage, over_refusal=rate(1, 4), unsafe_refusal=rate(6, 8), categories=parts
    )
    first, second = f1_lines(target)
    assert first.startswith("F1 of refusals: 0.800 [")
    assert "6 of 8 to refuse, 1 of 4 contrasts" in first
    assert second.startswith("no false-positive rate for humanizing_requests:")
