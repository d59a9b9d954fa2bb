"""Where a value stands in decoded JSON: `$.data[0].b64_json`, `$.images[*].url`, `$['odd.name'][-1]`.

The small part of JSONPath that says where, without filters or searches: an answer has one place for each
thing, and a path that could mean many would find what a hostile answer put there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

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
    """A text that is no path; it says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path as written, and its steps: a name, a number (from the end if negative), or None for all."""

    text: str
    steps: tuple[str | int | None, ...]

    def find(self, data: Any) -> list[Any]:
        """The values at this path, in order; none where the data has another shape."""
        found = [data]
        for step in self.steps:
            reached: list[Any] = []
            for value in found:
                if isinstance(step, str):
                    if isinstance(value, dict) and step in value:
                        reached.append(value[step])
                elif isinstance(value, list):
                    if step is None:
                        reached += value
                    elif -len(value) <= step < len(value):
                        reached.append(value[step])
            found = reached[:_MOST]
        return found

    def first(self, data: Any) -> Any:
        """The first value that is not null, else None."""
        return next((value for value in self.find(data) if value is not None), None)


def parse_path(text: str) -> Path:
    """The path that a text writes.

    Raises:
        PathError: it does not begin with $, or has a step that cannot be read.
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
