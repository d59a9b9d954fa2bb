"""What the simulated kubectl prints of objects: tables, JSON, descriptions, logs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from overt.data.json_types import Json
from overt.environments.operations.cluster.line import Line, chosen, kinds_of, named
from overt.environments.operations.cluster.objects import (
    BY_PLURAL,
    KINDS,
    WORKLOADS,
    Found,
    Objects,
    Wrong,
    kind_of,
)
from overt.environments.operations.world import Thing

# Where the fields of the state stand in the JSON of an object. What is not here is not shown.
PLACES: dict[str, tuple[str, ...]] = {
    "labels": ("metadata", "labels"),
    "annotations": ("metadata", "annotations"),
    "finalizers": ("metadata", "finalizers"),
    "owner": ("metadata", "owner"),
    "replicas": ("spec", "replicas"),
    "image": ("spec", "image"),
    "suspend": ("spec", "suspend"),
    "schedule": ("spec", "schedule"),
    "unschedulable": ("spec", "unschedulable"),
    "taints": ("spec", "taints"),
    "node": ("spec", "nodeName"),
    "selector": ("spec", "selector"),
    "host": ("spec", "host"),
    "capacity": ("spec", "capacity"),
    "claim": ("spec", "claim"),
    "status": ("status", "phase"),
    "restarts": ("status", "restarts"),
    "cpu": ("status", "cpu"),
    "memory": ("status", "memory"),
    "data": ("data",),
    "role": ("roleRef",),
    "subjects": ("subjects",),
    "object": ("involvedObject",),
    "message": ("message",),
}
_STATUS = {"nodes": "Ready", "namespaces": "Active", "persistentvolumeclaims": "Bound", "jobs": "Running"}


def get(line: Line, objects: Objects) -> str:
    """`kubectl get`."""
    found, has_names = _asked_for(line, objects)
    output = line.flags.get("output", "")
    shown: Json = {"kind": "List", "items": [json_of_object(one) for one in found]}
    if len(found) == 1 and has_names:
        shown = json_of_object(found[0])
    if output in ("json", "yaml"):
        return json.dumps(shown, indent=1, ensure_ascii=False)
    if output.startswith("jsonpath="):
        return _at(output.removeprefix("jsonpath="), shown)
    if output not in ("", "wide", "name"):
        raise Wrong("error: the simulation prints -o json, yaml, wide, name and jsonpath={.PATH}")
    if not found:
        place = "" if line.is_set("all-namespaces") else f" in {line.namespace} namespace"
        return f"No resources found{place}."
    if output == "name":
        return "\n".join(one.path for one in found)
    return _tables(line, objects, found)


_STEP = re.compile(r"\.([\w-]+)|\[(\*|\d{1,4})\]")


def _at(path: str, data: Json) -> str:
    """What stands at a plain JSON path: {.items[*].metadata.name}.

    Raises:
        Wrong: it is another kind of path.
    """
    inner = path.removeprefix("{").removesuffix("}")
    steps = _STEP.findall(inner)
    if not steps or _STEP.sub("", inner):
        raise Wrong("error: the simulation knows JSON paths as {.data.NAME} and {.items[*].metadata.name}")
    values: list[Json] = [data]
    for name, place in steps:
        values = [inner for value in values for inner in _within(value, name, place)]
    return " ".join(value if isinstance(value, str) else json.dumps(value) for value in values)


def _within(value: Json, name: str, place: str) -> Sequence[Json]:
    """What one step of a path finds: of an object by name, of a list by place or "*"."""
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    return value if place == "*" else value[int(place) : int(place) + 1]


def _asked_for(line: Line, objects: Objects) -> tuple[list[Found], bool]:
    """The objects that are to be shown, and whether they were named one by one."""
    if not line.words:
        raise Wrong(f"error: You must specify the type of resource, as in: {line.verb} pods")
    if "/" in line.words[0] or len(line.words) > 1:
        return named(line, objects), True
    return [one for kind in kinds_of(line.words[0]) for one in chosen(line, objects, kind)], False


def _tables(line: Line, objects: Objects, found: Sequence[Found]) -> str:
    tables = []
    with_kind = len({one.kind for one in found}) > 1
    for kind in dict.fromkeys(one.kind for one in found):
        columns = [*kind.columns, *(kind.wide if line.flags.get("output") == "wide" else ())]
        if line.is_set("show-labels"):
            columns.append(("LABELS", "labels"))
        is_all = line.is_set("all-namespaces") and kind.is_in_namespace
        rows = [[*(["NAMESPACE"] if is_all else []), "NAME", *(title for title, _ in columns), "AGE"]]
        if line.is_set("no-headers"):
            rows = []
        for one in found:
            if one.kind is kind:
                cells = [_cell(one, name, objects) for _, name in columns]
                age = str(one.thing.get("age", "0s"))
                named_as = one.path if with_kind else one.name
                rows.append([*([one.namespace] if is_all else []), named_as, *cells, age])
        tables.append(aligned(rows))
    return "\n\n".join(tables)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of one width each."""
    if not rows:
        return ""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cell(found: Found, name: str, objects: Objects) -> str:
    thing = found.thing
    if name == "ready":
        return _ready(found, objects)
    if name == "keys":
        return str(len(thing.get("data", {})))
    if name == "status":
        return status_of(found)
    return _short(thing.get(name, 0 if name == "restarts" else "<none>"))


