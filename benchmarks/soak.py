"""Kills -9 of a worker, of the driver, and of Ray's head, at seeded moments: `make soak`.

    python benchmarks/soak.py                              # workers and driver of --workers 2
    python benchmarks/soak.py --kinds worker driver head   # and Ray, where it is installed
    python benchmarks/soak.py --light                      # squares for pictures: no torch, minutes

One run over the tiny pipeline for each kind. After each kill the run goes on: by itself where a worker was
killed, else by the same command. The workers write down each prompt before they draw it. At the end:

    outcomes and pictures are those of a run that nobody disturbed
    the journal has one row for each prompt
    no prompt was drawn again whose row was committed when the kill came
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from soak_target import LOG
from spread import build, descendants, environment, outcomes, pictures

WAIT_S = 300.0
KINDS = {"worker": "2", "driver": "2", "head": "ray:2"}


@dataclass
class Soak:
    """One run that is disturbed. kept: at each kill, the prompts of committed rows and the log's length."""

    folder: Path
    kind: str
    target: str
    chance: random.Random
    kept: list[tuple[set[str], int]] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.folder / self.kind

    @property
    def drawn(self) -> list[tuple[int, str]]:
        """The process and the prompt of each drawing, in order."""
        log = self.folder / f"{self.kind}.log"
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        return [(int(line.split("\t")[0]), line.split("\t")[1]) for line in lines if "\t" in line]

    def command(self) -> list[str]:
        return command(self.kind, KINDS[self.kind], self.target)

    def start(self) -> subprocess.Popen[bytes]:
        return start(self.folder, self.kind, self.command())

    def committed(self) -> list[str]:
        """The prompts of the journal's rows."""
        file = self.run / "journal.sqlite"
        if not file.exists():
            return []
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            return [json.loads(text)["prompt"] for (text,) in db.execute("SELECT request FROM calls")]

    def wait_for_more(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits until some more prompts were drawn; False: the run ended."""
        goal = len(self.drawn) + self.chance.randint(5, 11)
        until = time.monotonic() + WAIT_S
        while len(self.drawn) < goal:
            if process.poll() is not None:
                return False
            if time.monotonic() > until:
                process.kill()
                raise SystemExit(f"{self.kind}: nothing was drawn for {WAIT_S:g} seconds")
            time.sleep(0.02)
        time.sleep(self.chance.uniform(0, 0.3))
        return process.poll() is None

    def keep(self) -> None:
        self.kept.append((set(self.committed()), len(self.drawn)))

    def again(self) -> list[str]:
        """Prompts that were drawn though their row was committed."""
        drawn = self.drawn
        return [p for rows, begin in self.kept for _, p in drawn[begin:] if p in rows]


def command(out: str, workers: str, target: str) -> list[str]:
    return [
        *(sys.executable, "-m", "overt", "run", "prompts.csv", "--out", out, "--workers", workers, "-q"),
        *("--target", target, "--device", "cpu"),
    ]


def start(folder: Path, kind: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    env = {**environment(), LOG: str(folder / f"{kind}.log")}
    env["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    errors = (folder / f"{kind}.err").open("ab")
    return subprocess.Popen(arguments, cwd=folder, env=env, stdout=errors, stderr=errors)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def named(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def kill_workers(soak: Soak, kills: int) -> int:
    """Kills one worker after the other of one run; how many there were."""
    process = soak.start()
    for number in range(kills):
        if not soak.wait_for_more(process):
            return number
        soak.keep()
        kill(soak.drawn[-1 - soak.chance.randrange(2)][0])
    if process.wait(WAIT_S):
        raise SystemExit(f"worker: exit code {process.returncode}, see {soak.kind}.err")
    return kills


def kill_again_and_again(soak: Soak, kills: int) -> int:
    """Kills the driver, or Ray's head, of one run that is begun again each time; how often."""
    for number in range(kills):
        process = soak.start()
        if not soak.wait_for_more(process):
            return number
        family = descendants(process.pid)
        if soak.kind == "driver":
            kill(process.pid)
        else:
            for pid in family:
                if any(part in named(pid).split(" ")[0] for part in ("gcs_server", "raylet")):
                    kill(pid)
            end_of(process)
        process.wait()
        wait_for_the_end(family)
        soak.keep()
    process = soak.start()
    if process.wait(WAIT_S):
        raise SystemExit(f"{soak.kind}: exit code {process.returncode}, see {soak.kind}.err")
    return kills


def end_of(process: subprocess.Popen[bytes]) -> None:
    """Waits for a driver whose cluster is gone; it may hang, and is killed then."""
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        print("    the driver did not end within 90 s of its cluster; it is killed", flush=True)
        process.kill()


def wait_for_the_end(family: list[int]) -> None:
    """Waits until nothing that a driver started is left. What was left for 20 s is told, and killed."""
    until = time.monotonic() + 20
    while (left := [pid for pid in family if named(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        print(f"    left behind for 20 s: {named(pid)[:80]}", flush=True)
        kill(pid)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=["worker", "driver"])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pictures", type=int, help="default: 192; of head 2400, which draws on for a while")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--light", action="store_true")
    asked = parser.parse_args()
    count = asked.pictures or (2400 if "head" in asked.kinds else 192)
    target = "soak_target:Squares/x" if asked.light else "soak_target:Soaked/tiny?steps=4"
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, count, is_light=asked.light)
        if start(folder, "reference", command("reference", "1", target)).wait():
            raise SystemExit((folder / "reference.err").read_text("utf-8"))
        for kind in asked.kinds:
            began = time.monotonic()
            soak = Soak(folder, kind, target, random.Random(f"{asked.seed}/{kind}"))
            kills = (kill_workers if kind == "worker" else kill_again_and_again)(soak, asked.kills)
            rows, again = soak.committed(), soak.again()
            checks = {
                "outcomes": outcomes(folder / "reference") == outcomes(soak.run),
                "pictures": pictures(folder / "reference") == pictures(soak.run),
                "journal": len(rows) == len(set(rows)) == count,
                "nothing committed drawn again": not again,
                f"{asked.kills} kills": kills == asked.kills,
            }
            failed |= not all(checks.values())
            print(
                f"{kind}: {kills} kills, {count} prompts, drawn {len(soak.drawn)} times; "
                + ", ".join(f"{what} {'ok' if good else 'WRONG'}" for what, good in checks.items())
                + f"; {time.monotonic() - began:.0f} s",
                flush=True,
            )
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
