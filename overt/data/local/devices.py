"""Devices, number formats and memory for local models. Heavy packages are imported inside the functions."""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.hub import is_cached, is_hub_id, need_hub
from overt.data.local.metering import works_on
from overt.data.text import encodable

if TYPE_CHECKING:
    import torch


def pick_device(asked: str | None, name: str) -> str:
    """The name of a torch device: the given one, or the best available (cuda, mps, cpu). "auto" stays: it
    spreads a model over all devices. From now on what the device draws is measured, where a command does so.

    Raises:
        InputError: the given device cannot be used.
    """
    picked = _usable(asked, name)
    works_on(picked)
    return picked


def _usable(asked: str | None, name: str) -> str:
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


def source_of(model: str, name: str, *packages: str, files: Collection[str] = ()) -> str:
    """A Hub id, or a folder with its `~` expanded. Call it before anything heavy is imported: what cannot be
    loaded is said within seconds, where the libraries would try the Hub for minutes.

    Args:
        name: the model as the user wrote it, for messages.
        packages: those that loading it needs, in the order of their imports.
        files: endings of single files that are taken as well, such as ".gguf".

    Raises:
        ModuleNotFoundError: one of the packages is not installed (the registry reports it).
        InputError: there is no such folder, or the model is not in the Hub's cache and the Hub does not
            answer.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    path = Path(model).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() in files):
        return str(path) if model.startswith("~") else model
    if path.is_file():
        raise InputError(
            f"{name} cannot be loaded: this is a file, not a model's folder", fix=_instead_of_file(path)
        )
    if not is_hub_id(model) and not _PLAIN_ID.fullmatch(model):
        what = "file" if path.suffix.lower() in _FILE_ADVICE else "folder"
        raise InputError(f"{name} cannot be loaded: there is no such {what}", fix=_beside(path))
    if not is_cached(model):
        need_hub(
            f"{name} cannot be loaded: there is no folder {model!r} here, it is not in the Hub's cache",
            fix="Give the folder of a model, or try again with a connection to the Hub.",
        )
    return model


_PICKLED = "It is a pickle, which can run code when it is read. Save the model anew as safetensors."
_FILE_ADVICE = {
    ".gguf": "A GGUF file is read as a language model (hf/FILE.gguf), not for this.",
    ".safetensors": "It holds weights alone. A whole pipeline in one file is drawn with as diffusers/FILE.",
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt"), _PICKLED),
    ".onnx": "It is for ONNX. Take the model's *.safetensors.",
    **dict.fromkeys((".zip", ".gz", ".tar", ".tgz"), "Unpack it, and name the folder."),
}


def _instead_of_file(path: Path) -> str:
    if (path.parent / "config.json").is_file():
        return f"Name the folder that it lies in: {path.parent}"
    return _FILE_ADVICE.get(path.suffix.lower(), "Name the folder that it lies in.")


# The first models of the Hub have no owner in their id, such as gpt2.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")


def _beside(path: Path) -> str:
    """A hint with a folder or file of nearly the same name."""
    parent = path.parent
    names = []
    if parent.is_dir():
        names = [e.name for e in parent.iterdir() if e.is_dir() or e.suffix.lower() in _FILE_ADVICE]
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
    """Silences the libraries' progress bars, warnings and loading reports while a model loads: what matters
    in a report is an error of `whole_weights`. Downloads keep their progress bars."""
    import transformers

    loggings = [transformers.utils.logging]
    if diffusers := sys.modules.get("diffusers"):
        loggings.append(diffusers.utils.logging)
    loud = [logging for logging in loggings if logging.is_progress_bar_enabled()]
    levels = [logging.get_verbosity() for logging in loggings]
    for logging in loud:
        logging.disable_progress_bar()
    for logging in loggings:
        logging.set_verbosity_error()
    try:
        with quiet_imports(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging, level in zip(loggings, levels, strict=True):
            logging.set_verbosity(level)
        for logging in loud:
            logging.enable_progress_bar()


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Silences what libraries of quantized models, where they are installed, warn of their own inner workings
    as diffusers, transformers or sentence-transformers import them."""
    inner = [getLogger(name) for name in _INNER]
    levels = [logger.level for logger in inner]
    for logger in inner:
        logger.setLevel(ERROR)
    try:
        yield
    finally:
        for logger, level in zip(inner, levels, strict=True):
            logger.setLevel(level)


# torchao registers constants with torch; bitsandbytes looks for a package that speeds up the CPU.
_INNER = ("torch.utils._pytree", "bitsandbytes.backends.cpu.ops")


def one_line(error: BaseException) -> str:
    """The error's text on one line that can be encoded, at most 400 characters."""
    return encodable(" ".join(str(error).split())[:400])
