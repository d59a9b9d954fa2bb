"""Throughput of `diffusers/` against a bare loop over the same pipeline, batch and prompts, in turns.

    python benchmarks/diffusers_throughput.py                       # a tiny pipeline, built on the spot
    python benchmarks/diffusers_throughput.py --model REPO --steps 20 --device cuda --dtype float16

The bare loop draws full batches one after the other and throws the pictures away. The target is asked through
asyncio with as many prompts in flight as it says are worth having, and its PNG encoding is included. Each
round times both, the first of the two changing from round to round; the figure is the median of the rounds'
ratios (target / bare). At least 0.95 is wanted. On a machine that others use too the wall clock of one round
says little: look at many short rounds, and at the ratio of the processor's seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from overt.generation.images.diffusers import DiffusersTarget

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def bare(pipeline: Any, prompts: list[str], batch: int, steps: int, **more: Any) -> float:
    """Seconds of a plain loop; `more` goes to the pipeline."""
    import torch

    started = time.perf_counter()
    for first in range(0, len(prompts), batch):
        part = prompts[first : first + batch]
        generators = [torch.Generator("cpu").manual_seed(first + n) for n in range(len(part))]
        pipeline(prompt=part, generator=generators, num_inference_steps=steps, **more)
    return time.perf_counter() - started


def through_target(target: DiffusersTarget, prompts: list[str]) -> float:
    """Seconds through `respond`, `max_concurrency` prompts in flight."""

    async def ask() -> None:
        room = asyncio.Semaphore(target.max_concurrency)

        async def one(number: int, prompt: str) -> None:
            async with room:
                response = await target.respond(prompt, seed=number)
                if response.error is not None or not response.images:
                    raise SystemExit(f"prompt {number}: {response.error}")

        await asyncio.gather(*(one(n, p) for n, p in enumerate(prompts)))

    started = time.perf_counter()
    asyncio.run(ask())
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="", help="a repo or folder; a tiny pipeline is built without one")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtype", default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = asked.model
        if not model:
            from support import tiny_images

            model = str(tiny_images.pipeline(folder))
        target = DiffusersTarget(
            model, device=asked.device, dtype=asked.dtype, batch_size=asked.batch, steps=asked.steps
        )
        pipeline = target.drawing.pipeline  # the very same: weights, device and dtype
        prompts = [f"a shot of espresso, number {number}" for number in range(asked.prompts)]
        bare(pipeline, prompts[: asked.batch], asked.batch, asked.steps)  # warm
        through_target(target, prompts[: asked.batch])
        ratios, effort = [], []
        for turn in range(asked.rounds):
            seconds: dict[str, float] = {}
            cpu: dict[str, float] = {}
            for kind in ("bare", "target") if turn % 2 == 0 else ("target", "bare"):
                before = time.process_time()
                seconds[kind] = (
                    bare(pipeline, prompts, asked.batch, asked.steps)
                    if kind == "bare"
                    else through_target(target, prompts)
                )
                cpu[kind] = time.process_time() - before
            effort.append(cpu["bare"] / cpu["target"])
            ratios.append(seconds["bare"] / seconds["target"])
            print(
                f"round {turn + 1}: bare {asked.prompts / seconds['bare']:.2f} pictures/s, "
                f"target {asked.prompts / seconds['target']:.2f}, ratio {ratios[-1]:.3f}",
                flush=True,
            )
        print(
            f"median ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f}; "
            f"of processor seconds {statistics.median(effort):.3f}; "
            f"{asked.rounds} rounds of {asked.prompts} prompts, batch {asked.batch}, {asked.steps} steps)"
        )
        asyncio.run(target.close())


if __name__ == "__main__":
    main()
