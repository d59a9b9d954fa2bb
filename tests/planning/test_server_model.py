"""What a server draws and how fast it is: against the published table, and by its formulas."""

import csv
import dataclasses
import itertools
import statistics

import numpy as np
import pytest
from support.paths import reference

from overt.planning import server_model as tables
from overt.planning.assumptions import ASSUMPTIONS, value_of, with_value
from overt.planning.server_model import MOST_SLOTS, MOST_TOKENS, ServerModel
from overt.planning.setting import Setting

TABLE = reference("power", "perf_model.csv")


@pytest.mark.skipif(TABLE is None, reason="no shared/reference/power above the tests")
def test_the_constants_are_the_means_of_the_table():
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["model"], row["hardware"], row["token_size"], row["tensor_parallel"])
            == ("bloom-176b", "a100-80gb", "128", "8")
        ]

    def mean(column, prompt, batch, digits):
        found = [
            float(row[column])
            for row in rows
            if (row["prompt_size"], row["batch_size"]) == (str(prompt), str(batch))
        ]
        assert len(found) in (5, 15)  # five runs; one of 512 tokens is in three sweeps of the table
        return pytest.approx(statistics.mean(found), abs=0.5000001 * 10**-digits)

    for tokens, peak, average, prompt_ms, token_ms in zip(
        tables.PROMPT_TOKENS,
        tables.PROMPT_POWER,
        tables.TOKEN_POWER,
        tables.PROMPT_MS,
        tables.TOKEN_MS,
        strict=True,
    ):
        assert peak == mean("peak_power", tokens, 1, 3)
        assert average == mean("average_power", tokens, 1, 3)
        assert prompt_ms == mean("prompt_time", tokens, 1, 1)
        assert token_ms == mean("token_time", tokens, 1, 1)
    for batch, average, token_ms in zip(
        tables.BATCH, tables.BATCH_TOKEN_POWER, tables.BATCH_TOKEN_MS, strict=True
    ):
        assert average == mean("average_power", 512, batch, 3)
        assert token_ms == mean("token_time", 512, batch, 1)
    # Prompts that are read together take as long as one of their length, and draw as much.
    for batch, tokens in ((2, 1024), (4, 2048), (16, 8192)):
        place = tables.PROMPT_TOKENS.index(tokens)
        ms, power = (mean(column, 512, batch, 3).expected for column in ("prompt_time", "peak_power"))
        assert ms == pytest.approx(tables.PROMPT_MS[place], rel=0.03)
        assert power == pytest.approx(tables.PROMPT_POWER[place], rel=0.015)


def test_the_points_of_the_table_and_between():
    at = ServerModel().at(1410)
    for place, tokens in enumerate(tables.PROMPT_TOKENS):
        assert at.prompt_s[tokens] == pytest.approx(tables.PROMPT_MS[place] / 1000)
        assert at.prompt_w[tokens] == pytest.approx(2417 + 3200 * tables.PROMPT_POWER[place])
        assert at.token_s[tokens] == pytest.approx(tables.TOKEN_MS[place] / 1000)
        assert at.token_base_w + at.token_w[tokens] == pytest.approx(2417 + 3200 * tables.TOKEN_POWER[place])
    for place, batch in enumerate(tables.BATCH):
        assert at.token_s[512] * at.batch_s[batch] == pytest.approx(tables.BATCH_TOKEN_MS[place] / 1000)
        watts = at.token_base_w + at.token_w[512] * at.batch_w[batch]
        assert watts == pytest.approx(2417 + 3200 * tables.BATCH_TOKEN_POWER[place])
    assert at.prompt_s[768] == pytest.approx((0.1739 + 0.2897) / 2)
    assert at.prompt_s[0] == at.prompt_s[128]
    slope = (3601.7 - 1354.9) / 4096 / 1000
    assert at.prompt_s[MOST_TOKENS] == pytest.approx(3.6017 + 8192 * slope)
    assert at.prompt_w[MOST_TOKENS] == at.prompt_w[8192]
    assert at.idle_w == 2417 + 640
    assert [len(one) for one in (at.prompt_s, at.token_w, at.batch_s)] == [16385, 16385, MOST_SLOTS + 1]


