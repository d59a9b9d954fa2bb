"""A vendor's image API on loopback that does what the prompt says: draws, refuses, fails, hangs.

A prompt such as "a harbour 7 [429]" names its fault in brackets; no brackets: it is drawn. Faults with
"always" never end, the others do it twice and then draw.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

YAML = """\
url: {url}/draw
headers:
  Authorization: Bearer ${{VENDOR_KEY}}
json: {{prompt: "{{{{prompt}}}}", seed: "{{{{seed}}}}"}}
image: {{path: $.image, encoding: base64}}
refusal:
  - {{status: 400, path: $.error.code, equals: content_policy_violation, stage: prompt_filter}}
"""


def png(width: int, height: int, pixels: bytes, depth: int = 8) -> bytes:
    """A grey PNG from raw rows (each with its filter byte)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    packed = zlib.compress(pixels, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def noise(seed: int, side: int = 64) -> bytes:
    rows = random.Random(seed)
    return png(side, side, b"".join(b"\0" + rows.randbytes(side) for _ in range(side)))


BLACK = png(64, 64, (b"\0" + b"\0" * 64) * 64)


def bomb() -> bytes:
    """30,000 x 30,000 pixels in a hundred kilobytes."""
    return png(30_000, 30_000, (b"\0" + b"\0" * 3750) * 30_000, depth=1)


class ImageServer:
    def __init__(self, delay_s: float = 0.0, hang_s: float = 3.0) -> None:
        self.delay_s, self.hang_s = delay_s, hang_s
        self.arrived: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.bomb = bomb()
        self.url = ""

    def answer(self, prompt: str, seed: int, handler: Any) -> None:
        fault = (re.findall(r"\[(.*?)\]", prompt) or [""])[-1]
        time.sleep(self.delay_s)
        first = self.arrived[prompt] <= 2
        if fault == "429" and first:
            handler.say(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.1"})
        elif fault == "500" and first:
            handler.say(500, {"error": {"message": "oops"}})
        elif fault == "500 always":
            handler.say(503, {"error": {"message": "down"}})
        elif fault == "hang" and first:
            time.sleep(self.hang_s)
            handler.close_connection = True
        elif fault == "drop" and first:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif (fault == "truncated" and first) or fault == "truncated always":
            whole = noise(seed)
            self.draw(prompt, whole[: len(whole) // 2], handler)
        elif fault == "bomb":
            self.draw(prompt, self.bomb, handler)
        elif fault == "html":
            handler.raw(200, b"<!doctype html><title>Sign in</title>", "text/html")
        elif fault == "black":
            self.draw(prompt, BLACK, handler)
        elif fault == "refuse":
            self.answered[prompt] += 1
            handler.say(400, {"error": {"code": "content_policy_violation", "message": "no"}})
        else:
            self.draw(prompt, noise(seed), handler)

    def draw(self, prompt: str, data: bytes, handler: Any) -> None:
        self.answered[prompt] += 1
        handler.say(200, {"image": base64.b64encode(data).decode()})


@contextlib.contextmanager
def image_server(**options: float) -> Iterator[ImageServer]:
    state = ImageServer(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.arrived[body["prompt"]] += 1
            state.keys.add(self.headers.get("authorization", ""))
            with contextlib.suppress(OSError):
                state.answer(body["prompt"], int(body["seed"]), self)

        def say(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
            self.raw(status, json.dumps(data).encode(), "application/json", headers)

        def raw(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that was killed is part of the test
            pass

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
