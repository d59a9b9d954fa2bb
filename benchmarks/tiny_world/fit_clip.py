"""Trains the open_clip model: a scene's pictures and captions together, its neighbours apart."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import fit
import models
import torch
from scenes import Scene, combinations, held_out, neighbour, sample
from torch.nn import functional as F
from words import caption

_ATTRIBUTES = ("form", "colour", "ground", "layout")


def train(tokenizer: Any, folder: Path, *, seed: int, steps: int, groups: int, pool: int) -> None:
    """Batches of `groups` scenes, each with three neighbours that differ from it in one attribute only:
    without those, a batch's wrong captions are so wrong that form and place need not be learnt."""
    torch.manual_seed(seed)
    rng = Random(f"clip/{seed}")
    seen = combinations("seen")
    families = [_family(rng, seen) for _ in range(pool)]
    shown = fit.pictures([scene for family in families for scene in family], rng).unflatten(0, (pool, 4))
    model, config = models.clip(len(tokenizer))
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )
    average = fit.Average(model, 0.99)
    losses = []
    for step in fit.steps("clip", steps, optimizer):
        chosen = rng.sample(range(pool), groups)
        scenes = [scene for n in chosen for scene in families[n]]
        pixels = _disturbed(fit.levels(shown[chosen].flatten(0, 1)))
        texts = models.tokens(tokenizer, [caption(scene, rng) for scene in scenes])
        image, text = model.encode_image(pixels, normalize=True), model.encode_text(texts, normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        same = _same(scenes)
        loss = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)  # at most 100, as CLIP does
        average.add(model)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            right = (logits.argmax(1) == same.argmax(1)).float().mean().item()
            fit.say("clip", loss=round(sum(losses[-50:]) / 50, 3), right=round(right, 3))
    models.save_clip(average.model, config, tokenizer, folder)


def _family(rng: Random, seen: list[tuple[str, str, str]]) -> list[Scene]:
    scene = sample(rng, seen)
    family = [scene]
    for attribute in rng.sample(_ATTRIBUTES, 3):
        # A neighbour that is held out stays unseen, here too.
        for _ in range(20):
            other = neighbour(rng, scene, attribute)
            if not held_out(other.form, other.colour, other.ground):
                break
        else:
            other = sample(rng, seen)
        family.append(other)
    return family


def _same(scenes: list[Scene]) -> torch.Tensor:
    """float32 of shape (scenes, scenes): how much of row's picture is due to column's caption."""
    numbers = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
    of = torch.tensor([numbers[scene] for scene in scenes])
    equal = (of[:, None] == of[None, :]).float()
    return equal / equal.sum(1, keepdim=True)


def _disturbed(pixels: torch.Tensor) -> torch.Tensor:
    """With some noise on half of the pictures: drawn ones are cleaner than a model's."""
    strength = 0.08 * torch.rand(len(pixels), 1, 1, 1) * (torch.rand(len(pixels), 1, 1, 1) < 0.5)
    return (pixels + strength * torch.randn_like(pixels)).clamp(-1, 1)
