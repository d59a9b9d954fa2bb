"""The options of a row under a power budget: what is read of them, and what is said of wrong ones."""

import dataclasses
import json

import pytest

from overt.data.errors import InputError
from overt.data.progress import Silent
from overt.planning.assumptions import ASSUMPTIONS, value_of
from overt.planning.control import KINDS
from overt.tasks.plan_assumed import Stated, read_assumed
from overt.tasks.plan_row import RowConfig, planned_row, policy_of, ranges_of, setting_of

QUICK = {"row": 2, "days": 0.01, "ranges": False, "map": False, "processes": 1}


def made(**values):
    return RowConfig.made({"row": 2, **values})


def setting(**values):
    config = made(**values)
    return setting_of(config, read_assumed(config.assume))


# Wrong options, and words of what is said; each names the option.
WRONG = [
    ({"row": None}, ["--row"]),
    ({"row": 0}, ["--row", "at least 1"]),
    ({"row": 10**6}, ["--row", "at most 2000"]),
    ({"budget": -1}, ["--budget is -1", "at least 0.001"]),
    ({"budget": 0}, ["--budget"]),
    ({"budget": float("nan")}, ["--budget is nan"]),
    ({"budget": float("inf")}, ["--budget is inf"]),
    ({"budget": "much"}, ["--budget is 'much'"]),
    ({"days": 0}, ["--days"]),
    ({"days": float("nan")}, ["--days is nan"]),
    ({"range_days": -1}, ["--range-days"]),
    ({"telemetry": 0}, ["--telemetry"]),
    ({"telemetry": 3600, "days": 0.02}, ["--telemetry 3600", "1728 s"]),
    ({"telemetry": 3600, "range_days": 0.02}, ["--telemetry 3600", "--range-days"]),
    ({"cap_delay": -1}, ["--cap-delay is -1"]),
    ({"brake_delay": -0.1}, ["--brake-delay is -0.1"]),
    ({"t1": "90%"}, ["--t1 is 90%", "--t2 89%"]),
    ({"t1": "89%"}, ["the thresholds cross"]),
    ({"t1": "0"}, ["the thresholds cross"]),
    ({"t2": "101%"}, ["--t2 is '101%'"]),
    ({"t2": "-5%"}, ["--t2 is '-5%'"]),
    ({"t1": "eighty"}, ["--t1 is 'eighty'"]),
    ({"t1": "80"}, ["--t1 is '80'"]),
    ({"hysteresis": "80%"}, ["--hysteresis 80%", "--t1 80%"]),
    ({"hysteresis": "-1%"}, ["--hysteresis is '-1%'"]),
    ({"low_mhz": 1000}, ["clocks are out of order", "--low-mhz-2"]),
    ({"low_mhz_2": 200}, ["clocks are out of order", "--brake-mhz"]),
    ({"high_mhz": 200}, ["clocks are out of order", "--brake-mhz"]),
    ({"brake_mhz": 1300}, ["clocks are out of order"]),
    ({"brake_mhz": 0}, ["--brake-mhz"]),
    ({"low_mhz": 1500}, ["--low-mhz 1500", "top clock of 1410 MHz"]),
    ({"high_mhz": float("inf")}, ["--high-mhz inf", "top clock"]),
    ({"high_p50": "0"}, ["--high-p50 is 0", "no row keeps it"]),
    ({"low_p99": "0%"}, ["--low-p99 is 0"]),
    ({"high_mhz": float("nan")}, ["--high-mhz is nan"]),
    ({"high_p50": "-1%"}, ["--high-p50"]),
    ({"low_p99": "a lot"}, ["--low-p99 is 'a lot'"]),
    ({"seed": -1}, ["--seed"]),
    ({"trace": ("none.csv",)}, ["none.csv", "no such file"]),
    ({"trace": ("high=a.csv", "high=b.csv")}, ["--trace names high twice"]),
    ({"trace": ("a.csv", "b.csv")}, ["--trace names the same role twice"]),
    ({"budget": 100, "assume": ("peak_share=80%",)}, ["--budget", "--assume peak_share"]),
]


