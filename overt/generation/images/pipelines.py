"""The parts, arguments, flags and pictures of diffusers pipelines."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError
from overt.data.local.devices import quiet_loading
from overt.data.local.pretrained import speaking_loader
from overt.generation.images.moved import supply_moved_parts

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    Levels = torch.Tensor | list[Picture]

# zlib level: half the time of the default 6 for a tenth more bytes, lossless either way.
_PNG_LEVEL = 1
_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # a tokenizer's warning, said once


class Pipeline(Protocol):
    """The part of a text-to-image pipeline that is used here."""

    @property
    def components(self) -> Mapping[str, Any]: ...  # models, tokenizers, a scheduler ...

    def __call__(self, **arguments: object) -> object: ...

    def to(self, device: str) -> object: ...

    def set_progress_bar_config(self, *, disable: bool) -> None: ...


class _Loader(Protocol):
    def from_pretrained(self, source: str, /, **options: object) -> Pipeline: ...


class Tokenizer(Protocol):
    """The tokenizer of a text encoder."""

    def __call__(self, text: str, *, truncation: bool, verbose: bool) -> Mapping[str, Sequence[int]]: ...


def load_pipeline(source: str, options: Mapping[str, object], name: str) -> Pipeline:
    """Loads a pipeline for text to image, whatever task it was saved for, if diffusers knows one.

    Raises:
        InputError: the pipeline cannot be loaded.
    """
    import diffusers

    by_task: _Loader = diffusers.AutoPipelineForText2Image
    as_saved: _Loader = diffusers.DiffusionPipeline

    def load() -> Pipeline:
        try:
            return by_task.from_pretrained(source, **options)
        except (ValueError, AttributeError, KeyError):  # diffusers knows no such task for this class
            return as_saved.from_pretrained(source, **options)

    with quiet_loading(), speaking_loader(name, source):
        try:
            return load()
        except Exception as error:
            if not supply_moved_parts(str(error)):
                raise
        return load()


def drawing_arguments(pipeline: Pipeline, wanted: Mapping[str, object], name: str) -> dict[str, object]:
    """Returns the arguments that are not None.

    Raises:
        InputError: the pipeline cannot draw seeded pictures from text alone, or rejects an argument.
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


def switch_on(part: object, method: str, option: str, name: str) -> None:
    """Calls a method of a pipeline or a part of it.

    Raises:
        InputError: there is no such method.
    """
    try:
        getattr(part, method)()
    except (AttributeError, NotImplementedError) as error:
        raise InputError(f"{name}: this pipeline has no {option}", fix="Leave it out.") from error


def flags_apart(pipeline: Pipeline, name: str) -> list[bool] | None:
    """Lets the safety checker decide but not blacken. Its flags collect in the returned list. Returns None if
    there is no checker.

    The pipeline is told that nothing was flagged, since it does not scale the values of flagged pictures.
    """
    import torch

    checker = getattr(pipeline, "safety_checker", None)
    if checker is None:
        return None
    if not isinstance(checker, torch.nn.Module):
        raise InputError(f"{name}: keep_flagged does not work with a {type(checker).__name__}")
    flags: list[bool] = []
    decide = checker.forward

    def forward(clip_input: object, images: Levels, *others: object, **more: object) -> tuple[object, ...]:
        copies = images.clone() if torch.is_tensor(images) else [image.copy() for image in images]
        _, flagged, *rest = decide(clip_input, copies, *others, **more)
        flags.extend(bool(flag) for flag in flagged)
        return (images, [False] * len(flagged), *rest)

    checker.forward = forward
    return flags


# -- prompts ----------------------------------------------------------------------------------------------


def tokenizers(pipeline: Pipeline) -> list[tuple[Tokenizer, int]]:
    """Returns the tokenizers, each with the number of tokens that the pipeline accepts."""
    longest = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    found = []
    for part, tokenizer in pipeline.components.items():
        if "tokenizer" not in part or tokenizer is None:
            continue
        limit = getattr(tokenizer, "model_max_length", None)
        # CLIP has few, learnt positions; the other encoders are cut by the call's argument.
        if (
            longest is not None
            and isinstance(longest.default, int)
            and "CLIP" not in type(tokenizer).__name__
        ):
            limit = longest.default
        # Silences the pipeline's own warning, since `truncated_tokens` reports the same.
        getattr(tokenizer, "deprecation_warnings", {})[_TOO_LONG] = True
        if isinstance(limit, int) and limit < 1 << 20:
            found.append((tokenizer, limit))
    return found


def unread_tokens(tokenizers: Sequence[tuple[Tokenizer, int]], prompt: str) -> int:
    """Returns how many tokens of a prompt even the longest encoder cuts off."""
    cut = []
    for tokenizer, limit in tokenizers:
        try:
            tokens = tokenizer(prompt, truncation=False, verbose=False)["input_ids"]
        except Exception:  # an unknown tokenizer, which the pipeline calls in another way
            return 0
        cut.append(max(0, len(tokens) - limit))
    return min(cut, default=0)


# -- pictures ---------------------------------------------------------------------------------------------


def pictures(output: object) -> list[Picture]:
    """Returns the pictures of a pipeline's output, in any form, as `PIL.Image`.

    Raises:
        RuntimeError: the output holds no pictures.
    """
    import numpy as np
    from PIL import Image

    images = getattr(output, "images", None)
    if images is None and isinstance(output, (list, tuple)):
        images = output[0] if output and isinstance(output[0], (list, np.ndarray)) else output
    if images is None:
        raise RuntimeError(f"the pipeline gave {type(output).__name__}, which holds no pictures")
    found: list[Picture] = []
    for image in images:
        if isinstance(image, np.ndarray) and image.ndim == 3:
            levels = image if image.dtype == np.uint8 else (image.clip(0, 1) * 255).round().astype("uint8")
            image = Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels)
        if not isinstance(image, Image.Image):
            raise RuntimeError(f"the pipeline gave {type(image).__name__} instead of a picture")
        found.append(image)
    return found


def safety_flags(output: object) -> Sequence[object] | None:
    """Returns the safety checker's flags, or None if no checker ran."""
    for field in ("nsfw_content_detected", "nsfw_detected"):
        said: Sequence[object] | None = getattr(output, field, None)
        if said is not None:
            return said
    return None


def png(picture: Picture) -> bytes:
    """Encodes a picture as RGB PNG without metadata."""
    plain = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()
