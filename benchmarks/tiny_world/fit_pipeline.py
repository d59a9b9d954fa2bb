"""Trains the parts of the text-to-image pipeline, one after the other: captions, pictures, and the way
from the one to the other."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import fit
import models
import torch
from scenes import COLOURS, FORMS, GROUNDS, Scene, combinations, sample
from torch.nn import functional as F
from words import caption

_UNCONDITIONAL = 0.1  # share of captions left empty, for classifier-free guidance
_MIN_SNR = 5.0


def train(tokenizer: Any, folder: Path, *, seed: int, steps: dict[str, int], pool: int, parts: Path) -> None:
    """Trains `steps["text"]`, `steps["pictures"]` and `steps["noise"]` steps, and saves the pipeline.

    parts: the first two parts are put there when done, and taken from there where they are.
    """
    text = _kept(models.text_encoder(tokenizer), parts / "text.safetensors", lambda m: _text(
        m, tokenizer, Random(f"text/{seed}"), seed, steps["text"]))  # fmt: skip
    vae = _kept(models.autoencoder(), parts / "pictures.safetensors", lambda m: _pictures(
        m, Random(f"pictures/{seed}"), seed, steps["pictures"], pool))  # fmt: skip
    rng = Random(f"noise/{seed}")
    scenes = [sample(rng, combinations("seen")) for _ in range(pool)]
    means, spreads = _encoded(vae, fit.pictures(scenes, rng))
    scale = 1 / (means + spreads * torch.randn_like(spreads)).std().item()
    vae.register_to_config(scaling_factor=round(scale, 5))
    fit.say("latents", mean=round(means.mean().item(), 3), scale=round(scale, 3))
    scheduler = models.scheduler()
    unet = _noise(
        tokenizer, text, scheduler, scenes, means * scale, spreads * scale, rng, seed, steps["noise"]
    )
    models.save_pipeline(
        {"vae": vae, "text_encoder": text, "tokenizer": tokenizer, "unet": unet, "scheduler": scheduler},
        folder,
    )


def _kept(model: Any, file: Path, train: Any) -> Any:
    from safetensors.torch import load_file, save_file

    if file.is_file():
        model.load_state_dict(load_file(file))
    else:
        train(model)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, file)
    return model.eval().requires_grad_(False)


def _text(encoder: Any, tokenizer: Any, rng: Random, seed: int, steps: int) -> None:
    """Teaches the text encoder what a caption says, before any picture: a linear map has to read form,
    colour, ground and layout off its last token. Minutes of diffusion would teach it the same, dearly."""
    torch.manual_seed(seed)
    names = list(FORMS), list(COLOURS), list(GROUNDS)
    heads = torch.nn.ModuleList(
        torch.nn.Linear(encoder.config.hidden_size, n) for n in (*map(len, names), len(fit.SPOTS_AND_COUNTS))
    )
    weights = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1.5e-3, weight_decay=0.02)
    seen = combinations("seen")
    right: list[float] = []
    for step in fit.steps("text", steps, optimizer):
        scenes = [sample(rng, seen) for _ in range(96)]
        ids = models.tokens(tokenizer, [caption(scene, rng) for scene in scenes])
        ends = (ids == tokenizer.eos_token_id).int().argmax(1)
        states = encoder(ids).last_hidden_state
        # The last token and one of those that fill up: a pipeline's denoiser looks at both.
        fillers = ends + ((models.TOKENS - 1 - ends) * torch.rand(len(ends))).long()
        truth = torch.tensor(
            [
                (
                    *(n.index(w) for n, w in zip(names, (s.form, s.colour, s.ground), strict=True)),
                    fit.layout(s),
                )
                for s in scenes
            ]
        )
        rows = torch.arange(len(ids))
        loss = torch.zeros(())
        good = torch.ones(len(ids), dtype=torch.bool)
        for column, head in enumerate(heads):
            for place in (ends, fillers):
                guess = head(states[rows, place])
                loss = loss + F.cross_entropy(guess, truth[:, column])
            good &= guess.argmax(1) == truth[:, column]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        right.append(good.float().mean().item())
        if (step + 1) % 100 == 0:
            fit.say("text", loss=round(loss.item(), 3), all_read=round(sum(right[-100:]) / 100, 3))


def _pictures(vae: Any, rng: Random, seed: int, steps: int, pool: int) -> None:
    torch.manual_seed(seed)
    seen = combinations("seen")
    shown = fit.pictures([sample(rng, seen) for _ in range(pool)], rng)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=0.0)
    average = fit.Average(vae, 0.99)
    for step in fit.steps("pictures", steps, optimizer):
        pixels = fit.levels(shown[rng.sample(range(pool), 48)])
        posterior = vae.encode(pixels).latent_dist
        made = vae.decode(posterior.sample()).sample
        error, kl = made - pixels, posterior.kl().mean() / posterior.mean[0].numel()
        loss = error.abs().mean() + 10 * error.square().mean() + 1e-3 * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.add(vae)
        if (step + 1) % 100 == 0:
            off = error.abs().mean().item() * 127.5
            fit.say("pictures", levels_off=round(off, 2), kl=round(kl.item(), 3))
    vae.load_state_dict(average.model.state_dict())


@torch.no_grad()
def _encoded(vae: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and standard deviations of the pictures' latents."""
    found = [vae.encode(fit.levels(some)).latent_dist for some in pixels.split(128)]
    return torch.cat([f.mean for f in found]), torch.cat([f.std for f in found])


def _noise(
    tokenizer: Any,
    text: Any,
    scheduler: Any,
    scenes: list[Scene],
    means: torch.Tensor,
    spreads: torch.Tensor,
    rng: Random,
    seed: int,
    steps: int,
) -> Any:
    """The denoiser: v-prediction, weighted by min-SNR, averaged."""
    torch.manual_seed(seed)
    unet = models.denoiser()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1.2e-3, betas=(0.9, 0.99), weight_decay=0.01)
    average = fit.Average(unet, 0.995)
    alphas = scheduler.alphas_cumprod
    snr = alphas / (1 - alphas)
    weights = snr.clamp(max=_MIN_SNR) / (snr + 1)
    # So that the last steps, which decide on ground and layout, count as well: their min-SNR weight is 0.
    weights = weights.clamp(min=0.1)
    losses = []
    for step in fit.steps("noise", steps, optimizer):
        chosen = rng.sample(range(len(scenes)), 64)
        captions = ["" if rng.random() < _UNCONDITIONAL else caption(scenes[n], rng) for n in chosen]
        with torch.no_grad():
            states = text(models.tokens(tokenizer, captions)).last_hidden_state
        clean = means[chosen] + spreads[chosen] * torch.randn_like(spreads[chosen])
        noise = torch.randn_like(clean)
        # One draw from each part of the schedule: less luck in a batch than with 64 free draws.
        times = ((torch.arange(64) + torch.rand(64)) / 64 * len(alphas)).long().clamp(max=len(alphas) - 1)
        said = unet(scheduler.add_noise(clean, noise, times), times, encoder_hidden_states=states).sample
        wanted = scheduler.get_velocity(clean, noise, times)
        loss = ((said - wanted).square().mean((1, 2, 3)) * weights[times]).mean() / weights.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.add(unet)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            fit.say("noise", loss=round(sum(losses[-100:]) / 100, 4))
    return average.model
