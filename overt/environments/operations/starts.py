"""Reads the start states of worlds, which are JSON data of a file of jobs. What has a wrong shape is a
`ValueError`, which whoever tries the jobs tells with the job's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from overt.data.json_types import Json


def check_start(start: Mapping[str, Json], known: Iterable[str]) -> None:
    """Raises ValueError where a start state holds anything but the known parts."""
    there = list(known)
    if unknown := [name for name in start if name not in there]:
        raise ValueError(f"it has no {unknown[0]!r}; there are {', '.join(there)}")


def entries_of(given: Json) -> dict[str, Json]:
    """A mapping, empty where nothing is given."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"{str(given)[:60]!r} is no mapping")
    return {str(name): entry for name, entry in given.items()}


def list_of(given: Json) -> list[Json]:
    """A list, empty where nothing is given."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{str(given)[:60]!r} is no list")
    return list(given)
