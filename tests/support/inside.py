"""The command line inside the test's own process: what a user types, without a second to start Python."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from overt.cli import main


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Everything printed, on one line, since the width of the terminal breaks lines."""
        return " ".join((self.stdout + self.stderr).split())


def cli(*arguments: object, code: int | None = 0) -> Done:
    """Runs one command. `code`: the exit code that it must have; None: any."""
    out, err = io.StringIO(), io.StringIO()
    found = 0
    with (
        mock.patch.object(sys, "argv", ["overt", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            found = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    done = Done(found, out.getvalue(), err.getvalue())
    assert code is None or found == code, f"exit {found}, not {code}\n{done.stderr}\n{done.stdout}"
    assert "Traceback" not in done.stderr
    return done
