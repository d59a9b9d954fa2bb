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


def merged(base: Json, over: Json) -> Json:
    """A deep copy of `base` with `over` laid over it: mappings are merged, null takes an entry away, anything
    else replaces what was there."""
    if not isinstance(over, Mapping):
        return copy.deepcopy(over)
    base = base if isinstance(base, Mapping) else {}
    found = {key: copy.deepcopy(value) for key, value in base.items() if key not in over}
    for key, value in over.items():
        if value is not None:
            found[key] = merged(base.get(key), value)
    return found