def test_an_average_of_the_whole_run_leaves_less_for_the_token_phase():
    """4,096 tokens: 0.581 of the TDP over 1,354.9 + 128 * 50.1 ms, of which the first are read at 1.016."""
    model = dataclasses.replace(ServerModel(), prompt_in_average=1.0)
    at, before = model.at(1410), ServerModel().at(1410)
    whole = 1354.9 + 128 * 50.1
    left = (0.581 * whole - 1.016 * 1354.9) / (128 * 50.1)
    assert left == pytest.approx(0.489, abs=0.001)
    assert at.token_base_w + at.token_w[4096] == pytest.approx(2417 + 3200 * left)
    # 16 prompts of 512 are read as one of 8,192.
    alone, many = (
        (power * (ms + 128 * token) - peak * ms) / (128 * token)
        for power, ms, peak, token in ((0.635, 173.9, 0.876, 48.8), (0.656, 3601.7, 1.026, 57.3))
    )
    assert at.batch_w[16] == pytest.approx(many / alone)
    assert (at.prompt_w, at.prompt_s, at.token_s) == (before.prompt_w, before.prompt_s, before.token_s)
    idle = dataclasses.replace(model, idle_share=0.5).at(1410)
    assert idle.token_base_w + idle.token_w[8192] == pytest.approx(idle.idle_w)


def test_what_the_paper_says_of_1110_mhz():
    """A fifth off the peak of the GPUs, at most 7% more time of the token phase."""
    model = dataclasses.replace(ServerModel(), token_exponent=0.28)
    top, capped = model.at(1410), model.at(1110)
    gpus = [max(at.prompt_w) - model.other_w for at in (top, capped)]
    assert 1 - gpus[1] / gpus[0] == pytest.approx(0.2, abs=0.01)
    assert capped.token_s[512] / top.token_s[512] - 1 == pytest.approx(0.07, abs=0.002)


@pytest.mark.parametrize("name", [name for name, row in ASSUMPTIONS.items() if row.home == "model"])
def test_whatever_is_assumed_work_draws_more_than_idling_and_a_lower_clock_less(name):
    row = ASSUMPTIONS[name]
    for value in (row.least, row.low, row.high, row.most):
        model = with_value(Setting(), name, value).model
        before = None
        for mhz in (1410, 1110, 288):
            at = model.at(mhz)
            drawn = [np.asarray(at.prompt_w)]
            drawn += [at.token_base_w + np.asarray(at.token_w) * factor for factor in at.batch_w[1:]]
            assert min(one.min() for one in drawn) >= at.idle_w - 1e-9
            assert max(one.max() for one in drawn) <= model.other_w + 1.026 * 3200 + 1e-9
            if before is not None:
                assert at.prompt_s >= before.prompt_s
                assert all(a <= b + 1e-9 for a, b in zip(at.prompt_w, before.prompt_w, strict=True))
            before = at


def test_each_assumption_is_what_its_field_says():
    for name, row in ASSUMPTIONS.items():
        assert row.least <= row.low <= value_of(Setting(), name) <= row.high <= row.most
        for value in (row.low, row.high):
            setting = with_value(Setting(), name, value)
            assert value_of(setting, name) == value
            others = [value_of(setting, other) == value_of(Setting(), other) for other in ASSUMPTIONS]
            assert others.count(False) <= 1
    assert isinstance(with_value(Setting(), "slots", 3.0).model.slots, int)


def test_the_batch_ends_where_the_table_ends():
    assert MOST_SLOTS == ASSUMPTIONS["slots"].most == 16
    for one, other in itertools.pairwise(ServerModel().at(1410).batch_s[1:]):
        assert other > one
