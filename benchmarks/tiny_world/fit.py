"""What every training loop here needs: cheap data, a schedule, an average of the weights, a log."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import torch
from scenes import SPOTS, Scene, draw

SPOTS_AND_COUNTS = [
    *((1, spot, size) for spot in SPOTS for size in ("small", "medium")),
    (1, "centre", "large"),
    (2, "centre", "medium"),
    (3, "centre", "medium"),
]  # fmt: skip


def layout(scene: Scene) -> int:
    """The number of a scene's count, spot and size."""
    return SPOTS_AND_COUNTS.index((scene.count, scene.spot, scene.size))


def pictures(scenes: list[Scene], rng: Random) -> torch.Tensor:
    """uint8 of shape (scenes, 3, 32, 32)."""
    return torch.from_numpy(np.stack([draw(scene, rng) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


def levels(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 pixels as float32 from -1 to 1."""
    return pixels.float() / 127.5 - 1


class Clock:
    """Wall clock and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def read(self) -> dict[str, float]:
        return {
            "wall_s": round(time.monotonic() - self._wall, 1),
            "cpu_s": round(time.process_time() - self._cpu, 1),
        }


def steps(
    name: str, count: int, optimizer: torch.optim.Optimizer, *, warmup: int = 50, every: int = 100
) -> Iterator[int]:
    """Counts through a training, sets the learning rate (a warm-up, then half a cosine) and logs the pace."""
    highest = [group["lr"] for group in optimizer.param_groups]
    clock = Clock()
    for step in range(count):
        rise = min(1.0, (step + 1) / min(warmup, max(1, count // 10)))
        share = rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / count)))
        for group, lr in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = lr * share
        yield step
        if (step + 1) % every == 0 or step + 1 == count:
            say(name, step=step + 1, **clock.read())


def say(name: str, **figures: Any) -> None:
    print(name, *(f"{key}={value}" for key, value in figures.items()), flush=True)


class Average:
    """An exponential average of a model's weights, which draws better than the last step's."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay, self._seen = decay, 0

    @torch.no_grad()
    def add(self, model: torch.nn.Module) -> None:
        self._seen += 1
        keep = min(self._decay, self._seen / (self._seen + 9))
        for mean, now in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)
        for mean, now in zip(self.model.buffers(), model.buffers(), strict=True):
            mean.copy_(now)
