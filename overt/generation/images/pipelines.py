"""The parts of a diffusers pipeline: its safety checker and its tokenizers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    Levels = torch.Tensor | list[Picture]

_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # a tokenizer's warning, said once


class Pipeline(Protocol):
    """The part of a text-to-image pipeline that is used here."""

    @property
    def components(self) -> Mapping[str, Any]: ...  # models, tokenizers, a scheduler ...

    def __call__(self, **arguments: object) -> object: ...

    def to(self, device: str) -> object: ...

    def set_progress_bar_config(self, *, disable: bool) -> None: ...


def models_of(pipeline: Pipeline) -> dict[str, Any]:
    """The parts of a pipeline that are a `torch.nn.Module`, by name."""
    import torch

    return {n: part for n, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


class Tokenizer(Protocol):
    """The tokenizer of a text encoder."""

    def __call__(self, text: str, *, truncation: bool, verbose: bool) -> Mapping[str, Sequence[int]]: ...


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
        _, *verdicts = decide(clip_input, copies, *others, **more)
        # DeepFloyd IF's checker has a second list, of watermarks, which are no flags.
        flags.extend(bool(flag) for flag in verdicts[0])
        return (images, *([False] * len(said) for said in verdicts))

    checker.forward = forward
    return flags


# -- prompts ----------------------------------------------------------------------------------------------


def tokenizers(pipeline: Pipeline, longest: object = None) -> list[tuple[Tokenizer, int]]:
    """Returns the tokenizers, each with the number of tokens that the pipeline accepts.

    Args:
        longest: the `max_sequence_length` of the call; None: the signature's default.
    """
    parameter = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    longest = getattr(parameter, "default", None) if longest is None else longest
    found = []
    for part, tokenizer in pipeline.components.items():
        encoder = part.replace("tokenizer", "text_encoder")
        if "tokenizer" not in part or tokenizer is None or pipeline.components.get(encoder, True) is None:
            continue
        inner = getattr(tokenizer, "tokenizer", None)  # of a processor, which takes pictures as well
        tokenizer = inner if callable(inner) else tokenizer
        limit = getattr(tokenizer, "model_max_length", None)
        # CLIP has few, learnt positions; the other encoders are cut by the call's argument.
        if isinstance(longest, int) and "CLIP" not in type(tokenizer).__name__:
            limit = longest
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
