"""What `overt plan --row` shows: ranges and never one number, what drives them, tables and a plot."""

import dataclasses
import re
import xml.etree.ElementTree as ET
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from support.paths import ROOT

from overt.cli.plan_row import print_row
from overt.data.progress import make_progress
from overt.data.results.plan_row import (
    Answer,
    Assumed,
    AtClock,
    Course,
    HeldOut,
    Latency,
    MapCell,
    RowPlan,
    Sent,
    Trial,
    Varied,
)
from overt.data.svg import why_unsafe
from overt.data.typed_json import from_json, to_json
from overt.planning.assumptions import ASSUMPTIONS, value_of
from overt.planning.control import Command, Policy
from overt.planning.load import Load
from overt.planning.search import Search
from overt.planning.server_model import ServerModel
from overt.planning.setting import Setting
from overt.report.plan_row import (
    breaking,
    broken_names,
    headline,
    notes,
    range_text,
    tried_again,
    value_text,
)
from overt.report.plan_row_drivers import drivers, moved
from overt.report.plan_row_tables import answers_table, assumed_table, costs_table, map_table, requests_table
from overt.report.plots import draw_row
from overt.tasks.plan_row import RowConfig, planned_row
from overt.tasks.plan_row_drawn import capped_shares, clocks_of, courses_of

HOSTILE = "high priority: \x1b[31m<script>\u202e$x^2$.csv; low priority: the generator"


# -- plans made by hand -----------------------------------------------------------------------------------


def latency(p50=0.0, p99=0.0):
    return Latency(
        arrived=100, done=98, inside=2, p50_s=8.0, p99_s=30.0, p50_rise=p50, p99_rise=p99,
        throughput_change=-0.01,
    )  # fmt: skip


def trial(
    policy="polca", servers=40, *, peak=0.9, mean=0.7, brakes=0, low_p50=0.0, why=(), capped=(0.0, 0.0)
):
    return Trial(
        policy=policy, servers=servers, high=servers - servers // 2, low=servers // 2, budget_w=200_000.0,
        peak_share=peak, mean_share=mean, readings=43_200, over=brakes, brakes=brakes, caps=7,
        capped_s=capped, energy_kwh=4000.0, is_whole=not brakes, of_high=latency(), of_low=latency(low_p50),
        kept=not why, why=tuple(why),
    )  # fmt: skip


SLOW = "low P50 +7.7% (limit 5%)"
BRAKE = "the brake was used"


def answer(policy, servers, why=SLOW):
    after = trial(policy, servers + 1, why=[why], brakes=int(why == BRAKE), mean=0.8)
    return Answer(
        policy=policy,
        servers=servers,
        more=servers / 40 - 1,
        trial=trial(policy, servers, capped=(0.0, 3600.0)) if servers else None,
        next=after,
        tried=(servers, servers + 1),
    )


def assumed(name, value, low, high, unit="share", **more):
    return Assumed(name=name, value=value, range=(low, high), unit=unit, source="a source", **more)


def varied(name, value, polca, free=50):
    return Varied(
        name=name, value=value, days=1.0, peak_share=0.79, servers={"no capping": free, "polca": polca}
    )


def clock(mhz, prompt_w, token_w, prompt_slower, token_slower):
    return AtClock(
        mhz=mhz, tokens=1024, prompt_w=prompt_w, token_w=token_w, prompt_slower=prompt_slower,
        token_slower=token_slower,
    )  # fmt: skip


FIGURES = {
    "t1": 0.8, "t2": 0.89, "hysteresis": 0.05, "low_mhz": 1275.0, "low_mhz_2": 1110.0, "high_mhz": 1305.0,
    "brake_mhz": 288.0, "telemetry_s": 2.0, "cap_s": 40.0, "brake_s": 5.0,
}  # fmt: skip


def course(name, capped=()):
    hours = tuple(place / 10 for place in range(240))
    return Course(
        name=name,
        servers=47,
        hours=hours,
        mean=(0.7,) * 240,
        highest=(0.85,) * 240,
        high_capped=(0.0,) * len(capped),
        low_capped=capped,
    )


