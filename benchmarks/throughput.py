"""Throughput of the caller against the latency limit, beside raw aiohttp and curator, in one run.

    python benchmarks/throughput.py            # 64, 256 and 1,024 in flight at a 200 ms endpoint
    python benchmarks/throughput.py --long     # memory at 1,000 and at 50,000 requests, too
    CURATOR=/path/to/bin/python python benchmarks/throughput.py   # the Python that has bespokelabs-curator

The limit is in-flight / latency. CPU seconds are those of the client's process per 1,000 requests; the
endpoint is a process of its own on the same machine.

    overt        makes each request of a template, keeps it and its answer in a journal, reads the verdict
    raw aiohttp  sends bodies that are made before, decodes the answers, and does nothing else
    curator      keeps requests and answers in its cache

The clients take turns at each level, so that a busy machine is as busy for one as for the other. `--local`
asks a model in this process and shows what the caller alone costs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from overt.calls import Caller, CallerOptions
from overt.cli import collect_less
from overt.data.chat import ChatReply, ChatRequest, Question
from overt.data.replies import read_json
from overt.data.templates import Template, load_template
from overt.generation.chat.openai import OpenAIChat
from overt.generation.transport import encoded
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.scoring.audit import VERDICT, Verdict

HERE = Path(__file__).parent
ANSWER = '{"label": "benign", "reason": "A cup of coffee, whose name only sounds like a weapon."}'
Row = dict[str, Any]


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


def server_stats(url: str) -> Row:
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return dict(json.load(answer))


def questions(count: int, first: int = 0) -> Iterator[Question[Verdict]]:
    """Audit questions, as the pipeline asks them: the commonest call there is."""
    policy, template = _loaded()
    category = policy.category("violence")
    values: Row = {"category": category, "modality": policy.modality, "editing": policy.editing}
    for number in range(first, first + count):
        values["prompt"] = f"a shot of espresso, number {number}"
        request = template.request(values, seed=0, schema=VERDICT.schema)
        yield Question(request, lambda reply: read_json(reply, VERDICT), number, "violence")


@cache
def _loaded() -> tuple[Policy, Template]:
    return load_policy("overt"), load_template("scoring", "audit")


# -- the clients ---------------------------------------------------------------------------------------------


def of_overt(url: str, in_flight: int, count: int) -> Row:
    """The caller with its journal, `count` questions after the connections were opened."""
    return _asked(OpenAIChat("mock", base_url=url), in_flight, count)


def of_caller(in_flight: int, count: int) -> Row:
    """The caller with a model that answers at once: what everything but the exchange costs."""
    return _asked(Local(), in_flight, count)


class Local:
    """A model of this process."""

    name = "local/mock"

    async def complete(self, request: ChatRequest) -> ChatReply:
        await asyncio.sleep(0)
        return ChatReply(ANSWER, finish_reason="stop", input_tokens=500, output_tokens=12)

    async def close(self) -> None:
        pass


def _asked(model: OpenAIChat | Local, in_flight: int, count: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        options = CallerOptions(concurrency=in_flight, timeout=60)
        with Caller(Path(folder) / "journal.sqlite", options) as caller:
            ask = caller.bind(model, "audit")
            list(ask(questions(in_flight)))
            clock = Clock()
            good = sum(answer.value is not None for answer in ask(questions(count, in_flight)))
            return clock.row(good, count)


def of_aiohttp(url: str, in_flight: int, count: int) -> Row:
    """aiohttp alone, with the same bodies."""
    return asyncio.run(_sent(f"{url}/chat/completions", in_flight, count))


async def _sent(url: str, in_flight: int, count: int) -> Row:
    import aiohttp

    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def work(todo: Iterator[bytes]) -> int:
            good = 0
            for body in todo:
                async with session.post(url, data=body) as answer:
                    data = json.loads(await answer.read())
                    good += bool(data["choices"][0]["message"]["content"])
            return good

        async def all_of(todo: list[bytes]) -> int:
            shared = iter(todo)
            return sum(await asyncio.gather(*(work(shared) for _ in range(in_flight))))

        await all_of([_body(q.request) for q in questions(in_flight)])
        todo = [_body(q.request) for q in questions(count, in_flight)]
        clock = Clock()
        return clock.row(await all_of(todo), count)


def _body(request: ChatRequest) -> bytes:
    turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
    return encoded({"model": "mock", "messages": turns, "seed": request.seed, "temperature": 0.0})


def of_curator(url: str, in_flight: int, count: int) -> Row | None:
    """curator with its own cache, in its own Python; None if there is none."""
    if not (python := os.environ.get("CURATOR")):
        return None
    command = [python, str(HERE / "throughput_curator.py"), url, str(in_flight), str(count)]
    with tempfile.TemporaryDirectory() as folder:
        ours = {"CURATOR_CACHE_DIR": folder, "CURATOR_DISABLE_CACHE": "0", "TELEMETRY_ENABLED": "false"}
        environment = {**os.environ, **ours, "OPENAI_API_KEY": "none", "PYTHONPATH": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"curator failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


class Clock:
    """Wall time and CPU time of this process from here on, in seconds."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def row(self, good: int, count: int) -> Row:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        assert good == count, f"{count - good} answers were lost"
        return {"cpu": cpu, "wall": wall}


CLIENTS = {"raw aiohttp": of_aiohttp, "overt": of_overt, "curator": of_curator}


def main() -> None:
    collect_less()  # as the command does; of all clients of this process
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--in-flight", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="about how long each level runs at the limit"
    )
    parser.add_argument("--clients", nargs="*", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--long", action="store_true", help="overt's memory at 1,000 and 50,000 requests")
    parser.add_argument("--local", action="store_true", help="the caller with a model of this process, alone")
    args = parser.parse_args()
    print("client       in flight  requests  of the limit  CPU s/1,000  peak MiB")
    if args.local:
        return _print("the caller", 64, 5_000, of_caller(64, 5_000), 0.0)
    latency = args.latency_ms / 1000
    levels = [(n, int(n / latency * args.seconds)) for n in args.in_flight]
    if args.long:
        levels, args.clients = [(256, 1_000), (256, 50_000)], ["overt"]
    with endpoint("--latency-ms", str(args.latency_ms), "--answer", ANSWER) as url:
        for in_flight, count in levels:
            for name in args.clients:
                if row := CLIENTS[name](url, in_flight, count):
                    _print(name, in_flight, count, row, latency)
                else:
                    print(f"{name}: not measured (CURATOR names the Python that has it)")
        served = server_stats(url)
        print(f"the endpoint itself: {served['cpu_s'] / served['arrived'] * 1000:.2f} CPU s per 1,000")


def _print(name: str, in_flight: int, count: int, row: Row, latency: float) -> None:
    share = count / row["wall"] * latency / in_flight
    peak = row.get("peak_mib") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu = row["cpu"] / count * 1000
    print(f"{name:11s} {in_flight:10d} {count:9d} {share:13.1%} {cpu:12.3f} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
