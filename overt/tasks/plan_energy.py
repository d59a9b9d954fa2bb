"""The energy of a planned run: as measured while a small run drew, or as the user states the draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from overt.data.results.plan import Amount, StageNeed
from overt.data.run.power import MeasuredPower, read_power
from overt.scoring.stats.inputs import t_quantile
from overt.tasks.plan_amounts import added, missing, scaled
from overt.tasks.plan_needs import NeedsConfig
from overt.tasks.plan_pilot import Pilot

_KWH = 3.6e6  # joules


def energy_of(config: NeedsConfig, pilot: Pilot | None, share: float, stages: Sequence[StageNeed]) -> Amount:
    """Kilowatt-hours of the models' machines.

    Args:
        share: how many times the small run is planned.
    """
    if config.watts is not None:
        return _stated(config, config.watts, stages)
    stated = "; --watts W states what a server draws"
    if pilot is None:
        return missing("kWh", f"nothing was measured: there is no small run{stated}")
    power = read_power(pilot.run.folder)
    if power is None:
        return missing("kWh", f"nothing was measured: the small run used no local model on a GPU{stated}")
    known = [device.energy_j for device in power.devices if device.energy_j is not None]
    if not known:
        why = power.why or "no device told its energy"
        return missing("kWh", f"nothing was measured: {why}{stated}")
    if config.target and set(config.target) != set(pilot.targets):
        return missing("kWh", f"what was measured is of other targets than those planned{stated}")
    return _measured(power, known, share, config.level)


def _stated(config: NeedsConfig, watts: float, stages: Sequence[StageNeed]) -> Amount:
    hours = added(
        [stage.hours for stage in stages if stage.is_target],
        "hours",
        [s.stage for s in stages if s.is_target],
    )
    fleet = f"each of {config.servers} servers" if config.servers > 1 else "the server"
    how = f"{watts:g} W at {fleet} while the target works"
    found = scaled(hours, watts * config.servers / 1000, "kWh", how)
    return (
        found
        if found.value is None
        else Amount(
            unit="kWh",
            value=found.value,
            low=found.low,
            high=found.high,
            by="stated",
            n=None,
            why=found.why,
            how=how,
        )
    )


def _measured(power: MeasuredPower, known: Sequence[float], share: float, level: float) -> Amount:
    """Joules grow with the prompts, on however many servers. The interval is Student's, over devices."""
    count, total = len(known), sum(known)
    value, low, high, why = total * share / _KWH, None, None, ""
    if count < 2:
        why = "one device was measured, which tells nothing of how devices differ"
    else:
        mean = total / count
        spread = math.sqrt(sum((joules - mean) ** 2 for joules in known) / (count - 1))
        half = float(t_quantile(level, count - 1)) * spread * math.sqrt(count) * share / _KWH
        low, high = max(value - half, 0.0), value + half
    if power.why:
        why = "; ".join(filter(None, (why, f"a part was not measured: {power.why}")))
    how = (
        f"{total:,.4g} J on {count} {'device' if count == 1 else 'devices'} in {power.seconds:,.4g} s of the "
        "small run, with all else that drew there"
    )
    return Amount(unit="kWh", value=value, low=low, high=high, by="measured", n=count, why=why, how=how)