@pytest.mark.parametrize(("values", "words"), WRONG, ids=[str(values) for values, _ in WRONG])
def test_wrong_options_are_named(values, words):
    with pytest.raises(InputError) as told:
        planned_row(made(**values), Silent())
    said = told.value.message()
    assert [word for word in words if word not in said] == []


ASSUMED_WRONG = [
    ("pek_share=1", "Did you mean peak_share?"),
    ("nonsense=1", "there is no assumption 'nonsense'"),
    ("peak_share", "'' is no number and no range"),
    ("peak_share=", "is no number"),
    ("peak_share=high", "'high' is no number"),
    ("peak_share=0.1..", "is no number and no range"),
    ("peak_share=0.1..0.2..0.3", "is no number and no range"),
    ("peak_share=90%..80%", "the range runs backwards"),
    ("peak_share=80%..80%", "the range runs backwards"),
    ("peak_share=120%", "from 0.05 to 1"),
    ("peak_share=nan", "is no number"),
    ("other_w=-5", "from 0 to 1e+06"),
    ("slots=2.5", "whole numbers"),
    ("slots=1..17", "from 1 to 16"),
    ("idle_share=0.9", "from 0 to 0.5"),
    ("load=0", "from 0.01 to 2"),
    ("load=1e9", "is no number"),
]


@pytest.mark.parametrize(("text", "words"), ASSUMED_WRONG)
def test_wrong_assumptions_are_named(text, words):
    with pytest.raises(InputError) as told:
        planned_row(made(assume=(text,)), Silent())
    assert f"--assume {text!r}" in told.value.what
    assert words in told.value.message()


def test_an_assumption_that_is_given_twice():
    with pytest.raises(InputError, match="gives peak_share twice"):
        read_assumed(("peak_share=80%", "peak-share=70%"))


def test_assumptions_that_are_right():
    read = read_assumed((" peak-share = 80% ", "load=50%..0.9", "slots=2", "other_w=.5"))
    assert read["peak_share"] == Stated(0.8, ())
    assert read["load"] == Stated(None, (0.5, 0.9))
    assert read["slots"] == Stated(2.0, ())
    assert read["other_w"] == Stated(0.5, ())
    assert read["burst"] == Stated(None, (ASSUMPTIONS["burst"].low, ASSUMPTIONS["burst"].high))
    assert list(read) == list(ASSUMPTIONS)


def test_options_become_the_setting():
    found = setting(
        row=7, budget=30.5, days=3, seed=4, telemetry=1, cap_delay=0, brake_delay=0, t1="70%", t2="0.8",
        hysteresis="2%", low_mhz=1200, low_mhz_2=1000, high_mhz=1100, brake_mhz=300, high_p50="2%",
        low_p99="200%",
        assume=("slots=3", "load=1.1..1.3", "daily_swing=0.1", "other_w=2000..3000"),
    )  # fmt: skip
    assert (found.row, found.budget_w, found.load.days, found.load.seed) == (7, 30_500.0, 3.0, 4)
    policy = dataclasses.astuple(found.policy)
    assert policy == ("polca", 0.7, 0.8, 0.02, 1200, 1000, 1100, 300, 1, 0, 0)
    assert (found.limits.high_p50, found.limits.high_p99, found.limits.low_p99) == (0.02, 0.05, 2.0)
    assert (found.model.slots, found.load.daily_swing) == (3, 0.1)
    assert found.load.load == pytest.approx(1.2)  # the default lies outside of the stated range
    assert found.model.other_w == 2417.0  # and this one inside


def test_defaults_are_those_of_the_paper():
    policy = policy_of(made())
    assert (policy.t1, policy.t2, policy.hysteresis) == (0.8, 0.89, 0.05)
    assert (policy.low_mhz, policy.low_mhz_2, policy.high_mhz, policy.brake_mhz) == (1275, 1110, 1305, 288)
    assert (policy.telemetry_s, policy.cap_s, policy.brake_s) == (2, 40, 5)
    limits = setting().limits
    assert (limits.high_p50, limits.high_p99, limits.low_p50, limits.low_p99) == (0.01, 0.05, 0.05, 0.5)


