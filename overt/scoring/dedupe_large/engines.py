"""Who takes the steps: this process, one after the other, or Ray Data on as many machines as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from overt.data.errors import RunError
from overt.data.local.devices import one_line
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
        RunError: `take`, if a step fails.
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
            # A cluster that is there already has its dashboard, or none.
            own = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
            ray.init(log_to_driver=False, logging_level="ERROR", **own)
        ray.data.DataContext.get_current().enable_progress_bars = False
        self._data, self._error = ray.data, ray.exceptions.RayError

    def take(self, step: Step, folder: Path, items: Sequence[int]) -> None:
        if not items:
            return

        def taken(row: dict[str, int]) -> dict[str, int]:
            step(folder, int(row["item"]))
            return row

        rows = [{"item": item} for item in items]
        try:
            self._data.from_items(rows, override_num_blocks=len(rows)).map(taken).materialize()
        except self._error as error:
            raise RunError(
                f"a step failed on a worker of Ray: {one_line(error)}",
                where=str(folder),
                fix="Every machine must see that folder (--scratch) and have this overt installed.",
            ) from error
