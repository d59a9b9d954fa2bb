"""What makes the answer of a row what it is, in plain sentences that are computed from its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from overt.data.results.plan_row import Answer, Assumed, AtClock, RowPlan, Trial, Varied
from overt.data.text import duration, percent, short_percent
from overt.report.plan_row import (
    FREE,
    PAPER_MORE,
    POLCA,
    answer_of,
    broken_names,
    capped_share,
    change,
    listed,
    tried_names,
    value_text,
)
from overt.report.sections.wording import counted


@dataclass(frozen=True, slots=True)
class Moved:
    """The answers over the range of one assumption: `ends` from its smallest value to its largest, `base`
    POLCA's answer where it stands as it is, on the same load."""

    assumed: Assumed
    ends: tuple[Varied, ...]
    base: int

    def servers(self) -> list[int]:
        """POLCA's answers at the ends."""
        return [end.servers[POLCA] for end in self.ends if POLCA in end.servers]

    @property
    def reach(self) -> int:
        """How far apart POLCA's answers lie."""
        found = [self.base, *self.servers()]
        return max(found) - min(found)


def moved(row: RowPlan) -> list[Moved]:
    """The assumptions whose ranges were tried; those that move POLCA's answer most come first."""
    by_name = {assumed.name: assumed for assumed in row.assumed}
    base = base_servers(row)
    found = [
        Moved(
            by_name[name],
            tuple(sorted((one for one in row.varied if one.name == name), key=lambda one: one.value)),
            base,
        )
        for name in tried_names(row)
        if name in by_name
    ]
    return sorted(found, key=lambda one: (-one.reach, one.assumed.name))


def base_servers(row: RowPlan) -> int:
    """POLCA's answer with every assumption as it stands, on the load of the ranges."""
    for base in row.base:
        if POLCA in base.servers:
            return base.servers[POLCA]
    polca = answer_of(row, POLCA)
    return polca.servers if polca is not None else 0


def paper_servers(row: RowPlan) -> float:
    """The paper's share more than the row was built for; it need not be a whole number."""
    return row.row * (1 + PAPER_MORE)


def drivers(row: RowPlan) -> list[str]:
    """The room below the budget, what capping adds or costs, what a clock saves, what moves the answer, and
    what the paper's answer would take."""
    parts = (_of_the_peak, _of_capping, _of_clocks, _of_assumptions, _of_the_paper)
    return [said for part in parts for said in part(row)]


# -- capping ----------------------------------------------------------------------------------------------


def _of_the_peak(row: RowPlan) -> Iterator[str]:
    free = answer_of(row, FREE)
    if free is None or not row.peak_share:
        return
    stays = f"{counted(free.servers, 'server')} can be run" if free.servers else "not even one can be run"
    yield (
        f"The room below the budget: the peak of {counted(row.row, 'server')} is {percent(row.peak_share)} "
        f"of it, so {row.row / row.peak_share:,.1f} would reach it if the peak grew as the row does. "
        f"Simulated without capping, {stays} and the brake is never used."
    )


def _of_capping(row: RowPlan) -> Iterator[str]:
    """What caps add or cost, which limit ends the answer, and how long the row is slowed down."""
    polca, free = answer_of(row, POLCA), answer_of(row, FREE)
    if polca is None:
        return
    if free is not None:
        yield _against(polca, free)
        if said := _over_the_ranges(row):
            yield said
    if polca.next is not None:
        yield from _ends_it(row, polca.next)
    if polca.trial is not None:
        yield _slowed(row, polca.trial)


def _against(polca: Answer, free: Answer) -> str:
    more = polca.servers - free.servers
    with_it, without = f"{polca.servers:,}", f"{free.servers:,}"
    if not more:
        return f"At the values below capping adds no server: {with_it} with it and without it."
    what = f"{'adds' if more > 0 else 'costs'} {counted(abs(more), 'server')}"
    told = f"{what}: {with_it} in the place of {without}."
    slowed = polca.next is not None and set(broken_names(polca.next)) - {"brake"}
    return f"At the values below capping {told}" + (
        " A cap slows requests down, and latency is held against the same row that is never slowed; without "
        "capping only the brake can break a limit."
        if more < 0 and slowed
        else ""
    )


def _over_the_ranges(row: RowPlan) -> str:
    """What capping adds or costs at the ends of all ranges; "" where none was tried."""
    found = [
        (one.servers[POLCA] - one.servers[FREE], f"{one.name} {value_text(assumed, one.value)}")
        for one in row.varied
        for assumed in row.assumed
        if assumed.name == one.name and POLCA in one.servers and FREE in one.servers
    ]
    if not found:
        return ""
    (least, at_least), (most, at_most) = min(found), max(found)
    if least == most:
        return f"Over the ranges that is the same everywhere: {_more(least)} with capping."
    return (
        f"Over the ranges it is from {_more(least)} with capping ({at_least}) to {_more(most)} ({at_most})."
    )


def _more(servers: int) -> str:
    return f"{abs(servers):,} {'fewer' if servers < 0 else 'more'}" if servers else "as many"


def _ends_it(row: RowPlan, after: Trial) -> Iterator[str]:
    """Which limit the row with one server more does not keep."""
    latencies = [name for name in broken_names(after) if name != "brake"]
    servers = counted(after.servers, "server")
    if after.brakes:
        with_it = f" and latency ({listed(latencies)})" if latencies else ""
        yield (
            f"What ends POLCA's answer is the budget{with_it}: with {servers} the caps land too late or save "
            "too little, and the brake is used."
        )
    elif latencies:
        yield (
            f"What ends POLCA's answer is latency ({listed(latencies)}), not the budget: with {servers} the "
            f"row peaks at {percent(after.peak_share)} of it."
        )
    release = row.figures["t1"] - row.figures["hysteresis"]
    if after.is_whole and latencies and after.mean_share > release:
        yield (
            f"Its mean draw is {percent(after.mean_share)} of the budget, above the {short_percent(release)} "
            "below which the first cap is released, so that caps stay for long."
        )


