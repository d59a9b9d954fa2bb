"""Devices, number formats and memory for local models. Heavy packages are imported inside the functions."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.text import encodable

if TYPE_CHECKING:
    import torch


def pick_device(asked: str | None, name: str) -> str:
    """The name of a torch device: the given one, or the best available (cuda, mps, cpu). "auto" stays: it
    spreads a model over all devices.

    Raises:
        InputError: the given device cannot be used.
    """
    import torch

    if asked == "auto":
        return asked
    if asked is None:
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=asked)
    except Exception as error:
        raise InputError(
            f"{name}: the device {asked!r} cannot be used: {one_line(error)}",
            fix="Without one the best there is gets chosen.",
        ) from error
    return asked


def pick_dtype(asked: str | None, device: str, name: str) -> torch.dtype:
    """The `torch.dtype` of a name; by default bfloat16 on cuda and float32 elsewhere.

    Raises:
        InputError: torch has no floating-point dtype of that name.
    """
    import torch

    on_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    kind = getattr(torch, asked or ("bfloat16" if on_cuda else "float32"), None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(
            f"{name}: {asked!r} is no floating-point dtype of torch", fix="For instance: bfloat16, float32."
        )
    return kind


def source_of(model: str) -> str:
    """A Hub id, or a folder with its `~` expanded."""
    return str(Path(model).expanduser()) if model.startswith("~") else model


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silences the libraries' progress bars and warnings while a model loads. Downloads keep theirs."""
    import transformers

    loggings = [transformers.utils.logging]
    if diffusers := sys.modules.get("diffusers"):
        loggings.append(diffusers.utils.logging)
    loud = [logging for logging in loggings if logging.is_progress_bar_enabled()]
    for logging in loud:
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging in loud:
            logging.enable_progress_bar()


def loading_advice(source: str, error: BaseException) -> str:
    """A hint for a model that could not be loaded."""
    chain: list[BaseException] = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None and deeper not in chain:
        chain.append(deeper)
    if any(type(e).__name__ == "GatedRepoError" or "gated repo" in str(e).lower() for e in chain):
        return (
            f"The model is gated: accept its licence at https://huggingface.co/{source}, then log in "
            "(hf auth login) or set HF_TOKEN. A folder with the downloaded model does as well."
        )
    if "trust_remote_code" in str(error):
        return "The model brings code of its own. Read it first; trust_remote_code=true runs it."
    folder = Path(source)
    if folder.is_dir():
        pickled = [p for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.rglob(kind)]
        if pickled:
            return (
                f"Weights are loaded as *.safetensors only: {pickled[0].relative_to(folder)} is a pickle, "
                "which can run code. Save the model anew as safetensors: model.save_pretrained(folder)."
            )
        return "The folder has to be as save_pretrained() leaves it, with all weights as *.safetensors."
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        return "There is no such folder."
    return "Is the name right, can the Hub be reached, and does the repo hold *.safetensors?"


def one_line(error: BaseException) -> str:
    """The error's text on one line that can be encoded, at most 400 characters."""
    return encodable(" ".join(str(error).split())[:400])


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device's or the machine's memory is full."""
    import torch

    said = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, (RuntimeError, MemoryError))
        and ("out of memory" in said or "can't allocate" in said)
    )


def free_memory() -> None:
    """Frees unused memory. Call it after the error is released, since its traceback holds memory."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
