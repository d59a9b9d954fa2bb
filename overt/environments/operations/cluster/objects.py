"""What a simulated cluster holds: its kinds of objects, and what its controllers do about pods.

The state is plain JSON data:

    nodes: {node-1: {labels, taints, unschedulable, status}}
    namespaces: {staging: {status, finalizers, pods: {web-1: {owner: deployment/web, node, status}}, ...}}

A workload that lacks pods gets new ones, with the next number that its pods never had; those too many go, the
newest first. Nothing is random and nothing takes time: the same commands give the same cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject
from overt.environments.operations.world import Thing, a_copy

Kept = tuple[Thing, dict[str, int]]

_AGE = "6d"  # of what was there at the start and says nothing else; what is made later has none
MOST_PODS = 100  # of one workload; more are refused as a quota would refuse them
_DONE = (
    "Failed",
    "Evicted",
    "Succeeded",
    "Completed",
    "Terminating",
    "Unknown",
)  # states of pods that do not serve


class Wrong(Exception):
    """A command cannot be done. The text is what a real kubectl would print."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects. columns: (title, field) of what `get` prints beside the name; wide: with -o wide."""

    plural: str
    singular: str
    short: tuple[str, ...] = ()
    is_in_namespace: bool = True
    columns: tuple[tuple[str, str], ...] = ()
    wide: tuple[tuple[str, str], ...] = ()


