"""A simulated Kubernetes, worked with by one tool that takes kubectl's command lines.

It knows the verbs, flags and kinds that day-to-day work needs (`VERBS`, `line.py`, `objects.py`). What it
does not know it refuses with an error, and so it does `exec`, files and editors: nothing real is behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from overt.data.json_types import Json, JsonObject
from overt.data.tools import Call, Tool
from overt.environments.operations.cluster import acts, fields, show
from overt.environments.operations.cluster.line import Line, named, read_line
from overt.environments.operations.cluster.objects import Objects, Wrong

MOST_PRINTED = 12_000  # characters of one answer

_KUBECTL = Tool(
    "kubectl",
    "Run one kubectl command against the cluster. There is no shell: no pipes, no files, no exec.",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "as in: kubectl get pods -n staging"}},
        "required": ["command"],
    },
)


def _waited(line: Line, objects: Objects) -> str:
    return "\n".join(f"{found.path} condition met" for found in named(line, objects))


def _version(line: Line, objects: Objects) -> str:
    return "Client Version: v1.30.0 (simulated)\nServer Version: v1.30.0 (simulated)"


VERBS: Mapping[str, Callable[[Line, Objects], str]] = {
    "get": show.get, "describe": show.describe, "logs": show.logs, "top": show.top,
    "api-resources": show.api_resources, "delete": acts.delete, "evict": acts.evict, "cordon": acts.cordon,
    "uncordon": acts.cordon, "drain": acts.drain, "taint": acts.taint, "scale": acts.scale,
    "rollout": acts.rollout, "set": acts.set_image, "label": fields.label, "annotate": fields.label,
    "patch": fields.patch, "create": fields.create, "wait": _waited, "version": _version,
}  # fmt: skip
_WITHOUT = (
    "exec", "cp", "attach", "debug", "port-forward", "proxy", "edit", "apply", "replace", "run", "expose",
    "autoscale", "config", "auth", "diff",
)  # fmt: skip


class ClusterWorld:
    """A cluster in memory; see `overt.environments.operations.world.World`.

    Args:
        start: the start state: `nodes`, `namespaces` (each with its kinds of objects by name), and the kinds
            that belong to no namespace. Workloads get the pods that `start` does not list.
    """

    tools: tuple[Tool, ...] = (_KUBECTL,)

    def __init__(self, start: Mapping[str, Json]) -> None:
        self._objects = Objects(start)

    def do(self, call: Call) -> str:
        try:
            return self._done(str(call.arguments.get("command", "")))[:MOST_PRINTED]
        except Wrong as wrong:
            return str(wrong)[:MOST_PRINTED]

    def _done(self, command: str) -> str:
        """What a command prints.

        Raises:
            Wrong: it cannot be done; then nothing has changed.
        """
        line = read_line(command)
        if line.verb in _WITHOUT:
            raise Wrong(f"error: the simulation has no {line.verb}. It has: {', '.join(VERBS)}")
        if line.verb not in VERBS:
            raise Wrong(f'error: unknown command "{line.verb[:60]}". There are: {", ".join(VERBS)}')
        objects = self._objects
        before = objects.keep()
        try:
            said = VERBS[line.verb](line, objects)
            objects.settle()
        except Wrong:
            objects.back_to(before)
            raise
        if line.is_set("dry-run"):
            objects.back_to(before)
            return "\n".join(f"{row} (dry run)" for row in said.splitlines())
        return said

    def state(self) -> JsonObject:
        return self._objects.state()
