"""What the simulated kubectl changes: it deletes, evicts, drains, taints, scales, rolls out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from overt.environments.operations.cluster.line import Line, changes_of, chosen, named, whole, without_files
from overt.environments.operations.cluster.objects import (
    BY_PLURAL,
    MOST_PODS,
    WORKLOADS,
    Found,
    Objects,
    Wrong,
)

_KEPT = ("default", "kube-system", "kube-public", "kube-node-lease")  # namespaces that no server deletes
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


# -- away ------------------------------------------------------------------------------------------------


def delete(line: Line, objects: Objects) -> str:
    """`kubectl delete`."""
    without_files(line)
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
        node.thing.pop("unschedulable", None)
        if line.verb == "cordon":
            node.thing["unschedulable"] = True
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
    words, changes = changes_of(line)
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
    words, changes = changes_of(line, line.words[1:])
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
