"""Workers that are actors of Ray."""

from __future__ import annotations

from overt.workers.parts import Seat


class RayActors:
    tries = 1

    def __init__(self, count: int | None) -> None:
        self.count = count or 1

    def seat(self, number: int) -> Seat:
        raise NotImplementedError

    def close(self) -> None: ...
