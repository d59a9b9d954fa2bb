"""How many servers a power budget carries, in tables: by policy, their cost, the assumptions, the map."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.plan_row import Answer, Assumed, Latency, MapCell, RowPlan, Trial
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import is_figure, percent, short_percent
from overt.report.plan_row import (
    FREE,
    POLCA,
    answer_of,
    broken_names,
    capped_share,
    change,
    more,
    policy_title,
    range_text,
    value_text,
)
from overt.report.plan_row_drivers import Moved, moved

_NONE = Cell("-", muted=True)


def answers_table(row: RowPlan) -> Table:
    """The largest row under each policy, with its range where that was simulated."""
    return Table(
        id="row-servers",
        caption=f"Servers by policy, for a row that was built for {row.row:,}",
        columns=(
            "policy", "servers", "more", "over the ranges", "peak", "mean", "readings above the budget",
            "brakes",
        ),
        rows=[_answer_row(row, answer) for answer in row.answers],
    )  # fmt: skip


def _answer_row(row: RowPlan, answer: Answer) -> list[Cell]:
    trial = answer.trial
    cells = [
        Cell(policy_title(answer.policy)),
        count_cell(answer.servers),
        Cell(more(row, answer.servers), sort=answer.more),
        _span_cell(row, answer.policy),
    ]
    if trial is None:
        return cells + [_NONE] * 4
    return [
        *cells,
        Cell(percent(trial.peak_share), sort=trial.peak_share),
        Cell(percent(trial.mean_share), sort=trial.mean_share),
        Cell(f"{trial.over:,} of {trial.readings:,}", sort=trial.over),
        count_cell(trial.brakes),
    ]


def _span_cell(row: RowPlan, policy: str) -> Cell:
    """The smallest and the largest answer; missing where no range was tried."""
    if not row.varied or policy not in row.span:
        return Cell("not tried")
    low, high = row.span[policy]
    return Cell(f"{low:,} to {high:,}", sort=low)


def costs_table(row: RowPlan) -> Table:
    """What the caps of each policy's largest row do: how long, and to whose latency."""
    limits = row.limits
    return Table(
        id="row-costs",
        caption="What the caps cost in these rows, against the same row without a budget",
        columns=(
            "policy", "clocks sent", "high capped", "low capped",
            *(
                f"{name} {point.upper()} (limit {short_percent(limits[f'{name}_{point}'])})"
                for name in ("high", "low") for point in ("p50", "p99")
            ),
            "energy in kWh",
        ),
        rows=[
            [Cell(policy_title(answer.policy)), *_cost_cells(row, answer.trial)]
            for answer in row.answers if answer.trial is not None
        ],
    )  # fmt: skip


def _cost_cells(row: RowPlan, trial: Trial) -> list[Cell]:
    rises = [rise for of in (trial.of_high, trial.of_low) for rise in (of.p50_rise, of.p99_rise)]
    return [
        count_cell(trial.caps + trial.brakes),
        *(
            Cell(f"{seconds / 3600:,.2f} h ({percent(share)})", sort=share)
            for seconds, share in zip(trial.capped_s, capped_share(row, trial), strict=True)
        ),
        *(_change_cell(rise) for rise in rises),
        Cell(
            f"{trial.energy_kwh:,.4g}" if trial.energy_kwh < 1000 else f"{trial.energy_kwh:,.0f}",
            sort=trial.energy_kwh,
        ),
    ]


def _change_cell(value: float | None) -> Cell:
    return Cell(change(value), sort=value) if is_figure(value) else _NONE


def requests_table(row: RowPlan) -> Table:
    """Requests and latencies of each policy's largest row by priority."""
    return Table(
        id="row-requests",
        caption="Requests in these rows: latency in seconds from arrival to the last token",
        columns=(
            "policy", "priority", "servers", "arrived", "done", "an hour", "against no budget", "P50", "P99",
        ),
        rows=[
            _request_row(row, answer.policy, name, servers, of)
            for answer in row.answers if (trial := answer.trial) is not None
            for name, servers, of in (("high", trial.high, trial.of_high), ("low", trial.low, trial.of_low))
        ],
        numeric_from=2,
    )  # fmt: skip


