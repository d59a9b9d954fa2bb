"""What local GPUs drew, in a line for each, as `overt run`, `overt generate` and `overt show` print it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from overt.data.run.power import DevicePower, read_power
from overt.data.text import plain

_WORKS = {"": "power", "judges": "power of overt score", "rewrite": "power of overt rewrite",
          "explain": "power of overt explain"}  # fmt: skip
_WAYS = {"counter": "by its counter", "samples": "by its readings", "both": "by its counter and its readings"}


def power_lines(run: Path, width: int = 7) -> Iterator[str]:
    """What was measured of a run and of the commands that came back to it; nothing where no local model was
    used.

    Args:
        width: of the column with the title, at least.
    """
    for work, named in _WORKS.items():
        if (found := read_power(run, work)) is None:
            continue
        title = f"{named}  ".ljust(width)
        known = [device for device in found.devices if device.energy_j is not None]
        for device in known:
            yield f"{title}{_said(device)}"
        if found.why:
            yield f"{title}{'' if known else 'nothing was measured: '}{plain(found.why)}"


def _said(device: DevicePower) -> str:
    watts = [f"{device.mean_w:,.0f} W on average"] if device.mean_w is not None else []
    watts += [f"at most {device.max_w:,.0f} W"] if device.max_w is not None else []
    watts += [f"{device.before_w:,.0f} W before"] if device.before_w is not None else []
    notes = "".join(f"; {plain(note)}" for note in device.notes)
    return (
        f"GPU {device.index}, {plain(device.device)}: "
        f"{energy(device.energy_j or 0.0)} in {device.seconds:,.1f} s, "
        f"{', '.join(watts)}, {_WAYS.get(device.by, '')}; with what other processes drew{notes}"
    )


def energy(joules: float) -> str:
    """An amount of energy for a person: `85.3 J`, `12.4 kJ (3.4 Wh)`."""
    if joules < 1000:
        return f"{joules:.1f} J"
    return f"{joules / 1000:,.1f} kJ ({joules / 3600:,.1f} Wh)"
