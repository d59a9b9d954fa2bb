"""The records of a run whose targets are asked side by side: a file for each, joined in their order.

They are written as they come, since those of a million prompts are more than memory should hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overt.data.run.files import line_of, write_records, writing
from overt.data.run.folder import RunFolder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

STAGE = "outcomes"
EPISODES = "episodes"


class OutcomeParts:
    """The parts of one run: of its outcomes, or of another stage. As a context manager it leaves no part
    behind."""

    def __init__(self, folder: RunFolder, count: int, stage: str = STAGE) -> None:
        self._stage = stage
        self._stages = folder.path / "stages"
        self._count = count
        self._whole: set[int] = set()

    def __enter__(self) -> OutcomeParts:
        self._clear()  # those of a process that was killed
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def write(self, number: int, outcomes: Iterable[DataclassInstance]) -> None:
        """Writes the records of a target, as they come.

        Raises:
            RunError: disk full, folder not writable.
        """
        write_records(self._part(number), outcomes)
        self._whole.add(number)

    def passing(self, number: int, records: Iterable[R]) -> Iterator[R]:
        """The records of a target, each written as it passes.

        Raises:
            RunError: as `write`.
        """
        with writing(self._part(number)) as file:
            for record in records:
                file.write(line_of(record))
                yield record
        self._whole.add(number)

    def join(self) -> None:
        """Writes the stage of all records that are whole, in the order of the targets.

        Raises:
            RunError: as `write`.
        """
        with writing(self._stages / f"{self._stage}.jsonl") as file:
            for number in sorted(self._whole.copy()):
                with self._part(number).open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)

    def _part(self, number: int) -> Path:
        return self._stages / f".{self._stage}.{number}.part"

    def _clear(self) -> None:
        for pattern in (
            f".{self._stage}.*.part",
            f"..{self._stage}.*.part.*.tmp",
        ):  # whole ones, and half ones
            for path in self._stages.glob(pattern):
                path.unlink(missing_ok=True)
