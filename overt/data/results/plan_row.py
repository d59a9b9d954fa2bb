"""The records of a plan's row: how many servers a power budget carries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Requests of one priority: `arrived`, `done` and still `inside` (waiting, read or written) at the end.

    Seconds from arrival to the last token, of those that are done; rises are against the same row without a
    budget, as fractions, None where nothing was done or the simulation ended early. `throughput_change` is of
    the number that was done.
    """

    arrived: int
    done: int
    inside: int
    p50_s: float | None
    p99_s: float | None
    p50_rise: float | None
    p99_rise: float | None
    throughput_change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One simulated row. Shares are of the budget; `over` counts the readings above it, of `readings`.

    `brakes` and `caps` count what was sent; `capped_s` is how long (high, low) priority ran below its top
    clock. `is_whole` is False where the simulation ended at the first brake. `why` names the limits that are
    not kept.
    """

    policy: str
    servers: int
    high: int
    low: int
    budget_w: float
    peak_share: float
    mean_share: float
    readings: int
    over: int
    brakes: int
    caps: int
    capped_s: tuple[float, float]
    energy_kwh: float
    is_whole: bool
    of_high: Latency
    of_low: Latency
    kept: bool
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The largest row that keeps the limits under one policy; `more` is its share above the row that the
    budget was made for. `next` is the row with one more, which does not keep them. `tried` has the sizes that
    were simulated. `servers` 0: not even one server keeps them."""

    policy: str
    servers: int
    more: float
    trial: Trial | None
    next: Trial | None
    tried: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The answer of one policy on other draws of the load, which took no part in finding it: on `kept` of
    `draws` it keeps the limits, `with_brake` of them used the brake. `worst_peak` is the highest reading of
    all, as a share of the budget."""

    policy: str
    servers: int
    draws: int
    kept: int
    with_brake: int
    worst_peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A number that no public source gives: its value here, its range ((), where it was stated as one value),
    its unit and where both come from. `idle` says why it makes no difference here, so that its range was not
    tried."""

    name: str
    value: float
    range: tuple[float, ...]
    unit: str
    source: str
    idle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtClock:
    """One server at one clock: watts while it reads a prompt of `tokens` and while it writes the answer to it
    alone, and how much longer both take than at the top clock, as fractions. The first of a list is at the
    top clock."""

    mhz: float
    tokens: int
    prompt_w: float
    token_w: float
    prompt_slower: float
    token_slower: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """The answers where one assumption has another value, on `days` days. `peak_share` is that of the row
    before servers are added."""

    name: str
    value: float
    days: float
    peak_share: float
    servers: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCell:
    """The largest row under POLCA with other thresholds."""

    t1: float
    t2: float
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A clock that was sent to a group at `sent` seconds, in force from `lands`; `mhz` None: the top
    clock."""

    sent: float
    lands: float
    group: str
    mhz: float | None
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Power over time of one row, as shares of the budget: the mean and the highest reading of each bin, and
    its middle in hours. `high_capped` and `low_capped` are the shares of each bin for which that priority ran
    below its top clock; they end early where more commands were sent than are kept."""

    name: str
    servers: int
    hours: tuple[float, ...]
    mean: tuple[float, ...]
    highest: tuple[float, ...]
    high_capped: tuple[float, ...] = ()
    low_capped: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """How many servers a row carries, after POLCA (arXiv 2308.12908).

    `budget_by` says where the budget comes from. `figures` are those of the policy by option; `limits` those
    on latency. `span` has the smallest and the largest answer over all ranges, by policy. `base` is the
    answer on the load of the ranges, where that is shorter. `map` is of POLCA's largest row; `courses` show
    it, too, and `sent` has its first commands. `clocks` are the top clock and those of the policy.
    """

    row: int
    budget_w: float
    budget_by: str
    peak_share: float
    days: float
    load: str
    seed: int
    figures: dict[str, float]
    limits: dict[str, float]
    clocks: tuple[AtClock, ...] = ()
    assumed: tuple[Assumed, ...] = ()
    answers: tuple[Answer, ...] = ()
    held_out: tuple[HeldOut, ...] = ()
    base: tuple[Varied, ...] = ()
    varied: tuple[Varied, ...] = ()
    span: dict[str, tuple[int, int]]
    map: tuple[MapCell, ...] = ()
    courses: tuple[Course, ...] = ()
    sent: tuple[Sent, ...] = ()
