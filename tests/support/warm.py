"""`python -m overt` without the second that its imports take: one process has them done and forks.

A command still has a process of its own, with its own arguments, environment, folder, memory and exit code,
and nothing that one leaves behind meets the next. What it has not of its own is the import of overt and of
its libraries, and the seed of its hashes. A test of what a command imports, or of its memory, starts a real
one with the words of `command` (`support/commands.py`). So does `run` where the environment holds what only
a start reads.

This file is run as a script, too: it is the process that forks.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import IO, Any, NoReturn

import overt

# Beside every command of overt, and what opening a client brings. What is missing, a command imports itself.
LIBRARIES = (
    "overt.generation.batches.openai", "overt.generation.chat.openai", "overt.generation.products",
    "overt.report.gallery", "overt.report.page", "overt.scoring.boundaries",
    "overt.scoring.refusal_judges.rules", "PIL.ImageOps", "PIL.ImageStat", "anyio", "filelock", "h11",
    "huggingface_hub", "jinja2", "json_repair", "matplotlib.backends.backend_svg", "matplotlib.figure",
    "numpy.random", "openai", "pyarrow.parquet", "rich.progress", "rich.table", "yaml",
)  # fmt: skip
OPTIONAL = ("httpcore", "httpcore2", "trio", "truststore")  # which httpx uses where they are installed
# Read when Python or a library starts, not when a command does: another value needs a real start.
AT_START = (
    "PYTHON", "LC_", "LANG", "TZ", "LD_", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH", "OMP_", "MKL_",
    "OPENBLAS_", "CUDA_", "MPL", "ARROW_", "MALLOC_", "TERM", "FORCE_COLOR", "GITHUB_",
)  # fmt: skip
# Set by libraries when they are imported, as they are in the process that forks.
SET_BY_LIBRARIES = ("TOKENIZERS_PARALLELISM", "TORCHINDUCTOR_CACHE_DIR")
START = {**os.environ, "HF_HUB_OFFLINE": "1"}
_MESSAGE = 1 << 20  # bytes; more than arguments and environment can be


def run(
    arguments: Sequence[str], env: Mapping[str, str], cwd: str | os.PathLike[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command of overt, as `subprocess.run` with `capture_output` and `text` gives it."""
    words = [sys.executable, "-m", "overt", *arguments]
    own = os.path.join(cwd or os.curdir, "overt", "__init__.py")  # of which `python -m overt` would be
    if _of_start(env) != _of_start(START) or (
        os.path.exists(own) and not os.path.samefile(own, overt.__file__)
    ):
        return subprocess.run(words, capture_output=True, text=True, env=env, cwd=cwd)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with Started(arguments, env, cwd, out, err) as process:
            code = process.wait()
        return subprocess.CompletedProcess(words, code, _text(out), _text(err))


class Started:
    """A command that has begun, with as much of `subprocess.Popen` as tests need that kill it.

    The environment must agree with this process's in what `AT_START` names.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        out: IO[bytes],
        err: IO[bytes],
    ) -> None:
        assert _of_start(env) == _of_start(START)
        told = {
            "arguments": [*map(str, arguments)],
            "env": dict(env),
            "cwd": os.path.abspath(cwd or os.curdir),
        }
        self.returncode: int | None = None
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.connect(_server())
        socket.send_fds(self._line, [json.dumps(told).encode()], [out.fileno(), err.fileno()])
        self.pid = self._number()

    def _number(self) -> int:
        if not (told := self._line.recv(100)):
            raise RuntimeError("the process that forks for commands has died")
        return int(told)

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._number()
        return self.returncode

    def poll(self) -> int | None:
        return self.wait() if select.select([self._line], [], [], 0)[0] else self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()


def _of_start(env: Mapping[str, str]) -> dict[str, str]:
    names = (name for name in env if name.startswith(AT_START) and name not in SET_BY_LIBRARIES)
    return {name: env[name] for name in names}


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n").replace("\r", "\n")


@functools.cache
def _server() -> str:
    """The address of the process that forks. It ends with this one, which holds its standard input open."""
    folder = tempfile.TemporaryDirectory(prefix="overt-warm-")
    address = os.path.join(folder.name, "line")
    process = subprocess.Popen(
        [sys.executable, __file__, address], env=START, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("the process that forks for commands did not start; what it said stands above")

    @atexit.register
    def end() -> None:
        process.communicate()
        folder.cleanup()

    return address


def serve(address: str) -> None:
    """Forks for each command that is told on the socket, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this process
    import_all()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
            line, _ = door.accept()
            with line:
                if os.fork() == 0:
                    door.close()
                    try:
                        answer(line)
                    except BaseException:
                        traceback.print_exc()
                    os._exit(1)
            with contextlib.suppress(ChildProcessError):  # when none is left
                while any(os.waitpid(-1, os.WNOHANG)):
                    pass


def import_all() -> None:
    from PIL import Image

    from overt.cli import COMMANDS, load_command
    from overt.policies.load import load_policy, shipped_policies
    from overt.policies.term_forms import _engine
    from overt.scoring.refusal_judges.rules import RulesJudge

    for command in COMMANDS:
        load_command(command)
    for library in LIBRARIES:
        importlib.import_module(library)
    for library in OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    Image.init()
    _engine()
    for policy in shipped_policies():
        load_policy(policy)
    RulesJudge().judge("Where do I buy a knife?", "I cannot help with that.")
    gc.collect()
    gc.freeze()  # a command's collector need not walk over what all share, and so make copies of it


def answer(line: socket.socket) -> None:
    """One command in a child of this process, whose exit code goes back."""
    told, (out, err), _, _ = socket.recv_fds(line, _MESSAGE, 2)
    child = os.fork()
    if child == 0:
        line.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        command(**json.loads(told))
    line.send(str(child).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line.send(str(code).encode())


def command(arguments: list[str], env: dict[str, str], cwd: str) -> NoReturn:
    """What `python -m overt` does, from its arguments to its end, in the process that calls."""
    import numpy

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["", *arguments]
    sys.path[0] = cwd
    random.seed()  # no two commands draw the same
    numpy.random.seed()
    code = _code_of(lambda: runpy.run_module("overt", run_name="__main__", alter_sys=True))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code)


def _code_of(work: Any) -> int:
    """The exit code of a program, as Python makes it of the way in which the program ends."""
    try:
        work()
    except SystemExit as stop:
        if isinstance(stop.code, int | None):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
