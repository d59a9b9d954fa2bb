"""Throughput of the caller against the latency limit, journal and parsing included.

    python benchmarks/throughput.py            # 16, 64 and 256 in flight at a 200 ms endpoint
    python benchmarks/throughput.py --long     # memory at 1,000 and at 50,000 requests, too

The limit is in-flight / latency. CPU seconds are those of this process, the client's, per 1,000 requests;
the endpoint is a process of its own on the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overt.calls import Caller, CallerOptions
from overt.data.chat import Question
from overt.data.replies import read_json
from overt.data.templates import load_template
from overt.generation.chat.openai import OpenAIChat
from overt.policies.load import load_policy
from overt.scoring.audit import VERDICT, Verdict

HERE = Path(__file__).parent


@contextlib.contextmanager
def endpoint(*arguments: str) -> Iterator[str]:
    """The mock endpoint in a process of its own; yields its base URL."""
    command = [sys.executable, str(HERE / "mock_endpoint.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


def server_stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return dict(json.load(answer))


def questions(count: int) -> Iterator[Question[Verdict]]:
    """Audit questions, as the pipeline asks them: the commonest call there is."""
    policy = load_policy("overt")
    template = load_template("scoring", "audit")
    category = policy.category("violence")
    for number in range(count):
        values = {"prompt": f"a shot of espresso, number {number}", "category": category}
        values |= {"modality": policy.modality, "editing": policy.editing}
        request = template.request(values, seed=0, schema=VERDICT.schema)
        yield Question(request, lambda reply: read_json(reply, VERDICT), number, "violence")


def measure(url: str, in_flight: int, count: int, latency_s: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        options = CallerOptions(concurrency=in_flight, timeout=30)
        with Caller(Path(folder) / "journal.sqlite", options) as caller:
            ask = caller.bind(OpenAIChat("mock", base_url=url), "audit")
            list(ask(questions(in_flight)))  # connections are opened before the clock starts
            rest = (q for n, q in enumerate(questions(count + in_flight)) if n >= in_flight)
            cpu, wall = _cpu(), time.perf_counter()
            good = sum(answer.value is not None for answer in ask(rest))
            cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    assert good == count, f"{count - good} answers were lost"
    rate = count / wall
    return {
        "in_flight": in_flight,
        "requests": count,
        "per_second": rate,
        "share_of_limit": rate * latency_s / in_flight,
        "cpu_s_per_1000": cpu / count * 1000,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--in-flight", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long each level runs")
    parser.add_argument("--long", action="store_true", help="memory at 1,000 and 50,000 requests")
    args = parser.parse_args()
    latency = args.latency_ms / 1000
    print("in flight  requests  per second  of the limit  CPU s/1,000  peak MiB")
    with endpoint("--latency-ms", str(args.latency_ms)) as url:
        levels = [(n, int(n / latency * args.seconds)) for n in args.in_flight]
        if args.long:
            levels += [(256, 1_000), (256, 50_000)]
        for in_flight, count in levels:
            row = measure(url, in_flight, count, latency)
            print(
                f"{row['in_flight']:9d} {row['requests']:9d} {row['per_second']:11.1f} "
                f"{row['share_of_limit']:12.1%} {row['cpu_s_per_1000']:12.2f} {row['peak_mib']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
