"""The outcomes of a run whose targets are asked side by side: a file for each, joined in their order.

They are written as they come, since those of a million prompts are more than memory should hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from overt.data.outcomes import Outcome
from overt.data.run.files import write_records, writing
from overt.data.run.folder import RunFolder

STAGE = "outcomes"


class OutcomeParts:
    """The parts of one run. As a context manager it leaves no part behind."""

    def __init__(self, folder: RunFolder, count: int) -> None:
        self._stages = folder.path / "stages"
        self._count = count
        self._whole: set[int] = set()

    def __enter__(self) -> OutcomeParts:
        self._clear()  # those of a process that was killed
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def write(self, number: int, outcomes: Iterable[Outcome]) -> None:
        """Writes the outcomes of a target, as they come.

        Raises:
            RunError: disk full, folder not writable.
        """
        write_records(self._part(number), outcomes)
        self._whole.add(number)

    def join(self) -> None:
        """Writes the stage of all outcomes that are whole, in the order of the targets.

        Raises:
            RunError: as `write`.
        """
        with writing(self._stages / f"{STAGE}.jsonl") as file:
            for number in sorted(self._whole.copy()):
                with self._part(number).open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)

    def _part(self, number: int) -> Path:
        return self._stages / f".{STAGE}.{number}.part"

    def _clear(self) -> None:
        for pattern in (f".{STAGE}.*.part", f"..{STAGE}.*.part.*.tmp"):  # whole ones, and half ones
            for path in self._stages.glob(pattern):
                path.unlink(missing_ok=True)
