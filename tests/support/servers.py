"""Small HTTP servers for tests, where what comes back is the test's own business."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], Any]  # status, headers, a body that goes out as JSON


@contextlib.contextmanager
def server(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[str]:
    """Answers each POST with what the function says of its JSON body; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
            status, headers, data = answer(body)
            blob = json.dumps(data).encode()
            with contextlib.suppress(ConnectionError):  # whoever asked may be gone
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(blob)))
                self.end_headers()
                self.wfile.write(blob)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextlib.contextmanager
def status_server(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Iterator[str]:
    """Answers every POST alike."""
    with server(lambda _: (status, headers or {}, body)) as url:
        yield url
