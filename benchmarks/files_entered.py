"""Which files of overt a command passes through, in the order in which they are first entered.

    python benchmarks/files_entered.py generate --policy newsroom --encoder lexical --out /tmp/x
    python benchmarks/files_entered.py --short run /tmp/x --target filter/better-profanity --out /tmp/y

Runs the command in this process under a tracer that sees every call of a function in every thread. A file
counts as entered when one of its functions is called; importing a file does not count. `crossings` are calls
from one file into another.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType

import overt

PACKAGE = str(Path(overt.__file__).parent)
# Frames of comprehensions and of a module's or class's body are no calls of a function.
_BODIES = ("<module>", "<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")


class Tracer:
    """Collects the files in which functions were called, first come first, and the calls between files."""

    def __init__(self) -> None:
        self.entered: dict[str, str] = {}
        self.crossings = 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE) or code.co_name in _BODIES:
            return
        if _is_importing(frame):
            return
        self.entered.setdefault(code.co_filename, code.co_qualname)
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename.startswith(PACKAGE):
            self.crossings += caller.f_code.co_filename != code.co_filename


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a call is made while a file of the package is imported, as those of decorators are."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(PACKAGE):
            return not frame.f_code.co_filename.endswith("__main__.py")
        frame = frame.f_back
    return False


def main(arguments: list[str]) -> int:
    short = arguments[:1] == ["--short"]
    from overt.cli import main as run

    tracer = Tracer()
    sys.argv = ["overt", *arguments[short:]]
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    status = 0
    try:
        run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    if not short:
        for file, function in tracer.entered.items():
            print(f"{Path(file).relative_to(Path(PACKAGE).parent)}  {function}", file=sys.stderr)
    print(f"{len(tracer.entered)} files, {tracer.crossings:,} crossings", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
