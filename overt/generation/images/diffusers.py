"""`diffusers/REPO_OR_FOLDER`: any text-to-image pipeline of the package diffusers, batched, on this machine.

A picture does not hang on who else is in the batch: each prompt has a generator of its own, on the CPU and
seeded with the prompt's seed, so that its noise is the same on every device and in every batch. What is left
is the rounding of the model's own arithmetic, which sums in another order in a batch of another shape:
measured on a small pipeline, nothing in float64, one of 255 levels in float32, three in bfloat16.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from overt.data.batches import Batches
from overt.data.chat import CallError, ErrorKind
from overt.data.devices import (
    free_memory,
    loading_advice,
    one_line,
    out_of_memory,
    pick_device,
    pick_dtype,
    quiet_loading,
    source_of,
)
from overt.data.errors import InputError
from overt.data.targets import Response

_OFFLOAD = {"none": "", "model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
# Errors that a prompt (or a size that the model does not draw) brings about; the rest is the machine's.
_BY_THE_REQUEST = (ValueError, TypeError, LookupError, AssertionError)
# Of zlib: half the time of the usual 6 for a tenth more bytes. What is kept is lossless either way.
_PNG_LEVEL = 1
_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # a tokenizer's warning, said once


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What became of one prompt in the worker: a `PIL.Image` and what was said of it, or an error."""

    picture: Any = None
    flagged: bool | None = None
    unread: int = 0
    seconds: float = 0.0
    error: CallError | None = None


