"""How many servers a power budget carries, in sentences: the answer over its ranges, what drives it, notes.

All figures come from the `RowPlan`; the paper's are those of POLCA (arXiv 2308.12908). Names of traces stand
in these texts as they are: who prints them makes them plain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overt.data.results.plan_row import Answer, Assumed, RowPlan, Trial
from overt.data.text import is_figure, percent, short_percent
from overt.report.sections.wording import counted, plural

PAPER = "arXiv 2308.12908"
PAPER_ROW = 40
PAPER_MORE = 0.30
TITLE = f"How many servers the power budget carries, after POLCA ({PAPER})"
POLCA, FREE = "polca", "no capping"
_DAY_S = 86_400.0
_FEW = 100  # requests that are not finished because the time was over
_RISE = " +"  # between a latency and its rise in the words of a limit that is not kept
_TITLES = {POLCA: "POLCA"}


# -- words that tables and plots share ----------------------------------------------------------------------


def policy_title(policy: str) -> str:
    return _TITLES.get(policy, policy)


def answer_of(row: RowPlan, policy: str) -> Answer | None:
    return next((answer for answer in row.answers if answer.policy == policy), None)


def change(value: float | None) -> str:
    """A change as a percentage with its sign: "+2.6%"; a dash where it is not known."""
    if not is_figure(value):
        return "-"
    text = f"{value:+.1%}"
    return "0.0%" if text in ("+0.0%", "-0.0%") else text


def more(row: RowPlan, servers: int) -> str:
    """How many more servers than the row was built for: "+27.5%"."""
    return change(servers / row.row - 1)


def value_text(assumed: Assumed, value: float) -> str:
    """A value of an assumption without its unit: "70%", "2,417", "0.2"."""
    if assumed.unit.startswith("share"):
        return short_percent(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def range_text(assumed: Assumed) -> str:
    """Both ends of a range; "" where the value is stated."""
    return " to ".join(value_text(assumed, end) for end in assumed.range)


def capped_share(row: RowPlan, trial: Trial) -> tuple[float, float]:
    """The share of the time for which (high, low) priority ran below its top clock."""
    seconds = trial.readings * row.figures["telemetry_s"] or row.days * _DAY_S
    high, low = (min(1.0, capped / seconds) for capped in trial.capped_s)
    return high, low


def reasons(trial: Trial) -> list[str]:
    """The limits that are not kept, with their figures; of a simulation that ended at its first brake
    none of latency, since a part of the load was held against all of it."""
    return [why for why in trial.why if trial.is_whole or _RISE not in why]


def broken_names(trial: Trial) -> list[str]:
    """The same by name alone: "brake", "low P50"; what is no limit, in its own words."""
    return ["brake" if "brake" in why else why.partition(_RISE)[0] for why in reasons(trial)]


# -- the answer ---------------------------------------------------------------------------------------------


def headline(row: RowPlan) -> list[str]:
    """The budget, the answer of each policy over the ranges that were tried, and the paper's beside it."""
    paper = round(PAPER_ROW * (1 + PAPER_MORE))
    return [
        f"The budget is {_kw(row.budget_w)} kW for a row built for {counted(row.row, 'server')}, "
        f"whose peak is {percent(row.peak_share)} of it ({_budget_by(row)}).",
        *(said for policy in (POLCA, FREE) if (said := _answered(row, policy))),
        f"The paper says +{PAPER_MORE:.0%} with 0 brakes: {paper} servers in the place of {PAPER_ROW}, on a "
        "load and a power curve that are not public.",
    ]


def _kw(watts: float) -> str:
    return f"{watts / 1000:,.1f}" if watts >= 1000 else f"{watts / 1000:.3g}"


def _budget_by(row: RowPlan) -> str:
    return "the budget is stated" if row.budget_by == "stated" else "which is assumed: peak_share"


def _answered(row: RowPlan, policy: str) -> str:
    answer = answer_of(row, policy)
    if answer is None:
        return ""
    who = f"{policy_title(policy)} carries" if policy == POLCA else "Without capping it carries"
    here = f"{answer.servers:,} ({more(row, answer.servers)})"
    tried = tried_names(row)
    if not tried:
        return (
            f"{who} {here} at the values below alone. No range was tried, so nobody can tell how far that "
            "holds."
        )
    low, high = row.span[policy]
    over = f"over the {plural(len(tried), 'range')} of {counted(len(tried), 'assumption')}, each moved alone"
    if low == high:
        return f"{who} {here}, the same {over}."
    return (
        f"{who} {low:,} to {high:,} servers ({more(row, low)} to {more(row, high)}) {over}; {here} where all "
        "stand at the values below."
    )


