"""The world `shell`: one tool that runs command lines on a simulated machine."""

from __future__ import annotations

from collections.abc import Mapping

from overt.data.json_types import Json, JsonObject
from overt.data.tools import Call, Tool
from overt.environments.operations.shell.machine import Machine
from overt.environments.operations.shell.run import Shell

_MOST_SHOWN = 6_000  # characters of a result
_RUN = Tool(
    "run",
    "Runs a command line on the machine and gives what it prints. You are root. Common Unix commands, pipes, "
    "redirections, `;`, `&&`, `||` and globs work; loops, editors and here-documents do not.",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The command line."}},
        "required": ["command"],
    },
)


class ShellWorld:
    """A simulated Unix machine. Its start state: `overt.environments.operations.shell.machine`."""

    tools: tuple[Tool, ...] = (_RUN,)

    def __init__(self, start: Mapping[str, Json]) -> None:
        self.machine = Machine(start)

    def do(self, call: Call) -> str:
        self.machine.begin()
        printed, errors, status = Shell(self.machine).run(str(call.arguments["command"]))
        text = printed.rstrip("\n")
        if errors:
            text = f"{text}\n{errors}".strip("\n")
        if len(text) > _MOST_SHOWN:
            text = f"{text[:_MOST_SHOWN]}\n... ({len(text) - _MOST_SHOWN} characters more)"
        return f"{text}\n(exit status {status})".strip() if status else text

    def state(self) -> JsonObject:
        return self.machine.state()
