"""A local OpenAI-compatible endpoint with latency and faults, for tests and benchmarks.

    python benchmarks/mock_endpoint.py --latency-ms 200 --rate-429 0.05 --rate-hang 0.005

Prints its port on one line, then serves `POST .../chat/completions`. Answers are a function of the
request's content (mock_answers.py; repair turns are ignored), faults of the arrival number, so that a
retried request gets through. `GET /stats` counts requests, distinct ones and repeats. Written on bare
asyncio protocols: on two cores the server must not be what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from mock_answers import answer

LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


FAULTS = ("429", "500", "malformed", "hang", "drop")


class Faults:
    """Which arrival meets which fault."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.random = Random(args.seed)
        self.are_none = not any(getattr(args, f"rate_{name}") for name in FAULTS)

    def draw(self) -> str:
        if self.are_none:
            return ""
        value = self.random.random()
        for name in FAULTS:
            rate = getattr(self.args, f"rate_{name}")
            if value < rate:
                return name
            value -= rate
        return ""


class Counts:
    """What arrived and what was answered, by a hash of the request's body."""

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = self.faults = 0

    def report(self) -> dict[str, Any]:
        return {
            "arrived": self.arrived.total(),
            "distinct": len(self.arrived),
            "answered": self.answered.total(),
            "answered_again": sum(n - 1 for n in self.answered.values() if n > 1),
            "faults": self.faults,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "cpu_s": time.process_time(),
        }


class Connection(asyncio.Protocol):
    def __init__(self, args: argparse.Namespace, faults: Faults, counts: Counts) -> None:
        self.args, self.faults, self.counts = args, faults, counts
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            found = LENGTH.search(head)
            length = int(found[1]) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            method, path, *_ = head.split(b" ", 2)
            self.route(method, path.decode("latin-1"), body)

    def route(self, method: bytes, path: str, body: bytes) -> None:
        if method == b"GET" and path.endswith("/stats"):
            return self.send(200, self.counts.report())
        if not path.endswith("/chat/completions"):
            return self.send(404, {"error": {"message": f"no such path: {path}", "code": "not_found"}})
        key = hashlib.blake2b(body, digest_size=8).hexdigest()
        self.counts.arrived[key] += 1
        self.counts.in_flight += 1
        self.counts.most_in_flight = max(self.counts.most_in_flight, self.counts.in_flight)
        fault = self.faults.draw()
        loop = asyncio.get_running_loop()
        latency = self.args.latency_ms / 1000
        self.counts.faults += bool(fault)
        if fault == "hang":
            loop.call_later(3600, self.transport.abort)
            self.counts.in_flight -= 1
        elif fault == "429":
            error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
            loop.call_later(latency / 4, self.finish, key, 429, error, {"Retry-After": "0.2"})
        elif fault == "500":
            loop.call_later(latency / 2, self.finish, key, 500, {"error": {"message": "try again"}}, {})
        elif fault == "drop":
            loop.call_later(latency / 2, self.drop)
        else:
            loop.call_later(latency, self.finish, key, 200, (body, fault == "malformed"), {})

    def drop(self) -> None:
        self.counts.in_flight -= 1
        self.transport.abort()

    def finish(self, key: str, status: int, payload: Any, headers: dict[str, str]) -> None:
        self.counts.in_flight -= 1
        if self.transport.is_closing():
            return
        if status == 200 and self.args.answer is not None:
            self.counts.answered[key] += 1
            self.transport.write(whole(self.args.answer, self.args.call))
            return
        if status == 200:
            body, malformed = payload
            request = json.loads(body)
            if self.args.player:
                status, payload = of_player(self.args, request, malformed)
            else:
                payload = completion(request, malformed)
            self.counts.answered[key] += 1
        self.send(status, payload, headers)

    def send(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        self.transport.write(response(status, payload, headers))


def response(status: int, payload: Any, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a whole response."""
    body = json.dumps(payload).encode()
    all_headers = {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"HTTP/1.1 {status} {PHRASES[status]}\r\n{lines}\r\n".encode() + body


@cache
def whole(text: str, call: str | None = None) -> bytes:
    """The response with this answer, and a call of a tool of this name, to whatever is asked."""
    body = body_of(text, "mock", 400)
    if call is not None:
        function = {"name": call, "arguments": "{}"}
        calls = [{"id": "call-1", "type": "function", "function": function}]
        body["choices"][0] |= {"finish_reason": "tool_calls"}
        body["choices"][0]["message"]["tool_calls"] = calls
    return response(200, body)


def of_player(args: argparse.Namespace, request: dict[str, Any], malformed: bool) -> tuple[int, Any]:
    """What a scripted player answers: status and body."""
    from mock_player import NO_TOOLS, reply_to

    if args.no_tools and "tools" in request:
        return 400, NO_TOOLS
    body = body_of("", request.get("model", "mock"), len(json.dumps(request)) // 4)
    body["choices"] = [reply_to(args.player, request, malformed)]
    return 200, body


def completion(request: dict[str, Any], malformed: bool) -> dict[str, Any]:
    """The body of a 200."""
    messages = request.get("messages", [])
    system = next((m["content"] for m in messages if m["role"] == "system"), "")
    user = next((m["content"] for m in messages if m["role"] == "user"), "")
    text = answer(system, user, request.get("seed"))
    if malformed:
        # Free text cannot be malformed, only missing; JSON comes cut short, with talk around it.
        structured = text.lstrip().startswith(("{", "["))
        cut = text[: len(text) // 3].replace("{", "").replace("[", "")
        text = f"Sure! Here it is: {cut}" if structured else ""
    asked = sum(len(m["content"]) // 4 for m in messages)
    return body_of(text, request.get("model", "mock"), asked)


def body_of(text: str, model: str, asked: int) -> dict[str, Any]:
    """A completion with this text; `asked` are the tokens of the request."""
    return {
        "id": "mock",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": asked, "completion_tokens": len(text) // 4, "total_tokens": 0},
    }


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--port", type=int, default=0)
    found.add_argument("--latency-ms", type=float, default=200.0)
    found.add_argument("--answer", help="one answer for all requests, which are not read: the quickest")
    found.add_argument("--call", help="beside --answer: a tool that is called, without arguments")
    found.add_argument("--player", help="who answers, and calls tools: SUITE/PLAYER or module:Class")
    found.add_argument("--no-tools", action="store_true", help="take no tools: the player answers in words")
    for name in FAULTS:
        found.add_argument(f"--rate-{name}", type=float, default=0.0, dest=f"rate_{name}")
    found.add_argument("--seed", type=int, default=0)
    return found


async def serve(args: argparse.Namespace) -> None:
    faults, counts = Faults(args), Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(args, faults, counts), "127.0.0.1", args.port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser().parse_args()))