def plan(**changes):
    """47 servers under POLCA, 36 to 52 over the ranges; 50 without capping."""
    made = RowPlan(
        row=40,
        budget_w=200_000.0,
        budget_by="peak share",
        peak_share=0.79,
        days=1.0,
        load="a seeded generator",
        seed=3,
        figures=FIGURES,
        limits={"high_p50": 0.01, "high_p99": 0.05, "low_p50": 0.05, "low_p99": 0.5},
        clocks=(
            clock(1410.0, 5700.0, 4400.0, 0.0, 0.0),
            clock(1275.0, 5400.0, 4180.0, 0.08, 0.02),
            clock(288.0, 3000.0, 3000.0, 2.3, 0.4),
        ),
        assumed=(
            assumed("slots", 1, 1, 4, "requests per server"),
            assumed("peak_share", 0.79, 0.7, 0.9),
            assumed("token_exponent", 0.2, 0.0, 0.3, "exponent"),
            assumed("weekend", 0.8, 0.6, 1.0, idle="no weekend comes"),
            Assumed(name="other_w", value=2417.0, range=(), unit="W per server", source="stated"),
        ),
        answers=(
            answer("polca", 47),
            answer("one threshold", 46),
            answer("cap all", 45),
            answer("no capping", 50, BRAKE),
        ),
        varied=(
            varied("slots", 1, 47), varied("slots", 4, 46),
            varied("peak_share", 0.9, 36, 44), varied("peak_share", 0.7, 51, 57),
            varied("token_exponent", 0.0, 52), varied("token_exponent", 0.3, 44),
        ),
        span={"polca": (36, 52), "no capping": (44, 57)},
        map=tuple(
            MapCell(t1=t1, t2=t2, answer=answer("polca", 45 if t1 < 0.75 else 49))
            for t1 in (0.7, 0.8) for t2 in (0.75, 0.89) if t2 > t1
        ),
        courses=(course("polca", (0.0,) * 100 + (0.5,) * 140), course("without a budget")),
        sent=(Sent(sent=2.0, lands=42.0, group="low", mhz=1275.0, share=0.81),),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def polca(row, servers=47, why=SLOW, **changes):
    return dataclasses.replace(row, answers=(answer("polca", servers, why), *row.answers[1:]), **changes)


def polca_next(row, after):
    return dataclasses.replace(
        row, answers=(dataclasses.replace(row.answers[0], next=after), *row.answers[1:])
    )


def said(lines):
    return " ".join(lines)


# -- the answer -------------------------------------------------------------------------------------------


def test_the_answer_is_a_range_with_the_papers_beside_it():
    text = said(headline(plan()))
    assert "POLCA carries 36 to 52 servers (-10.0% to +30.0%) over the ranges of 3 assumptions" in text
    assert "each moved alone; 47 (+17.5%) where all stand" in text
    assert "Without capping it carries 44 to 57 servers" in text
    assert "+30% with 0 brakes: 52 servers in the place of 40" in text
    assert "79.0% of it (which is assumed: peak_share)" in text
    assert "79.0% of it (the budget is stated)" in said(headline(plan(budget_by="stated")))


def test_without_ranges_it_says_that_nobody_can_tell_how_far_it_holds():
    text = said(headline(plan(varied=())))
    assert "POLCA carries 47 (+17.5%) at the values below alone. No range was tried" in text
    assert "36" not in text
    assert "which assumption decides that is not known" in said(drivers(plan(varied=())))


def test_a_range_that_moves_nothing_is_said_to():
    row = plan(
        varied=(varied("slots", 1, 47), varied("slots", 4, 47)),
        span={"polca": (47, 47), "no capping": (50, 50)},
    )
    assert "POLCA carries 47 (+17.5%), the same over the range of 1 assumption" in said(headline(row))
    assert "These do not move it: slots." in drivers(row)


def test_a_policy_that_carries_no_server():
    row = polca(plan(), 0)
    assert breaking(row)[0].startswith("POLCA with 1 server: not even one server keeps the limits: low P50")
    cells = answers_table(row).rows[0]
    assert [cell.text for cell in cells[:3]] == ["POLCA", "0", "-100.0%"]
    assert all(cell.muted for cell in cells[4:])
    assert [line[0].text for line in costs_table(row).rows] == ["one threshold", "cap all", "no capping"]
    assert "capping costs 50 servers" in said(drivers(row))
    assert "not even one server" in printed(row)


def test_a_search_that_ended_is_not_an_answer_that_breaks():
    first = dataclasses.replace(plan().answers[0], servers=320, next=None)
    assert "no larger row was tried" in breaking(plan(answers=(first,)))[0]


def test_a_row_that_stopped_at_its_first_brake_says_nothing_of_latency():
    """Its latencies are those of a part of the load, held against all of it."""
    stopped = trial("polca", 48, brakes=1, why=[BRAKE, "high P50 +106.3% (limit 1%)"])
    row = plan(answers=(dataclasses.replace(plan().answers[0], next=stopped),))
    assert breaking(row) == ["POLCA with 48 servers: the brake was used"]
    assert broken_names(stopped) == ["brake"]
    whole = dataclasses.replace(stopped, is_whole=True)
    assert broken_names(whole) == ["brake", "high P50"]
    assert broken_names(trial(why=["no request of low priority was finished"]))[0].startswith("no request")
    assert "is the budget and latency (high P50)" in said(drivers(polca_next(row, whole)))


# -- what drives it ---------------------------------------------------------------------------------------


def test_the_row_that_would_fit_by_its_peak_alone():
    assert "the peak of 40 servers is 79.0% of it, so 50.6 would reach it" in drivers(plan())[0]


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        (47, "At the values below capping costs 3 servers: 47 in the place of 50. A cap slows"),
        (52, "At the values below capping adds 2 servers: 52 in the place of 50. Over the"),
        (50, "At the values below capping adds no server: 50 with it and without it."),
    ],
)
def test_what_capping_adds_or_costs(servers, words):
    assert words in said(drivers(polca(plan(), servers)))


