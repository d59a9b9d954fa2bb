"""Devices, number formats and memory for local models. Heavy packages are imported inside the functions."""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.hub import hub_answers, is_cached, is_hub_id
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
    """The `torch.dtype` of a name; by default float32, and on cuda bfloat16 where the device computes in it,
    else float16.

    Raises:
        InputError: torch has no floating-point dtype of that name.
    """
    import torch

    kind = getattr(torch, asked or _usual_dtype(device), None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(
            f"{name}: {asked!r} is no floating-point dtype of torch", fix="For instance: bfloat16, float32."
        )
    return kind


def _usual_dtype(device: str) -> str:
    import torch

    if not (device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())):
        return "float32"
    # Older GPUs only emulate bfloat16, which takes several times as long.
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def source_of(model: str, name: str, *packages: str) -> str:
    """A Hub id, or a folder with its `~` expanded. Call it before anything heavy is imported: what cannot be
    loaded is said within seconds, where the libraries would try the Hub for minutes.

    Args:
        name: the model as the user wrote it, for messages.
        packages: those that loading it needs, in the order of their imports.

    Raises:
        ModuleNotFoundError: one of the packages is not installed (the registry reports it).
        InputError: there is no such folder, or the model is not in the Hub's cache and the Hub does not
            answer.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path) if model.startswith("~") else model
    if path.is_file():
        raise InputError(f"{name} cannot be loaded: this is a file, not a model's folder")
    if not is_hub_id(model) and not _PLAIN_ID.fullmatch(model):
        raise InputError(f"{name} cannot be loaded: there is no such folder", fix=_beside(path))
    if not is_cached(model):
        answers, reason = hub_answers()
        if not answers:
            raise InputError(
                f"{name} cannot be loaded: there is no folder {model!r} here, it is not in the Hub's cache, "
                f"and {reason}",
                fix="Give the folder of a model, or try again with a connection to the Hub.",
            )
    return model


# The first models of the Hub have no owner in their id, such as gpt2.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")


def _beside(path: Path) -> str:
    """A hint with a folder of nearly the same name."""
    parent = path.parent
    names = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    if near:
        return f"Did you mean {parent / near[0]}?"
    return (
        "Look at the path: it is read from the folder that you are in."
        if not path.is_absolute()
        else ("Look at the path.")
    )


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
