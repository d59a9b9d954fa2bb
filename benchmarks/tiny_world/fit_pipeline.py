"""Trains the parts of the text-to-image pipeline: captions, pictures, the way from the one to the other."""

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
_BATCH = 32  # of the denoiser
_LATENT_NOISE = 0.05  # that the decoder bears with, of latents with a spread of about 1


def train_text(tokenizer: Any, parts: Path, *, seed: int, steps: int) -> None:
    """Trains the text encoder and leaves it in `parts`."""
    _keep(_text(tokenizer, seed, steps), parts / "text.safetensors")


def train_pictures(parts: Path, *, seed: int, steps: int, pool: int) -> None:
    """Trains the autoencoder and leaves it in `parts`."""
    _keep(_pictures(seed, steps, pool), parts / "pictures.safetensors")


def train_noise(
    tokenizer: Any, parts: Path, folder: Path, *, seed: int, steps: int, alone: int, pool: int
) -> None:
    """Trains the denoiser between the two others of `parts`, and saves the pipeline of the three.

    alone: steps on one thread; the rest are on two.
    """
    text = _kept(models.text_encoder(tokenizer), parts / "text.safetensors")
    vae = _kept(models.autoencoder(), parts / "pictures.safetensors")
    rng = Random(f"noise/{seed}")
    scenes = [sample(rng, combinations("seen")) for _ in range(pool)]
    latents = _encoded(vae, fit.pictures(scenes, rng))
    scale = round(1 / latents.std().item(), 5)
    vae.register_to_config(scaling_factor=scale)
    fit.say("latents", mean=round(latents.mean().item(), 3), scale=scale)
    scheduler = models.scheduler()
    unet = _noise(tokenizer, text, scheduler, scenes, latents * scale, rng, seed, steps, alone)
    models.save_pipeline(
        {"vae": vae, "text_encoder": text, "tokenizer": tokenizer, "unet": unet, "scheduler": scheduler},
        folder,
    )


def _keep(model: Any, file: Path) -> None:
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, file)


def _kept(model: Any, file: Path) -> Any:
    from safetensors.torch import load_file

    model.load_state_dict(load_file(file))
    return model.eval().requires_grad_(False)


def _text(tokenizer: Any, seed: int, steps: int) -> Any:
    """Teaches the text encoder what a caption says, before any picture: a linear map has to read form,
    colour, ground and layout off its last token. Minutes of diffusion would teach it the same, dearly."""
    torch.manual_seed(seed)  # before the model is built: its first weights are drawn too
    rng = Random(f"text/{seed}")
    encoder = models.text_encoder(tokenizer)
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
    return encoder


def _pictures(seed: int, steps: int, pool: int) -> Any:
    """Small batches: a picture has a thousand pixels to learn from, so that many steps matter more."""
    torch.manual_seed(seed)
    rng = Random(f"pictures/{seed}")
    vae = models.autoencoder()
    seen = combinations("seen")
    shown = fit.pictures([sample(rng, seen) for _ in range(pool)], rng)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    average = fit.Average(vae, 0.995)
    for step in fit.steps("pictures", steps, optimizer, every=500):
        pixels = fit.levels(shown[rng.sample(range(pool), 8)])
        latents = vae.encode(pixels).latents
        made = vae.decode(latents + _LATENT_NOISE * torch.randn_like(latents)).sample
        error = made - pixels
        # What is not ground counts three times: the things are small, their forms smaller still.
        ground = pixels.flatten(2).median(2).values[..., None, None]
        weight = 1 + 2 * ((pixels - ground).abs().amax(1, keepdim=True) > 0.15).float()
        loss = (weight * (error.abs() + 10 * error.square())).mean() + 1e-3 * latents.square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.add(vae)
        if (step + 1) % 500 == 0:
            fit.say("pictures", levels_off=round(error.abs().mean().item() * 127.5, 2))
    return average.model


@torch.no_grad()
def _encoded(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    return torch.cat([vae.encode(fit.levels(some)).latents for some in pixels.split(128)])


def _noise(
    tokenizer: Any,
    text: Any,
    scheduler: Any,
    scenes: list[Scene],
    latents: torch.Tensor,
    rng: Random,
    seed: int,
    steps: int,
    alone: int,
) -> Any:
    """The denoiser: v-prediction, weighted by min-SNR, averaged."""
    torch.manual_seed(seed)
    unet = models.denoiser()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2.2e-3, betas=(0.9, 0.99), weight_decay=0.01)
    average = fit.Average(unet, 0.998)
    alphas = scheduler.alphas_cumprod
    snr = alphas / (1 - alphas)
    weights = snr.clamp(max=_MIN_SNR) / (snr + 1)
    # So that the last steps, which decide on ground and layout, count as well: their min-SNR weight is 0.
    weights = weights.clamp(min=0.1)
    losses = []
    for step in fit.steps("noise", steps, optimizer, every=250):
        if step == alone:
            torch.set_num_threads(2)
        chosen = rng.sample(range(len(scenes)), _BATCH)
        captions = ["" if rng.random() < _UNCONDITIONAL else caption(scenes[n], rng) for n in chosen]
        with torch.no_grad():
            states = text(models.tokens(tokenizer, captions)).last_hidden_state
        clean = latents[chosen]
        noise = torch.randn_like(clean)
        # One draw from each part of the schedule: less luck in a batch than with free draws.
        times = (
            ((torch.arange(_BATCH) + torch.rand(_BATCH)) / _BATCH * len(alphas))
            .long()
            .clamp(max=len(alphas) - 1)
        )
        said = unet(scheduler.add_noise(clean, noise, times), times, encoder_hidden_states=states).sample
        wanted = scheduler.get_velocity(clean, noise, times)
        loss = ((said - wanted).square().mean((1, 2, 3)) * weights[times]).mean() / weights.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.add(unet)
        losses.append(loss.item())
        if (step + 1) % 250 == 0:
            fit.say("noise", loss=round(sum(losses[-250:]) / 250, 4))
    return average.model