def _request_row(row: RowPlan, policy: str, name: str, servers: int, of: Latency) -> list[Cell]:
    return [
        Cell(policy_title(policy)),
        Cell(name),
        count_cell(servers),
        count_cell(of.arrived),
        count_cell(of.done),
        Cell(f"{of.done / (row.days * 24):,.0f}", sort=of.done),
        _change_cell(of.throughput_change),
        _seconds_cell(of.p50_s),
        _seconds_cell(of.p99_s),
    ]


def _seconds_cell(seconds: float | None) -> Cell:
    return Cell(f"{seconds:,.1f}", sort=seconds) if is_figure(seconds) else _NONE


def assumed_table(row: RowPlan) -> Table:
    """Every assumption with its value, its range, and the answers at both ends; the strongest come first."""
    by_strength = moved(row)
    names = [one.assumed.name for one in by_strength]
    rest = [assumed for assumed in row.assumed if assumed.name not in names]
    policies = [policy for policy in (POLCA, FREE) if by_strength and policy in row.span]
    columns = [f"{policy_title(policy)} at {end}" for policy in policies for end in ("low", "high")]
    return Table(
        id="row-assumed",
        caption="What no public source says, with the servers at both ends of its range",
        columns=("assumption", "here", "range", *columns),
        rows=[
            *(_moved_row(one, policies) for one in by_strength),
            *(_unmoved_row(assumed, len(columns)) for assumed in rest),
        ],
    )


def _named(assumed: Assumed) -> list[Cell]:
    return [
        Cell(assumed.name),
        Cell(value_text(assumed, assumed.value), sort=assumed.value),
        Cell(range_text(assumed) or "stated"),
    ]


def _moved_row(one: Moved, policies: Sequence[str]) -> list[Cell]:
    """An end that was not simulated is a dash."""
    cells = _named(one.assumed)
    for policy in policies:
        found = {end.value: end.servers.get(policy) for end in one.ends}
        counts = [found.get(end) for end in sorted(one.assumed.range)]
        cells += [_NONE if count is None else count_cell(count) for count in counts]
    return cells


def _unmoved_row(assumed: Assumed, ends: int) -> list[Cell]:
    """An assumption whose range was not tried: it has no effect here, or its value is stated."""
    is_idle = bool(assumed.idle and assumed.range)
    return [*_named(assumed), *[Cell("no effect") if is_idle else _NONE] * ends]


def assumed_lines(row: RowPlan) -> list[str]:
    """The unit and the source of every assumption."""
    return [
        f"{assumed.name}: {value_text(assumed, assumed.value)}, {assumed.unit}; {assumed.source}"
        for assumed in row.assumed
    ]


def map_table(row: RowPlan) -> Table:
    """The largest row under POLCA with other thresholds, and what ends it."""
    t1s, t2s = thresholds(row)
    found = {(cell.t1, cell.t2): cell for cell in row.map}
    return Table(
        id="row-map",
        caption="Servers that POLCA carries with other thresholds, and what breaks with one more",
        columns=("T2 below, T1 beside", *(short_percent(t1) for t1 in t1s)),
        rows=[
            [Cell(short_percent(t2), sort=t2), *(_map_cell(row, found.get((t1, t2))) for t1 in t1s)]
            for t2 in t2s
        ],
    )


def thresholds(row: RowPlan) -> tuple[list[float], list[float]]:
    """The values of T1 and of T2 on the map, ascending and descending."""
    return sorted({cell.t1 for cell in row.map}), sorted({cell.t2 for cell in row.map}, reverse=True)


def _map_cell(row: RowPlan, cell: MapCell | None) -> Cell:
    if cell is None:
        return _NONE
    servers = cell.answer.servers
    return Cell(f"{servers:,} ({map_text(cell)})", sort=servers, heat=map_heat(row, cell))


def map_heat(row: RowPlan, cell: MapCell) -> str:
    """Whether a cell carries more or fewer servers than the thresholds of the plan."""
    here = answer_of(row, POLCA)
    servers = cell.answer.servers
    if here is None or servers == here.servers:
        return ""
    return "better" if servers > here.servers else "worse"


def map_text(cell: MapCell) -> str:
    """What breaks with one server more, by name."""
    after = cell.answer.next
    return ", ".join(broken_names(after)) or "not kept" if after is not None else "no end found"
