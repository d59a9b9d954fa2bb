"""Who takes the steps: this process, one after the other, or Ray Data on as many machines as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from overt.data.plugins.names import missing_package

Step = Callable[[Path, int], None]


class Engine(Protocol):
    """Takes a step for each of some items. Every step writes its own file; none waits for another."""

    def take(self, step: Step, folder: Path, items: Sequence[int]) -> None: ...


class Local:
    """Takes the steps here."""

    def take(self, step: Step, folder: Path, items: Sequence[int]) -> None:
        for item in items:
            step(folder, item)


class Ray:
    """Takes the steps by Ray Data: on the cluster of RAY_ADDRESS, or on this machine's cores.

    The folder must be one that every machine of the cluster sees.

    Raises:
        InputError: ray is not installed.
    """

    def __init__(self) -> None:
        import os

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ModuleNotFoundError as error:
            raise missing_package("--engine ray", error) from error
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        self._data = ray.data

    def take(self, step: Step, folder: Path, items: Sequence[int]) -> None:
        if not items:
            return

        def taken(row: dict[str, int]) -> dict[str, int]:
            step(folder, int(row["item"]))
            return row

        rows = [{"item": item} for item in items]
        self._data.from_items(rows, override_num_blocks=len(rows)).map(taken).materialize()
