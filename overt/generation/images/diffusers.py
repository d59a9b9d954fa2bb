"""`diffusers/REPO_OR_FOLDER`: any local text-to-image pipeline of the package diffusers, batched.

A picture does not depend on the rest of its batch: each prompt has its own generator, on the CPU and seeded
with the prompt's seed, so its noise is the same on every device and in every batch. Only rounding differs
with the batch shape: on a small pipeline not at all in float64, one of 255 levels in float32, three in
bfloat16.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ErrorKind
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.local.batches import Batches, in_batches
from overt.data.local.devices import (
    one_line,
    pick_device,
    pick_dtype,
    source_of,
)
from overt.data.local.memory import Room, free_memory, out_of_memory
from overt.data.targets import NOT_FINITE, Response
from overt.data.text import encodable
from overt.generation.images.numbers import watch_numbers
from overt.generation.images.pipelines import (
    Pipeline,
    drawing_arguments,
    flags_apart,
    load_pipeline,
    pictures,
    png,
    safety_flags,
    switch_on,
    tokenizers,
    unread_tokens,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_OFFLOAD = {"none": "", "model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
# Errors caused by the prompt or the size; all others are the machine's.
_BY_THE_REQUEST = (ValueError, TypeError, LookupError, AssertionError)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The worker's result for one prompt: a `PIL.Image` and its flags, or an error. `is_finite`: no NaN or
    infinity came out of the decoder."""

    picture: Picture | None = None
    flagged: bool | None = None
    is_finite: bool = True
    unread: int = 0
    seconds: float = 0.0
    error: CallError | None = None


