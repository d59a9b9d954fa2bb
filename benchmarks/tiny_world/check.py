"""Prints the held-out figures of the tiny world: combinations of form, colour and ground never trained on.

python benchmarks/tiny_world/check.py                     # of the weights in overt/generation/tiny_world
python benchmarks/tiny_world/check.py --folder /tmp/world --steps 50 --guidance 7.5 --grid /tmp/grid.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from pixels import look
from scenes import UNSAFE, Scene, combinations, draw, neighbour, sample
from words import caption

ATTRIBUTES = ("form", "colour", "ground", "layout")
FOLDER = Path(__file__).resolve().parents[2] / "overt" / "generation" / "tiny_world"


# -- CLIP -------------------------------------------------------------------------------------------------


class Clip:
    """The world's CLIP, loaded by open_clip as any other."""

    def __init__(self, folder: Path) -> None:
        import open_clip

        self._model, _, self._prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    @torch.no_grad()
    def images(self, pictures: list[np.ndarray]) -> torch.Tensor:
        """Unit vectors of shape (pictures, dimensions)."""
        from PIL import Image

        pixels = torch.stack([self._prepare(Image.fromarray(picture)) for picture in pictures])
        return torch.cat([self._model.encode_image(some, normalize=True) for some in pixels.split(128)])

    @torch.no_grad()
    def texts(self, captions: list[str]) -> torch.Tensor:
        tokens = self._tokenizer(captions)
        return torch.cat([self._model.encode_text(some, normalize=True) for some in tokens.split(128)])


def clip_figures(
    clip: Clip, pictures: list[np.ndarray], scenes: list[Scene], rng: Random
) -> dict[str, float]:
    """How often a picture lies nearer to its own caption than to a wrong one: another scene's, or one in
    which a single attribute is wrong. "best" is the share of pictures that prefer their own to all five."""
    seen = clip.images(pictures)
    own = (seen * clip.texts([caption(scene, rng, vague=False) for scene in scenes])).sum(1)
    figures, best = {}, torch.ones(len(scenes), dtype=torch.bool)
    for attribute in ("other", *ATTRIBUTES):
        wrong = [_wrong(rng, scene, scenes, attribute) for scene in scenes]
        right = own > (seen * clip.texts([caption(scene, rng, vague=False) for scene in wrong])).sum(1)
        figures[attribute] = right.float().mean().item()
        best &= right
    figures["best"] = best.float().mean().item()
    return figures


def _wrong(rng: Random, scene: Scene, scenes: list[Scene], attribute: str) -> Scene:
    if attribute == "other":
        return rng.choice([other for other in scenes if other != scene])
    return neighbour(rng, scene, attribute)


# -- pipeline ---------------------------------------------------------------------------------------------


def draw_with(
    pipeline: Any, captions: list[str], *, seed: int, steps: int, guidance: float
) -> list[np.ndarray]:
    """A picture a caption, uint8 of shape (32, 32, 3); each has a seed of its own."""
    made: list[np.ndarray] = []
    for start in range(0, len(captions), 32):
        some = captions[start : start + 32]
        generators = [torch.Generator().manual_seed(seed + start + n) for n in range(len(some))]
        output = pipeline(
            some, generator=generators, num_inference_steps=steps, guidance_scale=guidance, output_type="np"
        )
        made += list((output.images * 255).round().astype(np.uint8))
    return made


def pixel_figures(pictures: list[np.ndarray], scenes: list[Scene]) -> dict[str, float]:
    """Shares of pictures whose ground, colour, form and count are right by rule; "all": the first three."""
    seen = [look(picture) for picture in pictures]
    pairs = list(zip(seen, scenes, strict=True))

    def share(name: str) -> float:
        return sum(getattr(s, name) == getattr(scene, name) for s, scene in pairs) / len(pairs)

    figures = {name: share(name) for name in ("ground", "colour", "form", "count")}
    return figures | {"all": sum(s.fits(scene) for s, scene in pairs) / len(pairs)}


# -- checker ----------------------------------------------------------------------------------------------


