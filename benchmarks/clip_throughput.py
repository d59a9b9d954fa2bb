"""Throughput of `clip/` against a bare loop over the same model, and memory at 1,000 and 10,000 pictures.

    python benchmarks/clip_throughput.py                        # a ViT-S/16 (22 M), built on the spot
    python benchmarks/clip_throughput.py --model ViT-B-32:laion2b_s34b_b79k --device cuda
    python benchmarks/clip_throughput.py --quick                # seconds, to see that it runs

The bare loop calls `model.encode_image` on pictures that were decoded, preprocessed and moved to the device
beforehand, in the same batches; nothing else is counted. The scorer gets encoded PNGs from a folder and does
everything: reading, decoding, looking for placeholders, preprocessing, prompts, records. Both run in turns in
one process, the first of the two changing from round to round; the figure is the median of the rounds' ratios
(scorer's pictures a second / bare loop's), with the interval that its order statistics give. At least 0.95 is
wanted. Rounds differ by 10% and more where large activations are mapped anew each time: take 20 or more.

On a CPU the threads that decode take their share of the very cores that the model computes on, so that the
ratio there is at most `model / (model + decoding)` in seconds of a core; that bound is measured and printed
with it. `--threads 1` on two cores leaves one of them to decoding, as a GPU leaves all of them. On a machine
that others use too, look at `cpu`: the same ratio in the processor's seconds.

Memory is the peak of the resident set, each size in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overt.data.records import Prompt, prompt_id
from overt.data.rewrites import Candidate, FaithfulnessCase, candidate_id
from overt.scoring.faithfulness.clip import ClipScorer
from overt.scoring.faithfulness.scorable import see

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

# A ViT-S/16: 22 M parameters of the vision tower, pictures of 224 pixels.
VISION = {"patch_size": 16, "width": 384, "layers": 12, "head_width": 64}
DRAWN = 64  # different pictures on disk; each is decoded anew wherever it comes up


def pictures(folder: Path, side: int) -> list[bytes]:
    """Photograph-like PNGs: smooth shapes with grain, so that they take as long to decode as one does."""
    import numpy as np
    from PIL import Image

    files = []
    for number in range(DRAWN):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        grained = np.clip(smooth + random.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(grained).save(file, "PNG")
        (folder / f"{number}.png").write_bytes(file.getvalue())
        files.append(file.getvalue())
    return files


def cases(count: int, per_prompt: int = 4) -> Iterator[FaithfulnessCase]:
    """`count` pictures, each of a wording of its own, some wordings for each prompt."""
    for number in range(count):
        text = f"a red kite over the sea, number {number // per_prompt}"
        prompt = Prompt(prompt_id(text), text, "violence", "benign", "direct", "w", "t@1")
        wording = f"{text}, wording {number % per_prompt}"
        candidate = Candidate(candidate_id(prompt.id, wording), prompt.id, wording, "plain", "w", "t@1")
        yield FaithfulnessCase(candidate, prompt, "t", (str(number),))


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Any) -> tuple[float, float]:
    """Seconds on the wall, and of the processor."""
    started, before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - started, cpu() - before


def median_interval(values: list[float]) -> list[float]:
    """The narrowest pair of order statistics that holds the median with at least 95%, by the sign test; of
    fewer than six values, none does, and the least and the greatest are given."""
    ordered, n = sorted(values), len(values)
    outside, below = 0, 0.0  # values that each tail leaves out, and the chance that the median is one of them
    while below + math.comb(n, outside) / 2**n <= 0.025:
        below += math.comb(n, outside) / 2**n
        outside += 1
    outside = max(outside - 1, 0)
    return [round(ordered[outside], 4), round(ordered[n - 1 - outside], 4)]


def model_of(args: argparse.Namespace, place: Path) -> str:
    if args.model:
        return str(args.model)
    import tiny_clip

    # For memory a fast one: what is held for each picture is the same.
    vision = {**VISION, "width": 64, "layers": 1} if args.quick or args.memory else VISION
    return str(tiny_clip.clip(place / "clip", side=224, vision=vision))


def compare(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    import torch

    files = pictures(place, args.side)
    scorer = ClipScorer(
        model_of(args, place), device=args.device, batch_size=args.batch, precision=args.precision
    )
    loaded = scorer._loaded  # the very same model, device and precision
    size = scorer._batch_size

    def load(path: str) -> bytes:
        return (place / f"{int(path) % DRAWN}.png").read_bytes()

    ready = [loaded.prepare(see(load, str(n))[0]) for n in range(DRAWN)]
    preloaded = torch.stack(ready).to(loaded.device)
    preloaded = loaded.normalize(preloaded).to(loaded.dtype)
    batches = [
        torch.stack([preloaded[n % DRAWN] for n in range(start, min(start + size, args.pictures))])
        for start in range(0, args.pictures, size)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                out = loaded.model.encode_image(batch)
            out.float().cpu()

    def scored() -> None:
        rows = [row for rows in scorer.score(cases(args.pictures), load) for row in rows]
        assert sum(row.measure == "text_image" and row.value is not None for row in rows) == args.pictures

    def decode() -> None:
        for n in range(DRAWN):
            loaded.prepare(see(load, str(n))[0])

    decoding = timed(decode)[1] / DRAWN
    (
        bare(),
        scored(),
    )  # warm-up; the prompts' embeddings are known from here on, as from one target to the next
    rounds: list[dict[str, float]] = []
    for number in range(args.rounds):
        order = (bare, scored) if number % 2 == 0 else (scored, bare)
        found = {work.__name__: timed(work) for work in order}
        rounds.append(
            {
                "bare": args.pictures / found["bare"][0],
                "scorer": args.pictures / found["scored"][0],
                "wall": found["bare"][0] / found["scored"][0],
                "cpu": found["bare"][1] / found["scored"][1],
                "bare_cpu": found["bare"][1] / args.pictures,
            }
        )
        print(
            f"round {number + 1} ({order[0].__name__} first): bare {rounds[-1]['bare']:.1f}/s, "
            f"scorer {rounds[-1]['scorer']:.1f}/s, "
            f"ratio {rounds[-1]['wall']:.3f}, cpu {rounds[-1]['cpu']:.3f}",
            flush=True,
        )

    def middle(key: str) -> float:
        return round(statistics.median(r[key] for r in rounds), 4)

    facts: dict[str, Any] = {
        "device": loaded.device,
        "parameters of the vision tower": sum(p.numel() for p in loaded.model.visual.parameters()),
        "threads": torch.get_num_threads(),
        "pictures": args.pictures,
        "pixels": args.side,
        "batch": size,
        "bare, pictures/s": middle("bare"),
        "scorer, pictures/s": middle("scorer"),
        "ratio": middle("wall"),
        "ratio, 95% interval of the median": median_interval([r["wall"] for r in rounds]),
        "ratio in cpu seconds": middle("cpu"),
        "decoding, cpu ms/picture": round(1000 * decoding, 2),
        "model, cpu ms/picture": round(1000 * middle("bare_cpu"), 2),
        "bytes of a PNG": round(statistics.mean(map(len, files))),
    }
    if loaded.device == "cpu":
        decode, compute = facts["decoding, cpu ms/picture"], facts["model, cpu ms/picture"]
        facts["bound where all share the cores"] = round(compute / (compute + decode), 4)
    return facts


def memory(args: argparse.Namespace, place: Path) -> dict[str, float]:
    """Peak resident set in MB: when the model is loaded, and after `--memory` pictures."""
    pictures(place, args.side)
    scorer = ClipScorer(model_of(args, place), device=args.device, batch_size=args.batch)

    def load(path: str) -> bytes:
        return (place / f"{int(path) % DRAWN}.png").read_bytes()

    # The first pictures make the threads and the allocator's pools.
    for rows in scorer.score(cases(8 * scorer._batch_size), load):
        assert rows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for rows in scorer.score(cases(args.memory), load):
        assert rows
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"before": round(before, 1), "after": round(after, 1), "grown": round(after - before, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="", help="as behind clip/; a small ViT is built without one")
    parser.add_argument("--pictures", type=int, default=64, help="in each round")
    parser.add_argument("--side", type=int, default=256, help="pixels of a picture on disk")
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default=None)
    parser.add_argument("--threads", type=int, default=0, help="of the model on a CPU; 0: torch's choice")
    parser.add_argument("--precision", default=None)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few pictures, a model that is no measure of anything, and no memory",
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000], help="pictures for memory")
    parser.add_argument("--memory", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    if args.quick:
        args.pictures, args.rounds, args.sizes, args.batch, args.side = 32, 2, [], 8, 96
    with tempfile.TemporaryDirectory() as folder:
        if args.memory:
            print(json.dumps(memory(args, Path(folder))))
            return
        facts = compare(args, Path(folder))
    options = [f"--{name}={value}" for name in ("device", "model", "batch") if (value := getattr(args, name))]
    for size in args.sizes:
        # Small pictures: it is their number that is asked about, not how long they take.
        command = [sys.executable, __file__, f"--memory={size}", "--side=64", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        facts[f"MB at {size:,} pictures"] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