def test_what_capping_adds_or_costs_over_the_ranges():
    told = "from 8 fewer with capping (peak_share 90%) to 2 more (token_exponent 0)"
    assert told in said(drivers(plan()))
    same = plan(varied=(varied("slots", 1, 47), varied("slots", 4, 47)))
    assert "the same everywhere: 3 fewer with capping" in said(drivers(same))
    assert "Over the ranges" not in said(drivers(plan(varied=())))


def test_a_cap_is_not_blamed_where_the_brake_ends_the_answer():
    by_brake = said(drivers(polca(plan(), 49, why=BRAKE)))
    assert "capping costs 1 server: 49 in the place of 50." in by_brake
    assert "A cap slows" not in by_brake


def test_a_priority_without_servers_is_not_spoken_of():
    alone = dataclasses.replace(
        trial("polca", 40, capped=(0.0, 3600.0)),
        high=40,
        low=0,
        of_low=dataclasses.replace(latency(), p50_rise=None),
    )
    text = said(drivers(plan(answers=(dataclasses.replace(plan().answers[0], trial=alone),))))
    assert "With 47 servers" not in text
    assert "high priority is never capped. Median latency changes by 0.0% for high priority." in text
    assert "low priority" not in text


def test_what_ends_the_answer():
    text = said(drivers(plan()))
    assert "is latency (low P50), not the budget: with 48 servers the row peaks at 90.0%" in text
    assert "mean draw is 80.0% of the budget, above the 75% below which the first cap is released" in text
    by_brake = said(drivers(polca(plan(), why=BRAKE)))
    assert "is the budget: with 48 servers the caps land too late" in by_brake
    assert "is latency" not in by_brake


