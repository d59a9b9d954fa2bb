"""What stands in a pipeline of diffusers, and what comes out of it: parts, arguments, flags and pictures."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError
from overt.data.local.devices import quiet_loading
from overt.data.local.pretrained import speaking_loader

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    Levels = torch.Tensor | list[Picture]

# Of zlib: half the time of the usual 6 for a tenth more bytes. What is kept is lossless either way.
_PNG_LEVEL = 1
_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # a tokenizer's warning, said once


class Pipeline(Protocol):
    """A text-to-image pipeline of any class, as far as it is used here."""

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
    """The pipeline for text to image, whatever task the folder was saved for, where diffusers knows one.

    Raises:
        InputError: it cannot be loaded; with what to do about it.
    """
    import diffusers

    by_task: _Loader = diffusers.AutoPipelineForText2Image
    as_saved: _Loader = diffusers.DiffusionPipeline
    with quiet_loading(), speaking_loader(name, source):
        try:
            return by_task.from_pretrained(source, **options)
        except (ValueError, AttributeError, KeyError):  # no such task is known of this pipeline's class
            return as_saved.from_pretrained(source, **options)


def drawing_arguments(pipeline: Pipeline, wanted: Mapping[str, object], name: str) -> dict[str, object]:
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


def switch_on(part: object, method: str, option: str, name: str) -> None:
    """Calls a method of a pipeline or a part of it.

    Raises:
        InputError: it has no such method.
    """
    try:
        getattr(part, method)()
    except (AttributeError, NotImplementedError) as error:
        raise InputError(f"{name}: this pipeline has no {option}", fix="Leave it out.") from error


def flags_apart(pipeline: Pipeline, name: str) -> list[bool] | None:
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

    def forward(clip_input: object, images: Levels, *others: object, **more: object) -> tuple[object, ...]:
        copies = images.clone() if torch.is_tensor(images) else [image.copy() for image in images]
        _, flagged, *rest = decide(clip_input, copies, *others, **more)
        flags.extend(bool(flag) for flag in flagged)
        return (images, [False] * len(flagged), *rest)

    checker.forward = forward
    return flags


# -- prompts ----------------------------------------------------------------------------------------------


def tokenizers(pipeline: Pipeline) -> list[tuple[Tokenizer, int]]:
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


def unread_tokens(tokenizers: Sequence[tuple[Tokenizer, int]], prompt: str) -> int:
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


def pictures(output: object) -> list[Picture]:
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
    """What the pipeline says of its safety checker, None where none ran."""
    for field in ("nsfw_content_detected", "nsfw_detected"):
        said: Sequence[object] | None = getattr(output, field, None)
        if said is not None:
            return said
    return None


def png(picture: Picture) -> bytes:
    """Lossless, RGB, and nothing in it but the pixels."""
    plain = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()
