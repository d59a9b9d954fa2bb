"""How near `overt generate` comes to what its busiest model allows.

    python benchmarks/pipeline.py                        # a writer, a judge, a surrogate: 64 in flight each
    python benchmarks/pipeline.py --judges 2 --samples 0 # two judges and no surrogate
    python benchmarks/pipeline.py --root OTHER_CHECKOUT  # the same run by another version, on the same day

Each model has an endpoint of its own, with the same latency. A model allows calls x latency / in-flight
seconds at the best; the share is that time of the busiest model divided by the seconds from the first request
to the last line of the command. Idle seconds are those in which no model had a request in flight.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from throughput import endpoint, server_stats

ROLES = {"model": "writer", "judge": "judge", "probe": "surrogate"}


class Watch:
    """Looks at the endpoints while a run is under way: the seconds in which nothing is in flight."""

    every_s = 0.05

    def __init__(self, urls: list[str]) -> None:
        self._urls, self._over, self.idle_s = urls, threading.Event(), 0.0
        self.began: float | None = None  # when the first request was seen
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        before = time.perf_counter()
        while not self._over.wait(self.every_s):
            stats = [server_stats(url) for url in self._urls]
            now = time.perf_counter()
            if self.began is None and any(one["arrived"] for one in stats):
                self.began = now
            if self.began is not None and not any(one["in_flight"] for one in stats):
                self.idle_s += now - before
            before = now


def arguments(args: argparse.Namespace, urls: dict[str, str], out: Path) -> list[str]:
    """The command line of the run."""
    found = [*("generate", "--policy", args.policy, "--encoder", "lexical", "--quiet", "--out", str(out))]
    found += ["--benign", str(args.benign), "--unsafe", str(args.unsafe), "--seed", "1"]
    found += ["--concurrency", str(args.in_flight), "--model", "openai/writer"]
    for number in range(args.judges):
        found += ["--judge", f"openai/judge{number}"]
    for category in args.category:
        found += ["--category", category]
    if args.samples:
        found += ["--probe", "openai/surrogate", "--samples", str(args.samples)]
    for role, url in urls.items():
        found += ["--base-url", f"{role}={url}"]
    return found


def digest(folder: Path) -> str:
    """A hash of the data set, for the comparison of two versions."""
    blob = hashlib.blake2b(digest_size=6)
    for file in ("benign.jsonl", "unsafe.jsonl"):
        blob.update((folder / "dataset" / file).read_bytes())
    return blob.hexdigest()


def measure(args: argparse.Namespace) -> None:
    latency = args.latency_ms / 1000
    roles = [role for role in ROLES if role != "probe" or args.samples]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        out = Path(folder) / "run"
        urls = {role: stack.enter_context(endpoint("--latency-ms", str(args.latency_ms))) for role in roles}
        command = [sys.executable, "-m", "overt", *arguments(args, urls, out)]
        env = {**os.environ, "OPENAI_API_KEY": "sk-none", "PYTHONPATH": str(args.root)}
        began = time.perf_counter()
        with Watch(list(urls.values())) as watch:
            subprocess.run(command, env=env, cwd=args.root, check=False, stdout=subprocess.DEVNULL)
            ended = time.perf_counter()
        wall = ended - (watch.began or began)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        calls = {role: server_stats(url)["answered"] for role, url in urls.items()}
        calls["judge"] = calls["judge"] // max(1, args.judges)  # each judge has a pace of its own
        manifest = json.loads((out / "manifest.json").read_text())
        print(f"data set {digest(out)}; seconds by stage {manifest['seconds']}")
    limits = {role: count * latency / args.in_flight for role, count in calls.items()}
    busiest = max(limits, key=lambda role: limits[role])
    total = sum(count * (args.judges if role == "judge" else 1) for role, count in calls.items())
    print(f"{total:,} calls, {args.in_flight} in flight, {args.latency_ms:g} ms: {wall:.1f} s")
    print(f"  busiest: {ROLES[busiest]}, {calls[busiest]:,} calls, {limits[busiest]:.1f} s at the best")
    print(f"  share of what it allows: {limits[busiest] / wall:.1%}; nothing in flight: {watch.idle_s:.1f} s")
    print(f"  before the first request: {(watch.began or ended) - began:.1f} s")
    print(f"  CPU of the run: {usage.ru_utime + usage.ru_stime:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--policy", default="overt")
    parser.add_argument("--category", nargs="*", default=[])
    parser.add_argument("--benign", type=int, default=200)
    parser.add_argument("--unsafe", type=int, default=100)
    parser.add_argument("--judges", type=int, default=1)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
