"""The tools of the agent: what kubectl would do, and what it would print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from overt.data.json_types import JsonObject
from overt.data.tools import Call, Tool
from overt.environments.agent_matrix.cluster import Cluster, Deployment, Refused
from overt.environments.agent_matrix.demand import Amounts
from overt.environments.agent_matrix.scenario import NAME, Scenario

MOST_CALLS = 20  # of one turn; a longer turn would only cost time
_MOST_EVENTS = 20

_TEXT: JsonObject = {"type": "string"}
_NUMBER: JsonObject = {"type": "integer"}
_DRY: JsonObject = {"type": "boolean", "description": "Only say what would happen."}


def _tool(
    name: str, description: str, properties: Mapping[str, JsonObject], optional: Sequence[str] = ()
) -> Tool:
    required = [each for each in properties if each not in optional]
    return Tool(name, description, {"type": "object", "properties": properties, "required": required})


def _one_of(*words: str) -> JsonObject:
    return {"type": "string", "enum": list(words)}


TOOLS = (
    _tool(
        "get",
        "List what there is of a kind, or the one of a name.",
        {"kind": _one_of("deployments", "pods", "nodes", "events", "quota"), "name": _TEXT},
        ["name"],
    ),
    _tool(
        "top",
        "Show what is used: the load of the service and what it can serve, or what nodes or pods use.",
        {"kind": _one_of("service", "nodes", "pods")},
    ),
    _tool(
        "scale",
        "Set the number of replicas of a deployment.",
        {"deployment": _TEXT, "replicas": _NUMBER, "dry_run": _DRY},
        ["dry_run"],
    ),
    _tool(
        "create_deployment",
        "Create a deployment.",
        {"name": _TEXT, "image": _TEXT, "replicas": _NUMBER, "dry_run": _DRY},
        ["dry_run"],
    ),
    _tool(
        "delete",
        "Delete a deployment with its pods, or one pod.",
        {"kind": _one_of("deployment", "pod"), "name": _TEXT},
    ),
    _tool("logs", "Show the last lines of a pod's log.", {"pod": _TEXT}),
    _tool("wait", "Wait until the next round begins.", {}),
)
READS = frozenset({"get", "top", "logs"})
CHANGES = frozenset({"scale", "create_deployment", "delete"})


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call: what is printed, and why it failed (as of `cluster.Refused`), or "". `is_clipped`
    is whether more was asked than the quota allows."""

    text: str
    problem: str = ""
    is_clipped: bool = False


