"""Trains the tiny world from nothing: a text-to-image pipeline, a CLIP model and an image checker.

    python benchmarks/tiny_world/train.py                 # into overt/tinyworld, about 20 minutes
    python benchmarks/tiny_world/train.py --smoke --out /tmp/world   # a few steps each, half a minute

Two processes with one thread each: the pipeline in the one, CLIP and then the checker in the other. That
keeps two cores busy, and one thread sums in the same order every time. `check.py` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "overt" / "tinyworld"
FULL: dict[str, Any] = {
    "captions": 20_000,
    "pool": 24_000,
    "steps": {"text": 450, "pictures": 6500, "noise": 4500},
    "clip": {"steps": 1500, "groups": 24, "pool": 6000},
    "checker": {"steps": 500, "pool": 6000},
}
SMOKE: dict[str, Any] = {
    "captions": 500,
    "pool": 100,
    "steps": {"text": 2, "pictures": 2, "noise": 2},
    "clip": {"steps": 2, "groups": 4, "pool": 8},
    "checker": {"steps": 2, "pool": 80},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=TARGET, help="folder of the three models' folders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps of each: does it run?")
    parser.add_argument("--only", choices=("pipeline", "clip", "checker"), help="train this one alone")
    parser.add_argument("--parts", type=Path, help="keep finished parts of the pipeline here and reuse them")
    options = parser.parse_args()
    if options.only:
        _train(options)
        return
    arguments = [a for a in sys.argv[1:] if a]
    halves = [("pipeline",), ("clip", "checker")]
    running = [subprocess.Popen([sys.executable, __file__, *arguments, "--only", half[0]]) for half in halves]
    failed = running[1].wait()
    for more in halves[1][1:]:
        failed |= subprocess.call([sys.executable, __file__, *arguments, "--only", more])
    failed |= running[0].wait()
    sys.exit(1 if failed else 0)


def _train(options: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import fit
    import fit_checker
    import fit_clip
    import fit_pipeline
    import models
    import torch
    from scenes import combinations, sample
    from words import corpus

    torch.set_num_threads(1)
    size = SMOKE if options.smoke else FULL
    clock = fit.Clock()
    out: Path = options.out
    if options.only == "checker":
        fit_checker.train(out / "checker", seed=options.seed, **size["checker"])
    else:
        rng = Random(f"tokenizer/{options.seed}")
        seen = combinations("seen")
        captions = corpus(rng, [sample(rng, seen) for _ in range(size["captions"])])
        with tempfile.TemporaryDirectory() as scratch:
            tokenizer = models.tokenizer(Path(scratch) / "tokenizer", captions)
            if options.only == "clip":
                fit_clip.train(tokenizer, out / "clip", seed=options.seed, **size["clip"])
            else:
                fit_pipeline.train(
                    tokenizer,
                    out / "pipeline",
                    seed=options.seed,
                    steps=size["steps"],
                    pool=size["pool"],
                    parts=options.parts or Path(scratch),
                )
    took = {"seed": options.seed, "smoke": options.smoke, **clock.read()}
    (out / options.only / "training.json").write_text(json.dumps(took) + "\n", "utf-8")
    fit.say(options.only, **took)


if __name__ == "__main__":
    main()
