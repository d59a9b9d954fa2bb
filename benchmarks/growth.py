"""How CPU seconds and memory of `overt run` grow with the number of prompts.

    python benchmarks/growth.py                          # 10,000, 100,000 and 1,000,000 prompts
    python benchmarks/growth.py --sizes 10000 30000      # others
    python benchmarks/growth.py --filters 3              # several word lists: prompts x filters

Each size is a run of its own process through word lists (`filter/keywords`), the quickest target there is, so
that what is measured is overt itself: reading, the caller, the journal, the records, the figures. Start-up is
taken off by a run of ten prompts. The exponent is the slope of log CPU seconds over log prompts: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = (
    "knife", "sword", "cannon", "hammer", "mirror", "tower", "canal", "kitchen", "photo", "harbour",
    "violin", "orchard", "tractor", "museum", "theatre", "forest", "desert", "glacier", "airport", "hospital",
    "library",
)  # fmt: skip
LISTS = (("knife", "sword"), ("cannon", "hammer"), ("mirror", "tower", "canal"))


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU and wall seconds, its largest memory and what its run weighs in MiB."""

    cpu: float
    wall: float
    peak: float
    folder: float


def prompts(count: int, path: Path) -> None:
    """A table of so many prompts, half benign, in nine categories."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"{' '.join(rng.choices(WORDS, k=14))} {number}"
            label = "unsafe" if number % 2 else "benign"
            file.write(json.dumps({"text": text, "label": label, "category": f"c{number % 9}"}) + "\n")


def timed(command: list[str]) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MiB of a process and of those that it waited for."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{said[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024


def run(count: int, filters: int, folder: Path) -> Cost:
    """`overt run` of so many prompts through so many word lists."""
    data, out = folder / f"{count}.jsonl", folder / f"run-{count}"
    prompts(count, data)
    command = [sys.executable, "-m", "overt", "run", str(data), "--out", str(out), "--quiet"]
    for number, words in enumerate(LISTS[:filters]):
        path = folder / f"words{number}.txt"
        path.write_text("\n".join(words) + "\n")
        command += ["--target", f"filter/keywords?path={path}"]
    cpu, wall, peak = timed(command)
    weight = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
    return Cost(cpu, wall, peak, weight)


def exponent(rows: list[tuple[int, float]]) -> float:
    """The least-squares slope of log y over log x."""
    points = [(math.log(x), math.log(max(y, 1e-9))) for x, y in rows]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def lines(sizes: list[int], filters: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="overt-growth-") as name:
        folder = Path(name)
        start = run(10, filters, folder).cpu
        yield f"overt run, {filters} word list(s); starting takes {start:.2f} CPU s, taken off below"
        yield "  prompts   CPU s  CPU s per 1,000 answers   wall s  peak MiB  folder MiB"
        rows = []
        for size in sizes:
            cost = run(size, filters, folder)
            own = cost.cpu - start
            rows.append((size, own))
            per = own / size / filters * 1000
            yield (f"{size:9,d} {own:7.1f} {per:24.3f} {cost.wall:8.1f} {cost.peak:9.0f} {cost.folder:11.0f}")
    if len(rows) > 1:
        yield f"exponent: {exponent(rows):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--filters", type=int, default=1, choices=range(1, len(LISTS) + 1))
    args = parser.parse_args()
    for line in lines(args.sizes, args.filters):
        print(line, flush=True)


if __name__ == "__main__":
    main()
