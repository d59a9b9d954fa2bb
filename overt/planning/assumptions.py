"""What no public source says, by name, with the range over which the answer is shown.

One row is one number that somebody had to assume. Its default is the field of the record that holds it
(`ServerModel`, `Load` or `Setting`); here stand its range, its unit, and where both come from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from overt.planning.load import Load
from overt.planning.server_model import MOST_SLOTS, ServerModel
from overt.planning.setting import Setting

Home = Literal["model", "load", "row"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """A named number: `low` and `high` are the ends of its range, `least` and `most` what it can be at
    all."""

    name: str
    home: Home
    low: float
    high: float
    least: float
    most: float
    unit: str
    source: str
    is_whole: bool = False


ASSUMPTIONS = {
    row.name: row
    for row in (
        Assumption(
            "peak_share", "row", 0.70, 0.90, 0.05, 1.0, "share of the budget",
            "the busiest two seconds of the row, without limits; 79% is the paper's row of inference",
        ),
        Assumption(
            "power_exponent", "model", 1.0, 2.0, 0.0, 4.0, "exponent",
            "GPU power above idle by the clock; 1.2 gives the paper's 20% off the peak at 1110 MHz",
        ),
        Assumption(
            "prompt_exponent", "model", 0.5, 1.0, 0.0, 2.0, "exponent",
            "time of the prompt phase by the clock: 1 where it is bound by computing alone",
        ),
        Assumption(
            "token_exponent", "model", 0.0, 0.3, 0.0, 2.0, "exponent",
            "time of the token phase by the clock; 0.28 gives the paper's largest slowdown, 7%, at 1110 MHz",
        ),
        Assumption(
            "other_w", "model", 1000.0, 3250.0, 0.0, 1e6, "W per server",
            "all but the GPUs: 5.7 kW seen less GPUs at their peak; half of 6.5 kW; 1.5 kW less idle GPUs",
        ),
        Assumption(
            "idle_share", "model", 0.16, 0.25, 0.0, 0.5, "share of the TDP",
            "an idle GPU: about 20% in the paper, 63 of 400 W in splitwise-sim",
        ),
        Assumption(
            "prompt_in_average", "model", 0.0, 1.0, 0.0, 1.0, "share of the prompt phase",
            "that the table's average power holds (it does not say); 0 is near splitwise-sim's 250 of 400 W",
        ),
        Assumption(
            "slots", "model", 1, 4, 1, MOST_SLOTS, "requests per server",
            "that a server holds at a time; the mix of the paper's row is not public", True,
        ),
        Assumption(
            "load", "load", 0.6, 0.9, 0.01, 2.0, "share of the servers' work",
            "what arrives in the busiest hour; not public",
        ),
        Assumption(
            "daily_swing", "load", 0.0, 0.5, 0.0, 0.99, "share",
            "of the rate around its daily mean; not public, the traces last 58 minutes",
        ),
        Assumption("weekend", "load", 0.6, 1.0, 0.0, 2.0, "share of a weekday", "not public"),
        Assumption(
            "burst", "load", 0.0, 0.4, 0.0, 3.0, "standard deviation of a minute's rate",
            "0.2 in the trace of conversations, 1.0 in that of code",
        ),
        Assumption(
            "low_share", "row", 0.25, 0.75, 0.0, 1.0, "share of the servers",
            "of low priority; the paper's mix is not public, and it says that fewer mean more caps for all",
        ),
    )
}  # fmt: skip


def value_of(setting: Setting, name: str) -> float:
    """What a setting assumes."""
    return float(getattr(_holder(setting, ASSUMPTIONS[name].home), name))


def with_value(setting: Setting, name: str, value: float) -> Setting:
    """The setting with another value of one assumption."""
    row = ASSUMPTIONS[name]
    number = round(value) if row.is_whole else value
    if row.home == "model":
        changed = dataclasses.replace(setting.model, **{name: number})  # type: ignore[arg-type]
        return dataclasses.replace(setting, model=changed)
    if row.home == "load":
        load = dataclasses.replace(setting.load, **{name: number})  # type: ignore[arg-type]
        return dataclasses.replace(setting, load=load)
    return dataclasses.replace(setting, **{name: number})  # type: ignore[arg-type]


def _holder(setting: Setting, home: Home) -> ServerModel | Load | Setting:
    return setting.model if home == "model" else setting.load if home == "load" else setting