@torch.no_grad()
def unsafe_scores(folder: Path, pictures: list[np.ndarray]) -> list[float]:
    """The checker's probability of a blade, a picture each."""
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
    processor = AutoImageProcessor.from_pretrained(folder)
    pixels = processor([Image.fromarray(p) for p in pictures], return_tensors="pt").pixel_values
    column = model.config.label2id["unsafe"]
    return list(model.eval()(pixel_values=pixels).logits.softmax(1)[:, column].tolist())


def roc_auc(scores: list[float], unsafe: list[bool]) -> float:
    """The chance that an unsafe picture scores above a safe one; equal scores count half."""
    high = np.array([s for s, u in zip(scores, unsafe, strict=True) if u])
    low = np.array([s for s, u in zip(scores, unsafe, strict=True) if not u])
    return float(((high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()).item())


# -- all of it --------------------------------------------------------------------------------------------


def held_out_scenes(rng: Random, count: int, kind: str = "held", *, blades: float = 0.0) -> list[Scene]:
    """Scenes of combinations never trained on, a share of them blades."""
    combos = combinations(kind)
    forms = [UNSAFE if n < blades * count else None for n in range(count)]
    return [sample(rng, combos, form=form) for form in forms]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the three models' folders")
    parser.add_argument("--count", type=int, default=300, help="scenes of each kind")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--plain", action="store_true", help="captions without styles and noise words")
    parser.add_argument("--grid", type=Path, help="write the pictures drawn for held-out scenes here")
    options = parser.parse_args()
    rng = Random(options.seed)
    folder: Path = options.folder
    clip = Clip(folder / "clip") if (folder / "clip").is_dir() else None
    if clip is not None:
        for kind in ("held", "seen"):
            scenes = held_out_scenes(rng, options.count, kind)
            _print(f"clip {kind}", clip_figures(clip, [draw(s, rng) for s in scenes], scenes, rng))
    if (folder / "checker").is_dir():
        scenes = held_out_scenes(rng, options.count, blades=0.3)
        scores = unsafe_scores(folder / "checker", [draw(s, rng) for s in scenes])
        unsafe = [not scene.safe for scene in scenes]
        right = sum((score >= 0.5) == u for score, u in zip(scores, unsafe, strict=True)) / len(scenes)
        _print("checker held", {"auc": roc_auc(scores, unsafe), "right": right})
    if (folder / "pipeline").is_dir():
        _check_pipeline(options, clip, rng)


def _check_pipeline(options: argparse.Namespace, clip: Clip | None, rng: Random) -> None:
    from diffusers import DiffusionPipeline

    folder: Path = options.folder
    pipeline = DiffusionPipeline.from_pretrained(folder / "pipeline", use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    grid: list[np.ndarray] = []
    for kind in ("pair", "triple", "seen"):
        scenes = held_out_scenes(rng, options.count, kind, blades=0.0 if kind == "pair" else 0.15)
        captions = [caption(scene, rng, dressed=not options.plain, vague=False) for scene in scenes]
        drawn = draw_with(
            pipeline, captions, seed=options.seed, steps=options.steps, guidance=options.guidance
        )
        _print(f"pipeline {kind}, by rule", pixel_figures(drawn, scenes))
        if clip is not None:
            _print(f"pipeline {kind}, by clip", clip_figures(clip, drawn, scenes, rng))
        if kind != "pair" and (folder / "checker").is_dir():
            scores = unsafe_scores(folder / "checker", drawn)
            _print(f"checker on drawn {kind}", {"auc": roc_auc(scores, [not s.safe for s in scenes])})
        grid += drawn[:64] if kind != "seen" else []
        for picture, scene, text in zip(drawn[:200], scenes, captions, strict=False):
            if options.grid and not look(picture).fits(scene):
                print("  wrong:", text, "->", look(picture))
    if options.grid:
        _write_grid(grid, options.grid)
    for part in ("pipeline", "clip", "checker"):
        if (folder / part / "training.json").is_file():
            print(f"trained {part}:", json.loads((folder / part / "training.json").read_text("utf-8")))


def _write_grid(pictures: list[np.ndarray], file: Path) -> None:
    from PIL import Image

    rows = [np.concatenate(pictures[n : n + 16], axis=1) for n in range(0, len(pictures) // 16 * 16, 16)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(file)


def _print(name: str, figures: dict[str, float]) -> None:
    print(f"{name}:", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
