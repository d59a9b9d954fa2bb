"""What a plan of a row keeps for its text and its plots: power over time with its caps, what a clock does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overt.data.results.plan_row import AtClock, Course
from overt.planning.control import Command, Policy
from overt.planning.measured import Measured
from overt.planning.search import Shown
from overt.planning.server_model import ServerModel

_TOKENS = 1024  # of the prompt by which clocks are compared; the measured table has a row of it
WITHOUT = "without a budget"


def courses_of(drawn: Shown, budget_w: float, top_mhz: float) -> tuple[Course, Course]:
    """The power of the row to draw with its caps, and of the same row without a budget."""
    measured, servers = drawn.measured, drawn.trial.servers
    middles = measured.series[:, 0]
    edges = np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [measured.until_s]])
    # Where more was sent than is kept, nobody knows what was in force after the last one that is kept.
    is_whole = len(measured.commands) >= measured.caps + measured.brakes
    if not is_whole:
        edges = edges[edges <= measured.commands[-1].sent]
    high, low = (capped_shares(measured.commands, group, edges, top_mhz) for group in ("high", "low"))
    return (
        _course(drawn.trial.policy, servers, measured, budget_w, high, low),
        _course(WITHOUT, servers, drawn.free, budget_w),
    )


def _course(
    name: str,
    servers: int,
    measured: Measured,
    budget_w: float,
    high: tuple[float, ...] = (),
    low: tuple[float, ...] = (),
) -> Course:
    seconds, mean, highest = measured.series.T
    return Course(
        name=name,
        servers=servers,
        hours=tuple((seconds / 3600).round(4).tolist()),
        mean=tuple((mean / budget_w).round(5).tolist()),
        highest=tuple((highest / budget_w).round(5).tolist()),
        high_capped=high,
        low_capped=low,
    )


def capped_shares(
    commands: Sequence[Command], group: str, edges: NDArray[np.float64], top_mhz: float
) -> tuple[float, ...]:
    """The share of the time between each two edges (seconds) for which a group ran below the top clock."""
    at, total = [0.0], [0.0]  # seconds, and how many of them were below the top clock
    clock: float | None = None
    is_braked = False
    for command in sorted(commands, key=lambda it: it.lands):
        was = is_braked or (clock is not None and clock < top_mhz)
        total.append(total[-1] + was * (command.lands - at[-1]))
        at.append(command.lands)
        if command.group == "all":
            is_braked = command.mhz is not None
        elif command.group == group:
            clock = command.mhz
    last = max(float(edges[-1]) if len(edges) else 0.0, at[-1])
    is_capped = is_braked or (clock is not None and clock < top_mhz)
    total.append(total[-1] + is_capped * (last - at[-1]))
    at.append(last)
    shares = np.diff(np.interp(edges, at, total)) / np.diff(edges)
    return tuple(shares.round(3).tolist())


def clocks_of(model: ServerModel, policy: Policy) -> tuple[AtClock, ...]:
    """The top clock of a server, and those of the policy from the highest to the lowest."""
    lower = {policy.low_mhz, policy.low_mhz_2, policy.high_mhz, policy.brake_mhz} - {model.top_mhz}
    top = model.at(model.top_mhz)
    found = []
    for mhz in (model.top_mhz, *sorted(lower, reverse=True)):
        at = model.at(mhz)
        found.append(
            AtClock(
                mhz=mhz,
                tokens=_TOKENS,
                prompt_w=at.prompt_w[_TOKENS],
                token_w=at.token_base_w + at.token_w[_TOKENS],
                prompt_slower=at.prompt_s[_TOKENS] / top.prompt_s[_TOKENS] - 1,
                token_slower=at.token_s[_TOKENS] / top.token_s[_TOKENS] - 1,
            )
        )
    return tuple(found)
