"""Who is capped when: thresholds on the row's power with a hysteresis, caps that land late, and the brake.

A policy is a table of steps. A step is on from the reading that lies above its threshold until one lies below
its release; a group's clock is the lowest of its steps that are on. POLCA's is (arXiv 2308.12908): above T1
low priority to 1275 MHz; above T2 low priority to 1110 MHz, and where power is still above T2 once that has
landed, high priority to 1305 MHz; above the budget every GPU to 288 MHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["polca", "one threshold", "cap all", "no capping"]
KINDS: tuple[Kind, ...] = ("polca", "one threshold", "cap all", "no capping")
Group = Literal["high", "low", "all"]
_ROUNDING_S = 1e-6  # by which sums of seconds may differ


@dataclass(frozen=True, slots=True)
class Step:
    """`group` runs at `mhz` from above `above` until below `below`, both shares of the budget. `after` is the
    place of the step that must have landed before this one is switched on; -1: none."""

    group: Literal["high", "low"]
    mhz: float
    above: float
    below: float
    after: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The figures of POLCA: shares of the budget, MHz, seconds.

    The paper does not say when the brake is released; here it is by the first reading below `t2 - hysteresis`
    after it has landed, and the release takes as long as the brake. What is read until then shows the brake,
    so that it releases no cap.
    """

    kind: Kind = "polca"
    t1: float = 0.80
    t2: float = 0.89
    hysteresis: float = 0.05
    low_mhz: float = 1275.0
    low_mhz_2: float = 1110.0
    high_mhz: float = 1305.0
    brake_mhz: float = 288.0
    telemetry_s: float = 2.0
    cap_s: float = 40.0
    brake_s: float = 5.0

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the policy. `one threshold` caps low priority at T2, `cap all` every server; how these
        are called and set in the paper could not be found, so both take the clock of the second step."""
        first = Step("low", self.low_mhz, self.t1, self.t1 - self.hysteresis)
        second = Step("low", self.low_mhz_2, self.t2, self.t2 - self.hysteresis)
        high = Step("high", self.high_mhz, self.t2, self.t2 - self.hysteresis, after=1)
        everyone = Step("high", self.low_mhz_2, self.t2, self.t2 - self.hysteresis)
        return {
            "polca": (first, second, high),
            "one threshold": (second,),
            "cap all": (second, everyone),
            "no capping": (),
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Command:
    """A clock for a group (None: the top one), sent at `sent` and in force from `lands`, in seconds. `share`
    is the reading that caused it, as a share of the budget."""

    lands: float
    sent: float
    group: Group
    mhz: float | None
    share: float


class Controller:
    """The state of one policy: what is on, and what was sent."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._steps = policy.steps
        self._lands = [float("inf")] * len(self._steps)  # when a step that is on lands; infinity: it is off
        self._sent: dict[Literal["high", "low"], float | None] = {"high": None, "low": None}
        self._brake_lands: float | None = None
        self._free_from = float("-inf")  # when the last release of the brake lands

    def read(self, now: float, share: float) -> list[Command]:
        """What is sent upon the reading `share` of the budget at the second `now`."""
        policy = self.policy
        if self._brake_lands is not None:  # what is read now says nothing about the caps
            if now < self._brake_lands or share >= policy.t2 - policy.hysteresis:
                return []
            self._brake_lands, self._free_from = None, now + policy.brake_s
            return [Command(self._free_from, now, "all", None, share)]
        if share > 1:
            self._brake_lands = now + policy.brake_s
            return [Command(self._brake_lands, now, "all", policy.brake_mhz, share)]
        before = self._lands.copy()
        for place, step in enumerate(self._steps):
            if self._lands[place] < float("inf"):
                if share < step.below and self._shows(self._free_from, now):
                    self._lands[place] = float("inf")
            elif share > step.above and (step.after < 0 or self._shows(self._lands[step.after], now)):
                self._lands[place] = now + policy.cap_s
        if self._lands == before:
            return []
        return [command for group in ("low", "high") for command in self._wanted(group, now, share)]

    def _shows(self, landed: float, now: float) -> bool:
        """Whether the reading at `now`, a mean since the one before it, lies wholly after `landed`: one that
        begins earlier says too little about what landed."""
        return landed <= now - self.policy.telemetry_s + _ROUNDING_S

    def _wanted(self, group: Literal["high", "low"], now: float, share: float) -> list[Command]:
        """The command that gives the group the clock of its steps, if it differs from the last one."""
        on = [
            step.mhz
            for step, lands in zip(self._steps, self._lands, strict=True)
            if step.group == group and lands < float("inf")
        ]
        mhz = min(on, default=None)
        if mhz == self._sent[group]:
            return []
        self._sent[group] = mhz
        return [Command(now + self.policy.cap_s, now, group, mhz, share)]
