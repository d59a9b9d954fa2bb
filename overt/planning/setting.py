"""What one row is: its servers, its load, its budget, its policy, and what counts as nobody noticing."""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.planning.control import Policy
from overt.planning.load import Load, requests
from overt.planning.measured import Measured
from overt.planning.row import HIGH, LOW, Row
from overt.planning.server_model import ServerModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much latency may rise against the same row without a budget, as fractions; no brake is allowed
    (arXiv 2308.12908)."""

    high_p50: float = 0.01
    high_p99: float = 0.05
    low_p50: float = 0.05
    low_p99: float = 0.50


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row built for `row` servers.

    Its budget is `budget_w`, or else follows from the row itself: the highest reading of `row` servers
    without limits is `peak_share` of it. `low_share` of the servers serve low priority.
    """

    row: int = 40
    budget_w: float | None = None
    peak_share: float = 0.79
    low_share: float = 0.5
    model: ServerModel = field(default_factory=ServerModel)
    load: Load = field(default_factory=Load)
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)

    def split(self, servers: int) -> tuple[int, int]:
        """How many of so many servers are of high and of low priority."""
        low = round(servers * self.low_share)
        return servers - low, low


def simulated(
    setting: Setting, split: tuple[int, int], budget_w: float, *, acts: bool = True, stops: bool = False
) -> Measured:
    """One simulation of the whole load.

    Args:
        split: how many servers of high and of low priority.
        acts: whether the policy acts; without, the row is as if it had no budget.
        stops: it ends at the first brake.
    """
    priorities = [HIGH] * split[HIGH] + [LOW] * split[LOW]
    kept = Measured(setting.load.seconds, budget_w, setting.policy.telemetry_s, stops=stops)
    row = Row(setting.model, priorities, setting.policy, budget_w, acts)
    row.run(requests(setting.load, setting.model, split), setting.load.seconds, kept)
    return kept