def status_of(found: Found) -> str:
    """The status of an object as tables print it."""
    status = str(found.thing.get("status", _STATUS.get(found.kind.plural, "Running")))
    return f"{status},SchedulingDisabled" if found.thing.get("unschedulable") else status


def _ready(found: Found, objects: Objects) -> str:
    if found.kind.plural == "pods":
        return "1/1" if status_of(found) == "Running" else "0/1"
    pods = objects.pods_of(found)
    running = sum(status_of(pod) == "Running" for pod in pods)
    wanted = len(pods) if found.kind.plural == "daemonsets" else found.thing.get("replicas", 1)
    return f"{running}/{wanted}"


def _short(value: Json) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={inner}" for key, inner in value.items()) or "<none>"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "<none>"
    return str(value)


def json_of_object(found: Found) -> Thing:
    """An object in the shape of Kubernetes, as far as the simulation knows it."""
    made: Thing = {"kind": found.kind.singular, "metadata": {"name": found.name}}
    if found.namespace:
        made["metadata"]["namespace"] = found.namespace
    for name, place in PLACES.items():
        if name in found.thing:
            inner = made
            for part in place[:-1]:
                inner = inner.setdefault(part, {})
            inner[place[-1]] = found.thing[name]
    return made


def describe(line: Line, objects: Objects) -> str:
    """`kubectl describe`."""
    found, _ = _asked_for(line, objects)
    return "\n\n\n".join(_described(one, objects) for one in found) or "No resources found."


def _described(found: Found, objects: Objects) -> str:
    thing = found.thing
    lines = [f"Name: {found.name}"]
    if found.namespace:
        lines.append(f"Namespace: {found.namespace}")
    for name in PLACES:
        if name == "data":
            # As kubectl does it, of secrets and settings alike: names and sizes, not what they hold.
            lines += [f"Data {key}: {len(str(value))} bytes" for key, value in thing.get("data", {}).items()]
        elif name in thing:
            lines.append(f"{name.capitalize()}: {_short(thing[name])}")
    lines += [*_its_pods(found, objects), "Events:"]
    lines += [f"  {event}" for event in thing.get("events", [])] or ["  <none>"]
    return "\n".join(lines)


def _its_pods(found: Found, objects: Objects) -> list[str]:
    """The line of the pods of a node or a workload; none of other kinds."""
    if found.kind.plural == "nodes":
        pods = [pod for pod in objects.each(BY_PLURAL["pods"], None) if pod.thing.get("node") == found.name]
    elif found.kind.plural in WORKLOADS:
        pods = objects.pods_of(found)
    else:
        return []
    return [f"Pods: {', '.join(f'{pod.namespace}/{pod.name}' for pod in pods) or '<none>'}"]


def logs(line: Line, objects: Objects) -> str:
    """`kubectl logs`."""
    if not line.words:
        raise Wrong("error: expected 'logs POD'")
    word = line.words[0]
    if "/" in word:
        found = named(line, objects, (word,))[0]
    else:
        found = objects.get(BY_PLURAL["pods"], line.namespace, word)
    if found.kind.plural in WORKLOADS and "logs" not in found.thing:
        pods = objects.pods_of(found)
        if not pods:
            raise Wrong(f"error: {found.path} has no pods")
        found = pods[0]
    rows = [str(row) for row in found.thing.get("logs", [])]
    tail = line.flags.get("tail", "")
    if tail.isascii() and tail.isdigit():
        rows = rows[-min(int(tail[:6]), 10_000) :] if int(tail[:6]) else []
    return "\n".join(rows) or "(no output)"


def top(line: Line, objects: Objects) -> str:
    """`kubectl top`."""
    kind = kind_of(line.words[0]) if line.words else None
    if kind is None or kind.plural not in ("pods", "nodes"):
        raise Wrong("error: top knows pods and nodes")
    found = named(line, objects) if line.words[1:] else chosen(line, objects, kind)
    rows = [["NAME", "CPU(cores)", "MEMORY(bytes)"]]
    rows += [
        [one.name, str(one.thing.get("cpu", "1m")), str(one.thing.get("memory", "16Mi"))] for one in found
    ]
    return aligned(rows)


def api_resources(line: Line, objects: Objects) -> str:
    """`kubectl api-resources`."""
    rows = [["NAME", "SHORTNAMES", "NAMESPACED", "KIND"]]
    rows += [
        [kind.plural, ",".join(kind.short), str(kind.is_in_namespace).lower(), kind.singular]
        for kind in KINDS
    ]
    return aligned(rows)