def test_ranges_that_can_make_no_difference_are_left_out(tmp_path):
    stated = read_assumed(("load=0.7",))
    names = {name for name, _ in ranges_of(stated, setting())}
    assert names == set(ASSUMPTIONS) - {"load", "weekend"}
    assert "weekend" in {name for name, _ in ranges_of(stated, setting(days=7))}
    assert "peak_share" not in {name for name, _ in ranges_of(stated, setting(budget=100))}
    path = tmp_path / "trace.csv"
    path.write_text("time,input_tokens,output_tokens\n0,1,1\n9,2,2\n")
    assert "burst" not in {name for name, _ in ranges_of(stated, setting(trace=(str(path),)))}
    assert "burst" in {name for name, _ in ranges_of(stated, setting(trace=(f"low={path}",)))}


def test_a_trace_for_each_priority(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("time,input_tokens,output_tokens\n0,1,1\n9,2,2\n")
    a, b = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    names = [
        [trace and trace.name for trace in setting(trace=given).load.traces]
        for given in ((), (a,), (f"high={a}",), (f"low={a}", b), (f"high={a}", f"low={b}"))
    ]
    assert names == [[None, None], ["a.csv"] * 2, ["a.csv", None], ["b.csv", "a.csv"], ["a.csv", "b.csv"]]


class TestThePlan:
    def test_a_small_row(self):
        plan = planned_row(made(**QUICK), Silent())
        assert [answer.policy for answer in plan.answers] == list(KINDS)
        assert (plan.row, plan.budget_by, plan.base, plan.varied, plan.map) == (2, "peak share", (), (), ())
        assert plan.peak_share == pytest.approx(0.79)
        polca = plan.answers[0]
        assert plan.span == {
            answer.policy: (answer.servers,) * 2 for answer in plan.answers if answer.policy in KINDS
        }
        assert [course.servers for course in plan.courses] == [polca.servers] * 2
        assert max(plan.courses[0].highest) == pytest.approx(polca.trial.peak_share, abs=1e-4)
        assert len(plan.sent) == min(200, polca.trial.caps)
        assert [one.name for one in plan.assumed] == list(ASSUMPTIONS)
        json.dumps(dataclasses.asdict(plan), allow_nan=False)

    def test_ranges_and_map_and_processes(self):
        """Three stated values leave few ranges; two processes say what one does."""
        assume = tuple(
            f"{name}={value_of(setting(), name):g}"
            for name in ASSUMPTIONS
            if name not in ("power_exponent", "low_share")
        )
        plans = [
            planned_row(
                made(**{**QUICK, "assume": assume, "ranges": True, "map": True, "processes": n}), Silent()
            )
            for n in (1, 2)
        ]
        assert plans[0] == plans[1]
        ends = [(one.name, one.value) for one in plans[0].varied]
        assert ends == [(n, v) for n in ("power_exponent", "low_share") for v in read_assumed(())[n].range]
        assert len({(cell.t1, cell.t2) for cell in plans[0].map}) == len(plans[0].map) == 15
        assert all(cell.t1 < cell.t2 for cell in plans[0].map)
        servers = [one.servers["polca"] for one in plans[0].varied] + [plans[0].answers[0].servers]
        assert plans[0].span["polca"] == (min(servers), max(servers))

    def test_a_budget_that_is_tiny_or_huge(self):
        tiny = planned_row(made(**QUICK, budget=0.001), Silent())
        assert {answer.servers for answer in tiny.answers} == {0}
        assert (tiny.budget_by, tiny.courses, tiny.sent) == ("stated", (), ())
        huge = planned_row(made(**QUICK, budget=1e6), Silent())
        assert {(answer.servers, answer.next) for answer in huge.answers} == {(16, None)}

    def test_odd_figures(self):
        for odd in (
            {"cap_delay": 0, "brake_delay": 0},
            {"telemetry": 50, "cap_delay": 1},
            {"telemetry": 0.1},
            {"assume": ("low_share=0",)},
            {"assume": ("low_share=1", "slots=16")},
            {"assume": ("load=2", "burst=3")},
            {"low_mhz": 288, "low_mhz_2": 288, "high_mhz": 288},
        ):
            plan = planned_row(made(**{**QUICK, **odd}), Silent())
            for answer in plan.answers:
                assert answer.trial is None or answer.trial.kept
                assert answer.next is None or answer.next.why
            json.dumps(dataclasses.asdict(plan), allow_nan=False)
