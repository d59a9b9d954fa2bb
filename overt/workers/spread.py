"""What `--workers` says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Engine = Literal["here", "processes", "ray"]
MOST = 256  # workers of one command


@dataclass(frozen=True, slots=True)
class Spread:
    """Where local models work. count: the workers; None: one for each GPU of the cluster."""

    engine: Engine
    count: int | None


def spread_of(text: str) -> Spread:
    """Reads the value of `--workers`: "1" (in the command's own process), "4", "ray", "ray:4".

    Raises:
        ValueError: it is none of these.
    """
    found = re.fullmatch(r"(ray)(?::(\d{1,4}))?|(\d{1,4})", text.strip())
    count = int(found[2] or found[3]) if found and (found[2] or found[3]) else None
    if found is None or (count is not None and not 1 <= count <= MOST):
        raise ValueError(f"give a number from 1 to {MOST}, ray, or ray:NUMBER")
    if found[1]:
        return Spread("ray", count)
    return Spread("here" if count == 1 else "processes", count)


def checked(text: str) -> str:
    """The value of `--workers`, if it can be read.

    Raises:
        ValueError: see `spread_of`.
    """
    spread_of(text)
    return text.strip()
