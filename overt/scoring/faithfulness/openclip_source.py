"""Finds the config and safetensors weights of an open_clip model by name, folder or Hub id."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.hub import is_hub_id, need_hub, quiet_hub, snapshot
from overt.data.local.devices import one_line
from overt.data.local.folders import what_lies_there

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
CONFIG = "open_clip_config.json"
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
    """A model's open_clip name, its weights file, the settings of its tag, and notes for the user."""

    name: str
    weights: Path
    tag: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the user says of MODEL:FILE.safetensors: how pictures are prepared and which activation it has.

    tag: as the weights of this tag of open_clip; the others win over it.
    mean, std: one number, or three separated by commas, from 0 to 1.
    """

    tag: str | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    resize_mode: str | None = None
    quick_gelu: bool | None = None


NOTHING_SAID = Settings()


def find_source(spec: str, name: str, said: Settings = NOTHING_SAID) -> Source:
    """Finds the model that `spec` names: a folder, MODEL:PRETRAINED, MODEL:FILE.safetensors, or a Hub id.

    Raises:
        InputError: the model cannot be found, or its config asks to run its own code.
    """
    import open_clip

    is_file = spec.partition(":")[2].endswith(".safetensors") and not spec.startswith(
        ("hf-hub:", "local-dir:")
    )
    if said != NOTHING_SAID and not is_file:
        raise InputError(
            f"{name} says itself how its pictures are prepared",
            fix="Leave out tag, mean, std, interpolation, resize_mode and quick_gelu: they are for "
            "clip/MODEL:FILE.safetensors.",
        )
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
    return _listed(model.replace("/", "-"), tag, name, said)


def _listed(model: str, tag: str, name: str, said: Settings) -> Source:
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
        return _of_file(model, Path(tag).expanduser(), name, said)
    found = open_clip.pretrained.get_pretrained_cfg(model, tag) if tag else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise InputError(
            f"{name}: {model} has no weights {tag!r}" if tag else f"{name}: which weights of {model}?",
            fix=f"Write clip/{model}:TAG with one of: {', '.join(tags) or 'none; give a file .safetensors'}.",
        )
    repo, _, file = str(found.get("hf_hub", "")).rpartition("/")
    wanted = (str(Path(file).with_suffix(".safetensors")), *_WEIGHTS) if file else _WEIGHTS
    return Source(
        model,
        _weights(_hub_folder(repo, wanted, (), name), wanted, name),
        dict(found) | {"quick_gelu": bool(found.get("quick_gelu"))},
    )


_PREPARED = ("mean", "std", "interpolation", "resize_mode")
_INTERPOLATIONS, _RESIZE_MODES = ("bicubic", "bilinear", "random"), ("shortest", "longest", "squash")


def _of_file(model: str, weights: Path, name: str, said: Settings) -> Source:
    """One of open_clip's models with the weights of a file. Neither says how pictures are prepared: that is
    taken from the user, from a config beside the file, or from the model's tags where they all agree."""
    known, why = _known_settings(model, weights, name, said)
    settings = dict(known) | _said_settings(name, said)
    notes = []
    if not {"mean", "std", "interpolation", "quick_gelu"} <= set(settings):
        notes = [
            "how its pictures are prepared and whether its weights need QuickGELU is not known: "
            f"{why}. Defaults of open_clip are taken where nothing is said; if the weights need others, "
            "the scores are wrong. "
            "Say it: tag=TAG, or mean=, std=, interpolation=, quick_gelu="
        ]
    elif known:
        notes = [f"pictures are prepared {why}"]
    return Source(model, weights, settings or None, tuple(notes))


