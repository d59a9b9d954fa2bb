"""The quick simulation of a row against the slow one of `support.slow_row`, on random small rows."""

import random
from collections import Counter

import pytest
from support.slow_row import Kept, SlowRow

from overt.planning.control import KINDS, Policy
from overt.planning.row import Row
from overt.planning.server_model import ServerModel

ROWS = 60


def random_row(seed):
    """A model, priorities, a policy, a budget, requests and the end of a small row."""
    draw = random.Random(seed)
    model = ServerModel(
        gpus=draw.choice((1, 8)),
        other_w=draw.uniform(0, 3000),
        idle_share=draw.uniform(0.1, 0.3),
        slots=draw.choice((1, 1, 2, 3, 5, 16)),
        power_exponent=draw.uniform(0.5, 2),
        prompt_exponent=draw.uniform(0, 1),
        token_exponent=draw.uniform(0, 1),
    )
    priorities = [draw.randrange(2) for _ in range(draw.randint(1, 5))]
    t2 = draw.uniform(0.8, 0.98)
    policy = Policy(
        kind=draw.choice((*KINDS, "polca", "polca")),
        t1=t2 - draw.uniform(0.01, 0.2),
        t2=t2,
        hysteresis=draw.uniform(0, 0.2),
        telemetry_s=draw.choice((0.5, 1.0, 2.0, 3.0)),
        cap_s=draw.choice((0.0, 0.75, 4.0, 11.0)),
        brake_s=draw.choice((0.0, 1.25, 5.0)),
    )
    most = len(priorities) * (model.other_w + model.gpus * model.tdp_w)
    requests, at = [], 0.0
    for _ in range(draw.randint(20, 160)):
        at += draw.expovariate(draw.choice((0.3, 1.0, 4.0)))
        tokens = draw.choice((0, 100, 512, 3000, 9000, 16384))
        requests.append((at, draw.choice(priorities), tokens, draw.choice((1, 2, 30, draw.randint(1, 200)))))
    return model, priorities, policy, most * draw.uniform(0.5, 1.0), requests, min(at, 150.0) + 3.3


@pytest.fixture(scope="module")
def pairs():
    """The same rows, quick and slow."""
    made = []
    for seed in range(ROWS):
        model, priorities, policy, budget_w, requests, until_s = random_row(seed)
        kept = Kept(until_s, budget_w, policy.telemetry_s)
        Row(model, priorities, policy, budget_w).run(requests, until_s, kept)
        made.append((kept, SlowRow(model, priorities, policy, budget_w, requests, until_s)))
    return made


def test_every_latency_is_that_of_the_slow_row(pairs):
    for kept, slow in pairs:
        for quick, slowly in zip(kept.all_latencies, slow.latencies, strict=True):
            assert sorted(quick) == pytest.approx(sorted(slowly), rel=1e-7, abs=1e-6)
    assert sum(len(latencies) for _, slow in pairs for latencies in slow.latencies) > 2000


def test_power_and_energy_are_those_of_the_slow_row(pairs):
    for kept, slow in pairs:
        assert kept.all_readings == pytest.approx(slow.readings, rel=1e-7)
        assert kept.joules == pytest.approx(slow.joules, rel=1e-9)


def test_what_is_sent_and_when_is_that_of_the_slow_row(pairs):
    sent = Counter()
    for kept, slow in pairs:
        told = [(c.sent, c.lands, c.group, c.mhz) for c in kept.commands]
        assert [(c[2], c[3]) for c in told] == [(c[2], c[3]) for c in slow.commands]
        for quick, slowly in zip(told, slow.commands, strict=True):
            assert quick[:2] == pytest.approx(slowly[:2])
        sent.update((command[2], command[3] is None) for command in slow.commands)
    # The rows would prove little if their policies had nothing to do.
    assert min(sent[group, released] for group in ("low", "high", "all") for released in (True, False)) >= 20


def test_what_comes_in_goes_out_or_is_still_inside(pairs):
    for kept, slow in pairs:
        assert kept.arrived == slow.arrived
        assert kept.inside == slow.inside
        assert [a + b for a, b in zip(kept.done, kept.inside, strict=True)] == kept.arrived
    assert sum(sum(slow.inside) for _, slow in pairs) > 100