class DiffusersTarget:
    """A diffusion pipeline from the Hub or a folder. Weights are safetensors only.

    The pipeline's safety checker, if any, works as in the product: a flagged picture comes back black, with
    `safety={"nsfw_content_detected": True}`; None there means that no checker ran. `safety` has
    "not_finite": True if the decoder gave NaN or infinity: such a picture shows nothing. If not zero, it
    also holds "truncated_tokens" (prompt tokens that no text encoder read) and "replaced_characters" (lone
    surrogates, replaced by "?").

    Args:
        model: a Hub id or a local folder.
        device: "cuda", "cuda:1", "mps", "cpu"; None: the best device.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: maximum pictures in a batch; halved permanently when memory runs out.
        steps, guidance_scale, width, height, negative_prompt: passed to the pipeline, width and height in
            pixels; None: the pipeline's default.
        variant: of the weights' files, for instance "fp16".
        revision: a branch, tag or commit of the Hub.
        offload: "none"; "model": parts wait in main memory until their turn; "sequential": layer by layer,
            slow, for very small devices.
        attention_slicing, vae_tiling: use less memory and more time.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.
        keep_flagged: return a flagged picture without blackening it; the flag is still reported. For
            asking further layers about it.

    Raises:
        InputError: the device, the dtype or an option does not exist, or the pipeline cannot be loaded, has
            weights other than safetensors, or is not a text-to-image pipeline.
        ModuleNotFoundError: torch or diffusers is not installed (the registry reports it).
    """

    modality = "image"

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 4,
        steps: int | None = None,
        guidance_scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        negative_prompt: str | None = None,
        variant: str | None = None,
        revision: str | None = None,
        offload: str = "none",
        attention_slicing: bool = False,
        vae_tiling: bool = False,
        trust_remote_code: bool = False,
        keep_flagged: bool = False,
    ) -> None:
        self.name = f"diffusers/{model}"
        source = source_of(model, self.name, "torch", "diffusers")
        where = pick_device(device, self.name)
        self._check(batch_size, width, height, offload, where)
        options: dict[str, object] = {
            "dtype": pick_dtype(dtype, where, self.name),
            "use_safetensors": True,
            "trust_remote_code": trust_remote_code,
        }
        options |= {k: v for k, v in (("variant", variant), ("revision", revision)) if v is not None}
        pipeline = self._load(source, options)
        drawing = {
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "width": width,
            "height": height,
        }
        self._arguments = drawing_arguments(pipeline, drawing, self.name)
        drawing_arguments(pipeline, {"negative_prompt": negative_prompt}, self.name)
        self._negative_prompt = negative_prompt
        self._tokenizers = tokenizers(pipeline)
        # A checker that gives no flags can only be seen by what it blackens.
        self.blank_is_refusal = getattr(pipeline, "safety_checker", None) is not None
        self._numbers = watch_numbers(pipeline)
        # Before offloading, which wraps the checker once more.
        self._flags = flags_apart(pipeline, self.name) if keep_flagged else None
        if attention_slicing:
            switch_on(pipeline, "enable_attention_slicing", "attention_slicing", self.name)
        if vae_tiling:
            switch_on(getattr(pipeline, "vae", None), "enable_tiling", "vae_tiling", self.name)
        self._move(pipeline, where, offload)
        self._pipeline: Pipeline | None = pipeline
        self._batches: Batches[tuple[str, int], _Drawn] = Batches(
            self._work, room=Room(self.name, batch_size), name="overt-diffusers"
        )
        # Twice the batch size, so that the next batch is ready when one ends.
        self.max_concurrency = 2 * batch_size

    def _check(
        self, batch_size: int, width: int | None, height: int | None, offload: str, where: str
    ) -> None:
        if batch_size < 1:
            raise InputError(f"{self.name}: a batch holds at least one picture, not {batch_size}")
        if offload not in _OFFLOAD:
            raise InputError(f"{self.name}: offload is {offload!r}", fix=f"One of {', '.join(_OFFLOAD)}.")
        if (width is None) != (height is None):  # many pipelines ignore one without the other
            raise InputError(f"{self.name}: width and height go together", fix="Give both, in pixels.")
        if offload != "none" and where == "cpu":
            raise InputError(f"{self.name}: on the CPU there is nothing to offload", fix="Leave offload out.")

    def _load(self, source: str, options: Mapping[str, object]) -> Pipeline:
        import diffusers

        if "DIFFUSERS_VERBOSITY" not in os.environ:
            # It would print the cut part of each long prompt and a line for each flagged picture.
            diffusers.utils.logging.set_verbosity_error()
        pipeline = load_pipeline(source, options, self.name)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _move(self, pipeline: Pipeline, where: str, offload: str) -> None:
        """Moves a pipeline onto its device, whole or part by part.

        Raises:
            InputError: the pipeline does not fit.
        """
        try:
            if offload == "none":
                pipeline.to(where)
            else:
                getattr(pipeline, _OFFLOAD[offload])(device=where)
        except Exception as error:
            full = out_of_memory(error)
            raise InputError(
                f"{self.name} does not go onto {where}: {one_line(error)}",
                fix="Less memory: dtype=bfloat16, offload=model or offload=sequential." if full else "",
            ) from error

    async def respond(self, prompt: str, *, seed: int) -> Response:
        """Returns one picture; concurrent requests share a batch."""
        text = encodable(prompt)
        try:
            drawn = await self._batches((text, seed))
            # In another thread, so that the model can draw meanwhile.
            encoded = None if drawn.picture is None else await asyncio.to_thread(png, drawn.picture)
        except Exception as error:
            return Response(seed=seed, error=_call_error(error))
        safety: dict[str, Json] = {}
        if drawn.error is None:
            safety["nsfw_content_detected"] = drawn.flagged
        if not drawn.is_finite:
            safety[NOT_FINITE] = True
        if drawn.unread:
            safety["truncated_tokens"] = drawn.unread
        if text != prompt:
            safety["replaced_characters"] = sum(a != b for a, b in zip(prompt, text, strict=True))
        return Response(
            images=() if encoded is None else (encoded,),
            safety=safety,
            seed=seed,
            latency_s=drawn.seconds,
            error=drawn.error,
        )

    async def close(self) -> None:
        """Stops the worker after its current batch and frees the memory."""
        await self._batches.close()
        self._pipeline = None
        self._flags = None
        self._tokenizers = []
        await asyncio.to_thread(free_memory)

    # -- the worker's thread ----------------------------------------------------------------------------

    def _work(self, jobs: list[tuple[str, int]]) -> list[_Drawn]:
        """Returns results in order. Running out of memory halves the batch size permanently."""
        return in_batches(
            jobs,
            self._draw,
            self._batches.room,
            failed=lambda error: _Drawn(error=_call_error(error)),
            full=lambda error: _Drawn(error=_too_large(error)),
        )

    def _draw(self, batch: list[tuple[str, int]]) -> list[_Drawn]:
        import torch

        started = time.monotonic()
        prompts = [prompt for prompt, _ in batch]
        # On the CPU, so that a seed means the same noise on every device.
        generators = [torch.Generator("cpu").manual_seed(seed) for _, seed in batch]
        arguments = dict(self._arguments)
        if self._negative_prompt is not None:
            arguments["negative_prompt"] = [self._negative_prompt] * len(batch)
        if self._flags is not None:
            self._flags.clear()
        unread = [unread_tokens(self._tokenizers, prompt) for prompt in prompts]
        assert self._pipeline is not None
        with self._numbers as numbers:
            output = self._pipeline(prompt=prompts, generator=generators, **arguments)
            drawn = pictures(output)
        if len(drawn) != len(batch):
            raise RuntimeError(f"{len(batch)} prompts, but the pipeline drew {len(drawn)} pictures")
        said = self._flags if self._flags else safety_flags(output)
        flags = [bool(flag) for flag in said] if said is not None and len(said) == len(batch) else None
        finite = numbers.finite(len(batch))
        seconds = time.monotonic() - started
        return [
            _Drawn(picture, flags[n] if flags else None, finite[n], unread[n], seconds)
            for n, picture in enumerate(drawn)
        ]


def _too_large(error: Exception) -> CallError:
    advice = "smaller width and height or offload= need less"
    return CallError("server", f"out of memory with one picture; {advice} ({one_line(error)})")


def _call_error(error: Exception) -> CallError:
    kind: ErrorKind = "bad_request" if isinstance(error, _BY_THE_REQUEST) else "server"
    return CallError(kind, f"{type(error).__name__}: {one_line(error)}")