class DiffusersTarget:
    """A diffusion pipeline from the Hub or a folder. Weights are safetensors only.

    Its own safety checker, where it has one, does what it would do in the product: a flagged picture comes
    back black, with `safety={"nsfw_content_detected": True}`; None there means that no checker ran. Besides,
    `safety` holds "truncated_tokens" (how many tokens of the prompt no text encoder read) and
    "replaced_characters" (characters that are none, lone surrogates, drawn as "?") where there are any.

    Args:
        model: a Hub id or a local folder.
        device: "cuda", "cuda:1", "mps", "cpu"; None: the best there is.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: most pictures at once; out of memory halves it for good and goes on.
        steps, guidance_scale, width, height, negative_prompt: of the drawing, width and height in pixels;
            None: the pipeline's own.
        variant: of the weights' files, for instance "fp16".
        revision: a branch, tag or commit of the Hub.
        offload: "none"; "model": parts wait in main memory until their turn; "sequential": layer by layer,
            slow, for very small devices.
        attention_slicing, vae_tiling: less memory for some time.
        trust_remote_code: run the code that the repo brings. Only if the user asked for it.
        keep_flagged: hand a flagged picture over as it was before the safety checker blackened it; the flag
            is told all the same. For asking further layers what they would have said.

    Raises:
        InputError: the device, the dtype or an option does not exist, or the pipeline cannot be loaded, has
            weights that are no safetensors, or draws no pictures from text.
        ModuleNotFoundError: torch or diffusers is not installed (the registry puts it into words).
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
        import diffusers

        self.name = f"diffusers/{model}"
        if batch_size < 1:
            raise InputError(f"{self.name}: a batch holds at least one picture, not {batch_size}")
        if offload not in _OFFLOAD:
            raise InputError(f"{self.name}: offload is {offload!r}", fix=f"One of {', '.join(_OFFLOAD)}.")
        if (width is None) != (height is None):  # many pipelines pass over one that stands alone
            raise InputError(f"{self.name}: width and height go together", fix="Give both, in pixels.")
        where = pick_device(device, self.name)
        if offload != "none" and where == "cpu":
            raise InputError(f"{self.name}: on the CPU there is nothing to offload", fix="Leave offload out.")
        options: dict[str, Any] = {
            "dtype": pick_dtype(dtype, where, self.name),
            "use_safetensors": True,
            "trust_remote_code": trust_remote_code,
        }
        options |= {k: v for k, v in (("variant", variant), ("revision", revision)) if v is not None}
        if "DIFFUSERS_VERBOSITY" not in os.environ:
            # It would print what is cut off of each long prompt, and a line for each flagged picture.
            diffusers.utils.logging.set_verbosity_error()
        pipeline = _load(diffusers, source_of(model), options, self.name)
        self._arguments = _arguments(
            pipeline,
            {
                "num_inference_steps": steps,
                "guidance_scale": guidance_scale,
                "width": width,
                "height": height,
            },
            self.name,
        )
        if negative_prompt is not None:
            _arguments(pipeline, {"negative_prompt": negative_prompt}, self.name)
        self._negative_prompt = negative_prompt
        self._tokenizers = _tokenizers(pipeline)
        pipeline.set_progress_bar_config(disable=True)
        # Before offloading, which wraps the checker once more.
        self._flags = _flags_apart(pipeline, self.name) if keep_flagged else None
        if attention_slicing:
            _switch_on(pipeline, "enable_attention_slicing", "attention_slicing", self.name)
        if vae_tiling:
            _switch_on(getattr(pipeline, "vae", None), "enable_tiling", "vae_tiling", self.name)
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
        self._pipeline = pipeline
        self._batches: Batches[tuple[str, int], _Drawn] = Batches(
            self._work, size=batch_size, name="overt-diffusers"
        )
        # Twice: while one batch is drawn the next one is already waiting.
        self.max_concurrency = 2 * batch_size

    async def respond(self, prompt: str, *, seed: int) -> Response:
        """One picture; requests that wait at the same time share a batch."""
        text = prompt.encode("utf-8", "replace").decode("utf-8")
        try:
            drawn = await self._batches((text, seed))
            # In another thread: the model draws on while pictures are written down.
            png = None if drawn.picture is None else await asyncio.to_thread(_png, drawn.picture)
        except Exception as error:
            return Response(seed=seed, error=_call_error(error))
        safety: dict[str, Any] = {}
        if drawn.error is None:
            safety["nsfw_content_detected"] = drawn.flagged
        if drawn.unread:
            safety["truncated_tokens"] = drawn.unread
        if text != prompt:
            safety["replaced_characters"] = sum(a != b for a, b in zip(prompt, text, strict=True))
        return Response(
            images=() if png is None else (png,),
            safety=safety,
            seed=seed,
            latency_s=drawn.seconds,
            error=drawn.error,
        )

    async def close(self) -> None:
        """Ends the worker and gives the memory back; what was begun is finished."""
        await self._batches.close()
        self._pipeline = self._flags = None
        self._tokenizers = []
        await asyncio.to_thread(free_memory)

    # -- the worker's thread ----------------------------------------------------------------------------

    def _work(self, jobs: list[tuple[str, int]]) -> list[_Drawn]:
        """Results in order. Out of memory halves the batch for good."""
        done: list[_Drawn] = []
        while len(done) < len(jobs):
            batch = jobs[len(done) : len(done) + self._batches.size]
            results = self._attempt(batch)
            if results is not None:
                done += results
                continue
            # Not in an except clause: there the error's traceback would still hold the memory.
            free_memory()
            if len(batch) == 1:
                message = "out of memory with one picture; smaller width and height or offload= need less"
                done.append(_Drawn(error=CallError("server", message)))
            else:
                self._batches.size = len(batch) // 2
                logging.getLogger("overt").warning(
                    "%s: out of memory, at most %d at once from now on", self.name, self._batches.size
                )
        return done

    def _attempt(self, batch: list[tuple[str, int]]) -> list[_Drawn] | None:
        """None where the memory did not do; any other error is narrowed down to its prompt."""
        try:
            return self._draw(batch)
        except Exception as error:
            if out_of_memory(error):
                return None
            if len(batch) == 1:
                return [_Drawn(error=_call_error(error))]
        half = len(batch) // 2
        first = self._attempt(batch[:half])
        second = None if first is None else self._attempt(batch[half:])
        return None if first is None or second is None else first + second

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
        unread = [_unread(self._tokenizers, prompt) for prompt in prompts]
        output = self._pipeline(prompt=prompts, generator=generators, **arguments)
        pictures = _pictures(output)
        if len(pictures) != len(batch):
            raise RuntimeError(f"{len(batch)} prompts, but the pipeline drew {len(pictures)} pictures")
        said = self._flags if self._flags else _flags(output)
        flags = [bool(flag) for flag in said] if said is not None and len(said) == len(batch) else None
        seconds = time.monotonic() - started
        return [
            _Drawn(picture, flags[n] if flags else None, unread[n], seconds)
            for n, picture in enumerate(pictures)
        ]


# -- loading ----------------------------------------------------------------------------------------------


def _load(diffusers: Any, source: str, options: dict[str, Any], name: str) -> Any:
    """The pipeline for text to image, whatever task the folder was saved for, where diffusers knows one."""
    with quiet_loading():
        try:
            try:
                return diffusers.AutoPipelineForText2Image.from_pretrained(source, **options)
            except (ValueError, AttributeError, KeyError):  # no such task is known of this pipeline's class
                return diffusers.DiffusionPipeline.from_pretrained(source, **options)
        except Exception as error:
            raise InputError(
                f"{name} cannot be loaded: {one_line(error)}", fix=loading_advice(source, error)
            ) from error


def _arguments(pipeline: Any, wanted: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments that were given, without the Nones.

    Raises:
        InputError: the pipeline draws no seeded pictures from text alone, or does not take one of these.
    """
    kind = type(pipeline).__name__
    parameters = inspect.signature(pipeline.__call__).parameters
    needed = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "prompt"
    ]
    if not {"prompt", "generator"} <= set(parameters) or needed:
        why = f"it needs {', '.join(needed)}" if needed else "it takes no prompt or no generator"
        raise InputError(f"{name}: {kind} is no text-to-image pipeline: {why}")
    given = {key: value for key, value in wanted.items() if value is not None}
    if foreign := [key for key in given if key not in parameters]:
        raise InputError(f"{name}: {kind} takes no {', '.join(foreign)}", fix="Leave it out.")
    return given


