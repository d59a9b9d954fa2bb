"""A model with a tower for texts and one for pictures, ready to encode, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    Prepare = Callable[[Picture], torch.Tensor]

PRECISIONS = ("fp32", "fp16", "bf16")


class Rows(Protocol):
    """Makes rows of token ids of a text, one per window of `context` tokens."""

    context: int

    def rows(self, text: str) -> list[list[int]]: ...


@dataclass(frozen=True)
class Loaded:
    """A model ready to encode.

    model: has `encode_text` for a batch of rows and `encode_image` for a batch of pictures.
    prepare: turns an RGB `PIL.Image` into a tensor of one shape for all pictures.
    normalize: turns a batch of these, on the device, into the model's input.
    dtype: of that input.
    notes: what the user should know, for the start of a run.
    """

    model: Any
    prepare: Prepare
    normalize: Callable[[torch.Tensor], torch.Tensor]
    tokens: Rows
    device: str
    dtype: torch.dtype
    notes: tuple[str, ...] = ()


def pick_precision(asked: str | None, device: str, name: str) -> tuple[str, torch.dtype]:
    """A precision with its dtype: the given one, else fp16 on cuda and fp32 elsewhere.

    Raises:
        InputError: there is no such precision.
    """
    import torch

    kind = asked or ("fp16" if device.startswith("cuda") else "fp32")
    if kind not in PRECISIONS:
        raise InputError(
            f"{name}: {kind!r} is no precision that it knows", fix=f"One of: {', '.join(PRECISIONS)}."
        )
    return kind, {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind]
