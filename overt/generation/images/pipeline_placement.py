"""Where a pipeline's parts lie, and what they trade for memory: its device, offloading, slicing, tiling."""

from __future__ import annotations

from dataclasses import dataclass

from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.local.memory import out_of_memory
from overt.generation.images.pipelines import Pipeline

_OFFLOAD = {"none": "", "model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}


@dataclass(frozen=True, slots=True)
class Placement:
    """The user's wishes.

    device: a torch device's name.
    offload: "none"; "model": parts wait in main memory until their turn; "sequential": layer by layer.
    attention_slicing, vae_tiling: use less memory and more time.
    """

    device: str
    offload: str = "none"
    attention_slicing: bool = False
    vae_tiling: bool = False


def check_placement(wanted: Placement, name: str) -> None:
    """Checks what can be known before anything is loaded.

    Raises:
        InputError: an unknown kind of offloading, or there is no device to offload from.
    """
    if wanted.offload not in _OFFLOAD:
        raise InputError(f"{name}: offload is {wanted.offload!r}", fix=f"One of {', '.join(_OFFLOAD)}.")
    if wanted.offload != "none" and wanted.device == "cpu":
        raise InputError(f"{name}: on the CPU there is nothing to offload", fix="Leave offload out.")


def place(pipeline: Pipeline, wanted: Placement, name: str) -> None:
    """Moves a pipeline onto its device, whole or part by part.

    Raises:
        InputError: the pipeline does not fit, or has no such option.
    """
    if wanted.attention_slicing:
        _switch_on(pipeline, "enable_attention_slicing", "attention_slicing", name)
    if wanted.vae_tiling:
        _switch_on(getattr(pipeline, "vae", None), "enable_tiling", "vae_tiling", name)
    try:
        if wanted.offload == "none":
            pipeline.to(wanted.device)
        else:
            getattr(pipeline, _OFFLOAD[wanted.offload])(device=wanted.device)
    except Exception as error:
        full = out_of_memory(error)
        raise InputError(
            f"{name} does not go onto {wanted.device}: {one_line(error)}",
            fix="Less memory: dtype=bfloat16, offload=model or offload=sequential." if full else "",
        ) from error


def _switch_on(part: object, method: str, option: str, name: str) -> None:
    try:
        getattr(part, method)()
    except (AttributeError, NotImplementedError) as error:
        raise InputError(f"{name}: this pipeline has no {option}", fix="Leave it out.") from error
