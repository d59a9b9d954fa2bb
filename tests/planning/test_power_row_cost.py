"""benchmarks/power_row.py on a small load: what a simulated request costs, and that memory does not grow."""

import sys

import pytest
from support.paths import ROOT


@pytest.fixture
def power_row(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import power_row

    yield power_row
    sys.modules.pop("power_row")


def test_a_request_costs_microseconds_and_no_memory(power_row):
    costs = [power_row.measured(count, "polca", 1) for count in (10_000, 30_000)]
    for cost, count in zip(costs, (10_000, 30_000), strict=True):
        assert count <= cost.requests < 1.5 * count
        # Some 8 on an idle machine; 12 are the limit of a minute for five million.
        assert cost.each < 40
    assert costs[1].each < 2 * costs[0].each
    assert costs[1].peak < costs[0].peak + 15
    said = power_row.lines_of(costs)
    assert said[1].split()[0] == f"{costs[0].requests:,}"
    assert "times the requests take" in said[3]
    assert said[-1].startswith("five million at this pace: ")