def _slowed(row: RowPlan, trial: Trial) -> str:
    """How long the row of the answer is below its top clock, and what that does."""
    servers = counted(trial.servers, "server")
    if not any(trial.capped_s):
        return f"With {servers} POLCA caps nobody."
    said = [
        f"{name} priority runs below its top clock for {_long(seconds)} ({percent(share)} of the time)"
        if seconds
        else f"{name} priority is never capped"
        for name, count, seconds, share in zip(
            ("high", "low"), (trial.high, trial.low), trial.capped_s, capped_share(row, trial), strict=True
        )
        if count
    ]
    rises = [
        f"by {change(of.p50_rise)} for {name} priority"
        for name, of in (("high", trial.of_high), ("low", trial.of_low))
        if of.p50_rise is not None
    ]
    return f"With {servers} {listed(said)}." + (f" Median latency changes {listed(rises)}." if rises else "")


def _long(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours" if seconds >= 3600 else duration(seconds)


def _of_clocks(row: RowPlan) -> Iterator[str]:
    """What a cap saves and costs by the assumed exponents."""
    if len(row.clocks) < 2:
        return
    top, lower = row.clocks[0], [at for at in row.clocks[1:] if at.mhz != row.figures["brake_mhz"]]
    if lower:
        yield (
            f"What a cap does to a server that writes one answer ({top.token_w:,.0f} W at {top.mhz:g} MHz), "
            f"by the assumed exponents: {'; '.join(_at_clock(at, top) for at in lower)}. A prompt here has "
            f"{top.tokens:,} tokens."
        )
    polca = answer_of(row, POLCA)
    trial = polca.trial if polca is not None else None
    first = next((at for at in lower if at.mhz == row.figures["low_mhz"]), None)
    if trial is None or first is None or not trial.low:
        return
    saved = trial.low / trial.servers * (1 - first.token_w / top.token_w)
    yield (
        f"So the first cap, on the {trial.low:,} of {counted(trial.servers, 'server')} that are of low "
        f"priority, takes about {percent(saved)} off the row's power while all servers write."
    )


def _at_clock(at: AtClock, top: AtClock) -> str:
    return (
        f"at {at.mhz:g} MHz {change(at.token_w / top.token_w - 1)} power, {change(at.token_slower)} time for "
        f"each token and {change(at.prompt_slower)} for a prompt"
    )


# -- assumptions --------------------------------------------------------------------------------------------


def _of_assumptions(row: RowPlan) -> Iterator[str]:
    found = moved(row)
    strong = [f"{one.assumed.name} ({_ends(one)})" for one in found if one.reach > 1]
    weak = [one.assumed.name for one in found if one.reach == 1]
    still = [one.assumed.name for one in found if not one.reach]
    if strong:
        yield f"What moves POLCA's answer of {_here(row)}, the strongest first: {'; '.join(strong)}."
    if weak:
        yield f"These move it by one server, which may be chance: {', '.join(weak)}."
    if still:
        yield f"These do not move it: {', '.join(still)}."
    for assumed in row.assumed:
        if found and assumed.idle and assumed.range:
            yield f"{assumed.name} was not tried: {assumed.idle}."


def _ends(one: Moved) -> str:
    return ", ".join(
        f"{value_text(one.assumed, end.value)} gives {end.servers[POLCA]:,}"
        for end in one.ends
        if POLCA in end.servers
    )


def _here(row: RowPlan) -> str:
    """POLCA's answer on the load of the ranges, and which load that is where it is a shorter one."""
    return f"{base_servers(row):,}" + " (on the shorter load of the ranges)" * bool(row.base)


def _of_the_paper(row: RowPlan) -> Iterator[str]:
    """Whether the paper's share is reached, and which assumption alone would give it."""
    if answer_of(row, POLCA) is None:
        return
    wanted = paper_servers(row)
    said = (
        f"The paper's +{PAPER_MORE:.0%} would be {wanted:,.4g} servers here, whose peak would be "
        f"{percent((1 + PAPER_MORE) * row.peak_share)} of the budget if it grew as the row does; POLCA "
        f"carries {_here(row)}. "
    )
    found = moved(row)
    wanted -= 1e-9  # 40 * 1.3 need not be 52 to the last digit
    if not found:
        yield said + "No range was tried, so which assumption decides that is not known."
    elif base_servers(row) >= wanted:
        falling = [f"{one.assumed.name} ({_ends(one)})" for one in found if _least(one) < wanted]
        yield said + (
            f"Within the range of one assumption alone it falls below: {'; '.join(falling)}."
            if falling
            else "No range that was tried leads below."
        )
    elif reaching := [f"{one.assumed.name} ({_ends(one)})" for one in found if _most(one) >= wanted]:
        yield said + f"One assumption alone would give it: {' or '.join(reaching)}."
    else:
        most = max(_most(one) for one in found)
        nearest = [f"{one.assumed.name} ({_ends(one)})" for one in found if _most(one) == most]
        none = "No assumption alone gives it within its range"
        yield said + (f"{none}; nearest: {listed(nearest)}." if most > base_servers(row) else f"{none}.")


def _least(one: Moved) -> int:
    return min([one.base, *one.servers()])


def _most(one: Moved) -> int:
    return max([one.base, *one.servers()])
