"""The worlds that jobs may name."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from overt.data.json_types import Json
from overt.environments.operations.cluster.world import ClusterWorld
from overt.environments.operations.console import ConsoleWorld
from overt.environments.operations.database import DatabaseWorld
from overt.environments.operations.shell.world import ShellWorld
from overt.environments.operations.world import MakeWorld

WORLDS: Mapping[str, MakeWorld] = {
    "shell": ShellWorld,
    "database": DatabaseWorld,
    "cluster": ClusterWorld,
    "console": ConsoleWorld,
}


def merged(base: Mapping[str, Json], over: Mapping[str, Json]) -> dict[str, Json]:
    """A deep copy of `base` with `over` laid over it: mappings are merged, null takes an entry away, anything
    else replaces what was there."""
    found = {key: copy.deepcopy(value) for key, value in base.items() if key not in over}
    for key, value in over.items():
        if isinstance(value, Mapping):
            before = base.get(key)
            found[key] = merged(before if isinstance(before, Mapping) else {}, value)
        elif value is not None:
            found[key] = copy.deepcopy(value)
    return found
