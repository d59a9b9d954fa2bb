"""The row's half of `overt plan`: its options, and how many servers a power budget carries."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.progress import Progress
from overt.data.results.plan_row import (
    Answer,
    Assumed,
    HeldOut,
    RowPlan,
    Sent,
    Trial,
    Varied,
)
from overt.data.text import short_percent
from overt.planning.assumptions import ASSUMPTIONS, value_of, with_value
from overt.planning.control import KINDS, Command, Policy
from overt.planning.jobs import Found, answered, crew, held_out, mapped, varied
from overt.planning.load import DAY_S, Load
from overt.planning.setting import Limits, Setting
from overt.report.plan_row import days_text
from overt.tasks.config import Option
from overt.tasks.how_many import read_rate
from overt.tasks.plan_assumed import Stated, inside, read_assumed
from overt.tasks.plan_needs import DrawsConfig
from overt.tasks.plan_row_drawn import clocks_of, courses_of
from overt.tasks.plan_row_load import load_said, long_said, read_traces, refuse_sparse_traces
from overt.workers.processes import processors

ROW = "The row under a power budget"
POLICY = "The power policy (after POLCA)"

_LIMITS = tuple(field.name for field in dataclasses.fields(Limits))
_FIGURES = tuple(field.name for field in dataclasses.fields(Policy) if field.name != "kind")
_MOST_SENT = 200  # commands that are kept one by one
_MAP_T1 = (0.70, 0.75, 0.80, 0.85)
_MAP_T2 = (0.84, 0.89, 0.94, 0.98)
_RANGE_DAYS = 1.0
_WEEKDAYS = 5  # after which the weekend comes


class RowConfig(DrawsConfig):
    kind: ClassVar[str] = "plan"

    row: Annotated[
        int | None,
        Option(
            "How many servers the row was built for, such as 40.", ROW, min=1, max=2000, metavar="SERVERS"
        ),
    ] = None
    budget: Annotated[
        float | None,
        Option(
            "The row's power budget in kW. Default: what makes the peak of the row as it is 79% of it "
            "(--assume peak_share=79%), as in the paper.",
            ROW,
            metavar="KW",
            min=0.001,
            max=1e6,
        ),
    ] = None
    trace: Annotated[
        tuple[str, ...],
        Option(
            "A trace of requests (Azure's columns TIMESTAMP, ContextTokens, GeneratedTokens): it is repeated "
            "and scaled to the row. Default: a seeded generator.",
            ROW,
            metavar="[high=|low=]FILE",
        ),
    ] = ()
    days: Annotated[float, Option("Days that are simulated; day 0 is a Monday.", ROW, min=0.01, max=366)] = (
        1.0
    )
    assume: Annotated[
        tuple[str, ...],
        Option(
            "A number that no public source gives: NAME=VALUE, or its range NAME=LOW..HIGH. The "
            "answer lists all names with their ranges.",
            ROW,
            metavar="NAME=VALUE",
        ),
    ] = ()
    draws: Annotated[
        int, Option("Other draws of the load on which the answers are tried.", ROW, min=0, max=100)
    ] = 4
    ranges: Annotated[
        bool,
        Option("Answer for both ends of the range of each assumption.", ROW, flag="--ranges/--no-ranges"),
    ] = True
    range_days: Annotated[
        float, Option("Days that are simulated for each end of a range.", ROW, min=0.01, max=366)
    ] = _RANGE_DAYS
    map: Annotated[bool, Option("What other thresholds T1 and T2 give.", ROW, flag="--map/--no-map")] = True
    processes: Annotated[
        int | None, Option("Processes that simulate. Default: one for each core.", ROW, min=1, max=256)
    ] = None
    t1: Annotated[str, Option("Above it low priority is capped.", POLICY, metavar="SHARE")] = "80%"
    t2: Annotated[
        str, Option("Above it low priority is capped lower, then high priority.", POLICY, metavar="SHARE")
    ] = "89%"
    hysteresis: Annotated[
        str, Option("How far below a threshold its cap is released.", POLICY, metavar="SHARE")
    ] = "5%"
    low_mhz: Annotated[float, Option("Clock of low priority above T1.", POLICY, min=1)] = Policy().low_mhz
    low_mhz_2: Annotated[float, Option("Clock of low priority above T2.", POLICY, min=1)] = Policy().low_mhz_2
    high_mhz: Annotated[float, Option("Clock of high priority above T2.", POLICY, min=1)] = Policy().high_mhz
    brake_mhz: Annotated[float, Option("Clock of all under the brake.", POLICY, min=1)] = Policy().brake_mhz
    telemetry: Annotated[
        float, Option("Seconds between two readings of the row's power.", POLICY, min=0.1, max=3600)
    ] = Policy().telemetry_s
    cap_delay: Annotated[float, Option("Seconds until a cap lands.", POLICY, min=0, max=3600)] = (
        Policy().cap_s
    )
    brake_delay: Annotated[float, Option("Seconds until the brake lands.", POLICY, min=0, max=3600)] = (
        Policy().brake_s
    )
    high_p50: Annotated[
        str, Option("Least rise of high priority's median latency that counts.", POLICY, metavar="SHARE")
    ] = "1%"
    high_p99: Annotated[str, Option("The same of its 99% point.", POLICY, metavar="SHARE")] = "5%"
    low_p50: Annotated[str, Option("The same of low priority's median.", POLICY, metavar="SHARE")] = "5%"
    low_p99: Annotated[str, Option("The same of its 99% point.", POLICY, metavar="SHARE")] = "50%"


def row_asked(config: RowConfig) -> bool:
    """Whether a row is asked for.

    Raises:
        InputError: options say more of a row that nobody asked for.
    """
    if config.row is not None:
        return True
    own = [field for name, field in RowConfig.fields().items() if name not in DrawsConfig.model_fields]
    given = [field.flag for field in own if not field.is_default(getattr(config, field.name))]
    if given:
        raise InputError(
            f"{', '.join(given)}: no row was given", fix="Say how many servers it was built for: --row 40"
        )
    return False


def planned_row(config: RowConfig, progress: Progress) -> RowPlan:
    """How many servers the budget of a row carries.

    Raises:
        InputError: no row, thresholds that cross, a wrong share, trace or assumption.
    """
    stated = read_assumed(config.assume)
    setting = setting_of(config, stated)
    short = _short(setting, config.range_days)
    ranges = ranges_of(stated, short) if config.ranges else []
    base = _as_it_stands(ranges, short, setting)
    columns = [t1 for t1 in _MAP_T1 if config.map]
    jobs = 1 + len(base) + len(ranges) + len(columns) + config.draws
    count = config.processes or processors()
    long = long_said(
        setting,
        short,
        ends=len(base) + len(ranges),
        columns=len(columns),
        draws=config.draws,
        processes=count,
    )
    if long:
        progress.note(long)
    with progress.stage("rows", jobs) as advance, crew(count, advance) as processes:
        first = processes.submit(answered, setting, KINDS)
        ends = [processes.submit(varied, short, name, value) for name, value in [*base, *ranges]]
        found = first.result()
        guess = max(1, found.answers[0].servers)
        cells = [
            processes.submit(mapped, setting, guess, found.budget_w, t1, [t2 for t2 in _MAP_T2 if t2 > t1])
            for t1 in columns
        ]
        seeds = range(setting.load.seed + 1, setting.load.seed + 1 + config.draws)
        draws = [processes.submit(held_out, setting, found.budget_w, found.answers, seed) for seed in seeds]
        around = [end.result() for end in ends]
        row = _told(setting, found, around[: len(base)], around[len(base) :])
        return dataclasses.replace(
            row,
            assumed=_assumed(setting, stated, idle_in(short)),
            held_out=_held_out(found.answers, [draw.result() for draw in draws]),
            map=tuple(itertools.chain.from_iterable(column.result() for column in cells)),
        )


def _as_it_stands(
    ranges: Sequence[tuple[str, float]], short: Setting, setting: Setting
) -> list[tuple[str, float]]:
    """The job that answers on the load of the ranges, where that is another one."""
    return [("", 0.0)] if ranges and short != setting else []


def ranges_of(stated: Mapping[str, Stated], setting: Setting) -> list[tuple[str, float]]:
    """The ends of all ranges that can make a difference in this setting."""
    idle = idle_in(setting)
    return [(name, end) for name, said in stated.items() if name not in idle for end in said.range]


def idle_in(setting: Setting) -> dict[str, str]:
    """The assumptions that make no difference in this setting, each with the reason."""
    idle = {}
    if setting.budget_w is not None:
        idle["peak_share"] = "the budget is stated"
    if setting.load.days <= _WEEKDAYS:
        idle["weekend"] = (
            f"the load of the ranges ends after {days_text(setting.load.days)}, before the weekend"
        )
    if None not in setting.load.traces:
        idle["burst"] = "all requests come from traces"
    return idle


# -- what is asked ------------------------------------------------------------------------------------------


def setting_of(config: RowConfig, stated: Mapping[str, Stated]) -> Setting:
    """The row that the options describe.

    Raises:
        InputError: no row, shares that are none, thresholds that cross, clocks out of order, a wrong trace.
    """
    if config.row is None:
        raise InputError("no row was given", fix="Say how many servers it was built for: --row 40")
    setting = Setting(
        row=config.row,
        budget_w=config.budget * 1000 if config.budget is not None else None,
        policy=policy_of(config),
        limits=Limits(**{name: _limit(config, name) for name in _LIMITS}),
        load=Load(seed=config.seed, days=config.days, traces=read_traces(config.trace)),
    )
    if config.budget is not None and stated["peak_share"].value is not None:
        raise InputError(
            "--budget and --assume peak_share both say what the budget is", fix="Leave one of them out."
        )
    for name, said in stated.items():
        setting = with_value(setting, name, inside(value_of(setting, name), said, ASSUMPTIONS[name]))
    refuse_sparse_traces(setting)
    top = setting.model.top_mhz
    for option, mhz in (("--low-mhz", config.low_mhz), ("--high-mhz", config.high_mhz)):
        if mhz > top:
            raise InputError(
                f"{option} {mhz:g} lies above the top clock of {top:g} MHz", fix="Give a lower clock."
            )
    days = min(config.days, config.range_days if config.ranges else math.inf)
    if config.telemetry > days * DAY_S:
        raise InputError(
            f"--telemetry {config.telemetry:g} is longer than the {days * DAY_S:g} s that are simulated",
            fix="Give more --days (and --range-days), or read the power more often.",
        )
    return setting


def policy_of(config: RowConfig) -> Policy:
    """The figures of the policy.

    Raises:
        InputError: they contradict each other.
    """
    t1, t2, hysteresis = (_share(config, name) for name in ("t1", "t2", "hysteresis"))
    if not 0 < t1 < t2 <= 1:
        raise InputError(
            f"the thresholds cross: --t1 is {short_percent(t1)} and --t2 {short_percent(t2)} of the budget",
            fix="T1 lies below T2, and T2 not above 100%: --t1 80% --t2 89%",
        )
    if hysteresis >= t1:
        raise InputError(
            f"--hysteresis {short_percent(hysteresis)} is not less than --t1 {short_percent(t1)}: no cap "
            "would ever be released",
            fix="For instance: --hysteresis 5%",
        )
    clocks = (config.brake_mhz, config.low_mhz_2, config.low_mhz)
    if sorted(clocks) != list(clocks) or config.brake_mhz > config.high_mhz:
        raise InputError(
            "the clocks are out of order",
            fix="--brake-mhz is the lowest, --low-mhz-2 (above T2) is not above --low-mhz (above T1), for "
            "instance 288, 1110 and 1275",
        )
    return Policy(
        t1=t1,
        t2=t2,
        hysteresis=hysteresis,
        low_mhz=config.low_mhz,
        low_mhz_2=config.low_mhz_2,
        high_mhz=config.high_mhz,
        brake_mhz=config.brake_mhz,
        telemetry_s=config.telemetry,
        cap_s=config.cap_delay,
        brake_s=config.brake_delay,
    )


def _share(config: RowConfig, name: str, most: float = 1.0) -> float:
    return read_rate(getattr(config, name), config.fields()[name].flag, most) or 0.0


def _limit(config: RowConfig, name: str) -> float:
    limit = _share(config, name, most=1000.0)
    if not limit:
        raise InputError(
            f"{config.fields()[name].flag} is 0: a rise of 0 would count, so that no row keeps it",
            fix="Give a small share, such as 0.1%.",
        )
    return limit


# -- what is told -------------------------------------------------------------------------------------------


def _short(setting: Setting, days: float) -> Setting:
    """The setting with less of its load: its busiest hour comes every day."""
    load = dataclasses.replace(setting.load, days=min(setting.load.days, days))
    return dataclasses.replace(setting, load=load)


def _told(setting: Setting, found: Found, base: Sequence[Varied], ends: Sequence[Varied]) -> RowPlan:
    """The answers and their ranges."""
    answers = {answer.policy: answer.servers for answer in found.answers}
    all_ends = [answers, *(end.servers for end in (*base, *ends))]
    drawn = found.shown
    return RowPlan(
        row=setting.row,
        budget_w=found.budget_w,
        budget_by="stated" if setting.budget_w else "peak share",
        peak_share=found.peak_share,
        days=setting.load.days,
        load=load_said(setting),
        seed=setting.load.seed,
        figures={name: getattr(setting.policy, name) for name in _FIGURES},
        limits={name: getattr(setting.limits, name) for name in _LIMITS},
        clocks=clocks_of(setting.model, setting.policy),
        answers=found.answers,
        base=tuple(base),
        varied=tuple(ends),
        span={
            kind: (min(one[kind] for one in all_ends), max(one[kind] for one in all_ends)) for kind in KINDS
        },
        courses=courses_of(drawn, found.budget_w, setting.model.top_mhz) if drawn else (),
        sent=tuple(_sent(command) for command in drawn.measured.commands[:_MOST_SENT]) if drawn else (),
    )


def _assumed(setting: Setting, stated: Mapping[str, Stated], idle: Mapping[str, str]) -> tuple[Assumed, ...]:
    """Every assumption with its value and its range; one that the user states has none."""
    return tuple(
        Assumed(
            name=name,
            value=value_of(setting, name),
            range=said.range,
            unit=ASSUMPTIONS[name].unit,
            source=ASSUMPTIONS[name].source if said.value is None else "stated",
            idle=idle.get(name, "") if said.value is None else "",
        )
        for name, said in stated.items()
    )


def _held_out(answers: Sequence[Answer], draws: Sequence[Sequence[tuple[str, Trial]]]) -> tuple[HeldOut, ...]:
    """What became of each answer on other draws."""
    found: dict[str, list[Trial]] = {}
    for policy, trial in itertools.chain.from_iterable(draws):
        found.setdefault(policy, []).append(trial)
    return tuple(
        HeldOut(
            policy=answer.policy,
            servers=answer.servers,
            draws=len(trials),
            kept=sum(trial.kept for trial in trials),
            with_brake=sum(trial.brakes > 0 for trial in trials),
            worst_peak=max(trial.peak_share for trial in trials),
        )
        for answer in answers
        if (trials := found.get(answer.policy))
    )


def _sent(command: Command) -> Sent:
    return Sent(
        sent=command.sent, lands=command.lands, group=command.group, mhz=command.mhz, share=command.share
    )