def test_what_a_clock_saves_and_costs():
    text = said(drivers(plan()))
    assert "at 1275 MHz -5.0% power, +2.0% time for each token and +8.0% for a prompt." in text
    assert "288 MHz" not in text
    assert "the 23 of 47 servers that are of low priority, takes about 2.4% off" in text
    assert "low priority runs below its top clock for 1.0 hours (4.2% of the time)" in text


def test_assumptions_are_sorted_by_how_far_they_move_the_answer():
    row = plan()
    assert [one.assumed.name for one in moved(row)] == ["peak_share", "token_exponent", "slots"]
    text = said(drivers(row))
    assert "peak_share (70% gives 51, 90% gives 36); token_exponent (0 gives 52, 0.3 gives 44)." in text
    assert "by one server, which may be chance: slots." in text
    assert "weekend was not tried: no weekend comes." in text


def test_the_shorter_load_of_the_ranges_is_what_their_ends_are_held_against():
    row = plan(
        base=(Varied(name="", value=0.0, days=0.5, peak_share=0.79, servers={"polca": 49, "no capping": 51}),)
    )
    assert moved(row)[0].base == 49
    assert "POLCA's answer of 49 (on the shorter load of the ranges)" in said(drivers(row))
    assert "that load gives: POLCA 49, no capping 51" in said(notes(row))


def test_which_assumption_alone_gives_the_papers_number():
    assert "One assumption alone would give it: token_exponent (0 gives 52, 0.3 gives 44)." in said(
        drivers(plan())
    )
    short = plan(varied=tuple(one for one in plan().varied if one.name != "token_exponent"))
    assert "No assumption alone gives it within its range; nearest: peak_share" in said(drivers(short))
    above = polca(plan(), 53)
    assert "it falls below: peak_share" in said(drivers(above))
    firm = polca(plan(varied=(varied("slots", 1, 53), varied("slots", 4, 54))), 53)
    assert "No range that was tried leads below." in said(drivers(firm))


# -- tables -----------------------------------------------------------------------------------------------


def texts(table):
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_the_table_of_assumptions():
    found = texts(assumed_table(plan()))
    assert next(iter(found)) == "peak_share"
    assert found["peak_share"] == ["79%", "70% to 90%", "51", "36", "57", "44"]
    assert found["other_w"] == ["2,417", "stated", "-", "-", "-", "-"]
    assert found["weekend"][2:] == ["no effect"] * 4
    without = assumed_table(plan(varied=()))
    assert list(without.columns) == ["assumption", "here", "range"]


def test_the_answers_say_where_no_range_was_tried():
    found = texts(answers_table(plan()))
    assert found["POLCA"][2] == "36 to 52"
    assert found["one threshold"][2] == "not tried"
    assert found["POLCA"][5] == "0 of 43,200"
    assert "Not simulated over the ranges: one threshold and cap all." in notes(plan())


def test_costs_name_the_limits_and_requests_have_both_priorities():
    costs = costs_table(plan())
    assert "low P99 (limit 50%)" in costs.columns
    assert texts(costs)["POLCA"][2] == "1.00 h (4.2%)"
    assert [row[1].text for row in requests_table(plan()).rows] == ["high", "low"] * 4
    nothing = dataclasses.replace(trial(), of_low=dataclasses.replace(latency(), p50_rise=None, p50_s=None))
    row = plan(answers=(dataclasses.replace(answer("polca", 40), trial=nothing),))
    assert texts(costs_table(row))["POLCA"][5] == "-"


def test_the_map_has_servers_and_what_ends_them():
    found = texts(map_table(plan()))
    assert found == {"89%": ["45 (low P50)", "49 (low P50)"], "75%": ["45 (low P50)", "-"]}
    heats = [[cell.heat for cell in row[1:]] for row in map_table(plan()).rows]
    assert heats == [["worse", "better"], ["worse", ""]]
    assert not map_table(plan(map=())).rows


def test_the_answers_on_other_draws_are_told_with_their_number():
    held = HeldOut(policy="polca", servers=47, draws=4, kept=3, with_brake=1, worst_peak=1.004)
    (told,) = tried_again(plan(held_out=(held,)))
    assert "POLCA with 47 servers: the limits are kept on 3 of 4 other draws" in told
    assert "100.4%" in told
    assert tried_again(plan()) == []