KINDS = (
    Kind("nodes", "node", ("no",), False, (("STATUS", "status"),), (("TAINTS", "taints"),)),
    Kind("namespaces", "namespace", ("ns",), False, (("STATUS", "status"),)),
    Kind(
        "persistentvolumes", "persistentvolume", ("pv",), False, (("STATUS", "status"), ("CLAIM", "claim")),
    ),
    Kind(
        "clusterrolebindings", "clusterrolebinding", (), False, (("ROLE", "role"), ("SUBJECTS", "subjects")),
    ),
    Kind(
        "pods", "pod", ("po",), True,
        (("READY", "ready"), ("STATUS", "status"), ("RESTARTS", "restarts")), (("NODE", "node"),),
    ),
    Kind("deployments", "deployment", ("deploy",), True, (("READY", "ready"),), (("IMAGE", "image"),)),
    Kind("statefulsets", "statefulset", ("sts",), True, (("READY", "ready"),), (("IMAGE", "image"),)),
    Kind("daemonsets", "daemonset", ("ds",), True, (("READY", "ready"),), (("IMAGE", "image"),)),
    Kind("jobs", "job", (), True, (("STATUS", "status"),)),
    Kind("cronjobs", "cronjob", ("cj",), True, (("SCHEDULE", "schedule"), ("SUSPEND", "suspend"))),
    Kind("services", "service", ("svc",), True, (("SELECTOR", "selector"),)),
    Kind("ingresses", "ingress", ("ing",), True, (("HOST", "host"),)),
    Kind("configmaps", "configmap", ("cm",), True, (("DATA", "keys"),)),
    Kind("secrets", "secret", (), True, (("DATA", "keys"),)),
    Kind(
        "persistentvolumeclaims", "persistentvolumeclaim", ("pvc", "pvcs"), True,
        (("STATUS", "status"), ("CAPACITY", "capacity")),
    ),
    Kind("rolebindings", "rolebinding", (), True, (("ROLE", "role"), ("SUBJECTS", "subjects"))),
    Kind("serviceaccounts", "serviceaccount", ("sa",)),
    Kind("replicasets", "replicaset", ("rs",)),
    Kind("events", "event", ("ev",), True, (("OBJECT", "object"), ("MESSAGE", "message"))),
    Kind("networkpolicies", "networkpolicy", ("netpol",), True, (("SELECTOR", "selector"),)),
)  # fmt: skip
ALL = ("pods", "services", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs")  # of `get all`
WORKLOADS = ("deployments", "statefulsets", "daemonsets", "jobs")
_BY_WORD = {word: kind for kind in KINDS for word in (kind.plural, kind.singular, *kind.short)}
BY_PLURAL = {kind.plural: kind for kind in KINDS}


def kind_of(word: str) -> Kind:
    """The kind that a word of a command names, with or without its group ("deployments.apps").

    Raises:
        Wrong: there is none.
    """
    found = _BY_WORD.get(word.lower().partition(".")[0])
    if found is None:
        raise Wrong(f'error: the server doesn\'t have a resource type "{word[:60]}"')
    return found


@dataclass(frozen=True, slots=True)
class Found:
    """An object and where it is. `namespace` is "" for kinds outside of namespaces."""

    kind: Kind
    namespace: str
    name: str
    thing: Thing

    @property
    def path(self) -> str:
        return f"{self.kind.singular}/{self.name}"


class Objects:
    """All objects of a cluster."""

    def __init__(self, start: Mapping[str, Json]) -> None:
        self.data: Thing = {"nodes": {}, "namespaces": {}, **a_copy(start)}
        self._numbers: dict[str, int] = {}  # of each workload, the highest number a pod of it ever had
        self.settle()
        for kind in KINDS:
            for found in self.each(kind, None):
                found.thing.setdefault("age", _AGE)
        self._label()

    def _label(self) -> None:
        """Gives the pods of the start their workload's labels, as its template does, where none are given."""
        for plural in WORKLOADS:
            for workload in self.each(BY_PLURAL[plural], None):
                for pod in self.pods_of(workload):
                    pod.thing.setdefault("labels", {**workload.thing.get("labels", {})})

    def state(self) -> JsonObject:
        """The state, as a copy."""
        return a_copy(self.data)

    def keep(self) -> Kept:
        """The cluster as it is, for `back_to`."""
        return a_copy(self.data), {**self._numbers}

    def back_to(self, kept: Kept) -> None:
        self.data, self._numbers = kept

    # -- looking up -----------------------------------------------------------------------------------

    def shelf(self, kind: Kind, namespace: str) -> Thing:
        """The objects of a kind by name; it can be written to."""
        if not kind.is_in_namespace:
            return self.data.setdefault(kind.plural, {})  # type: ignore[no-any-return]
        return self.data["namespaces"][namespace].setdefault(kind.plural, {})  # type: ignore[no-any-return]

    def each(self, kind: Kind, namespace: str | None) -> Iterator[Found]:
        """The objects of a kind in a namespace, or in all of them (None), by name."""
        if not kind.is_in_namespace:
            places = [""]
        else:
            places = sorted(self.data["namespaces"]) if namespace is None else [namespace]
        for place in places:
            if place and place not in self.data["namespaces"]:
                continue
            for name, thing in sorted(self.shelf(kind, place).items()):
                yield Found(kind, place if kind.is_in_namespace else "", name, thing)

    def get(self, kind: Kind, namespace: str, name: str) -> Found:
        """One object.

        Raises:
            Wrong: there is none.
        """
        place = namespace if kind.is_in_namespace else ""
        known = not place or place in self.data["namespaces"]
        thing = self.shelf(kind, place).get(name) if known else None
        if thing is None:
            raise Wrong(f'Error from server (NotFound): {kind.plural} "{name[:80]}" not found')
        return Found(kind, place, name, thing)

    def has(self, kind: Kind, namespace: str, name: str) -> bool:
        return name in self.shelf(kind, namespace)

    def pods_of(self, workload: Found) -> list[Found]:
        """The pods of a workload that count as its own: those that ended or are ending do not."""
        return [
            pod
            for pod in self.each(BY_PLURAL["pods"], workload.namespace)
            if pod.thing.get("owner") == workload.path and pod.thing.get("status", "Running") not in _DONE
        ]

    # -- changing -------------------------------------------------------------------------------------

    def remove(self, found: Found, *, is_forced: bool = False) -> bool:
        """Removes an object, and says whether it is gone. One with finalizers stays as "Terminating" until a
        patch takes them away; so does a pod on a node that does not answer, unless it is forced."""
        node = self.data["nodes"].get(found.thing.get("node", ""), {})
        is_held = found.kind.plural == "pods" and not is_forced and node.get("status") == "NotReady"
        if found.thing.get("finalizers") or is_held:
            found.thing["status"] = "Terminating"
            return False
        self.shelf(found.kind, found.namespace).pop(found.name, None)
        return True

    def settle(self) -> None:
        """What the controllers do until nothing is left to do."""
        for kind in KINDS:
            for found in list(self.each(kind, None)):
                if found.thing.get("status") == "Terminating" and found.thing.get("finalizers") == []:
                    self.shelf(kind, found.namespace).pop(found.name, None)
        pods = BY_PLURAL["pods"]
        for pod in list(self.each(pods, None)):
            if self._is_lost(pod):
                self.shelf(pods, pod.namespace).pop(pod.name, None)
        for plural in WORKLOADS:
            for workload in list(self.each(BY_PLURAL[plural], None)):
                self._fit(workload)
        for pod in self.each(pods, None):
            if not pod.thing.get("node") and pod.thing.get("status", "Running") not in _DONE:
                self._place(pod.thing)

    def _is_lost(self, pod: Found) -> bool:
        """Whether its owner or its node is gone, or its node drives it out."""
        owner, node = pod.thing.get("owner", ""), pod.thing.get("node", "")
        self._count(pod)
        if owner:
            singular, _, name = owner.partition("/")
            if not self.has(kind_of(singular), pod.namespace, name):
                return True
        if not node:
            return False
        if node not in self.data["nodes"]:
            return True
        return not tolerates(pod.thing, self.data["nodes"][node], "NoExecute")

    def _count(self, pod: Found) -> None:
        number = re.search(r"-(\d{1,6})$", pod.name)
        key = f"{pod.namespace}/{pod.thing.get('owner', '')}"
        if number:
            self._numbers[key] = max(self._numbers.get(key, 0), int(number[1]))

    def _fit(self, workload: Found) -> None:
        """Makes the pods that a workload lacks and removes those too many."""
        own, thing = self.pods_of(workload), workload.thing
        if workload.kind.plural == "daemonsets":
            busy = {pod.thing.get("node") for pod in own}
            for node in sorted(self.data["nodes"]):
                if node not in busy:
                    self._make(workload, f"{workload.name}-{node}", node)
            return
        if workload.kind.plural == "jobs":
            is_over = thing.get("suspend") or thing.get("status", "Running") != "Running"
            wanted = 0 if is_over else 1
        else:
            wanted = int(thing.get("replicas", 1))
        for pod in sorted(own, key=_number)[wanted:]:
            self.shelf(pod.kind, pod.namespace).pop(pod.name, None)
        for _ in range(min(wanted, MOST_PODS) - len(own)):
            self._make(workload, self._next_name(workload), "")

    def _next_name(self, workload: Found) -> str:
        if workload.kind.plural == "statefulsets":
            taken = self.shelf(BY_PLURAL["pods"], workload.namespace)
            ordinal = next(n for n in range(len(taken) + 1) if f"{workload.name}-{n}" not in taken)
            return f"{workload.name}-{ordinal}"
        key = f"{workload.namespace}/{workload.path}"
        self._numbers[key] = self._numbers.get(key, 0) + 1
        return f"{workload.name}-{self._numbers[key]}"

    def _make(self, workload: Found, name: str, node: str) -> None:
        thing = workload.thing
        is_broken = thing.get("image", "") in thing.get("broken_images", ())
        self.shelf(BY_PLURAL["pods"], workload.namespace)[name] = {
            "owner": workload.path,
            "node": node,
            "status": "CrashLoopBackOff" if is_broken else "Running",
            "labels": {**thing.get("labels", {})},
            "tolerates": [*thing.get("tolerates", ())],
            "restarts": 0,
        }

    def _place(self, pod: Thing) -> None:
        """Puts a pod on the free node with the fewest pods; it is Pending where none takes it."""
        load = dict.fromkeys(
            (
                name
                for name, node in sorted(self.data["nodes"].items())
                if not node.get("unschedulable")
                and node.get("status", "Ready") == "Ready"
                and tolerates(pod, node, "NoSchedule")
                and tolerates(pod, node, "NoExecute")
            ),
            0,
        )
        for other in self.each(BY_PLURAL["pods"], None):
            if other.thing.get("node") in load:
                load[other.thing["node"]] += 1
        if load:
            pod["node"] = min(load, key=lambda name: load[name])
            if pod.get("status") in (None, "Pending"):
                pod["status"] = "Running"
        else:
            pod["status"] = "Pending"


def tolerates(pod: Thing, node: Thing, effect: str) -> bool:
    """Whether a pod may be on a node whose taints have this effect."""
    keys = [
        taint.partition(":")[0].partition("=")[0]
        for taint in node.get("taints", ())
        if taint.endswith(f":{effect}")
    ]
    return all(key in pod.get("tolerates", ()) for key in keys)


def _number(pod: Found) -> tuple[int, str]:
    number = re.search(r"-(\d{1,6})$", pod.name)
    return (int(number[1]) if number else 0), pod.name
