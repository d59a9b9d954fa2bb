"""Starts the mock endpoint of benchmarks/ in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

from support.commands import ENV_OF_TESTS
from support.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "mock_endpoint.py"


@contextlib.contextmanager
def endpoint(*arguments: str) -> Iterator[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV_OF_TESTS)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return json.load(answer)