def _known_settings(model: str, weights: Path, name: str, said: Settings) -> tuple[Mapping[str, object], str]:
    """(settings, where they are from or why there are none)."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if said.tag is not None:
        if said.tag not in tags:
            raise InputError(
                f"{name}: {model} has no tag {said.tag!r}", fix=f"One of: {', '.join(tags) or 'none'}."
            )
        return _of_tag(model, said.tag), f"as for its tag {said.tag}"
    if (weights.parent / CONFIG).is_file():
        config = _read_config(weights.parent, name)
        prepared = config.get("preprocess_cfg")
        found = {k: prepared[k] for k in _PREPARED if k in prepared} if isinstance(prepared, dict) else {}
        quick = {"quick_gelu": bool(config["model_cfg"].get("quick_gelu"))}
        return found | quick, f"as {CONFIG} beside the file says"
    every = [_of_tag(model, tag) for tag in tags]
    if every and all(one == every[0] for one in every):
        return every[0], f"as for all tags of {model}"
    return {}, f"the tags of {model} differ" if every else f"{model} has no tags"


def _of_tag(model: str, tag: str) -> dict[str, object]:
    import open_clip

    found = open_clip.pretrained.get_pretrained_cfg(model, tag)
    return {key: found[key] for key in _PREPARED if key in found} | {
        "quick_gelu": bool(found.get("quick_gelu"))
    }


def _said_settings(name: str, said: Settings) -> dict[str, object]:
    """The settings that the user gave, checked."""
    settings: dict[str, object] = {}
    for key in ("mean", "std"):
        if (text := getattr(said, key)) is None:
            continue
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3) or not all(0 <= number <= 1 for number in numbers):
            raise InputError(f"{name}: {key}={text} is neither one nor three numbers from 0 to 1")
        settings[key] = tuple(numbers * 3 if len(numbers) == 1 else numbers)
    for key, words in (("interpolation", _INTERPOLATIONS), ("resize_mode", _RESIZE_MODES)):
        if (word := getattr(said, key)) is None:
            continue
        if word not in words:
            raise InputError(f"{name}: {key}={word} is unknown", fix=f"One of: {', '.join(words)}.")
        settings[key] = word
    return settings | ({} if said.quick_gelu is None else {"quick_gelu": said.quick_gelu})


def _from_folder(folder: Path, name: str) -> Source:
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"{name}: the folder holds no {CONFIG}",
            where=str(folder),
            fix="Save the model as open_clip does for the Hub: its config and open_clip_model.safetensors.",
        )
    _check_config(folder, name)
    prepared = _read_config(folder, name).get("preprocess_cfg")
    lacks = [key for key in ("mean", "std", "interpolation") if key not in (prepared or {})]
    note = (
        f"preprocess_cfg of its {CONFIG} does not say {', '.join(lacks)}, so pictures are prepared "
        "by open_clip's defaults; if the weights need others, the scores are wrong"
    )
    notes = (note,) if lacks else ()
    return Source(f"local-dir:{folder}", _weights(folder, _WEIGHTS, name), notes=notes)


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    """The config of open_clip in a folder, with a model_cfg.

    Raises:
        InputError: it cannot be read.
    """
    where = str(folder / CONFIG)
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text("utf-8"))
        config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name}: its config cannot be read: {one_line(error)}",
            where=where,
            fix="It has to be as open_clip saves it for the Hub, with a model_cfg.",
        ) from error
    return config


def _check_config(folder: Path, name: str) -> None:
    """Raises an InputError if a model's config sets tokenizer options not known to be harmless."""
    where = str(folder / CONFIG)
    options = _read_config(folder, name)["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
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
    return _from_folder(_hub_folder(repo, _WEIGHTS, (CONFIG,), name), name)


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
    need_hub(
        f"{name}: {repo} is not in the Hub's cache",
        fix="Give a folder with the model, or run once where the Hub can be reached.",
    )
    # Try one weights file after the other.
    for file in dict.fromkeys(weights):
        folder = snapshot(repo, [file, CONFIG, *TOKENIZER_FILES])
        if (folder / file).is_file():
            return folder
    raise InputError(
        f"{name}: {repo} holds no open_clip weights as safetensors",
        fix="Weights are loaded as *.safetensors only; another tag or repo may have them.",
    )
