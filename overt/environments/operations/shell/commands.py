"""The commands of the shell by name."""

from __future__ import annotations

from overt.environments.operations.shell import (
    of_disks,
    of_files,
    of_processes,
    of_system,
    of_texts,
    of_users,
)
from overt.environments.operations.shell.calls import Running
from overt.environments.operations.shell.finding import find
from overt.environments.operations.shell.machine import Command, Machine


def _which(box: Machine, it: Running) -> str:
    found = [name for name in it.words if name in COMMANDS and not name.startswith("-")]
    it.status = int(not found)
    return "".join(f"/usr/bin/{name}\n" for name in found)


def _help(box: Machine, it: Running) -> str:
    return "This machine has: " + " ".join(sorted(COMMANDS)) + "\n"


COMMANDS: dict[str, Command] = {
    **of_files.COMMANDS,
    **of_texts.COMMANDS,
    **of_processes.COMMANDS,
    **of_system.COMMANDS,
    **of_users.COMMANDS,
    **of_disks.COMMANDS,
    "find": find,
    "which": _which,
    "help": _help,
}