def _switch_on(part: Any, method: str, option: str, name: str) -> None:
    try:
        getattr(part, method)()
    except (AttributeError, NotImplementedError) as error:
        raise InputError(f"{name}: this pipeline has no {option}", fix="Leave it out.") from error


def _flags_apart(pipeline: Any, name: str) -> list[bool] | None:
    """Lets the safety checker decide but not blacken. Its flags of a batch collect in the list; None: there
    is no checker.

    The pipeline is told that nothing was flagged: of flagged pictures it takes the values as they are, since
    black needs no scaling.
    """
    import torch

    checker = getattr(pipeline, "safety_checker", None)
    if checker is None:
        return None
    if not isinstance(checker, torch.nn.Module):
        raise InputError(f"{name}: keep_flagged does not work with a {type(checker).__name__}")
    flags: list[bool] = []
    decide = checker.forward

    def forward(clip_input: Any, images: Any, *others: Any, **more: Any) -> tuple[Any, ...]:
        copies = images.clone() if torch.is_tensor(images) else [image.copy() for image in images]
        _, flagged, *rest = decide(clip_input, copies, *others, **more)
        flags.extend(bool(flag) for flag in flagged)
        return (images, [False] * len(flagged), *rest)

    checker.forward = forward
    return flags


# -- prompts ----------------------------------------------------------------------------------------------


def _tokenizers(pipeline: Any) -> list[tuple[Any, int]]:
    """The tokenizers and how many tokens of each the pipeline lets through."""
    longest = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    found = []
    for part, tokenizer in pipeline.components.items():
        if "tokenizer" not in part or tokenizer is None:
            continue
        limit = getattr(tokenizer, "model_max_length", None)
        # CLIP's positions are learnt and few; the other encoders are cut by the call's own argument.
        if (
            longest is not None
            and isinstance(longest.default, int)
            and "CLIP" not in type(tokenizer).__name__
        ):
            limit = longest.default
        # The pipeline tokenizes in full, too, to see what is cut; `truncated_tokens` says it already.
        getattr(tokenizer, "deprecation_warnings", {})[_TOO_LONG] = True
        if isinstance(limit, int) and limit < 1 << 20:
            found.append((tokenizer, limit))
    return found


def _unread(tokenizers: list[tuple[Any, int]], prompt: str) -> int:
    """How many tokens of a prompt are cut off at the encoder that reads furthest."""
    cut = []
    for tokenizer, limit in tokenizers:
        try:
            tokens = tokenizer(prompt, truncation=False, verbose=False)["input_ids"]
        except Exception:  # of this tokenizer nothing is known; the pipeline speaks to it in its own way
            return 0
        cut.append(max(0, len(tokens) - limit))
    return min(cut, default=0)


# -- pictures ---------------------------------------------------------------------------------------------


def _pictures(output: Any) -> list[Any]:
    """The pictures of a pipeline's output as `PIL.Image`, whatever form it has.

    Raises:
        RuntimeError: there are none in it.
    """
    import numpy as np
    from PIL import Image

    images = getattr(output, "images", None)
    if images is None and isinstance(output, (list, tuple)):
        images = output[0] if output and isinstance(output[0], (list, np.ndarray)) else output
    if images is None:
        raise RuntimeError(f"the pipeline gave {type(output).__name__}, which holds no pictures")
    pictures = []
    for image in images:
        if isinstance(image, np.ndarray) and image.ndim == 3:
            levels = image if image.dtype == np.uint8 else (image.clip(0, 1) * 255).round().astype("uint8")
            image = Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels)
        if not isinstance(image, Image.Image):
            raise RuntimeError(f"the pipeline gave {type(image).__name__} instead of a picture")
        pictures.append(image)
    return pictures


def _flags(output: Any) -> Any:
    """What the pipeline says of its safety checker, None where none ran."""
    for field in ("nsfw_content_detected", "nsfw_detected"):
        if (said := getattr(output, field, None)) is not None:
            return said
    return None


def _png(picture: Any) -> bytes:
    """Lossless, RGB, and nothing in it but the pixels."""
    plain = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _call_error(error: Exception) -> CallError:
    kind: ErrorKind = "bad_request" if isinstance(error, _BY_THE_REQUEST) else "server"
    return CallError(kind, f"{type(error).__name__}: {one_line(error)}")
