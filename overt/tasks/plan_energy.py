"""The energy of a planned run: as measured while a small run drew, or as the user states the draw."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import stdev

from overt.data.results.plan import Amount, StageNeed
from overt.data.run.power import DevicePower, MeasuredPower, read_power
from overt.report.sections.wording import counted
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
    if power.energy_j is None:
        why = power.why or "no device told its energy"
        return missing("kWh", f"nothing was measured: {why}{stated}")
    if config.target and set(config.target) != set(pilot.targets):
        return missing("kWh", f"what was measured is of other targets than those planned{stated}")
    if pilot.taken:
        return missing("kWh", f"{pilot.taken:,} calls of the small run were made by an earlier one{stated}")
    return _measured(config, power, share)


def _stated(config: NeedsConfig, watts: float, stages: Sequence[StageNeed]) -> Amount:
    hours = added(
        [stage.hours for stage in stages if stage.is_target],
        "hours",
        [s.stage for s in stages if s.is_target],
    )
    fleet = f"each of {config.servers} servers" if config.servers > 1 else "the server"
    how = f"{watts:g} W at {fleet} while the target works"
    found = scaled(hours, watts * config.servers / 1000, "kWh", how)
    return found if found.value is None else dataclasses.replace(found, by="stated", n=None, how=how)


def _measured(config: NeedsConfig, power: MeasuredPower, share: float) -> Amount:
    """What was drawn while models were asked grows with the prompts, on however many servers. Each server
    loads the models once, as each process of the small run did. The interval is Student's, over devices."""
    known = [device for device in power.devices if device.energy_j is not None]
    loads = config.servers / max(power.processes, 1)
    parts = [_apart(device) for device in known]
    planned = [loading * loads + asking * share for loading, asking in parts]
    count, value, low, high, why = len(known), sum(planned) / _KWH, None, None, ""
    if power.why:
        why = f"it is too low, since {power.why}"
    elif count < 2:
        why = "one device was measured, which tells nothing of how devices differ"
    else:
        half = float(t_quantile(config.level, count - 1)) * stdev(planned) * math.sqrt(count) / _KWH
        low, high = max(value - half, 0.0), value + half
    loading = sum(loading for loading, _ in parts)
    how = (
        f"{power.energy_j:,.4g} J on {counted(count, 'device')} in {power.seconds:,.4g} s of the small run, "
        "with all else that drew there"
    )
    if loading:
        processes = "one process" if power.processes == 1 else f"{power.processes} processes"
        how += (
            f"; {loading:,.4g} J of these while no model was asked (loading, in {processes}) count once for "
            "each server"
        )
    return Amount(unit="kWh", value=value, low=low, high=high, by="measured", n=count, why=why, how=how)


def _apart(device: DevicePower) -> tuple[float, float]:
    """Joules while no model was asked, and all others."""
    loading, total = device.loading_j or 0.0, device.energy_j or 0.0
    return loading, total - loading
