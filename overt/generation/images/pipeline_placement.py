"""Where a pipeline's parts lie: on the device, or waiting in main memory until their turn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.local.memory import free_memory, out_of_memory
from overt.generation.images.pipelines import Pipeline, models_of

OFFLOAD = {
    "none": "",
    "model": "enable_model_cpu_offload",
    "sequential": "enable_sequential_cpu_offload",
}
_LESS = {"none": "model", "model": "sequential"}
# Of the device's free memory; the rest is for what is computed while a picture is drawn.
_FOR_WEIGHTS = 0.85


def check_offload(offload: str, where: str, name: str) -> None:
    """Raises an InputError if there is no such way to offload, or nothing to offload from."""
    if offload != "auto" and offload not in OFFLOAD:
        raise InputError(f"{name}: offload is {offload!r}", fix=f"One of auto, {', '.join(OFFLOAD)}.")
    if offload in ("model", "sequential") and where == "cpu":
        raise InputError(f"{name}: on the CPU there is nothing to offload", fix="Leave offload out.")


def spread(where: str) -> tuple[str, dict[str, object]]:
    """Resolves the device "auto": the device, and the options that spread a pipeline's parts over all GPUs as
    it loads. One GPU holds it alone; without any it is drawn on what there is."""
    import torch

    if where != "auto":
        return where, {}
    if torch.cuda.device_count() > 1:
        return "cuda", {"device_map": "balanced"}
    if torch.cuda.is_available():
        return "cuda", {}
    return ("mps" if torch.backends.mps.is_available() else "cpu"), {}


def place(pipeline: Pipeline, where: str, offload: str, name: str) -> str:
    """Moves a pipeline onto its device, whole or part by part; returns the way of offloading.

    "auto" compares the weights with the device's free memory, and takes the next way if the memory does not
    suffice all the same. Offloading changes the time and not the pictures.

    Raises:
        InputError: the pipeline does not fit.
    """
    if getattr(pipeline, "hf_device_map", None):  # its parts were spread as they loaded
        return "none"
    way = fitting(part_sizes(pipeline), _free(where)) if offload == "auto" else offload
    while True:
        try:
            _move(pipeline, where, way)
        except Exception as error:
            full = out_of_memory(error)
            if not (full and offload == "auto" and way in _LESS and where != "cpu"):
                raise InputError(
                    f"{name} does not go onto {where}: {one_line(error)}",
                    fix="Less memory: dtype=bfloat16, offload=model or offload=sequential." if full else "",
                ) from error
            way = _LESS[way]
            pipeline.to("cpu")
            free_memory()
            continue
        if offload == "auto" and way != "none":
            logging.getLogger("overt").warning(
                "%s does not fit %s as a whole: offload=%s. It draws the same, but slower", name, where, way
            )
        return way


def _move(pipeline: Pipeline, where: str, way: str) -> None:
    if way == "none":
        pipeline.to(where)
    else:
        getattr(pipeline, OFFLOAD[way])(device=where)


def part_sizes(pipeline: Pipeline) -> Mapping[str, int]:
    """Returns the bytes of the weights of each part."""

    def size(part: Any) -> int:
        tensors = [*part.parameters(), *part.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    return {name: size(part) for name, part in models_of(pipeline).items()}


def fitting(sizes: Mapping[str, int], free: int | None) -> str:
    """Returns the quickest way of offloading that fits.

    Args:
        sizes: part -> bytes of its weights.
        free: bytes of the device; None: not known, or without a limit of its own.
    """
    if free is None or sum(sizes.values()) <= _FOR_WEIGHTS * free:
        return "none"
    return "model" if max(sizes.values()) <= _FOR_WEIGHTS * free else "sequential"


def _free(where: str) -> int | None:
    import torch

    if not where.startswith("cuda"):
        return None
    return int(torch.cuda.mem_get_info(where)[0])


# -- decoding that needs less memory ------------------------------------------------------------------------


def decode_one_by_one_if_full(pipeline: Pipeline, name: str) -> None:
    """Lets decoders take one picture at a time once a whole batch does not fit. The denoised batch, which
    took most of the time, is kept; the pictures are the same up to rounding."""
    for part in models_of(pipeline).values():
        if callable(getattr(part, "decode", None)) and callable(getattr(part, "enable_slicing", None)):
            _slice_if_full(part, name)


def _slice_if_full(part: Any, name: str) -> None:
    inner = part.decode

    def decode(latents: Any, *others: Any, **more: Any) -> Any:
        try:
            return inner(latents, *others, **more)
        except Exception as error:
            if getattr(part, "use_slicing", False) or len(latents) < 2 or not out_of_memory(error):
                raise
        free_memory()
        part.enable_slicing()
        logging.getLogger("overt").warning(
            "%s: out of memory while a batch was decoded; pictures are decoded one by one from now on", name
        )
        return inner(latents, *others, **more)

    part.decode = decode


# -- the safety checker --------------------------------------------------------------------------------------


def checker_in_float32(pipeline: Pipeline) -> None:
    """Lets a pipeline's safety checker compute in float32, whatever it draws in: the thresholds were
    set there, and half precision moves pictures across them."""
    import torch

    checker = getattr(pipeline, "safety_checker", None)
    if not isinstance(checker, torch.nn.Module):
        return
    checker.float()
    run: Any = getattr(pipeline, "run_safety_checker", None)
    if run is not None:

        def in_float32(image: Any, device: Any, dtype: Any = None, *others: Any, **more: Any) -> Any:
            return run(image, device, torch.float32, *others, **more)

        pipeline.run_safety_checker = in_float32  # type: ignore[attr-defined]
