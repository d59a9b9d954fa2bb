"""What the simulated kubectl changes of single objects: labels, fields, and new ones."""

from __future__ import annotations

import re
from collections.abc import Mapping

from overt.data.json_types import Json
from overt.environments.operations.cluster.line import Line, changes_of, json_of, named, whole, without_files
from overt.environments.operations.cluster.objects import (
    BY_PLURAL,
    MOST_PODS,
    Found,
    Objects,
    Wrong,
    kind_of,
)
from overt.environments.operations.cluster.show import PLACES
from overt.environments.operations.world import a_copy

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def label(line: Line, objects: Objects) -> str:
    """`kubectl label` and `kubectl annotate`."""
    words, changes = changes_of(line)
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
    is_json = line.flags.get("type") == "json"
    found = named(line, objects)
    for one in found:
        merge = _merged(wanted, one) if is_json else wanted
        if not isinstance(merge, dict):
            raise Wrong("error: a patch is a JSON object")
        for name, value in _fields(merge):
            _put(one, name, value)
    return "\n".join(f"{one.path} patched" for one in found)


def _merged(steps: Json, found: Found) -> Json:
    """A JSON patch of an object as a merge patch.

    Raises:
        Wrong: it is no list of add, replace and remove.
    """
    if not isinstance(steps, list):
        raise Wrong("error: a patch of --type=json is a list")
    made: dict[str, Json] = {}
    lists: dict[str, list[Json]] = {}
    for step in steps:
        if not isinstance(step, dict) or step.get("op") not in ("add", "replace", "remove"):
            raise Wrong("error: the simulation knows the ops add, replace and remove")
        parts = [
            part.replace("~1", "/").replace("~0", "~") for part in str(step.get("path", ""))[1:].split("/")
        ]
        value: Json = None if step["op"] == "remove" else step.get("value")
        name = _BY_PLACE.get(tuple(parts[:-1]), "")
        if _TYPES.get(name) is list:
            value = _element(lists.setdefault(name, [*found.thing.get(name, [])]), parts.pop(), step)
        for part in reversed(parts[1:4]):
            value = {part: value}
        made[parts[0]] = _united(made.get(parts[0]), value)
    return made


def _element(entries: list[Json], place: str, step: Mapping[str, Json]) -> Json:
    """A list after a step of a JSON patch at one of its places; `-` is behind the last.

    Raises:
        Wrong: there is no such place.
    """
    adds = step["op"] == "add"
    number = (
        len(entries) if place == "-" and adds else int(place) if place.isdecimal() and len(place) < 6 else -1
    )
    if not 0 <= number < len(entries) + adds:
        raise Wrong(f"error: the patch's path ends at {place[:40]!r}, where the list has nothing")
    if adds:
        entries.insert(number, step.get("value"))
    elif step["op"] == "remove":
        del entries[number]
    else:
        entries[number] = step.get("value")
    return [*entries]


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
    for first, inner in wanted.items():
        if (first,) in _BY_PLACE:
            found.append((_BY_PLACE[(first,)], inner))
            continue
        for second, value in inner.items() if isinstance(inner, dict) else [("", inner)]:
            if (first, second) not in _BY_PLACE:
                raise Wrong(f"Error from server (BadRequest): unknown field {first[:40]}.{second[:40]}")
            found.append((_BY_PLACE[(first, second)], value))
    return found


_TYPES: Mapping[str, type] = {
    "labels": dict, "annotations": dict, "data": dict, "selector": dict, "finalizers": list, "subjects": list,
    "taints": list, "replicas": int, "suspend": bool, "unschedulable": bool, "image": str, "schedule": str,
    "host": str, "role": str,
}  # fmt: skip


_BY_PLACE = {place: name for name, place in PLACES.items()}


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
    without_files(line)
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
    objects.shelf(kind, place)[name] = a_copy(made)
    return f"{kind.singular}/{name} created"
