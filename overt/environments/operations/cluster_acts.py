"""What the simulated kubectl changes: it deletes, scales, drains, taints, labels, patches, rolls out, creates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from overt.data.json_types import Json
from overt.environments.operations.cluster_line import Line, chosen, json_of, named, whole
from overt.environments.operations.cluster_objects import (
    BY_PLURAL,
    MOST_PODS,
    WORKLOADS,
    Found,
    Objects,
    Wrong,
    kind_of,
    plain,
)
from overt.environments.operations.cluster_show import PLACES

_KEPT = ("default", "kube-system", "kube-public", "kube-node-lease")  # namespaces that no server deletes
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


# -- away ------------------------------------------------------------------------------------------------


def delete(line: Line, objects: Objects) -> str:
    """`kubectl delete`."""
    _without_files(line)
    try:
        found = named(line, objects)
    except Wrong as wrong:
        if line.is_set("ignore-not-found") and "(NotFound)" in str(wrong):
            return ""
        raise
    said = []
    for one in found:
        if one.kind.plural == "namespaces" and one.name in _KEPT:
            raise Wrong(
                f'Error from server (Forbidden): namespaces "{one.name}" is forbidden: it may not be deleted'
            )
        if line.flags.get("cascade") == "orphan":
            for pod in objects.pods_of(one):
                pod.thing["owner"] = ""
        is_gone = objects.remove(one, is_forced=line.is_set("force"))
        how = " force deleted" if line.is_set("force") else " deleted"
        still = (
            "" if is_gone else ", and is still Terminating: it has finalizers, or its node does not answer"
        )
        said.append(f'{one.kind.singular} "{one.name}"{how}{still}')
    return "\n".join(said) or "No resources found."


def evict(line: Line, objects: Objects) -> str:
    """`kubectl evict`: a pod leaves its node; its owner makes another one."""
    words = (
        line.words
        if line.words[:1] and ("/" in line.words[0] or _is_pods(line.words[0]))
        else ("pods", *line.words)
    )
    said = []
    for pod in named(line, objects, words):
        if pod.kind.plural != "pods":
            raise Wrong("error: only pods are evicted")
        objects.remove(pod)
        said.append(f"pod/{pod.name} evicted")
    return "\n".join(said)


def _is_pods(word: str) -> bool:
    return word in ("pods", "pod", "po")


# -- nodes -----------------------------------------------------------------------------------------------


def _nodes(line: Line, objects: Objects) -> list[Found]:
    names = [word.removeprefix("node/").removeprefix("nodes/") for word in line.words]
    if names:
        return [objects.get(BY_PLURAL["nodes"], "", name) for name in names]
    if not line.flags.get("selector"):
        raise Wrong(f"error: USAGE: {line.verb} NODE")
    return chosen(line, objects, BY_PLURAL["nodes"])


def cordon(line: Line, objects: Objects) -> str:
    """`kubectl cordon` and `kubectl uncordon`."""
    for node in (found := _nodes(line, objects)):
        node.thing["unschedulable"] = line.verb == "cordon"
    return "\n".join(f"node/{node.name} {line.verb}ed" for node in found)


def drain(line: Line, objects: Objects) -> str:
    """`kubectl drain`: cordons a node and evicts its pods, where the flags allow it for each of them."""
    said = []
    for node in _nodes(line, objects):
        node.thing["unschedulable"] = True
        said.append(f"node/{node.name} cordoned")
        leaving = []
        for pod in objects.each(BY_PLURAL["pods"], None):
            if pod.thing.get("node") != node.name:
                continue
            owner = str(pod.thing.get("owner", ""))
            if owner.startswith("daemonset/"):
                _allowed(line, "ignore-daemonsets", "DaemonSet-managed Pods", pod)
                continue
            if not owner:
                _allowed(line, "force", "Pods that declare no controller", pod)
            if pod.thing.get("local_data"):
                _allowed(line, "delete-emptydir-data", "Pods with local storage", pod)
            leaving.append(pod)
        for pod in leaving:
            objects.remove(pod, is_forced=line.is_set("force"))
            said.append(f"pod/{pod.name} evicted")
        said.append(f"node/{node.name} drained")
    return "\n".join(said)


def _allowed(line: Line, flag: str, what: str, pod: Found) -> None:
    if not line.is_set(flag):
        raise Wrong(
            f"error: unable to drain node: cannot delete {what} (use --{flag} to override): {pod.name}"
        )


def taint(line: Line, objects: Objects) -> str:
    """`kubectl taint nodes NODE KEY=VALUE:EFFECT` or `KEY:EFFECT-`."""
    words, changes = _changes(line)
    if not changes:
        raise Wrong("error: at least one taint update is required")
    nodes = named(line, objects, words)
    for node in nodes:
        if node.kind.plural != "nodes":
            raise Wrong("error: only nodes are tainted")
        taints = [*node.thing.get("taints", [])]
        for change in changes:
            if change.endswith("-"):
                left = [one for one in taints if not _is_taint(one, change[:-1])]
                if left == taints:
                    raise Wrong(f'error: taint "{change[:-1]}" not found')
                taints = left
                continue
            key, _, effect = change.partition(":")
            if effect not in _EFFECTS or not key:
                raise Wrong(
                    f"error: invalid taint {change[:60]}: KEY=VALUE:EFFECT with {', '.join(_EFFECTS)}"
                )
            if change not in taints:
                taints.append(change)
        node.thing["taints"] = taints
    did = "untainted" if all(change.endswith("-") for change in changes) else "tainted"
    return "\n".join(f"node/{node.name} {did}" for node in nodes)


def _is_taint(taint: str, words: str) -> bool:
    """Whether a taint is meant by "key", "key:Effect", "key=value" or "key=value:Effect"."""
    named_key, _, named_effect = words.partition(":")
    key, _, effect = taint.partition(":")
    same_key = named_key in (key, key.partition("=")[0])
    return same_key and named_effect in ("", effect)


# -- workloads -------------------------------------------------------------------------------------------


def scale(line: Line, objects: Objects) -> str:
    """`kubectl scale`."""
    replicas = whole(line.flags.get("replicas"), "--replicas", MOST_PODS)
    said = []
    for one in named(line, objects):
        if one.kind.plural not in ("deployments", "statefulsets"):
            raise Wrong(f"error: {one.kind.plural} cannot be scaled")
        one.thing["replicas"] = replicas
        said.append(f"{one.path} scaled")
    return "\n".join(said)


def rollout(line: Line, objects: Objects) -> str:
    """`kubectl rollout restart|undo|status|history|pause|resume`."""
    what = line.words[0] if line.words else ""
    if what not in _ROLLOUTS:
        raise Wrong(f"error: rollout knows {', '.join(_ROLLOUTS)}")
    said = []
    for one in named(line, objects, line.words[1:]):
        if one.kind.plural not in WORKLOADS:
            raise Wrong(f"error: {one.kind.plural} have no rollouts")
        said.append(_ROLLOUTS[what](line, objects, one))
    return "\n".join(said)


def _renew(objects: Objects, workload: Found) -> None:
    for pod in objects.pods_of(workload):
        objects.remove(pod)


def _restart(line: Line, objects: Objects, workload: Found) -> str:
    workload.thing["restarted"] = workload.thing.get("restarted", 0) + 1
    _renew(objects, workload)
    return f"{workload.path} restarted"


def _undo(line: Line, objects: Objects, workload: Found) -> str:
    images = [*workload.thing.get("history", []), workload.thing.get("image", "")]
    if len(images) < 2:
        raise Wrong("error: no rollout history found")
    number = line.flags.get("to-revision")
    place = len(images) - 2 if number in (None, "0") else whole(number, "--to-revision", len(images)) - 1
    workload.thing["image"] = images.pop(place)
    workload.thing["history"] = images
    _renew(objects, workload)
    return f"{workload.path} rolled back"


def _rollout_status(line: Line, objects: Objects, workload: Found) -> str:
    pods = objects.pods_of(workload)
    ready = sum(pod.thing.get("status", "Running") == "Running" for pod in pods)
    if ready < len(pods):
        return f"Waiting for {workload.path} rollout to finish: {ready} of {len(pods)} pods are available..."
    return f"{workload.path} successfully rolled out"


def _history(line: Line, objects: Objects, workload: Found) -> str:
    images = [*workload.thing.get("history", []), workload.thing.get("image", "")]
    return "\n".join(["REVISION  IMAGE", *(f"{number}  {image}" for number, image in enumerate(images, 1))])


def _pause(line: Line, objects: Objects, workload: Found) -> str:
    workload.thing["paused"] = line.words[0] == "pause"
    return f"{workload.path} {line.words[0]}d"


_ROLLOUTS: Mapping[str, Callable[[Line, Objects, Found], str]] = {
    "restart": _restart, "undo": _undo, "status": _rollout_status, "history": _history, "pause": _pause,
    "resume": _pause,
}  # fmt: skip


def set_image(line: Line, objects: Objects) -> str:
    """`kubectl set image KIND/NAME CONTAINER=IMAGE`."""
    if line.words[:1] != ("image",):
        raise Wrong("error: the simulation knows: set image KIND/NAME CONTAINER=IMAGE")
    words, changes = _changes(line, line.words[1:])
    if len(changes) != 1 or "=" not in changes[0]:
        raise Wrong("error: exactly one CONTAINER=IMAGE is needed")
    found = named(line, objects, words)
    for one in found:
        if one.kind.plural not in WORKLOADS:
            raise Wrong(f"error: {one.kind.plural} have no image to set")
        one.thing["history"] = [*one.thing.get("history", []), one.thing.get("image", "")]
        one.thing["image"] = changes[0].partition("=")[2]
        _renew(objects, one)
    return "\n".join(f"{one.path} image updated" for one in found)


# -- fields ----------------------------------------------------------------------------------------------


def _changes(line: Line, words: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], list[str]]:
    """The words that name objects, and those that say what changes: KEY=VALUE or KEY-."""
    words = line.words if words is None else words
    changes = [word for word in words if "=" in word or word.endswith("-") or ":" in word]
    return tuple(word for word in words if word not in changes), changes


def label(line: Line, objects: Objects) -> str:
    """`kubectl label` and `kubectl annotate`."""
    words, changes = _changes(line)
    if not changes:
        raise Wrong(f"error: at least one {line.verb} update is required")
    where = "labels" if line.verb == "label" else "annotations"
    found = named(line, objects, words)
    for one in found:
        labels = {**one.thing.get(where, {})}
        for change in changes:
            if change.endswith("-") and "=" not in change:
                labels.pop(change[:-1], None)
                continue
            key, _, value = change.partition("=")
            if labels.get(key, value) != value and not line.is_set("overwrite"):
                raise Wrong(
                    f"error: '{key[:60]}' already has a value ({labels[key]}), and --overwrite is false"
                )
            labels[key] = value
        one.thing[where] = labels
    return "\n".join(f"{one.path} {line.verb.removesuffix('e')}ed" for one in found)


def patch(line: Line, objects: Objects) -> str:
    """`kubectl patch`: merge patches, and JSON patches of fields that the simulation knows."""
    if "patch" not in line.flags:
        raise Wrong("error: must specify -p to patch")
    wanted = json_of(line.flags["patch"])
    if line.flags.get("type") == "json":
        wanted = _merged(wanted)
    if not isinstance(wanted, dict):
        raise Wrong("error: a patch is a JSON object")
    found = named(line, objects)
    for one in found:
        for name, value in _fields(wanted):
            _put(one, name, value)
    return "\n".join(f"{one.path} patched" for one in found)


def _merged(steps: Json) -> Json:
    """A JSON patch as a merge patch.

    Raises:
        Wrong: it is no list of add, replace and remove.
    """
    if not isinstance(steps, list):
        raise Wrong("error: a patch of --type=json is a list")
    made: dict[str, Json] = {}
    for step in steps:
        if not isinstance(step, dict) or step.get("op") not in ("add", "replace", "remove"):
            raise Wrong("error: the simulation knows the ops add, replace and remove")
        parts = [
            part.replace("~1", "/").replace("~0", "~") for part in str(step.get("path", ""))[1:].split("/")
        ]
        value: Json = None if step["op"] == "remove" else step.get("value")
        for part in reversed(parts[1:4]):
            value = {part: value}
        made[parts[0]] = _united(made.get(parts[0]), value)
    return made


def _united(old: Json, new: Json) -> Json:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _united(old.get(key), value) for key, value in new.items()}}
    return new


def _fields(wanted: Mapping[str, Json]) -> list[tuple[str, Json]]:
    """The fields of the state that a patch names, with their new values.

    Raises:
        Wrong: it names another one.
    """
    found: list[tuple[str, Json]] = []
    by_place = {place: name for name, place in PLACES.items()}
    for first, inner in wanted.items():
        if (first,) in by_place:
            found.append((by_place[(first,)], inner))
            continue
        for second, value in inner.items() if isinstance(inner, dict) else [("", inner)]:
            if (first, second) not in by_place:
                raise Wrong(f"Error from server (BadRequest): unknown field {first[:40]}.{second[:40]}")
            found.append((by_place[(first, second)], value))
    return found


_TYPES: Mapping[str, type] = {
    "labels": dict, "annotations": dict, "data": dict, "selector": dict, "finalizers": list, "subjects": list,
    "taints": list, "replicas": int, "suspend": bool, "unschedulable": bool, "image": str, "schedule": str,
    "host": str, "role": str,
}  # fmt: skip


def _put(found: Found, name: str, value: Json) -> None:
    wanted = _TYPES.get(name)
    if wanted is None:
        raise Wrong(f"Error from server (Invalid): {name} cannot be changed")
    if value is None:
        found.thing[name] = wanted()
        return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_wrong = not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))
    if is_wrong or not all(isinstance(one, str) or one is None for one in inner):
        raise Wrong(f"Error from server (BadRequest): {name} must be {_SAID[wanted]}")
    if name == "replicas":
        value = whole(str(value), "replicas", MOST_PODS)
    if isinstance(value, dict):
        merged = {**found.thing.get(name, {}), **value}
        value = {key: one for key, one in merged.items() if one is not None}
    found.thing[name] = value


_SAID = {
    dict: "an object of texts",
    list: "a list of texts",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
}


# -- new ones --------------------------------------------------------------------------------------------


def create(line: Line, objects: Objects) -> str:
    """`kubectl create namespace|configmap|secret generic|job --from=cronjob/NAME`."""
    _without_files(line)
    words = tuple(word for word in line.words if word != "generic")
    if len(words) != 2:
        raise Wrong("error: create what? As in: create namespace NAME")
    kind, name = kind_of(words[0]), words[1]
    if not _NAME.fullmatch(name):
        raise Wrong(f"error: a name has at most 63 of a-z, 0-9 and -, and not {name[:60]!r}")
    made: dict[str, Json] = {}
    if kind.plural == "jobs":
        source, _, cron = line.flags.get("from", "").partition("/")
        if source not in ("cronjob", "cronjobs", "cj"):
            raise Wrong("error: the simulation creates jobs with --from=cronjob/NAME")
        made = {"status": "Running", "from": objects.get(BY_PLURAL["cronjobs"], line.namespace, cron).name}
    elif kind.plural in ("configmaps", "secrets"):
        made = {"data": {key: value for key, _, value in (one.partition("=") for one in line.literals)}}
    elif kind.plural != "namespaces":
        raise Wrong("error: the simulation creates namespaces, configmaps, secrets and jobs")
    place = line.namespace if kind.is_in_namespace else ""
    if place and place not in objects.data["namespaces"]:
        raise Wrong(f'Error from server (NotFound): namespaces "{place[:60]}" not found')
    if objects.has(kind, place, name):
        raise Wrong(f'Error from server (AlreadyExists): {kind.plural} "{name}" already exists')
    objects.shelf(kind, place)[name] = plain(made)
    return f"{kind.singular}/{name} created"


def _without_files(line: Line) -> None:
    if "filename" in line.flags:
        raise Wrong("error: the simulation reads no files: name the objects in the command")
