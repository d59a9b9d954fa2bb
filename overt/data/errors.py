"""Errors that speak to a person. The CLI prints them without a traceback and exits with `exit_code`."""

from __future__ import annotations


class OvertError(Exception):
    """Something went wrong that a person can act on.

    Args:
        what: what was wrong, in one sentence.
        where: file, line, field, row: wherever the reader has to look; empty if nowhere.
        fix: what to do about it; empty if there is nothing to say.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.message())

    def message(self) -> str:
        """One text: where, what and the fix, each on its own line where there is one."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.fix}" if self.fix else head


class InputError(OvertError):
    """Bad input: an argument, a policy, a file of seeds. Nothing was started."""

    exit_code = 2


class RunError(OvertError):
    """A run that cannot go on: disk full, folder not writable, two processes on one run."""

    exit_code = 1


class BudgetReached(OvertError):
    """A cap (`--max-requests`, `--max-cost`) was reached; what was paid for is in the journal."""

    exit_code = 4
