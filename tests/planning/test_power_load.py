"""The requests of a row: how many, when, how large; from the generator and from a trace."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from support.slow_row import Kept

from overt.data.inference_trace import Trace
from overt.planning.load import DAY_S, Load, requests, sizes_of
from overt.planning.row import HIGH, LOW, Row
from overt.planning.server_model import MOST_TOKENS, ServerModel
from overt.planning.setting import Setting, simulated

FLAT = {"daily_swing": 0.0, "weekend": 1.0, "burst": 0.0}


def trace_of(seconds, prompt=512, answer=50, name="made.csv"):
    seconds = np.asarray(seconds, dtype=float)
    sizes = (np.broadcast_to(np.asarray(size, dtype=np.int64), len(seconds)) for size in (prompt, answer))
    return Trace(name, seconds, *sizes)


def columns(load, servers=(20, 0), model=None):
    """Arrivals, priorities, tokens of prompts and of answers, as arrays."""
    return [
        np.asarray(column) for column in zip(*requests(load, model or ServerModel(), servers), strict=True)
    ]


def work_s(model, prompts, answers):
    """Seconds of a server with full batches, from the formulas."""
    top = model.at(model.top_mhz)
    own = top.batch_s[model.slots] / model.slots
    return sum(
        top.prompt_s[min(prompt, MOST_TOKENS)] + (answer - 1) * top.token_s[min(prompt, MOST_TOKENS)] * own
        for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True)
    )


class TestHowMuch:
    @pytest.mark.parametrize("slots", [1, 4])
    @pytest.mark.parametrize("traced", [False, True])
    def test_the_work_of_the_busiest_hour_is_what_the_load_says(self, slots, traced):
        draw = np.random.default_rng(5)
        trace = trace_of(
            np.cumsum(draw.exponential(0.5, 4000)) - 0.1,
            draw.integers(1, 20_000, 4000),
            draw.integers(1, 300, 4000),
        )
        model = ServerModel(slots=slots)
        load = Load(days=1 / 24, load=0.7, burst=0.1, traces=(trace,) * 2 if traced else (None, None))
        _, priority, prompts, answers = columns(load, (120, 60), model)
        for kind, servers in ((HIGH, 120), (LOW, 60)):
            share = work_s(model, prompts[priority == kind], answers[priority == kind]) / (3600 * servers)
            # Of some 10,000 requests; the hour's mean is 0.3% below its middle.
            assert share == pytest.approx(0.7 * 0.997, rel=0.05)

    def test_the_hours_of_a_day(self):
        at = columns(Load(days=1, daily_swing=0.5, burst=0.0), (30, 0))[0]
        counts, _ = np.histogram(at, np.arange(25) * 3600.0)
        assert abs(int(counts.argmax()) - 13.5) <= 1.5  # around 14:00
        assert counts.min() / counts.max() == pytest.approx((1 - 0.5) / (1 + 0.5), rel=0.05)
        flat, _ = np.histogram(columns(Load(days=1, **FLAT), (30, 0))[0], np.arange(25) * 3600.0)
        assert flat.std() < 4 * math.sqrt(flat.mean())

    @pytest.mark.parametrize("traced", [False, True])
    def test_the_days_of_a_week(self, traced):
        trace = trace_of(np.arange(0.0, 3600.0, 0.9)) if traced else None
        load = Load(days=8, weekend=0.5, burst=0.0, traces=(trace, None))
        counts, _ = np.histogram(columns(load, (2, 0))[0], np.arange(9) * DAY_S)
        weekdays = counts[[0, 1, 2, 3, 4, 7]].mean()
        assert counts[[5, 6]] / weekdays == pytest.approx([0.5, 0.5], rel=0.06)

    def test_bursts_have_the_deviation_that_is_asked(self):
        edges = np.arange(0.0, DAY_S / 4 + 60, 60.0)
        for burst in (0.0, 0.3, 1.0):
            load = Load(days=0.25, daily_swing=0.0, burst=burst)
            counts, _ = np.histogram(columns(load, (150, 0))[0], edges)
            noise = 1 / counts.mean()  # of Poisson itself
            assert (counts.std() / counts.mean()) ** 2 == pytest.approx(burst**2 + noise, rel=0.25, abs=noise)

    def test_sizes_are_those_of_the_trace_of_conversations(self):
        sizes = sizes_of(None)
        assert np.quantile(sizes.prompt, (0.1, 0.5, 0.9)) == pytest.approx((207, 1020, 2734), rel=0.05)
        assert np.quantile(sizes.answer, (0.1, 0.5, 0.9)) == pytest.approx((54, 129, 424), rel=0.05)
        assert sizes.prompt.min() >= 2
        assert sizes.answer.max() <= 1000

    def test_a_part_of_a_day_lies_around_the_busiest_hour(self):
        short = Load(days=0.05)
        assert short.season(np.asarray([short.seconds / 2])) == pytest.approx([1.0])
        assert Load(days=1).season(np.asarray([14 * 3600.0, 2 * 3600.0])) == pytest.approx([1, 0.7 / 1.3])


class TestOrder:
    @pytest.mark.parametrize("rate", [0.3, 3.0, 60.0])  # of the trace: 1.1 a second is asked
    def test_of_arrivals_over_all_borders(self, rate):
        trace = trace_of(np.cumsum(np.random.default_rng(1).exponential(1 / rate, 3000)))
        trace = trace_of(trace.seconds - trace.seconds[0])
        load = Load(days=0.2, traces=(trace, None))
        at, priority, *_ = columns(load, (6, 5))
        assert (np.diff(at) >= 0).all()
        assert at.min() >= 0
        assert at.max() <= load.seconds
        assert {HIGH, LOW} == set(priority.tolist())
        counts, _ = np.histogram(at, np.arange(0, load.seconds + 1, 900))
        assert counts.min() > 0.6 * counts.max()

    def test_copies_of_a_request_do_not_meet_at_a_border(self):
        """They stand up to five seconds apart. Held at the border of a half hour, 200 came at once."""
        trace = trace_of(np.arange(0.0, 3600.0, 1.0), answer=10)
        at = columns(Load(days=0.05, traces=(trace, None), **FLAT), (60, 0))[0]
        counts, _ = np.histogram(at, np.arange(0.0, 4320.0 + 1))
        assert counts.mean() > 70
        assert abs(counts - counts.mean()).max() < 6 * math.sqrt(counts.mean())
        assert np.unique(at, return_counts=True)[1].max() == 1

    def test_the_same_seed_gives_the_same_requests(self):
        for trace in (None, trace_of(np.arange(100.0))):
            made = [
                list(requests(Load(days=0.05, seed=s, traces=(trace,) * 2), ServerModel(), (3, 3)))
                for s in (1, 1, 2)
            ]
            assert made[0] == made[1] != made[2]

    def test_priorities_are_drawn_apart(self):
        """Other servers of the one do not change the requests of the other."""
        load = Load(days=0.05)
        some = [one for one in requests(load, ServerModel(), (5, 5)) if one[1] == HIGH]
        more = [one for one in requests(load, ServerModel(), (5, 50)) if one[1] == HIGH]
        assert some == more == list(requests(load, ServerModel(), (5, 0)))


class TestReplay:
    def test_less_than_once_leaves_some_out_as_they_were(self):
        seconds = np.arange(0.0, 3000.0, 0.25)
        trace = trace_of(seconds, np.arange(len(seconds)) % 4000 + 1, np.arange(len(seconds)) % 97 + 1)
        load = Load(days=0.1, traces=(trace, None))
        at, _, prompts, answers = columns(load, (4, 0))
        turn = at % trace.span_s
        places = np.rint(turn / 0.25).astype(int) % len(seconds)
        assert turn == pytest.approx(seconds[places], abs=1e-6)  # at their own times, again and again
        assert (prompts == trace.prompt[places]).all()
        assert (answers == trace.answer[places]).all()
        assert len(at) < 0.8 * load.seconds * 4
        assert len(at) > len(set(places.tolist()))

    def test_more_than_once_copies_within_five_seconds(self):
        trace = trace_of(np.arange(0.0, 3600.0, 40.0), np.arange(90) * 10 + 1, 5)
        load = Load(days=1 / 24, traces=(trace, None), load=0.8, **FLAT)
        at, _, prompts, _ = columns(load, (10, 0))
        apart = abs(at - trace.seconds[(prompts - 1) // 10])
        assert apart.max() <= 5.0 + 1e-9
        assert apart.max() > 4.5
        assert len(at) > 10 * 90

    def test_prompts_beyond_the_table_count_as_its_longest(self):
        trace = trace_of(np.arange(0.0, 500.0), 50_000, 20)
        setting = Setting(model=ServerModel(slots=3), load=Load(days=0.01, traces=(trace, trace)))
        assert set(columns(setting.load)[2].tolist()) == {MOST_TOKENS}
        kept = simulated(setting, (2, 2), math.inf, acts=False)
        assert min(kept.done) > 50

    def test_answers_of_one_token_and_prompts_of_none(self):
        trace = trace_of(np.arange(0.0, 500.0), 0, 1)
        kept = simulated(Setting(load=Load(days=0.01, traces=(trace, trace))), (3, 3), math.inf, acts=False)
        assert kept.quantile(HIGH, 0.5) >= 0.0773 * 0.999  # as long as the shortest prompt of the table
        assert min(kept.done) > 1000

    def test_an_empty_half_hour(self):
        """A trace that falls silent for an hour, and one priority alone."""
        trace = trace_of(np.concatenate([np.arange(0.0, 600.0), [9000.0]]), answer=5)
        at = columns(Load(days=0.25, traces=(trace, trace), **FLAT), (0, 3))[0]
        counts, _ = np.histogram(at, np.arange(0, 6 * 3600 + 1, 1800))
        assert counts[1:5].sum() == 0
        assert counts[0] > 500
        assert list(requests(Load(days=0.02, load=1e-9), ServerModel(), (1, 1))) == []

    def test_a_trace_of_two_requests_is_laid_out_in_parts(self, monkeypatch):
        monkeypatch.setattr("overt.planning.load._REPLAYED", 20_000)
        trace = trace_of([0.0, 0.004])  # 225,000 turns in half an hour: 20 MB of numbers, laid out at once
        tracemalloc.start()
        at = columns(Load(days=0.03, traces=(trace, None), **FLAT), (4, 0))[0]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 5e6
        each = work_s(ServerModel(), np.array([512]), np.array([50]))
        assert len(at) / (0.03 * DAY_S) == pytest.approx(0.8 * 4 / each, rel=0.08)

    def test_a_trace_for_one_priority_only(self):
        trace = trace_of(np.arange(0.0, 300.0), 77, 3)
        _, priority, prompts, _ = columns(Load(days=0.01, traces=(None, trace)), (2, 2))
        assert set(prompts[priority == LOW].tolist()) == {77}
        assert len(set(prompts[priority == HIGH].tolist())) > 20


class TestEnds:
    @pytest.mark.parametrize(("share", "split"), [(0.0, (4, 0)), (1.0, (0, 4)), (0.5, (2, 2))])
    def test_servers_of_one_priority_alone(self, share, split):
        setting = Setting(low_share=share, load=Load(days=0.02))
        assert setting.split(4) == split
        kept = simulated(setting, split, math.inf, acts=False)
        assert [bool(came) for came in kept.arrived] == [bool(servers) for servers in split]
        assert [kept.quantile(p, 0.5) is not None for p in (HIGH, LOW)] == [bool(s) for s in split]

    def test_one_server(self):
        assert Setting().split(1) == (1, 0)
        assert sum(simulated(Setting(load=Load(days=0.02)), (1, 0), math.inf, acts=False).done) > 50

    def test_every_split_adds_up(self):
        for share, servers in itertools.product((0, 0.1, 0.25, 0.5, 0.9, 1), range(1, 60)):
            high, low = Setting(low_share=share).split(servers)
            assert high + low == servers
            assert high >= 0
            assert low >= 0
            assert abs(low - share * servers) <= 0.5


def test_memory_is_flat(monkeypatch):
    """What is held does not grow with the days: a half hour of requests, and counts in fixed bins."""

    def most(days):
        tracemalloc.start()
        setting = Setting(load=Load(days=days))
        simulated(setting, (4, 4), 38_000.0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    monkeypatch.setattr("overt.planning.measured._ROOM", 1000)  # so that a small load fills it
    monkeypatch.setattr("overt.planning.measured._COMMANDS", 50)
    most(0.02)  # what is made once
    assert most(0.16) < 1.2 * most(0.04)


def test_quantiles_are_those_of_the_latencies():
    setting = Setting(load=Load(days=0.1))
    kept = Kept(setting.load.seconds, math.inf)
    Row(setting.model, [HIGH] * 6, setting.policy, math.inf, False).run(
        requests(setting.load, setting.model, (6, 0)), setting.load.seconds, kept
    )
    for share in (0.01, 0.5, 0.99, 1.0):
        exact = np.quantile(kept.all_latencies[HIGH], share, method="inverted_cdf")
        assert kept.quantile(HIGH, share) == pytest.approx(exact, rel=3e-4)
    assert kept.quantile(LOW, 0.5) is None


def test_the_series_of_power_holds_every_reading():
    setting = Setting(load=Load(days=0.1))
    kept = simulated(setting, (4, 4), math.inf, acts=False)
    assert kept.series.shape == (720, 3)  # twelve seconds, six readings each
    assert kept.series[:, 1].mean() == pytest.approx(kept.mean_w, rel=1e-9)
    assert kept.series[:, 2].max() == kept.peak_w
    assert kept.series[:, 0] == pytest.approx((np.arange(720) + 0.5) * 12)
