"""What to do about a model that cannot be loaded: a table from what libraries say to advice."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overt.data.local.folders import damaged, damaged_gguf, what_lies_there
from overt.data.local.memory import out_of_memory
from overt.data.plugins.install import how_to_install, is_installed

_KINDS = {
    "AutoModelForCausalLM": "a language model",
    "AutoModelForSequenceClassification": "a text classifier",
    "AutoModelForImageClassification": "a picture classifier",
    "AutoModelForImageTextToText": "a model that reads pictures",
}


@dataclass(frozen=True, slots=True)
class _Failed:
    """A model that could not be loaded. said: the texts of all errors in the chain, and their types."""

    source: str
    chain: tuple[BaseException, ...]
    said: str

    @property
    def folder(self) -> Path | None:
        path = Path(self.source)
        return path if path.is_dir() else None

    @property
    def is_path(self) -> bool:
        return self.source.startswith((".", "/", "~")) or self.source.count("/") > 1


def loading_advice(source: str, error: BaseException) -> str:
    """A hint for a model that could not be loaded.

    Args:
        source: its Hub id, folder or file.
        error: what its library raised.
    """
    failed = _Failed(source, chain := _chain(error), " ".join(f"{type(e).__name__}: {e}" for e in chain))
    if advice := _about_memory(failed) or _package(failed):
        return advice
    if advice := _gguf(failed):
        return advice
    for pattern, advise in _ROWS:
        if (found := re.search(pattern, failed.said, re.IGNORECASE | re.DOTALL)) and (
            advice := advise(failed, found)
        ):
            return advice
    if failed.folder is not None:
        if said := damaged(failed.folder):
            return f"The folder is damaged: {said}."
        return "Look at what the error names: the folder's files are readable, but do not fit together."
    if failed.is_path:
        return "Look at the path."
    return "Is the name right, can the Hub be reached, and does the repo hold *.safetensors?"


def _chain(error: BaseException) -> tuple[BaseException, ...]:
    chain: list[BaseException] = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None and deeper not in chain:
        chain.append(deeper)
    return tuple(chain)


def _about_memory(failed: _Failed) -> str:
    if any("No space left" in str(e) or getattr(e, "errno", None) == 28 for e in failed.chain):
        return "The disk is full. Make room there, or set HF_HOME to a folder on another disk."
    if out_of_memory(failed.chain[0]):
        return (
            "The memory is full. dtype=bfloat16 takes half of float32's, a quantized version "
            "less; device=auto spreads a language model over all devices. Does something else hold memory?"
        )
    return ""


def _gguf(failed: _Failed) -> str:
    path = Path(failed.source)
    if path.suffix.lower() != ".gguf" or not path.is_file():
        return ""
    if said := damaged_gguf(path):
        return f"{path.name} {said}."
    if re.search(r"not supported|architecture", failed.said, re.IGNORECASE):
        return (
            f"transformers {_version('transformers')} does not read GGUF files of this kind of model. Take "
            "the model's *.safetensors, or serve the file with llama.cpp (openai/... and its address)."
        )
    if re.search(r"-\d{5}-of-\d{5}$", path.stem):
        return "The file is one of several parts: join them first (llama-gguf-split --merge)."
    if re.search(r"reshape|unpack_from|buffer|mmap|out of bounds", failed.said):
        return f"{path.name} is cut off: copy it again."
    return ""


# What libraries call a package -> the name that it is imported by.
_IMPORTED = {
    "protobuf": "google.protobuf",
    "beautifulsoup4": "bs4",
    "optimum-quanto": "optimum.quanto",
    "mamba-ssm": "mamba_ssm",
    "flash-attn": "flash_attn",
    "compressed-tensors": "compressed_tensors",
    "open_clip_torch": "open_clip",
    "mistral-common": "mistral_common",
}
_WANTED = re.compile(
    r"no module named ['\"](?P<module>[\w.]+)"
    r"|pip install (?:(?:-U|--upgrade) )?[`'\"]?(?P<pip>[A-Za-z][\w-]*)(?![\w+-])"
    r"|requires? (?:the |an? )?`?(?P<library>[A-Za-z][\w-]*)`? (?:library|package)"
    r"|(?P<gguf>gguf)[^.]{0,60}(?:not installed|to be installed|is required)",
    re.IGNORECASE,
)


def _package(failed: _Failed) -> str:
    """A missing package, if an error of import names one that is not installed or too old."""
    for error in failed.chain:
        if not isinstance(error, ImportError) and not re.search(r"pip install|not installed", str(error)):
            continue
        for found in _WANTED.finditer(str(error)):
            name = next(filter(None, found.groups())).lower()
            module = _IMPORTED.get(name, name.replace("-", "_"))
            if module in ("transformers", "diffusers"):
                continue
            if not is_installed(module):
                return f"It needs {name}, which is not installed: {how_to_install(module, name)}"
            if isinstance(error, ImportError) and "pip" in found.re.groupindex and found["pip"]:
                return f"It needs another version of {name}: pip install -U {name}"
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


# -- the table -----------------------------------------------------------------------------------------------

_Advise = Callable[[_Failed, "re.Match[str]"], str]


def _says(text: str) -> _Advise:
    return lambda failed, found: text


def _gated(failed: _Failed, found: re.Match[str]) -> str:
    return (
        f"The model is gated: accept its licence at https://huggingface.co/{failed.source}, then log in "
        "(hf auth login) or set HF_TOKEN. A folder with the downloaded model does as well."
    )


def _unknown_type(failed: _Failed, found: re.Match[str]) -> str:
    return (
        f"transformers {_version('transformers')} is installed and does not know {found[1]!r}: either it is "
        "too old (pip install -U transformers), or config.json has a wrong model_type."
    )


def _unknown_class(failed: _Failed, found: re.Match[str]) -> str:
    name = next(filter(None, found.groups()), "it")
    return (
        f"diffusers {_version('diffusers')} and transformers {_version('transformers')} are installed and "
        f"have no {name}: either they are too old (pip install -U diffusers transformers), or the name in "
        "model_index.json is wrong."
    )


def _no_model_type(failed: _Failed, found: re.Match[str]) -> str:
    folder = failed.folder
    if folder is None:
        return "The repo has no config.json with a model_type: it holds no model of transformers."
    if (folder / "model_index.json").is_file():
        return (
            "The folder holds a pipeline that draws pictures: diffusers/FOLDER. If that is how it was named, "
            "a file of one of its parts is missing: copy the folder again, all of it."
        )
    if not (folder / "config.json").is_file():
        said = what_lies_there(folder)
        return (
            said
            if said.startswith("The folder")
            else "config.json is missing in the folder: copy it as well."
        )
    return (
        _damage(failed, found)
        or "config.json names no model_type. Take the config.json that the model was published with."
    )


def _wrong_class(failed: _Failed, found: re.Match[str]) -> str:
    wanted = _KINDS.get(found[2], f"one for {found[2]}")
    return f"{found[1].removesuffix('Config')} is no model of this kind: {wanted} is needed here."


def _damage(failed: _Failed, found: re.Match[str]) -> str:
    if failed.folder is None:
        return "A file in the Hub's cache is damaged: delete it there, and try again."
    said = damaged(failed.folder)
    return f"The folder is damaged: {said}. Copy these files again." if said else ""


def _no_weights(failed: _Failed, found: re.Match[str]) -> str:
    folder = failed.folder
    if folder is None:
        return "The repo holds no *.safetensors. Weights in other forms are not loaded."
    if absent := _damage(failed, found):
        return absent
    if found["file"] == "model_index.json":
        if (folder / "config.json").is_file():
            return "The folder holds a single model, not a pipeline: a pipeline has a model_index.json."
        return "The folder holds no pipeline: model_index.json is missing."
    where = Path(found["where"]) if found["where"] else folder
    if where.is_dir() and where != folder and where.is_relative_to(folder):
        return f"In {where.relative_to(folder)}: {what_lies_there(where, folder)}"
    if (folder / "model_index.json").is_file():
        return "A part that model_index.json names is missing. Copy the pipeline's folder again, all of it."
    return what_lies_there(folder)


def _no_vocabulary(failed: _Failed, found: re.Match[str]) -> str:
    if not (is_installed("sentencepiece") and is_installed("tiktoken")):
        lacking = next(m for m in ("sentencepiece", "tiktoken") if not is_installed(m))
        return f"Reading its tokenizer needs {lacking}, which is not installed: {how_to_install(lacking)}"
    folder = failed.folder
    if folder is None:
        return "The repo holds no tokenizer that transformers reads."
    if not (folder / "config.json").is_file():
        return _no_model_type(failed, found)
    return _damage(failed, found) or (
        "The tokenizer's files are missing or of an unknown form: tokenizer.json, or tokenizer.model, or "
        "vocab.json with merges.txt. Copy them as well."
    )


def _no_processor(failed: _Failed, found: re.Match[str]) -> str:
    return (
        _damage(failed, found)
        or f"{found[1]} is missing, which says how pictures are scaled: copy it as well."
    )


def _not_reached(failed: _Failed, found: re.Match[str]) -> str:
    if failed.folder is not None:
        return ""
    if "gguf" in failed.source.lower():
        return f"For a GGUF file of a repo, name the file as well: {failed.source}/FILE.gguf."
    return (
        "The Hub cannot be reached, and its cache lacks files of this model: fetch all of it while there is "
        f"a connection (hf download {failed.source}), or name a folder."
    )


def _variant(failed: _Failed, found: re.Match[str]) -> str:
    return (
        f"There are no weights of the variant {found[1]}: leave ?variant= out, or look which ones there are."
    )


_ROWS: tuple[tuple[str, _Advise], ...] = (
    (r"GatedRepoError|gated repo|restricted and you are not in the authorized", _gated),
    (r"trust_remote_code|contains custom code", _says(
        "The model brings code of its own. Read it first; trust_remote_code=true runs it."
    )),
    (r"RepositoryNotFoundError|is not a valid model identifier|Repository Not Found", _says(
        "The Hub has no model of this name, or it is private: look the name up; log in with hf auth login."
    )),
    (r"RevisionNotFoundError|is not a valid git identifier", _says(
        "The repo has no such branch, tag or commit."
    )),
    (r"model type `([^`]+)`.{0,60}does not recognize", _unknown_type),
    (r"module '?(?:diffusers|transformers)\S* has no attribute '?(\w+)|has no class `(\w+)`", _unknown_class),
    (r"Should have a `model_type` key|argument after \*\* must be a mapping", _no_model_type),
    (r"configuration class <class '[\w.]+\.(\w+)'> for this kind of AutoModel: (\w+)", _wrong_class),
    (r"deserializing header|SafetensorError|Unable to load weights from checkpoint|not a valid JSON"
     r"|JSONDecodeError|required according to the checkpoint index|No such file or directory", _damage),
    (r"expected shape .{0,80}but got|size mismatch for", _says(
        "The weights are for a model of another size: take weights, config.json and LoRA that fit together."
    )),
    (r"variant=(\w+)`?, but no such", _variant),
    (r"GPU.{0,40}(?:required|needed|found)|(?:requires|needs?) an? (?:CUDA|GPU)|CUDA is required", _says(
        "This way of quantizing needs a GPU of NVIDIA. Here, take the model unquantized, or as GGUF."
    )),
    (r"no file named (?P<file>\S+),?.{0,400}?found in directory (?P<where>.+?)\.?(?:$| \w+Error:)",
     _no_weights),
    (r"backend tokenizer|`vocab` and `merges`|Unable to load vocabulary|error parsing.{0,40}tokenizer"
     r"|Can't load tokenizer", _no_vocabulary),
    (r"Can't load (?:\w+ processor|processor|feature extractor).{0,400}containing an? (\S+)",
     _no_processor),
    (r"couldn't connect to|LocalEntryNotFoundError|offline mode is enabled", _not_reached),
    (r"Permission denied", _says("This user may not read the model's files.")),
)  # fmt: skip
