"""What lies in a model's folder: which form of model, and which files are damaged. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_OTHERS = {
    "*.onnx": "ONNX",
    "*.h5": "TensorFlow",
    "*.msgpack": "Flax",
    "*.mlmodel": "Core ML",
    "*.npz": "NumPy",
    "openvino_model.xml": "OpenVINO",
}
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")


def read_json(path: Path) -> dict[str, Any]:
    """The mapping of a JSON file; {} if it cannot be read or holds something else."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def saved_from(folder: Path) -> str:
    """The Hub id or folder that a model's config.json names as its origin; "" if it names none."""
    told = read_json(folder / "config.json").get("_name_or_path")
    return told if isinstance(told, str) else ""


def damaged(folder: Path) -> str:
    """Says which files of a folder and its subfolders are damaged or absent, and how; "" if none is."""
    found = [*_damaged_weights(folder), *_damaged_json(folder), *_absent_shards(folder)]
    return "; ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def what_lies_there(folder: Path, root: Path | None = None) -> str:
    """Says in which form a folder holds weights, where it holds none that could be loaded as they are.

    Args:
        root: the model's folder, if `folder` holds one of its parts.
    """
    for say in (_original, _unnamed, _gguf, _shards_alone):
        if said := say(folder):
            return said
    if said := _pickled(folder, root or folder) or _other_formats(folder) or _elsewhere(folder):
        return said
    if not any(folder.iterdir()):
        return "The folder is empty."
    return "The folder holds no weights. They are files that end in .safetensors: copy them as well."


def is_original(folder: Path) -> bool:
    """Whether a folder holds a model as Mistral or Meta hand it out, not as transformers reads it."""
    return not (folder / "config.json").is_file() and (folder / "params.json").is_file()


# -- damaged files -------------------------------------------------------------------------------------------


def _damaged_weights(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.safetensors")):
        if said := damaged_weights(path):
            yield f"{path.relative_to(folder)} {said}"


def damaged_weights(path: Path) -> str:
    """Says what is wrong with a file of safetensors, by its header and size; "" if nothing is.

    The format: eight bytes with the header's length, the header as JSON with each tensor's place, the data.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
            length = int.from_bytes(start[:8], "little")
            if said := _no_weights(start):
                return said
            if len(start) < 8 or length > size - 8:
                return f"is cut off or no file of safetensors ({size} bytes)"
            file.seek(8)
            header = json.loads(file.read(length))
        end = max(
            (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0
        )
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "is no file of safetensors"
    wanted = 8 + length + end
    return f"is cut off: {size} of {wanted} bytes" if size < wanted else ""


def damaged_gguf(path: Path) -> str:
    """Says what is wrong with a GGUF file as a whole; "" if its beginning is in order."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not start.startswith(b"GGUF"):
        return _no_weights(start) or "is no GGUF file"
    return ""


def _no_weights(start: bytes) -> str:
    """What a file is that begins in this way and holds no weights; "" if that cannot be told."""
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs, not the weights: git lfs pull fetches them"
    return "is a web page, not weights: the download failed" if start.lstrip()[:1] == b"<" else ""


def _damaged_json(folder: Path) -> Iterator[str]:
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        try:
            json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            yield f"{path.relative_to(folder)} " + ("is no JSON" if path.stat().st_size else "is empty")


def _absent_shards(folder: Path) -> Iterator[str]:
    for index in sorted([*folder.glob("*.index.json"), *folder.glob("*/*.index.json")]):
        places = read_json(index).get("weight_map")
        files = sorted(set(map(str, places.values()))) if isinstance(places, Mapping) else []
        if "safetensors" in index.name:
            for file in files:
                if not (index.parent / file).is_file():
                    yield f"{(index.parent / file).relative_to(folder)} is absent, which {index.name} names"


# -- other forms ---------------------------------------------------------------------------------------------


def _original(folder: Path) -> str:
    if not is_original(folder):
        return ""
    return (
        "The folder holds the model as its vendor hands it out (params.json and consolidated weights). Take "
        "the same model in the form of transformers (with config.json and model*.safetensors), which vendors "
        "publish beside it; transformers also has scripts that convert it (convert_*_weights_to_hf.py)."
    )


def _unnamed(folder: Path) -> str:
    if (folder / "config.json").is_file() or (folder / "model_index.json").is_file():
        return ""
    if (folder / "adapter_config.json").is_file() and (folder / "adapter_model.safetensors").is_file():
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        return f"The folder holds an adapter (PEFT) for the model {base!r}, not a model."
    inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if inside:
        return f"The folder has no config.json of its own, but {', '.join(inside[:4])} in it has: name that."
    return ""


def _gguf(folder: Path) -> str:
    files = sorted(path.name for path in folder.glob("*.gguf"))
    return f"The folder holds GGUF files: name one of them, FOLDER/{files[0]}." if files else ""


def _shards_alone(folder: Path) -> str:
    shards = [path for path in sorted(folder.glob("*.safetensors")) if _SHARD.fullmatch(path.name)]
    if not shards:
        return ""
    found = _SHARD.fullmatch(shards[0].name)
    assert found
    index = f"{found[1]}.safetensors.index.json"
    if (folder / index).is_file():
        return ""
    return f"{len(shards)} of {int(found[2])} shards are there, but not their index: copy {index} as well."


def _pickled(folder: Path, root: Path) -> str:
    pickled = [path for kind in _PICKLES for path in sorted(folder.rglob(kind))]
    if not pickled:
        return ""
    return (
        f"Weights are loaded as *.safetensors only: {pickled[0].relative_to(root)} is a pickle, which can "
        "run code. Save the model anew as safetensors: model.save_pretrained(folder)."
    )


def _other_formats(folder: Path) -> str:
    for pattern, form in _OTHERS.items():
        if found := next(iter(sorted(folder.glob(pattern))), None):
            return f"{found.name} holds the weights for {form}. Take the model's *.safetensors."
    return ""


def _elsewhere(folder: Path) -> str:
    files = [path for path in sorted(folder.rglob("*.safetensors")) if path.stat().st_size]
    here = [path for path in files if path.parent == folder]
    if not here:
        # Folders such as 2_Dense hold a part of an encoder, not a model.
        deeper = [path.parent for path in files if not path.parent.name[:1].isdigit()]
        return f"The weights lie deeper, in {deeper[0].relative_to(folder)}: name that." if deeper else ""
    stem, *variant = here[0].name.removesuffix(".safetensors").split(".")
    if stem in ("model", "diffusion_pytorch_model") and variant:
        is_drawn_with = stem != "model" or (folder.parent / "model_index.json").is_file()
        todo = f"?variant={variant[0]}" if is_drawn_with else f"in a copy, call it {stem}.safetensors"
        return f"The folder holds the variant {variant[0]} only ({here[0].name}): {todo}."
    return f"The weights are called {here[0].name}. Their loader looks for model.safetensors."
