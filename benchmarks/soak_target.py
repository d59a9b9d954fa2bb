"""Targets of `benchmarks/soak.py`: each prompt is written down before it is drawn."""

from __future__ import annotations

import io
import os
import time

from overt.data.local.batches import Batches
from overt.data.local.memory import Room
from overt.data.targets import Response
from overt.generation.images.diffusers import DiffusersTarget
from overt.generation.images.pipeline_drawing import Drawn, Job

LOG = "SOAK_LOG"  # the variable that names the file
_BATCH_S = 0.4  # what a batch of squares takes; without its head Ray draws on for some ten seconds


def write_down(jobs: list[Job]) -> None:
    with open(os.environ[LOG], "a", encoding="utf-8") as file:
        file.write("".join(f"{os.getpid()}\t{prompt}\n" for prompt, _ in jobs))


class Soaked(DiffusersTarget):
    """The tiny pipeline."""

    def _work(self, jobs: list[Job]) -> list[Drawn]:
        write_down(jobs)
        return super()._work(jobs)


class Squares:
    """Squares of a colour that the seed decides: without torch a worker starts within a second."""

    modality = "image"

    def __init__(self, model: str, *, device: str | None = None) -> None:
        self.name, self.batch_size, self.max_concurrency = f"squares/{model}", 4, 8
        self._batches = Batches(self._draw, room=Room(self.name, 4), name="squares", is_steady=True)

    async def respond(self, prompt: str, *, seed: int) -> Response:
        return Response(images=(await self._batches((prompt, seed)),), seed=seed)

    async def close(self) -> None:
        await self._batches.close()

    def _draw(self, jobs: list[Job]) -> list[bytes]:
        from PIL import Image

        write_down(jobs)
        time.sleep(_BATCH_S)
        found = []
        for prompt, seed in jobs:
            file = io.BytesIO()
            data = (f"{prompt} {seed} " * 200).encode()[:3072]
            Image.frombytes("RGB", (32, 32), data).save(file, "PNG")
            found.append(file.getvalue())
        return found
