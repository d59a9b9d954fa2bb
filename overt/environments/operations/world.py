"""The worlds that jobs are done in: simulations in memory, whose whole state is JSON data for checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from overt.data.json_types import Json, JsonObject
from overt.data.tools import Call, Tool

Thing = dict[str, Any]  # an object of a world: JSON data that commands change


def a_copy(data: Mapping[str, Json]) -> Thing:
    """JSON data in dicts and lists of its own."""
    copied: Thing = json.loads(json.dumps(data))
    return copied


class World(Protocol):
    """One simulated machine, database, cluster or console. It is made from the start state of a job."""

    tools: tuple[Tool, ...]

    def do(self, call: Call) -> str:
        """Does what a call says. What a real one would print; of a wrong use its error message, never an
        exception. Work and output are bounded, whatever is asked."""
        ...

    def state(self) -> JsonObject:
        """Everything that checks may look at, as plain JSON data."""
        ...


MakeWorld = Callable[[Mapping[str, Json]], World]
