"""Errors for the user. The CLI prints them without a traceback and exits with `exit_code`."""

from __future__ import annotations


class OvertError(Exception):
    """An error that the user can act on.

    Args:
        what: the problem, in one sentence.
        where: its place (file, line, field, row), or "".
        fix: a way to fix it, or "".
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.message())

    def message(self) -> str:
        """The place and the problem on one line, the fix on the next."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.fix}" if self.fix else head


class InputError(OvertError):
    """Bad input, such as an argument, a policy or a file of seeds. Nothing was started."""

    exit_code = 2


class RunError(OvertError):
    """A run that cannot go on: disk full, folder not writable, two processes on one run."""

    exit_code = 1


class BudgetReached(OvertError):
    """A cap (`--max-requests`, `--max-cost`) was reached; all paid responses are in the journal."""

    exit_code = 4


class NotFinished(OvertError):
    """Batches are still at the provider, or were cancelled; the same command goes on."""

    exit_code = 5
