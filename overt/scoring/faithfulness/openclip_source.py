"""Finds the config and safetensors weights of an open_clip model by name, folder or Hub id."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.hub import hub_answers, is_hub_id, quiet_hub, snapshot
from overt.data.local.devices import one_line
from overt.data.local.folders import what_lies_there

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
_CONFIG = "open_clip_config.json"
# Tokenizer options that a config may set: those of open_clip's own tokenizer. Others go to transformers,
# where `trust_remote_code` is not the only way to run code.
_TOKENIZER_OPTIONS = {"clean": str, "strip_sep_token": bool, "language": str}
# By name: a repo often holds the same weights several times over, for other libraries.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "vocab.txt",
    "merges.txt", "added_tokens.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A model's open_clip name, its weights file, and the settings of its tag."""

    name: str
    weights: Path
    tag: Mapping[str, object] | None = None


def find_source(spec: str, name: str) -> Source:
    """Finds the model that `spec` names: a folder, MODEL:PRETRAINED, MODEL:FILE.safetensors, or a Hub id.

    Raises:
        InputError: the model cannot be found, or its config asks to run its own code.
    """
    import open_clip

    if spec.startswith("hf-hub:"):
        return _from_hub(spec.removeprefix("hf-hub:"), name)
    folder = Path(spec.removeprefix("local-dir:")).expanduser()
    if folder.is_dir():
        return _from_folder(folder, name)
    if spec.startswith(("local-dir:", ".", "/", "~")):
        raise InputError(f"{name}: there is no such folder", where=str(folder))
    model, colon, tag = spec.partition(":")
    if not colon and is_hub_id(spec) and model.replace("/", "-") not in open_clip.list_models():
        return _from_hub(spec, name)
    return _listed(model.replace("/", "-"), tag, name)


def _listed(model: str, tag: str, name: str) -> Source:
    """One of open_clip's own models, with the weights of a tag or a file."""
    import open_clip

    known = open_clip.list_models()
    if model not in known:
        near = difflib.get_close_matches(model, known, n=3)
        raise InputError(
            f"{name}: open_clip knows no model {model!r}",
            fix=(f"Did you mean {' or '.join(near)}? " if near else "")
            + "Else a folder, or ORG/NAME for a repo on the Hub.",
        )
    if tag.endswith(".safetensors") and Path(tag).expanduser().is_file():
        return Source(model, Path(tag).expanduser())
    found = open_clip.pretrained.get_pretrained_cfg(model, tag) if tag else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise InputError(
            f"{name}: {model} has no weights {tag!r}" if tag else f"{name}: which weights of {model}?",
            fix=f"Write clip/{model}:TAG with one of: {', '.join(tags) or 'none; give a file .safetensors'}.",
        )
    repo, _, file = str(found.get("hf_hub", "")).rpartition("/")
    wanted = (str(Path(file).with_suffix(".safetensors")), *_WEIGHTS) if file else _WEIGHTS
    return Source(model, _weights(_hub_folder(repo, wanted, (), name), wanted, name), found)


def _from_folder(folder: Path, name: str) -> Source:
    if not (folder / _CONFIG).is_file():
        raise InputError(
            f"{name}: the folder holds no {_CONFIG}",
            where=str(folder),
            fix="Save the model as open_clip does for the Hub: its config and open_clip_model.safetensors.",
        )
    _check_config(folder, name)
    return Source(f"local-dir:{folder}", _weights(folder, _WEIGHTS, name))


def _check_config(folder: Path, name: str) -> None:
    """Raises an InputError if a model's config sets tokenizer options not known to be harmless."""
    where = str(folder / _CONFIG)
    try:
        config = json.loads((folder / _CONFIG).read_text("utf-8"))
        options = config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name}: its config cannot be read: {one_line(error)}",
            where=where,
            fix="It has to be as open_clip saves it for the Hub, with a model_cfg.",
        ) from error
    if not isinstance(options, dict):
        raise InputError(f"{name}: tokenizer_kwargs is no mapping in its config", where=where)
    for key, value in options.items():
        if key not in _TOKENIZER_OPTIONS or not isinstance(value, _TOKENIZER_OPTIONS[key]):
            shown = f"{key}: {json.dumps(value)}"[:120]
            wants_code = "; it would run code that the model brings" if key == "trust_remote_code" else ""
            raise InputError(
                f"{name}: its config gives the tokenizer the option {shown}{wants_code}",
                where=where,
                fix=f"Only {', '.join(_TOKENIZER_OPTIONS)} are taken. Look at what the option is for, take "
                "it out of a copy of the folder, and name that copy: clip/FOLDER.",
            )


def _from_hub(repo: str, name: str) -> Source:
    if not is_hub_id(repo):
        raise InputError(f"{name}: {repo!r} is neither a folder nor a Hub id")
    return _from_folder(_hub_folder(repo, _WEIGHTS, (_CONFIG,), name), name)


def _weights(folder: Path, wanted: tuple[str, ...], name: str) -> Path:
    there = {path.name: path for path in folder.glob("*.safetensors")}
    for file in wanted:
        if file in there:
            return there[file]
    if len(there) == 1:
        return next(iter(there.values()))
    raise InputError(
        f"{name}: no weights as safetensors",
        where=str(folder),
        fix=what_lies_there(folder),
    )


def _hub_folder(repo: str, weights: tuple[str, ...], needed: tuple[str, ...], name: str) -> Path:
    """Returns the folder of a repo in the Hub's cache, downloading missing files."""
    with quiet_hub():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(repo, local_files_only=True))
            if all((folder / n).is_file() for n in needed) and any((folder / n).is_file() for n in weights):
                return folder
        except Exception:  # not in the cache, or not readable there
            pass
    answers, reason = hub_answers()
    if not answers:
        raise InputError(
            f"{name}: {repo} is not in the Hub's cache, and {reason}",
            fix="Give a folder with the model, or run once where the Hub can be reached.",
        )
    # Try one weights file after the other.
    for file in dict.fromkeys(weights):
        folder = snapshot(repo, [file, _CONFIG, *TOKENIZER_FILES])
        if (folder / file).is_file():
            return folder
    raise InputError(
        f"{name}: {repo} holds no open_clip weights as safetensors",
        fix="Weights are loaded as *.safetensors only; another tag or repo may have them.",
    )
