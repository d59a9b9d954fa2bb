"""What it costs to simulate a row of servers under a power budget: five and ten million requests.

    python benchmarks/power_row.py                        # 5,000,000 and 10,000,000 over 52 servers
    python benchmarks/power_row.py --small                # 50,000 and 100,000, in seconds
    python benchmarks/power_row.py --policy "no capping"  # or another one; --slots 4 for larger batches

Each size is a process of its own: the generator's load for as many days as give so many requests, every one
simulated, under POLCA with the budget of a row of 40. Prints seconds of one core and on the clock,
microseconds a request, the largest memory, and how time and memory of the second size stand to the first.
The limits: five million in 60 s of one core; twice as many take at most 2.2 times as long; memory is flat.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overt.planning.control import KINDS, Kind, Policy
from overt.planning.load import Load, requests
from overt.planning.search import Search
from overt.planning.server_model import ServerModel
from overt.planning.setting import Setting, simulated

ROW, SERVERS = 40, 52
SIZES, SMALL = (5_000_000, 10_000_000), (50_000, 100_000)
LIMIT_S, MOST_GROWTH, MOST_MEMORY = 60, 2.2, 1.1


@dataclass(frozen=True)
class Cost:
    """Of one simulation: seconds of one core and on the clock, the peak of memory in MiB, what was done."""

    requests: int
    days: float
    cpu: float
    wall: float
    peak: float
    caps: int
    brakes: int

    @property
    def each(self) -> float:
        """Microseconds of one core for a request."""
        return self.cpu / self.requests * 1e6


def setting_of(count: int, kind: Kind, slots: int) -> Setting:
    """A row whose load has at least so many requests; a weekday has so many as the first one."""
    setting = Setting(row=ROW, model=ServerModel(slots=slots), policy=Policy(kind=kind))
    day = sum(1 for _ in requests(Load(days=1, weekend=1), setting.model, setting.split(SERVERS)))
    return dataclasses.replace(setting, load=Load(days=max(0.01, 1.01 * count / day), weekend=1))


def simulate(count: int, kind: Kind, slots: int) -> Cost:
    """One simulation in this process, with the garbage collector set as the command sets it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    setting = setting_of(count, kind, slots)
    budget_w = Search(dataclasses.replace(setting, load=Load(days=0.1))).budget_w
    cpu, wall = time.process_time(), time.perf_counter()
    kept = simulated(setting, setting.split(SERVERS), budget_w)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(sum(kept.arrived), setting.load.days, cpu, wall, peak, kept.caps, kept.brakes)


def measured(count: int, kind: Kind, slots: int) -> Cost:
    """One simulation in a process of its own."""
    command = [sys.executable, __file__, "--one", str(count), "--policy", kind, "--slots", str(slots)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return Cost(**json.loads(done.stdout))


def lines_of(costs: Sequence[Cost]) -> list[str]:
    """What is told of the sizes."""
    head = "    requests    days   CPU s  clock s  us each    MiB    caps  brakes"
    lines = [
        f"{cost.requests:>12,} {cost.days:>7.2f} {cost.cpu:>7.2f} {cost.wall:>8.2f} {cost.each:>8.2f} "
        f"{cost.peak:>6.0f} {cost.caps:>7,} {cost.brakes:>7,}"
        for cost in costs
    ]
    first, last = costs[0], costs[-1]
    times = last.requests / first.requests
    return [
        head,
        *lines,
        f"{times:.2f} times the requests take {last.cpu / first.cpu:.2f} times the CPU time (at most "
        f"{MOST_GROWTH} for twice) and {last.peak / first.peak:.2f} times the memory (at most {MOST_MEMORY})",
        f"five million at this pace: {first.each * 5:.0f} s of one core (at most {LIMIT_S})",
    ]


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="in a few seconds")
    parser.add_argument("--requests", type=int, nargs="+", help="other sizes")
    parser.add_argument("--policy", choices=KINDS, default="polca")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        say(json.dumps(simulate(asked.one, asked.policy, asked.slots).__dict__))
        return
    sizes = asked.requests or (SMALL if asked.small else SIZES)
    for line in lines_of([measured(count, asked.policy, asked.slots) for count in sizes]):
        say(line)


if __name__ == "__main__":
    main()
