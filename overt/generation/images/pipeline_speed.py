"""Options that make a pipeline quicker or smaller, and what each changes in the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from overt.data.errors import InputError
from overt.generation.images.pipelines import Pipeline, models_of

_DENOISERS = ("unet", "transformer", "transformer_2", "prior", "prior_prior", "decoder")


@dataclass(frozen=True, slots=True)
class Tuning:
    """One such option.

    switch_on: changes the pipeline; returns whether there was something to change.
    changes: what it changes in the pictures, for the note at the start and the docs.
    """

    switch_on: Callable[[Pipeline], bool]
    changes: str


def _attention_slicing(pipeline: Any) -> bool:
    return _called(pipeline, "enable_attention_slicing")


def _vae_slicing(pipeline: Any) -> bool:
    return _called(getattr(pipeline, "vae", None), "enable_slicing")


def _vae_tiling(pipeline: Any) -> bool:
    return _called(getattr(pipeline, "vae", None), "enable_tiling")


def _called(part: object, method: str) -> bool:
    try:
        getattr(part, method)()
    except (AttributeError, NotImplementedError):
        return False
    return True


def _channels_last(pipeline: Any) -> bool:
    import torch

    with_convolutions = [
        part
        for part in models_of(pipeline).values()
        if any(isinstance(m, torch.nn.Conv2d) for m in part.modules())
    ]
    for part in with_convolutions:
        part.to(memory_format=torch.channels_last)
    return bool(with_convolutions)


def _compile(pipeline: Any) -> bool:
    """Compiles the denoiser: block by block where it says which blocks repeat, else as a whole."""
    parts: list[Any] = [getattr(pipeline, name, None) for name in _DENOISERS]
    denoisers: list[Any] = [part for part in parts if hasattr(part, "compile")]
    for part in denoisers:
        if getattr(part, "_repeated_blocks", None) and hasattr(part, "compile_repeated_blocks"):
            part.compile_repeated_blocks()
        else:
            part.compile()
    return bool(denoisers)


def _tf32(pipeline: Any) -> bool:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    return any(part.dtype == torch.float32 for part in models_of(pipeline).values() if hasattr(part, "dtype"))


TUNINGS: dict[str, Tuning] = {
    "attention_slicing": Tuning(_attention_slicing, "rounding only"),
    "vae_slicing": Tuning(_vae_slicing, "rounding only"),
    "vae_tiling": Tuning(_vae_tiling, "pictures larger than a tile: they are decoded in tiles and blended"),
    "channels_last": Tuning(_channels_last, "rounding only"),
    "compile": Tuning(_compile, "rounding, and a few levels of 255 in half precision"),
    "tf32": Tuning(_tf32, "float32 products keep 10 bits of the mantissa: several levels of 255"),
}


def tune(pipeline: Pipeline, wanted: Mapping[str, bool], name: str) -> list[str]:
    """Switches options on; returns a note for each, which says what it changes in the pictures.

    Raises:
        InputError: the pipeline has nothing that an option could change.
    """
    notes = []
    for option, is_wanted in wanted.items():
        if not is_wanted:
            continue
        tuning = TUNINGS[option]
        if not tuning.switch_on(pipeline):
            raise InputError(f"{name}: this pipeline has no {option}", fix="Leave it out.")
        notes.append(f"{option} changes {tuning.changes}")
    return notes
