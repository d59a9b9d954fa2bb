"""The target of `benchmarks/soak.py`: `diffusers/`, and each prompt is written down before it is drawn."""

from __future__ import annotations

import os

from overt.generation.images.diffusers import DiffusersTarget
from overt.generation.images.pipeline_drawing import Drawn, Job

LOG = "SOAK_LOG"  # the variable that names the file


class Soaked(DiffusersTarget):
    def _work(self, jobs: list[Job]) -> list[Drawn]:
        with open(os.environ[LOG], "a", encoding="utf-8") as file:
            file.write("".join(f"{os.getpid()}\t{prompt}\n" for prompt, _ in jobs))
        return super()._work(jobs)