def test_notes_say_what_was_simulated_and_what_is_not_kept():
    text = said(notes(plan(days=0.5, load=HOSTILE)))
    assert "0.5 days with seed 3" in text
    assert "one draw" in text
    assert "Less than a day" in text
    assert "the first 1 of 7 clocks that were sent" in text
    assert "Two that move together may lead beyond the range" in text


# -- the terminal -----------------------------------------------------------------------------------------


def printed(row, width=80, *, terminal=True):
    to = StringIO()
    print_row(Console(file=to, width=width, force_terminal=terminal, color_system=None, highlight=False), row)
    return to.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_wider_than_the_terminal(width):
    lines = printed(plan(load=HOSTILE), width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("What moves POLCA's answer" in line for line in lines)


def test_hostile_names_drive_no_terminal():
    for text in (printed(plan(load=HOSTILE)), printed(plan(load=HOSTILE), terminal=False)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
        assert "<script>" in text


# -- the plot ---------------------------------------------------------------------------------------------


def words_of(svg):
    return [
        element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text") and element.text
    ]


def test_the_plot_has_every_part_and_nothing_that_runs():
    svg = draw_row(plan(load=HOSTILE))
    assert svg is not None
    assert why_unsafe(svg) == ""
    words = words_of(svg)
    for wanted in (
        "Power of 47 servers, after POLCA", "T1 80%", "T2 89%", "budget", "47 (36 to 52)", "paper +30%: 52",
        "peak_share", "90%: 36", "45 (low P50)", "low capped",
    ):  # fmt: skip
        assert any(wanted in text for text in words), wanted
    assert not any(char in svg for char in "\x1b\u202e")


@pytest.mark.parametrize(
    "changes",
    [
        {"varied": (), "row": 1},
        {"courses": (), "map": (), "answers": (answer("polca", 0),)},
        {"answers": (), "map": (), "courses": ()},
        {
            "varied": (varied("peak_share", 0.7, 0, 0), varied("peak_share", 0.9, 0, 0)),
            "span": {"polca": (0, 47)},
            "courses": (course("polca"), course("without a budget")),
        },
    ],
)
def test_the_plot_of_what_there_is(changes):
    svg = draw_row(plan(**changes))
    assert svg is not None
    assert why_unsafe(svg) == ""


def test_an_axis_of_one_server_or_two_has_whole_numbers_once():
    row = plan(row=1, answers=(answer("polca", 1),), varied=(), map=(), courses=())
    words = words_of(draw_row(row))
    assert words.count("2") <= 1
    assert words.count("1") <= 2  # the tick, and the answer


def test_no_plot_of_nothing():
    assert draw_row(plan(answers=(), map=(), varied=(), courses=())) is None


def test_caps_that_are_not_kept_are_said_to_be_missing():
    row = plan(courses=(course("polca", (1.0,) * 50), course("without a budget")))
    assert any("not kept from here on" in text for text in words_of(draw_row(row)))
    assert not any("not kept from here on" in text for text in words_of(draw_row(plan())))


# -- what the plan keeps for it ---------------------------------------------------------------------------


def test_shares_of_time_below_the_top_clock():
    edges = np.asarray([0.0, 10.0, 20.0, 30.0, 40.0])
    commands = [
        Command(5.0, 0.0, "low", 1275.0, 0.8),
        Command(15.0, 10.0, "low", None, 0.7),
        Command(25.0, 20.0, "all", 288.0, 1.1),
        Command(30.0, 26.0, "all", None, 0.7),
        Command(38.0, 31.0, "high", 1410.0, 0.9),
    ]
    assert capped_shares(commands, "low", edges, 1410.0) == (0.5, 0.5, 0.5, 0.0)
    assert capped_shares(commands, "high", edges, 1410.0) == (0.0, 0.0, 0.5, 0.0)
    assert capped_shares(commands[:1], "low", edges, 1410.0) == (0.5, 1.0, 1.0, 1.0)
    assert capped_shares([], "low", edges, 1410.0) == (0.0,) * 4
    assert capped_shares(commands, "low", edges[:1], 1410.0) == ()


def test_capped_bins_add_up_to_the_time_that_was_counted():
    setting = Setting(row=6, load=Load(days=0.05))
    search = Search(setting)
    shown = search.trial(setting.policy, 7)
    with_caps, free = courses_of(shown, search.budget_w, setting.model.top_mhz)
    width = setting.load.seconds / len(with_caps.hours)
    assert shown.trial.capped_s[1] > 60
    assert sum(with_caps.low_capped) * width == pytest.approx(shown.trial.capped_s[1], rel=0.01)
    assert sum(with_caps.high_capped) * width == pytest.approx(shown.trial.capped_s[0], rel=0.01, abs=2)
    assert (free.name, free.low_capped) == ("without a budget", ())
    assert max(with_caps.highest) == pytest.approx(shown.trial.peak_share, abs=1e-4)


def test_clocks_are_those_of_the_policy_by_the_exponents():
    found = clocks_of(ServerModel(), Policy())
    assert [at.mhz for at in found] == [1410.0, 1305.0, 1275.0, 1110.0, 288.0]
    assert (found[0].prompt_slower, found[0].token_slower) == (0, 0)
    assert found[3].token_slower == pytest.approx((1410 / 1110) ** 0.2 - 1)
    assert found[3].prompt_slower == pytest.approx((1410 / 1110) ** 0.75 - 1)
    # 2,417 W beside 8 GPUs of 400 W, 20% of it idle; a token draws 62.4% at the top clock.
    idle = 2417 + 3200 * 0.2
    assert found[0].token_w == pytest.approx(2417 + 3200 * 0.624)
    assert found[3].token_w == pytest.approx(idle + (2417 + 3200 * 0.624 - idle) * (1110 / 1410) ** 1.2)


@pytest.fixture(scope="module")
def real():
    """A row of six, as the command plans it; most assumptions are stated, since each range takes its time."""
    kept = ("peak_share", "load", "weekend")
    stated = tuple(f"{name}={value_of(Setting(), name):g}" for name in ASSUMPTIONS if name not in kept)
    config = RowConfig(row=6, days=0.03, range_days=0.02, draws=1, processes=1, assume=stated)
    return planned_row(config, make_progress(quiet=True))


def test_a_real_plan_is_shown_from_its_json(real):
    row = from_json(RowPlan, to_json(real))
    assert row == real
    text = printed(row, 160)
    assert "What drives the answer" in text
    assert why_unsafe(draw_row(row)) == ""
    assert "weekend was not tried: the load of the ranges ends after 0.02 days" in text
    every = [one.servers["polca"] for one in (*row.varied, *row.base)]
    assert row.span["polca"] == (min([*every, row.answers[0].servers]), max([*every, row.answers[0].servers]))


def test_names_of_broken_limits_are_those_of_the_search(real):
    """The words are made far away from here; this holds both together."""
    tried = [one.next for one in real.answers if one.next] + [
        cell.answer.next for cell in real.map if cell.answer.next
    ]
    broken = [one for one in tried if not one.kept and one.is_whole]
    assert broken
    for one in broken:
        names = broken_names(one)
        assert len(names) == len(one.why)
        assert set(names) <= {"brake", "high P50", "high P99", "low P50", "low P99"}


# -- the page of the docs ---------------------------------------------------------------------------------


def test_the_page_has_every_assumption_with_its_default_and_range():
    page = (ROOT / "docs" / "howto" / "power-budget.md").read_text("utf-8")
    for name, row in ASSUMPTIONS.items():
        it = Assumed(
            name=name, value=value_of(Setting(), name), range=(row.low, row.high), unit=row.unit, source=""
        )
        assert f"| `{name}` | {value_text(it, it.value)} | {range_text(it)} |" in page, name