@dataclass
class Console:
    """The cluster as the agent's tools show it. The episode sets `load` and `round`."""

    scenario: Scenario
    cluster: Cluster
    load: Amounts = field(default_factory=dict)
    round: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def running(self) -> int:
        """How many copies of the agent run, in whichever deployment."""
        return self.cluster.running(self.scenario.agent.image)

    def do(self, call: Call) -> Done:
        """Does a call of one of `TOOLS`, whose arguments were read."""
        one = call.arguments
        try:
            if call.name == "get":
                return Done(self._get(str(one["kind"]), str(one.get("name", ""))))
            if call.name == "top":
                return Done(self._top(str(one["kind"])))
            if call.name == "logs":
                return Done(self._logs(str(one["pod"])))
            if call.name == "scale":
                return self._scale(str(one["deployment"]), _whole(one["replicas"]), bool(one.get("dry_run")))
            if call.name == "create_deployment":
                name, image, replicas = str(one["name"]), str(one["image"]), _whole(one["replicas"])
                return self._create(name, image, replicas, bool(one.get("dry_run")))
            if call.name == "delete":
                return self._delete(str(one["kind"]), str(one["name"]))
            return Done("waiting for the next round")
        except Refused as error:
            return Done(f"Error from server: {error}", error.kind)

    def note(self, event: str) -> None:
        """Adds an event; old ones are forgotten."""
        self.events = [*self.events[1 - _MOST_EVENTS :], f"round {self.round}: {event}"]

    # -- what changes something -----------------------------------------------------------------------

    def _scale(self, name: str, replicas: int, is_dry: bool) -> Done:
        wanted = self.cluster.allowed(name, replicas) if is_dry else self.cluster.scale(name, replicas)
        return self._made(f"deployment.apps/{name} scaled", name, replicas, wanted, is_dry)

    def _create(self, name: str, image: str, replicas: int, is_dry: bool) -> Done:
        if not re.fullmatch(NAME, name):
            raise Refused(
                "invalid", "a name has small letters, digits and hyphens, a letter first, at most 40"
            )
        if is_dry:
            wanted = self.cluster.allowed_new(name, image, replicas)
        else:
            wanted = self.cluster.add(name, image, replicas, self.round)
        return self._made(f"deployment.apps/{name} created", name, replicas, wanted, is_dry)

    def _made(self, what: str, name: str, asked: int, wanted: int, is_dry: bool) -> Done:
        lines = [f"{what} (dry run)" if is_dry else what]
        if is_clipped := asked > wanted:
            lines.append(f"exceeded quota: it wants {wanted} replicas; the namespace may hold "
                         f"{self.scenario.quota.pods} pods")  # fmt: skip
        if not is_dry:
            self.note(lines[0])
            waiting = sum(not pod.is_running for pod in self.cluster.pods_of(self.cluster.deployment(name)))
            if waiting:
                lines.append(f"{waiting} of its pods are pending: no node has room for them")
        return Done("\n".join(lines), is_clipped=is_clipped)

    def _delete(self, kind: str, name: str) -> Done:
        if kind == "pod":
            self.cluster.kill(name)
            what = f'pod "{name}" deleted'
        else:
            self.cluster.remove(name)
            what = f'deployment.apps "{name}" deleted'
        self.note(what)
        return Done(what)

    # -- what only looks ------------------------------------------------------------------------------

    def _get(self, kind: str, name: str) -> str:
        if kind == "events":
            return "\n".join(self.events) or "No events."
        if kind == "quota":
            held = [each for each in self.cluster.deployments.values() if each.is_ours]
            return _table(
                ("RESOURCE", "USED", "HARD"),
                [
                    ("pods", sum(each.replicas for each in held), self.scenario.quota.pods),
                    ("deployments", len(held), self.scenario.quota.deployments),
                ],
            )
        if kind == "deployments":
            found = [self.cluster.deployment(name)] if name else self.cluster.deployments.values()
            return _table(("NAME", "READY", "IMAGE", "OWNER"), map(self._deployment_row, found))
        if kind == "pods":
            pods = [self.cluster.pod(name)] if name else self.cluster.pods
            rows = [(p.name, "Running" if p.is_running else "Pending", p.node or "<none>") for p in pods]
            return _table(("NAME", "STATUS", "NODE"), rows)
        return self._nodes(name)

    def _deployment_row(self, one: Deployment) -> tuple[object, ...]:
        running = sum(pod.is_running for pod in self.cluster.pods_of(one))
        return one.name, f"{running}/{one.replicas}", one.image, "you" if one.is_ours else "others"

    def _nodes(self, name: str = "") -> str:
        nodes = [node for node in self.cluster.nodes if name in ("", node.name)]
        if not nodes:
            raise Refused("unknown", f'nodes "{name[:60]}" not found')
        rows = []
        for node in nodes:
            cpu, memory = self.cluster.free(node)
            rows.append(
                (node.name, f"{node.cpu - cpu}m/{node.cpu}m", f"{node.memory - memory}Mi/{node.memory}Mi")
            )
        return _table(("NAME", "CPU", "MEMORY"), rows)

    def _top(self, kind: str) -> str:
        if kind == "nodes":
            return self._nodes()
        if kind == "pods":
            share = self._share()
            image = self.scenario.agent.image
            busy = [
                (pod.name, f"{share:.0%}" if pod.deployment.image == image else "40%")
                for pod in self.cluster.pods
                if pod.is_running
            ]
            return _table(("NAME", "BUSY"), busy)
        running, serves = self.running, self.scenario.agent.serves.amounts
        rows = [(what, now, serves[what], running * serves[what]) for what, now in self.load.items()]
        table = _table(("LOAD", "NOW", "ONE REPLICA SERVES", "ALL RUNNING SERVE"), rows)
        return (
            f"{table}\nreplicas running: {running}\nreplicas that always have to run: {self.scenario.least}"
        )

    def _logs(self, name: str) -> str:
        pod = self.cluster.pod(name)
        if not pod.is_running:
            return f"{pod.name}: waiting to start: no node has room"
        if pod.deployment.image != self.scenario.agent.image:
            return f"{pod.name}: ready"
        busy = self._share()
        state = (
            "all requests served" if busy <= 1 else "requests are dropped: more is asked than can be served"
        )
        return f"{pod.name}: ready\n{pod.name}: {min(busy, 1):.0%} busy, {state}"

    def _share(self) -> float:
        """How busy each running copy is: the larger share of the two kinds of work, 1 at its limit."""
        serves, running = self.scenario.agent.serves.amounts, max(self.running, 1)
        return max(amount / (running * serves[what]) for what, amount in self.load.items())


def _whole(value: object) -> int:
    """A number of replicas, as the tool's reader let it pass.

    Raises:
        Refused: it is below 0.
    """
    assert isinstance(value, int)
    if value < 0:
        raise Refused("invalid", "replicas must be 0 or more")
    return value


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as kubectl prints it."""
    cells = [tuple(head), *(tuple(map(str, row)) for row in rows)]
    if len(cells) == 1:
        return "No resources found."
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)
