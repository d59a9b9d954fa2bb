"""What `diffusers/` does on a GPU, in under ten minutes. Run it where there is one; publish what it prints.

    python benchmarks/gpu_check.py                    # SDXL and FLUX.1 in full size, random weights, bfloat16
    python benchmarks/gpu_check.py --only sdxl --minutes 5
    python benchmarks/gpu_check.py --tiny             # the same checks on small models; runs on a CPU as well

Pipelines are built from their configurations on the device, so nothing is downloaded. Checks:

    speed      pictures/s of the target against a bare loop over the same pipeline, in turns; goal 0.97
    memory     the device's peak while each batch size is drawn
    recovery   a ballast tensor leaves room for part of a batch: each picture still comes, and the size that
               fits is told; the pictures equal those drawn without ballast, up to rounding
    flags      the safety checker's decisions under float16, bfloat16 and float32 pipelines: they must not
               differ, since overt keeps the checker in float32
    options    channels_last, tf32, compile, vae_slicing: pictures/s, and the largest difference in levels
    devices    with two: the same pictures on both, and spread over both

Exit status: 0 if every check that ran was passed, 1 if one failed. A check that did not run says why.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu_pipelines
from diffusers_throughput import bare, through_target

GOAL = 0.97
STEPS = {"sdxl": 20, "flux": 8}
MAKERS = {"sdxl": gpu_pipelines.sdxl, "flux": gpu_pipelines.flux}


class Report:
    """Prints a line for each result; knows how much time is left and whether anything failed."""

    def __init__(self, minutes: float) -> None:
        self._ends = time.monotonic() + 60 * minutes
        self.failed: list[str] = []

    def say(self, check: str, text: str, passed: bool | None = None) -> None:
        mark = "" if passed is None else "ok: " if passed else "FAILED: "
        print(f"{check:<10} {mark}{text}", flush=True)
        if passed is False:
            self.failed.append(check)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._ends

    def run(self, name: str, check: Callable[[], None]) -> None:
        if self.is_over:
            self.say(name, "not run: the time is up (--minutes)")
            return
        try:
            check()
        except Exception as error:  # the other checks still say something
            self.say(name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", passed=False)
        _free()


@contextmanager
def target(pipeline: Any, device: str, **options: Any) -> Iterator[Any]:
    """A target that is handed a pipeline which is already in memory, in place of one that it would load."""
    from overt.generation.images import diffusers

    before = diffusers.load_pipeline, diffusers.source_of
    diffusers.load_pipeline = lambda *_: pipeline  # type: ignore[assignment]
    diffusers.source_of = lambda model, *_, **__: model  # type: ignore[assignment]
    try:
        made = diffusers.DiffusersTarget("random-weights", device=device, **options)
    finally:
        diffusers.load_pipeline, diffusers.source_of = before
    try:
        yield made
    finally:
        asyncio.run(made.close())


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def levels(made: Any, count: int) -> list[Any]:
    """Draws prompts 0 to count - 1; gives arrays of levels, (height, width, 3)."""
    import numpy as np
    from PIL import Image

    async def ask() -> list[Any]:
        return await asyncio.gather(*(made.respond(f"a shot of espresso {n}", seed=n) for n in range(count)))

    found = []
    for response in asyncio.run(ask()):
        if response.error is not None:
            raise RuntimeError(response.error.message)
        found.append(np.asarray(Image.open(io.BytesIO(response.images[0]))).astype(int))
    return found


def apart(some: list[Any], others: list[Any]) -> int:
    """The largest difference of two lists of pictures, in levels of 255."""
    import numpy as np

    return max(int(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


# -- checks -------------------------------------------------------------------------------------------------


class Checks:
    """The checks of one family."""

    def __init__(self, family: str, asked: argparse.Namespace, report: Report, folder: Path) -> None:
        import torch

        self.family, self.report, self.tiny = family, report, asked.tiny
        self.device = asked.device
        self.dtype = torch.float32 if asked.tiny else torch.bfloat16
        self.batch, self.rounds = asked.batch, asked.rounds
        self.steps = 2 if asked.tiny else STEPS[family]
        self.size = {"width": 64, "height": 64} if asked.tiny else {}
        self._folder = folder / family
        started = time.monotonic()
        self.pipeline = self.build()
        weights = sum(p.numel() for part in self._modules() for p in part.parameters())
        report.say(
            family, f"{weights / 1e9:.2f} billion weights, built in {time.monotonic() - started:.0f} s"
        )

    def build(self, dtype: Any = None) -> Any:
        made = MAKERS[self.family](self._folder, self.device, dtype or self.dtype, self.tiny)
        made.set_progress_bar_config(disable=True)
        return made

    def _modules(self) -> list[Any]:
        import torch

        return [part for part in self.pipeline.components.values() if isinstance(part, torch.nn.Module)]

    def made(self, **options: Any) -> Any:
        usual = {"steps": self.steps, "batch_size": self.batch} | self.size
        return target(self.pipeline, self.device, **(usual | options))

    def speed(self) -> None:
        prompts = [f"a shot of espresso {n}" for n in range(self.batch * (2 if self.tiny else 3))]
        ratios = []
        with self.made() as made:
            bare(self.pipeline, prompts[: self.batch], self.batch, self.steps, **self.size)  # warm
            through_target(made, prompts[: self.batch])
            for turn in range(self.rounds):
                seconds = {}
                for kind in ("bare", "target") if turn % 2 == 0 else ("target", "bare"):
                    if kind == "bare":
                        seconds[kind] = bare(self.pipeline, prompts, self.batch, self.steps, **self.size)
                    else:
                        seconds[kind] = through_target(made, prompts)
                ratios.append(seconds["bare"] / seconds["target"])
                self.report.say("speed", f"round {turn + 1}: {len(prompts) / seconds['bare']:.3f} pictures/s "
                                f"bare, {len(prompts) / seconds['target']:.3f} target")  # fmt: skip
        ratio = statistics.median(ratios)
        self.report.say(
            "speed",
            f"{self.family}, batch {self.batch}, {self.steps} steps: median ratio {ratio:.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}), goal {GOAL}",
            passed=None if self.tiny else ratio >= GOAL,
        )

    def memory(self) -> None:
        import torch

        if not self.device.startswith("cuda"):
            self.report.say("memory", "not run: no GPU")
            return
        for size in (1, self.batch):
            torch.cuda.reset_peak_memory_stats()
            with self.made(batch_size=size) as made:
                levels(made, size)
            peak = torch.cuda.max_memory_allocated() / 2**30
            self.report.say("memory", f"{self.family}, batch {size}: peak {peak:.1f} GiB")

    def recovery(self) -> None:
        import torch

        if not self.device.startswith("cuda"):
            self.report.say("recovery", "not run: no GPU")
            return
        with self.made() as made:
            expected = levels(made, self.batch)
        peaks = []
        for size in (1, self.batch):
            _free()
            torch.cuda.reset_peak_memory_stats()
            with self.made(batch_size=size) as made:
                levels(made, size)
            peaks.append(torch.cuda.max_memory_reserved())
        _free()
        room = (peaks[0] + peaks[1]) // 2 - torch.cuda.memory_reserved()
        ballast = torch.empty(max(0, torch.cuda.mem_get_info()[0] - room), dtype=torch.uint8, device="cuda")
        told: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("overt").addHandler(handler)
        try:
            with self.made() as made:
                found = levels(made, self.batch)
        finally:
            logging.getLogger("overt").removeHandler(handler)
            del ballast
        difference = apart(expected, found)
        self.report.say(
            "recovery",
            f"{self.family}: all {self.batch} pictures came, {difference} levels apart at most; told: "
            f"{'; '.join(told) or 'nothing'}",
            passed=bool(told),
        )

    def options(self) -> None:
        count = self.batch
        with self.made() as made:
            levels(made, count)
            expected, plain = self._timed(made, count)
        self.report.say("options", f"{self.family}, none: {plain:.3f} pictures/s")
        wanted = ["channels_last", "vae_slicing", *(["tf32"] if self.tiny else ["compile"])]
        for option in wanted:
            if self.report.is_over:
                self.report.say("options", f"{option} not run: the time is up")
                return
            with self.made(**{option: True}) as made:
                levels(made, count)  # compiles
                found, speed = self._timed(made, count)
            self.report.say(
                "options",
                f"{self.family}, {option}: {speed:.3f} pictures/s, {apart(expected, found)} levels apart",
            )

    def _timed(self, made: Any, count: int) -> tuple[list[Any], float]:
        started = time.monotonic()
        found = levels(made, count)
        return found, count / (time.monotonic() - started)

    def devices(self) -> None:
        import torch

        if torch.cuda.device_count() < 2:
            self.report.say("devices", f"not run: {torch.cuda.device_count()} GPU here, two are needed")
            return
        with self.made() as made:
            first = levels(made, 2)
        self.pipeline.to("cuda:1")
        with target(self.pipeline, "cuda:1", steps=self.steps, batch_size=2) as made:
            second = levels(made, 2)
        self.pipeline.to(self.device)
        difference = apart(first, second)
        self.report.say("devices", f"{self.family}: {difference} levels apart", passed=difference <= 3)


def flags(asked: argparse.Namespace, report: Report) -> None:
    """Compares the checker's decisions in pipelines of three dtypes; they must be the same."""
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline
    from PIL import Image

    from overt.generation.images.pipeline_placement import checker_in_float32

    checker, processor = gpu_pipelines.safety_checker(asked.device, asked.tiny)
    source = np.random.default_rng(0)
    pictures = [Image.fromarray(source.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(64)]
    pixels = processor(pictures, return_tensors="pt").pixel_values.to(asked.device)
    with torch.no_grad():
        seen = (
            torch.nn.functional.normalize(checker.visual_projection(checker.vision_model(pixels)[1]))
            @ torch.nn.functional.normalize(checker.concept_embeds).T
        )
        # Half of the pictures are flagged, and many lie near the thresholds.
        margins = seen - (medians := seen.median(dim=0).values)
        checker.concept_embeds_weights.copy_(medians + margins.max(dim=1).values.median())
    levels_of = np.stack([np.asarray(picture) / 255.0 for picture in pictures])
    said = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        holder = StableDiffusionPipeline.__new__(StableDiffusionPipeline)
        holder.register_modules(safety_checker=checker, feature_extractor=processor)
        holder.image_processor = _Numpy()
        checker_in_float32(holder)
        _, found = holder.run_safety_checker(levels_of.copy(), asked.device, dtype)
        said[dtype] = [bool(flag) for flag in found]
    differ = sum(a != b for d in said for a, b in zip(said[torch.float32], said[d], strict=True))
    report.say("flags", f"{sum(said[torch.float32])} of 64 flagged, {differ} decisions differ between dtypes",
               passed=differ == 0)  # fmt: skip


class _Numpy:
    """The part of an image processor that the checker's caller uses."""

    def numpy_to_pil(self, images: Any) -> list[Any]:
        from PIL import Image

        return [Image.fromarray((image * 255).round().astype("uint8")) for image in images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=sorted(MAKERS), help="one family")
    parser.add_argument("--tiny", action="store_true", help="small models")
    parser.add_argument("--device", default="", help="default: cuda if there is one")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9.5, help="no check begins after this")
    asked = parser.parse_args()
    import diffusers
    import torch

    if "DIFFUSERS_VERBOSITY" not in os.environ:
        diffusers.utils.logging.set_verbosity_error()
    asked.device = asked.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if asked.device == "cpu" and not asked.tiny:
        sys.exit("There is no GPU here. `--tiny` runs the checks on small models.")
    report = Report(asked.minutes)
    on_gpu = asked.device.startswith("cuda")
    report.say("machine", f"{torch.cuda.get_device_name() if on_gpu else platform.machine()}, "
               f"torch {torch.__version__}, diffusers {diffusers.__version__}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report.run("flags", lambda: flags(asked, report))
        for family in [asked.only] if asked.only else list(MAKERS):
            if report.is_over:
                report.say(family, "not run: the time is up (--minutes)")
                continue
            checks = Checks(family, asked, report, Path(folder))
            for name in ("speed", "memory", "recovery", "devices", "options"):
                report.run(name, getattr(checks, name))
            del checks
            _free()
    print(f"failed: {', '.join(report.failed)}" if report.failed else "all checks that ran were passed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
