"""How many calls were under way at once, and which of them tell how long a call takes."""

import heapq
import math

import numpy as np
import pytest

from overt.scoring.stats.pace import pace_of


def queued(latencies, slots):
    """When calls begin and end that `slots` workers make one after the other."""
    free, starts = [0.0] * slots, []
    for latency in latencies:
        starts.append(heapq.heappop(free))
        heapq.heappush(free, starts[-1] + latency)
    return np.array(starts), np.array(starts) + latencies


def test_a_short_run_tells_the_pace_of_a_long_one():
    """Its first calls are slow and its last ones run out: neither is in what a long run takes."""
    draw = np.random.default_rng(1)
    ratios, before = [], []
    for _ in range(60):
        latencies = draw.lognormal(0, 0.5, 60)
        latencies[:4] += 5.0
        starts, ends = queued(latencies, 4)
        found = pace_of(starts, ends)
        assert found.is_settled
        assert found.in_flight == pytest.approx(4, abs=1e-9)
        assert not found.settled[:4].any()
        per_call = latencies[found.settled].mean() / found.in_flight
        ratios.append(per_call / (np.exp(0.125) / 4))
        before.append(ends.max() / 60 / (np.exp(0.125) / 4))
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert np.mean(before) > 1.25


def test_a_pause_is_no_work_and_what_follows_begins_anew():
    starts, ends = queued(np.full(30, 2.0), 3)
    once = pace_of(starts, ends)
    twice = pace_of(np.append(starts, starts + 1000), np.append(ends, ends + 1000))
    assert once.busy == 20
    assert twice.busy == 40
    assert twice.in_flight == once.in_flight == pytest.approx(3)
    assert twice.settled.sum() == 2 * once.settled.sum() == 54
    near = pace_of(np.append(starts, starts + 20.5), np.append(ends, ends + 20.5))  # a short one is work
    assert near.busy == 40.5


def test_the_order_of_the_calls_does_not_matter():
    starts, ends = queued(np.random.default_rng(2).lognormal(0, 1, 50), 5)
    order = np.random.default_rng(3).permutation(50)
    found, other = pace_of(starts, ends), pace_of(starts[order], ends[order])
    assert other.in_flight == pytest.approx(found.in_flight)
    assert (other.settled == found.settled[order]).all()


def test_where_all_calls_begin_at_once_all_of_them_tell():
    found = pace_of(np.zeros(20), np.arange(1.0, 21.0))
    assert not found.is_settled
    assert found.settled.all()
    assert found.in_flight == pytest.approx(sum(range(1, 21)) / 20)
    assert pace_of(np.array([5.0]), np.array([5.0])).in_flight is None


def test_calls_that_share_batches_tell_as_little_as_the_batches():
    draw = np.random.default_rng(4)
    batches = np.repeat(draw.lognormal(0, 0.3, 40), 16) + draw.normal(0, 0.003, 640)
    starts = np.repeat(np.arange(40) * 10.0, 16)
    batched = pace_of(starts, starts + batches, math.inf)
    assert 8 < batched.alike < 80
    begun, ended = queued(draw.lognormal(0, 0.5, 640), 16)
    assert pace_of(begun, ended).alike == pytest.approx(1, abs=0.3)
    # One batch after the first ones is one time, however many calls it has.
    few = pace_of(starts[:48], (starts + batches)[:48], math.inf)
    assert few.settled.sum() == 32
    assert 48 / few.alike < 10


def test_where_one_process_made_all_calls_its_pauses_are_work():
    starts, ends = queued(np.full(30, 2.0), 3)
    starts, ends = np.append(starts, starts + 100), np.append(ends, ends + 100)
    assert pace_of(starts, ends).in_flight == pytest.approx(3)
    assert pace_of(starts, ends, math.inf).in_flight < 1.2
