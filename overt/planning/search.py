"""The largest row that keeps the limits, and what the thresholds of a policy give."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from overt.data.results.plan_row import Answer, Latency, Trial
from overt.planning.control import Policy
from overt.planning.load import Load
from overt.planning.measured import Measured
from overt.planning.row import HIGH, LOW
from overt.planning.server_model import ServerModel
from overt.planning.setting import Limits, Setting, simulated

_MOST = 8  # times the row, beyond which no row is tried
_PEAK_S = 2.0  # over which the peak is taken that `peak_share` speaks of, however often a policy reads


@dataclass(frozen=True, slots=True)
class Shown:
    """A trial with what was measured in it."""

    trial: Trial
    measured: Measured
    free: Measured


class Search:
    """Tries rows of one setting. Each number of servers is simulated once without limits: latencies are held
    against that, and where its power never reaches a threshold a policy would have done nothing."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._tried: dict[tuple[Policy, int], Shown] = {}

    @cached_property
    def budget_w(self) -> float:
        """Of the row, in watts: as given, or what makes its own peak the share of it that is assumed."""
        return self.setting.budget_w or self._peak_w / self.setting.peak_share

    @property
    def peak_share(self) -> float:
        """The busiest two seconds of the row before servers are added, as a share of the budget."""
        return self._peak_w / self.budget_w

    @property
    def _peak_w(self) -> float:
        return self.free(self.setting.row, _PEAK_S).peak_w

    def free(self, servers: int, every_s: float | None = None) -> Measured:
        """The row without limits, read as often as by the policy, or every so many seconds."""
        setting = self.setting
        every_s = every_s or setting.policy.telemetry_s
        return _free(setting.load, setting.split(servers), setting.model.at_top, every_s)

    def trial(self, policy: Policy, servers: int, *, stops: bool = False) -> Shown:
        """A row of so many servers under a policy.

        Args:
            stops: a row whose brake was used once is not simulated to its end.
        """
        known = self._tried.get((policy, servers))
        if known is not None and (stops or known.trial.is_whole):
            return known
        free = self.free(servers)
        lowest = min([step.above for step in policy.steps], default=1.0)
        setting = dataclasses.replace(self.setting, policy=policy)
        measured = free
        if free.peak_w > min(lowest, 1.0) * self.budget_w:
            measured = simulated(setting, setting.split(servers), self.budget_w, stops=stops)
        trial = _trial(setting, servers, self.budget_w, measured, free)
        self._tried[policy, servers] = shown = Shown(trial, measured, free)
        return shown

    def largest(self, policy: Policy, guess: int = 0) -> Answer:
        """The largest number of servers that keeps the limits, by bisection: one more does not keep them.

        That is the largest of all only if more servers never make a row better, which holds but for chance.

        Args:
            guess: where the search begins. Default: as many as the peak of the row leaves room for.
        """
        row = self.setting.row
        kept, broken, step = 0, _MOST * row + 1, 1
        servers = min(max(1, guess or int(row / self.peak_share)), broken - 1)
        tried: list[int] = []
        while broken - kept > 1:
            tried.append(servers)
            if self.trial(policy, servers, stops=True).trial.kept:
                kept = servers
            else:
                broken = servers
            if broken > _MOST * row:
                servers, step = min(kept + step, _MOST * row), 2 * step
            elif not kept:
                servers, step = max(1, broken - step), 2 * step
            else:
                servers = (kept + broken) // 2
        return Answer(
            policy=policy.kind,
            servers=kept,
            more=kept / row - 1,
            trial=self.trial(policy, kept).trial if kept else None,
            next=self.trial(policy, broken, stops=True).trial if broken <= _MOST * row else None,
            tried=tuple(sorted(tried)),
        )


@lru_cache(maxsize=48)
def _free(load: Load, split: tuple[int, int], model: ServerModel, every_s: float) -> Measured:
    """A row without limits. Many settings share it: of the budget and the policy only the time between two
    readings takes part in it."""
    setting = Setting(load=load, model=model, policy=Policy(telemetry_s=every_s))
    return simulated(setting, split, math.inf, acts=False)


def _trial(setting: Setting, servers: int, budget_w: float, measured: Measured, free: Measured) -> Trial:
    high, low = setting.split(servers)
    latencies = [_latency(measured, free, priority) for priority in (HIGH, LOW)]
    broken = _broken(setting.limits, measured, latencies, (high, low))
    return Trial(
        policy=setting.policy.kind,
        servers=servers,
        high=high,
        low=low,
        budget_w=budget_w,
        peak_share=measured.peak_w / budget_w,
        mean_share=measured.mean_w / budget_w,
        readings=measured.readings,
        over=measured.over,
        brakes=measured.brakes,
        caps=measured.caps,
        capped_s=measured.capped_s,
        energy_kwh=measured.joules / 3.6e6,
        is_whole=not measured.is_enough,
        of_high=latencies[HIGH],
        of_low=latencies[LOW],
        kept=not broken,
        why=tuple(broken),
    )


def _latency(measured: Measured, free: Measured, priority: int) -> Latency:
    """Latencies of one priority, and their rise against the row without limits; a simulation that ended early
    has other hours than that, and no rise."""
    at = [measured.quantile(priority, share) for share in (0.5, 0.99)]
    before = [None if measured.is_enough else free.quantile(priority, share) for share in (0.5, 0.99)]
    rises = [a / b - 1 if a is not None and b else None for a, b in zip(at, before, strict=True)]
    done, of = measured.done[priority], 0 if measured.is_enough else free.done[priority]
    return Latency(
        arrived=measured.arrived[priority],
        done=done,
        inside=measured.inside[priority],
        p50_s=at[0],
        p99_s=at[1],
        p50_rise=rises[0],
        p99_rise=rises[1],
        throughput_change=done / of - 1 if of else None,
    )


def _broken(
    limits: Limits, measured: Measured, latencies: list[Latency], split: tuple[int, int]
) -> list[str]:
    """The limits that are not kept, or of which nothing can be said, in words."""
    said = [] if measured.readings else ["power was never read"]
    if measured.brakes:
        said.append(f"{measured.brakes:,} brakes" if measured.brakes > 1 else "the brake was used")
    for name, latency, servers in zip(("high", "low"), latencies, split, strict=True):
        if servers and latency.p50_rise is None and not measured.is_enough:
            said.append(f"no request of {name} priority was finished")
        for point, rise in (("p50", latency.p50_rise), ("p99", latency.p99_rise)):
            limit: float = getattr(limits, f"{name}_{point}")
            if rise is not None and rise >= limit:
                said.append(f"{name} {point.upper()} +{rise:.1%} (limit {limit:.0%})")
    return said