def tried_names(row: RowPlan) -> list[str]:
    """The assumptions whose ranges were tried."""
    return list(dict.fromkeys(varied.name for varied in row.varied))


# -- what breaks --------------------------------------------------------------------------------------------


def breaking(row: RowPlan) -> list[str]:
    """What each policy breaks with one server more than its answer."""
    return [_breaks(answer) for answer in row.answers]


def _breaks(answer: Answer) -> str:
    title, after = policy_title(answer.policy), answer.next
    if after is None:
        servers = counted(answer.servers, "server")
        return f"{title} with {servers}: the limits are kept, and no larger row was tried"
    none = "" if answer.servers else "not even one server keeps the limits: "
    said = ", ".join(reasons(after)) or "the limits are not kept"
    return f"{title} with {counted(after.servers, 'server')}: {none}{said}"


def tried_again(row: RowPlan) -> list[str]:
    """What became of the answers on draws of the load that took no part in finding them."""
    return [
        f"{policy_title(held.policy)} with {counted(held.servers, 'server')}: the limits are kept on "
        f"{held.kept:,} of {counted(held.draws, 'other draw')} of the load; the brake was used on "
        f"{held.with_brake:,}, and power reached {percent(held.worst_peak)} of the budget"
        for held in row.held_out
    ]


# -- notes --------------------------------------------------------------------------------------------------


def notes(row: RowPlan) -> list[str]:
    """What was simulated, and what this does not say."""
    return [*_of_the_load(row), *_of_the_ranges(row), *_of_the_baselines(row), *_of_the_commands(row)]


def _waits(trial: Trial) -> bool:
    """Whether more than a twentieth of the requests of one priority are not finished at the end."""
    return any(it.inside > max(_FEW, it.arrived / 20) for it in (trial.of_high, trial.of_low))


def _of_the_load(row: RowPlan) -> Iterator[str]:
    yield (
        f"Simulated: {days_text(row.days)} with seed {row.seed}; requests of {row.load}. The load of a seed "
        "is one draw, and another has other peaks: try several (--seed), and more days (--days)."
    )
    if crowded := [answer.trial for answer in row.answers if answer.trial and _waits(answer.trial)]:
        waiting = crowded[0].of_high.inside + crowded[0].of_low.inside
        yield (
            f"More comes than the servers can do: at the end {waiting:,} requests are not finished, and the "
            "latencies are those of a queue that grows. Give less: --assume load=80%"
        )
    if row.days < 1:
        yield "Less than a day is simulated, around the busiest hour."


def days_text(days: float) -> str:
    """ "1 day", "0.5 days"."""
    return f"{days:g} {'day' if days == 1 else 'days'}"


def _of_the_ranges(row: RowPlan) -> Iterator[str]:
    tried = tried_names(row)
    for base in row.base:
        names = [one.policy for one in row.answers if one.policy in base.servers]
        servers = ", ".join(f"{policy_title(name)} {base.servers[name]:,}" for name in names)
        yield (
            f"The ranges are simulated on {days_text(base.days)} (--range-days). With every assumption as it "
            f"stands that load gives: {servers}."
        )
    if len(tried) > 1:
        yield (
            "Each assumption was moved alone. Two that move together may lead beyond the range, and so may "
            "another draw of the load."
        )
    untried = [policy_title(one.policy) for one in row.answers if tried and one.policy not in row.span]
    if untried:
        yield f"Not simulated over the ranges: {listed(untried)}."


def _of_the_baselines(row: RowPlan) -> Iterator[str]:
    if {"one threshold", "cap all"} & {answer.policy for answer in row.answers}:
        yield (
            "How the paper calls and sets its baselines could not be found. Here one threshold caps low "
            "priority at T2, and cap all caps every server at T2, both to the lower clock of low priority."
        )


def _of_the_commands(row: RowPlan) -> Iterator[str]:
    drawn = answer_of(row, row.courses[0].name) if row.courses else None
    if drawn is None or drawn.trial is None:
        return
    sent = drawn.trial.caps + drawn.trial.brakes
    if sent > len(row.sent):
        yield f"plan.json holds the first {len(row.sent):,} of {sent:,} clocks that were sent."


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
