"""`diffusers/REPO_OR_FOLDER`: any local text-to-image pipeline of the package diffusers, batched.

A picture does not depend on the rest of its batch: each prompt has its own generator, on the CPU and seeded
with the prompt's seed, so its noise is the same on every device and in every batch. Only rounding differs
with the batch shape: on a small pipeline not at all in float64, one of 255 levels in float32, three in
bfloat16.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.local.batches import Batches, in_batches
from overt.data.local.devices import one_line, pick_device, pick_dtype, source_of
from overt.data.local.memory import Room, free_memory
from overt.data.targets import DECODED_AGAIN, NOT_FINITE, WATERMARKED, Response
from overt.data.text import encodable
from overt.generation.images.pipeline_arguments import OWN, check_values, drawing_arguments
from overt.generation.images.pipeline_drawing import Drawing, Drawn, Job, call_error, guardrail
from overt.generation.images.pipeline_loading import SINGLE_FILES, Recipe, Task, check_recipe, load_pipeline
from overt.generation.images.pipeline_notes import facts_of, headline
from overt.generation.images.pipeline_outputs import png
from overt.generation.images.pipeline_placement import check_offload, place, spread
from overt.generation.images.pipeline_probe import try_out
from overt.generation.images.pipeline_speed import tune


class DiffusersTarget:
    """A diffusion pipeline from the Hub or a folder. Weights are safetensors only.

    The pipeline's safety checker, if any, works as in the product: a flagged picture comes back black, with
    `safety={"nsfw_content_detected": True}`; None there means that no checker ran. `safety` has
    "not_finite": True if the decoder gave NaN or infinity: such a picture shows nothing. If not zero, it
    also holds "truncated_tokens" (prompt tokens that no text encoder read) and "replaced_characters" (lone
    surrogates, replaced by "?").

    Args:
        model: a Hub id, a local folder, or a single file with all weights (*.safetensors).
        device: "cuda", "cuda:1", "mps", "cpu"; "auto": spread over all GPUs; None: the best device.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: maximum pictures in a batch; halved permanently when memory runs out.
        steps, guidance_scale, width, height, negative_prompt: passed to the pipeline, width and height in
            pixels; None: the pipeline's default.
        variant: of the weights' files, for instance "fp16".
        revision: a branch, tag or commit of the Hub.
        offload: "none"; "model": parts wait in main memory until their turn; "sequential": layer by layer,
            slow, for very small devices; "auto": the first of these that fits the device.
        attention_slicing, vae_slicing, vae_tiling: use less memory and more time.
        channels_last, compile, tf32: may take less time. The notes say what each changes in the pictures.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.
        keep_flagged: return a flagged picture without blackening it; the flag is still reported. For
            asking further layers about it.
        call: further arguments of the pipeline's call, `?call.true_cfg_scale=4` in a name; texts are read
            as its signature says.
        probe: draw one picture in few steps now, which shows what would go wrong with all of them, and which
            options do nothing.
        config: of a single file: a folder with the pipeline's configuration, without weights.
        transformer: a file (*.gguf, *.safetensors) with the weights of the model that draws.
        lora: a file or folder with a LoRA. lora_scale: its weight, 1 if None.

    Attributes:
        notes: lines on how it draws, for the reader of a run.
        facts: the same as data, for the run's record.

    Raises:
        InputError: the device, the dtype or an option does not exist, or the pipeline cannot be loaded, has
            weights other than safetensors, or is not a text-to-image pipeline.
        ModuleNotFoundError: torch or diffusers is not installed (the registry reports it).
    """

    modality = "image"
    provider: ClassVar[str] = "diffusers"
    task: ClassVar[Task] = "draw"

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
        offload: str = "auto",
        attention_slicing: bool = False,
        vae_slicing: bool = False,
        vae_tiling: bool = False,
        channels_last: bool = False,
        compile: bool = False,
        tf32: bool = False,
        trust_remote_code: bool = False,
        keep_flagged: bool = False,
        call: Mapping[str, object] | None = None,
        probe: bool = True,
        config: str | None = None,
        transformer: str | None = None,
        lora: str | None = None,
        lora_scale: float | None = None,
    ) -> None:
        self.name = f"{self.provider}/{model}"
        source = source_of(model, self.name, "torch", "diffusers", files=SINGLE_FILES)
        where, spreading = spread(pick_device(device, self.name))
        smaller = {
            "attention_slicing": attention_slicing,
            "vae_slicing": vae_slicing,
            "vae_tiling": vae_tiling,
        }
        quicker = {"channels_last": channels_last, "compile": compile, "tf32": tf32}
        own: dict[str, object] = {
            "steps": steps,
            "guidance_scale": guidance_scale,
            "width": width,
            "height": height,
            "negative_prompt": negative_prompt,
        }
        self._check(batch_size, own, call)
        check_offload(offload, where, self.name)
        options: dict[str, object] = {"variant": variant, "revision": revision, **spreading}
        options |= {"dtype": pick_dtype(dtype, where, self.name), "trust_remote_code": trust_remote_code}
        recipe = Recipe(source, options, config, transformer, lora, lora_scale)
        check_recipe(recipe, self.name)
        pipeline = load_pipeline(recipe, self.name, self.task)
        arguments = drawing_arguments(pipeline, own, call or {}, self.name)
        self.drawing = Drawing(pipeline, arguments, keep_flagged=keep_flagged, name=self.name)
        changes = tune(pipeline, smaller | quicker, self.name)
        offloaded = place(pipeline, where, offload, self.name)
        self._begin(batch_size, probe, offloaded, changes)

    def _begin(self, batch_size: int, probe: bool, offloaded: str, changes: list[str]) -> None:
        self.blank_is_refusal = self.drawing.has_checker
        tried = try_out(self.drawing, self.name, in_batch=batch_size > 1) if probe else None
        facts = facts_of(self.drawing, tried)
        self.facts: JsonObject = {**facts.to_json(), "offload": offloaded}
        self.notes = (headline(facts), *facts.notes, *changes)
        self._has_told = False
        self.batch_size = batch_size
        self._batches: Batches[Job, Drawn] = Batches(
            self._work, room=Room(self.name, batch_size), name="overt-diffusers", is_steady=True
        )
        # Twice the batch size, so that the next batch is ready when one ends.
        self.max_concurrency = 2 * batch_size

    def _check(self, batch_size: int, own: Mapping[str, object], call: Mapping[str, object] | None) -> None:
        if batch_size < 1:
            raise InputError(f"{self.name}: a batch holds at least one picture, not {batch_size}")
        if call is not None and not (isinstance(call, Mapping) and all(isinstance(key, str) for key in call)):
            raise InputError(
                f"{self.name}: call holds arguments of the pipeline", fix="For instance: ?call.eta=0.5"
            )
        check_values({OWN[key]: value for key, value in own.items()} | dict(call or {}), self.name)

    async def respond(self, prompt: str, *, seed: int) -> Response:
        """Returns one picture; concurrent requests share a batch."""
        return await self._respond(prompt, seed, self._batches)

    async def _respond(self, prompt: str, seed: int, draw: Callable[[Job], Awaitable[Drawn]]) -> Response:
        text = encodable(prompt)
        try:
            drawn = await draw((text, seed))
            # In another thread, so that the model can draw meanwhile.
            encoded = None if drawn.picture is None else await asyncio.to_thread(png, drawn.picture)
        except Exception as error:
            return Response(seed=seed, error=call_error(error))
        guard = guardrail(drawn.error)
        safety: dict[str, Json] = {}
        if drawn.error is None:
            safety["nsfw_content_detected"] = drawn.flagged
        if not drawn.numbers.is_finite:
            safety[NOT_FINITE] = True
        if drawn.is_watermarked:
            safety[WATERMARKED] = True
        if drawn.numbers.was_decoded_again:
            safety[DECODED_AGAIN] = True
        if drawn.unread:
            safety["truncated_tokens"] = drawn.unread
        if text != prompt:
            safety["replaced_characters"] = sum(a != b for a, b in zip(prompt, text, strict=True))
        return Response(
            images=() if encoded is None else (encoded,),
            safety=safety,
            seed=seed,
            latency_s=drawn.batch_s,
            batch_s=drawn.batch_s,
            batch_size=drawn.batch_size,
            error=drawn.error if guard is None else None,
            layers=() if guard is None else (guard,),
        )

    async def close(self) -> None:
        """Stops the worker after its current batch and frees the memory."""
        await self._batches.close()
        self.drawing.close()
        await asyncio.to_thread(free_memory)

    # -- the worker's thread ----------------------------------------------------------------------------

    def _work(self, jobs: list[Job]) -> list[Drawn]:
        """Returns results in order. Running out of memory halves the batch size permanently."""
        drawn = in_batches(
            jobs,
            self.drawing.draw,
            self._batches.room,
            failed=lambda error: Drawn(error=call_error(error)),
            full=lambda error: Drawn(error=_too_large(error)),
        )
        if not self._has_told and any(one.numbers.was_decoded_again for one in drawn):
            self._has_told = True
            logging.getLogger("overt").warning(
                "%s: half precision overflows in its decoder; such pictures are decoded again in float32, "
                "which their record says",
                self.name,
            )
        return drawn


def _too_large(error: Exception) -> CallError:
    advice = "smaller width and height or offload= need less"
    return CallError("server", f"out of memory with one picture; {advice} ({one_line(error)})")
