"""Workers that are processes of this machine, one device each."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from pathlib import Path

import overt
from overt.data.secrets import Known, storable
from overt.workers.parts import TRIES, Place, Reply, SeatLost, here
from overt.workers.wire import opened, packed, received

_LAST_LINES = 5  # of what a worker wrote before it ended
_END_S = 3.0  # seconds that a worker has to end by itself, which takes some hundredths
_KEY_NAMES = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_COUNT_DEVICES = "import torch; print(torch.cuda.device_count())"


class Processes:
    """The engine of `--workers N`. A batch is given to a worker at most four times."""

    tries = TRIES

    def __init__(self, count: int) -> None:
        self.count = count
        self._environments = environments(count, visible_devices(), processors())
        self._place = here()

    def seat(self, number: int) -> ProcessSeat:
        return ProcessSeat(number, self._environments[number], self._place)

    def close(self) -> None:
        """Nothing is left: each seat ends its own process."""


def environments(count: int, devices: list[str], cores: int) -> list[dict[str, str]]:
    """What differs in the environment of each worker: its device, and its share of the cores.

    Args:
        devices: the GPUs, as CUDA_VISIBLE_DEVICES names them. With more workers than GPUs some share one.
        cores: of this machine, for the threads of models on the CPU.
    """
    shared = {"PYTHONPATH": python_path()}
    if "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, cores // count))
    own = [{"CUDA_VISIBLE_DEVICES": devices[n % len(devices)]} if devices else {} for n in range(count)]
    return [shared | mine for mine in own]


def python_path() -> str:
    """Where a worker finds this very overt, also from a checkout that is not installed."""
    known = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [str(Path(overt.__file__).parent.parent), known]))


def processors() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def visible_devices() -> list[str]:
    """The GPUs by the names that CUDA_VISIBLE_DEVICES takes. torch is asked in a process of its own: here it
    would take a second and some hundred megabytes for nothing else."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1"]
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return []
    done = subprocess.run([sys.executable, "-c", _COUNT_DEVICES], capture_output=True, text=True, check=False)
    said = done.stdout.strip()
    return [str(number) for number in range(int(said))] if said.isdigit() else []


class ProcessSeat:
    """A worker process and the pipes to it. It ends with the driver: then its input ends."""

    def __init__(self, number: int, environment: Mapping[str, str], place: Place) -> None:
        self.number = number
        self._pending: dict[int, Future[bytes]] = {}
        self._numbers, self._turn = itertools.count(), threading.Lock()
        self._lost = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "overt.workers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._threads = [
            threading.Thread(target=work, name=f"overt-worker-{number}", daemon=True)
            for work in (self._listen, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()
        self._send(packed(place))

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, method: str, *arguments: object) -> Reply:
        future: Future[bytes] = Future()
        with self._turn:
            number = next(self._numbers)
            self._pending[number] = future
        if self._lost:
            self._fail_pending()
        else:
            self._send(packed((number, method, arguments)))
        answer = future.result()
        try:
            reply: Reply = opened(answer)
        except Exception as error:  # a user's class may give back anything
            return Reply(None, f"its answer cannot be read: {type(error).__name__}: {error}")
        return reply

    def close(self) -> None:
        """Ends the process; it is killed if it does not end by itself."""
        self._lost = self._lost or "it was closed"
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
        except OSError:  # it is gone already
            pass
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1)

    def _send(self, data: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            with self._turn:
                stream.write(data)
                stream.flush()
        except (OSError, ValueError):  # the listener tells how it ended
            return

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while (message := received(stream)) is not None:
            number, answer = message
            if (future := self._pending.pop(number, None)) is not None:  # it was not given up by `close`
                future.set_result(answer)
        code = self._process.wait()
        self._threads[1].join(1)  # its last lines
        self._lost = self._lost or how_it_ended(self.number, code, self._said)
        self._fail_pending()

    def _fail_pending(self) -> None:
        with self._turn:
            pending, self._pending = self._pending, {}
        for future in pending.values():
            try:
                future.set_exception(SeatLost(self._lost))
            except InvalidStateError:
                continue

    def _read_errors(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        for line in stream:
            if text := line.decode("utf-8", "replace").strip():
                self._said.append(text[:300])


def _keys() -> list[str]:
    """Values of the environment that are keys by their names. A worker may read one of which the driver knows
    nothing."""
    return [value for name, value in os.environ.items() if value and _KEY_NAMES.search(name)]


def how_it_ended(number: int, code: int, said: Iterable[str]) -> str:
    """The end of a worker in words, with the last lines that it wrote, without keys."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        words = f"it was ended by signal {-code} ({name})"
        if name == "SIGKILL":
            words += ", which the system sends when memory is full"
    else:
        words = f"it ended with exit code {code}"
    last = storable(Known(*_keys()).masked(" | ".join(said)))
    return f"worker {number + 1}: {words}" + (f"; its last words: {last}" if last else "")
