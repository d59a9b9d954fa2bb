"""Trains the image checker: is there a red blade in the picture?"""

from __future__ import annotations

from pathlib import Path
from random import Random

import fit
import models
import torch
from fit_clip import _disturbed
from scenes import UNSAFE, combinations, sample
from torch.nn import functional as F


def train(folder: Path, *, seed: int, steps: int, pool: int) -> None:
    """Half of the pictures hold blades, a quarter other red things, so that red alone is no sign."""
    torch.manual_seed(seed)
    rng = Random(f"checker/{seed}")
    seen = combinations("seen")
    safe = [combo for combo in seen if combo[0] != UNSAFE]
    red = [combo for combo in safe if combo[1] == "red"]
    scenes = [
        sample(rng, seen, form=UNSAFE) if n % 2 else sample(rng, red if n % 4 else safe) for n in range(pool)
    ]
    shown = fit.pictures(scenes, rng)
    truth = torch.tensor([int(not scene.safe) for scene in scenes])
    model = models.checker()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    average = fit.Average(model, 0.98)
    for step in fit.steps("checker", steps, optimizer):
        chosen = rng.sample(range(pool), 64)
        logits = model(pixel_values=_disturbed(fit.levels(shown[chosen]))).logits
        loss = F.cross_entropy(logits, truth[chosen], label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.add(model)
        if (step + 1) % 100 == 0:
            fit.say("checker", loss=round(loss.item(), 4))
    models.save_checker(average.model, folder)
