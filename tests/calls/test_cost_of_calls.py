"""What a call costs this process beside the exchange itself: see benchmarks/throughput.py."""

import sys

import pytest
from support.paths import ROOT
from support.timing import least_cpu_seconds

CALLS = 1_000


@pytest.fixture(scope="module")
def throughput():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import throughput

        yield throughput
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("in_flight", [64, 1_024])
def test_a_call_takes_little_time_of_this_process(throughput, in_flight):
    """Template, journal, floor and parsing, with a model that answers at once. The limit is four times what a
    busy machine needed."""
    throughput.of_caller(4, 20)  # loads the policy and the word lists
    seconds = least_cpu_seconds(lambda: throughput.of_caller(in_flight, CALLS), enough=0.8)
    assert (
        seconds < 0.8 + 0.8 * in_flight / CALLS
    )  # the first ones, which open the connections, are counted too
