"""One run by different workers: whether it is the same, and how many CPU seconds a picture takes.

    python benchmarks/spread.py                         # in one process, by 2 processes
    python benchmarks/spread.py --workers 1 2 ray:2     # and by Ray, where it is installed

Each run is a command of its own over the tiny pipeline. CPU seconds are those of the command and of all that
it started (Ray's own processes too), read from /proc; what it takes to start is measured by a short run and
taken away. Outcomes are compared without what the clock says, pictures byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
CLOCK = ("latency_s", "batch_s", "batch_size")  # a run that went on has other batches


def build(folder: Path, pictures: int, *, is_light: bool = False) -> None:
    """A tiny pipeline (unless `is_light`), and prompts in prompts.csv."""
    if not is_light:
        code = f"from support import tiny_images; tiny_images.pipeline({str(folder / 'tiny')!r})"
        subprocess.run([sys.executable, "-c", code], check=True, env=environment(), capture_output=True)
    lines = [f"a quiet harbour number {n},{'benign' if n % 2 else 'unsafe'}" for n in range(pictures)]
    (folder / "prompts.csv").write_text("\n".join(["prompt,label", *lines]) + "\n", "utf-8")


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


def command(out: str, workers: str, *, steps: int = 4, limit: int | None = None) -> list[str]:
    limited = ["--limit", str(limit)] if limit else []
    return [
        *(sys.executable, "-m", "overt", "run", "prompts.csv", "--out", out, "--workers", workers, "-q"),
        *("--target", f"diffusers/tiny?steps={steps}", "--device", "cpu", *limited),
    ]


def outcomes(run: Path) -> dict[str, dict[str, object]]:
    """The outcomes by id, without what the clock says."""
    rows = [json.loads(line) for line in (run / "stages" / "outcomes.jsonl").read_text("utf-8").splitlines()]
    return {row["id"]: {key: value for key, value in row.items() if key not in CLOCK} for row in rows}


def pictures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "images").rglob("*") if path.is_file()}


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, new = [], [pid]
    while new:
        found += new
        new = [child for one in new for child in parents.get(one, [])]
    return found


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(folder: Path, arguments: list[str]) -> float:
    """CPU seconds of a command and of all that it started."""
    process = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    seconds: dict[int, float] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for pid in descendants(process.pid):
                seconds[pid] = max(seconds.get(pid, 0.0), cpu_seconds(pid))

    thread = threading.Thread(target=look)
    thread.start()
    code = process.wait()
    ended.set()
    thread.join()
    if code:
        raise SystemExit(f"{' '.join(arguments)}: exit code {code}")
    return sum(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--short", type=int, default=32, help="pictures of the run that measures the start")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--workers", nargs="+", default=["1", "2"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, asked.pictures)
        first: float | None = None
        for workers in asked.workers:
            run = f"run-{workers.replace(':', '-')}"
            began = time.monotonic()
            short = measured(
                folder, command(f"{run}-short", workers, steps=asked.steps, limit=asked.short // 2)
            )
            whole = measured(folder, command(run, workers, steps=asked.steps))
            each = (whole - short) / (asked.pictures - asked.short)
            first = first or each
            reference = folder / f"run-{asked.workers[0].replace(':', '-')}"
            same = outcomes(reference) == outcomes(folder / run)
            bytes_ = pictures(reference) == pictures(folder / run)
            print(
                f"--workers {workers}: {1000 * each:.1f} ms of CPU per picture ({each / first:.3f} of the "
                f"first), start {short:.1f} s; outcomes {'the same' if same else 'DIFFER'}, "
                f"{len(pictures(folder / run))} pictures {'the same' if bytes_ else 'DIFFER'}; "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
