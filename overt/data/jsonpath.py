"""Paths in decoded JSON: `$.data[0].b64_json`, `$.images[*].url`, `$['odd.name'][-1]`.

This is JSONPath without filters and searches, which could find values that a hostile response put elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from overt.data.json_types import Json, JsonObject

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"\s*$]+)
    |\[(?P<index>-?\d{1,6})\]
    |\[(?P<all>\*)\]
    |\['(?P<single>[^']+)'\]
    |\["(?P<double>[^"]+)"\]""",
    re.VERBOSE,
)
_MOST = 10_000  # values that one path may find


class PathError(ValueError):
    """The text is not a path."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path as written, and its steps: a name, a number (from the end if negative), or None for all."""

    text: str
    steps: tuple[str | int | None, ...]

    def find(self, data: Json) -> list[Json]:
        """The values at this path, in order; an empty list if the data has another shape."""
        values = [data]
        for step in self.steps:
            reached: list[Json] = []
            for value in values:
                if isinstance(step, str):
                    if isinstance(value, dict) and step in value:
                        reached.append(value[step])
                elif isinstance(value, list):
                    if step is None:
                        reached += value
                    elif -len(value) <= step < len(value):
                        reached.append(value[step])
            values = reached[:_MOST]
        return values

    def first(self, data: Json) -> Json:
        """The first value that is not null, or None."""
        return next((value for value in self.find(data) if value is not None), None)


@lru_cache(maxsize=256)
def parse_path(text: str) -> Path:
    """Parses a path.

    Raises:
        PathError: the text does not begin with $, or one of its steps cannot be read.
    """
    if not text.startswith("$"):
        raise PathError("a path begins with $, as in $.data[0].url")
    steps: list[str | int | None] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise PathError(f"cannot read {text[at : at + 20]!r}; steps are .name, [0], [*] and ['odd name']")
        if step["index"] is not None:
            steps.append(int(step["index"]))
        elif step["all"]:
            steps.append(None)
        else:
            steps.append(step["name"] or step["single"] or step["double"])
        at = step.end()
    return Path(text, tuple(steps))


def first(data: Json, *paths: str) -> Json:
    """The first value at the paths that is neither null nor empty, or None."""
    for path in paths:
        for value in parse_path(path).find(data):
            if value is not None and value != "" and value != [] and value != {}:
                return value
    return None


def texts_at(data: Json, *paths: str) -> list[str]:
    """All non-empty texts at the paths, in order."""
    values = (value for path in paths for value in parse_path(path).find(data))
    return [value for value in values if isinstance(value, str) and value]


def text_at(data: Json, *paths: str) -> str:
    """The first non-empty text at the paths, or ""."""
    return next(iter(texts_at(data, *paths)), "")


def count_at(data: Json, path: str, default: int | None = None) -> int | None:
    """The whole number from 0 up at a path, or `default`."""
    value = parse_path(path).first(data)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def objects_at(data: Json, path: str) -> list[JsonObject]:
    """The JSON objects at a path, in order."""
    return [value for value in parse_path(path).find(data) if isinstance(value, dict)]


def object_at(data: Json, *paths: str) -> JsonObject:
    """The first JSON object at the paths, or an empty one."""
    return next((found for path in paths for found in objects_at(data, path)), {})
