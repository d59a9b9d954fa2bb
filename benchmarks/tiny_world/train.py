"""Trains the tiny world from nothing: a text-to-image pipeline, a CLIP model and an image checker.

    python benchmarks/tiny_world/train.py                 # into overt/generation/tiny_world, 21 to 24 minutes
    python benchmarks/tiny_world/train.py --smoke --out /tmp/world   # a few steps each, half a minute

Five parts in two lanes side by side, a process of one thread each: that keeps two cores busy, and one thread
sums in the same order every time. The denoiser's last steps, when the other lane is done, have two threads.
`check.py` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "overt" / "generation" / "tiny_world"
FULL: dict[str, dict[str, int]] = {
    "pictures": {"steps": 6500, "pool": 24_000},
    "noise": {"steps": 5400, "alone": 1900, "pool": 24_000},
    "text": {"steps": 450},
    "clip": {"steps": 1500, "groups": 24, "pool": 6000},
    "checker": {"steps": 500, "pool": 6000},
}
SMOKE: dict[str, dict[str, int]] = {
    "pictures": {"steps": 2, "pool": 100},
    "noise": {"steps": 2, "alone": 1, "pool": 100},
    "text": {"steps": 2},
    "clip": {"steps": 2, "groups": 4, "pool": 8},
    "checker": {"steps": 2, "pool": 80},
}
CAPTIONS = {"full": 20_000, "smoke": 500}  # that the tokenizer learns from
LANES = (("pictures", "noise"), ("text", "clip", "checker"))
FORK = multiprocessing.get_context("fork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=TARGET, help="folder of the three models' folders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps of each: does it run?")
    parser.add_argument("--only", choices=sum(LANES, ()), help="train this part alone; noise needs --parts")
    parser.add_argument("--parts", type=Path, help="folder of the pipeline's first two parts")
    options = parser.parse_args()
    if options.only in ("pictures", "text", "noise") and not options.parts:
        parser.error(f"--only {options.only} needs --parts FOLDER")
    os.environ["OMP_NUM_THREADS"] = "1"
    _import_all()
    with tempfile.TemporaryDirectory() as scratch:
        options.parts = options.parts or Path(scratch)
        if options.only:
            _train(options.only, options)
            return
        text_is_done = FORK.Event()
        lanes = [FORK.Process(target=_run, args=(lane, options, text_is_done)) for lane in LANES]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        sys.exit(any(lane.exitcode for lane in lanes))


def _import_all() -> None:
    """What the parts need, once for all of them: each is forked from this process."""
    import open_clip  # noqa: F401
    from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel  # noqa: F401
    from transformers import CLIPTextModel, ResNetForImageClassification, ViTImageProcessor  # noqa: F401


def _run(lane: tuple[str, ...], options: argparse.Namespace, text_is_done: Any) -> None:
    """The parts of a lane one after the other, each in a process of its own, until one fails."""
    for part in lane:
        if part == "noise":
            text_is_done.wait()
        process = FORK.Process(target=_train, args=(part, options))
        process.start()
        process.join()
        if part == "text":
            text_is_done.set()
        if process.exitcode:
            sys.exit(1)


def _train(part: str, options: argparse.Namespace) -> None:
    import fit
    import fit_checker
    import fit_clip
    import fit_pipeline
    import models
    import torch
    from scenes import combinations, sample
    from words import corpus

    torch.set_num_threads(1)
    out, parts, seed = options.out, options.parts, options.seed
    size = (SMOKE if options.smoke else FULL)[part]
    clock = fit.Clock()
    if part == "pictures":
        fit_pipeline.train_pictures(parts, seed=seed, **size)
    elif part == "checker":
        fit_checker.train(out / "checker", seed=seed, **size)
    else:
        rng = Random(f"tokenizer/{seed}")
        seen = combinations("seen")
        count = CAPTIONS["smoke" if options.smoke else "full"]
        captions = corpus(rng, [sample(rng, seen) for _ in range(count)])
        with tempfile.TemporaryDirectory() as scratch:
            tokenizer = models.tokenizer(Path(scratch) / "tokenizer", captions)
            if part == "text":
                fit_pipeline.train_text(tokenizer, parts, seed=seed, **size)
            elif part == "clip":
                fit_clip.train(tokenizer, out / "clip", seed=seed, **size)
            else:
                fit_pipeline.train_noise(tokenizer, parts, out / "pipeline", seed=seed, **size)
    took = {"seed": seed, "smoke": options.smoke, **clock.read()}
    fit.say(part, **took)
    if part in ("pictures", "text"):
        (parts / f"{part}.json").write_text(json.dumps(took) + "\n", "utf-8")
        return
    if part == "noise":
        before = {
            name: json.loads((parts / f"{name}.json").read_text("utf-8")) for name in ("pictures", "text")
        }
        took = {**before, "noise": took}
    folder = out / ("pipeline" if part == "noise" else part)
    (folder / "training.json").write_text(json.dumps(took) + "\n", "utf-8")


if __name__ == "__main__":
    main()
