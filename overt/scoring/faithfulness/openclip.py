"""CLIP and SigLIP through open_clip: found by name or folder, loaded from safetensors, tokenizer included.

open_clip's own loading would take a pickle where it finds one, warns where weights want another activation
than the model's name says, cuts prompts that are too long, and hands on to transformers whatever a model's
config says, an order to run code included. Here the weights are picked first, the tag's settings are applied,
tokens are put into windows, and no code but that of the installed libraries is run.
"""

from __future__ import annotations

import difflib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.devices import loading_advice, one_line, pick_device
from overt.data.errors import InputError
from overt.data.hub import hub_answers, is_hub_id, quiet_hub, snapshot
from overt.scoring.faithfulness.windows import starts

PRECISIONS = ("fp32", "fp16", "bf16")
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
_CONFIG = "open_clip_config.json"
# What a config may say of its tokenizer: all that open_clip's own tokenizer takes besides its files. The rest
# would go to transformers, where `trust_remote_code` is only the plainest way to have code run.
_TOKENIZER_OPTIONS = {"clean": str, "strip_sep_token": bool, "language": str}
# By name: a repo often holds the same weights several times over, for other libraries.
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "vocab.txt",
    "merges.txt", "added_tokens.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model",
)  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A model ready to encode.

    prepare: RGB `PIL.Image` to a tensor of (3, height, width), uint8 levels or float32 ready for the model.
    normalize: a batch of those, on the device, to what the model takes.
    """

    model: Any
    prepare: Callable[[Any], Any]
    normalize: Callable[[Any], Any]
    tokens: TokenRows
    device: str
    dtype: Any


@dataclass(frozen=True)
class _Source:
    """Where a model comes from: its name to open_clip, the file of weights, and what a tag brings along."""

    name: str
    weights: Path
    tag: dict[str, Any] | None = None


def load(spec: str, *, device: str | None, precision: str | None, name: str) -> Loaded:
    """The model that `spec` names: a folder, MODEL:PRETRAINED, MODEL:FILE.safetensors or a Hub id.

    Raises:
        InputError: it cannot be found or loaded, holds no safetensors, wants code of its own to be run, or
            its tokenizer is not understood.
    """
    import open_clip
    import torch
    from open_clip.factory import load_checkpoint
    from open_clip.transform import PreprocessCfg, image_transform_v2

    where = pick_device(device, name)
    kind = precision or ("fp16" if where.startswith("cuda") else "fp32")
    if kind not in PRECISIONS:
        raise InputError(
            f"{name}: {kind!r} is no precision that it knows", fix=f"One of: {', '.join(PRECISIONS)}."
        )
    source = _find(spec, name)
    options: dict[str, Any] = {}
    if source.tag is not None:
        # Weights trained with QuickGELU are not the same model under GELU; open_clip would only warn.
        options = {
            "force_quick_gelu": bool(source.tag.get("quick_gelu")),
            "force_preprocess_cfg": {
                key: source.tag[key]
                for key in ("mean", "std", "interpolation", "resize_mode")
                if key in source.tag
            },
        }
    try:
        with _quiet(), _no_remote_code():
            model: Any = open_clip.create_model(
                source.name,
                load_weights=False,
                pretrained_text=False,
                precision=kind,
                device=where,
                **options,
            )
            load_checkpoint(model, str(source.weights), strict=True)
            transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
            tokenizer: Any = _tokenizer(source)
    except Exception as error:  # libraries raise what they like on a broken model
        advice = loading_advice(str(source.weights.parent), error)
        if "trust_remote_code" in str(error):
            advice = "clip/ runs no code that a model brings. Take a model that needs none."
        raise InputError(f"{name} cannot be loaded: {one_line(error)}", fix=advice) from error
    model.eval().requires_grad_(False)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind]
    prepare, normalize = _split(transform)
    context = int(getattr(model, "context_length", None) or tokenizer.context_length)
    return Loaded(model, prepare, normalize, TokenRows(tokenizer, context, name), where, dtype)


# -- finding ----------------------------------------------------------------------------------------------


def _find(spec: str, name: str) -> _Source:
    import open_clip

    if spec.startswith("hf-hub:"):
        return _from_hub(spec.removeprefix("hf-hub:"), name)
    folder = Path(spec.removeprefix("local-dir:")).expanduser()
    if folder.is_dir():
        return _from_folder(folder, name)
    if spec.startswith(("local-dir:", ".", "/", "~")):
        raise InputError(f"{name}: there is no such folder", where=str(folder))
    model, colon, tag = spec.partition(":")
    known = open_clip.list_models()
    model = model.replace("/", "-")
    if not colon and is_hub_id(spec) and model not in known:
        return _from_hub(spec, name)
    if model not in known:
        near = difflib.get_close_matches(model, known, n=3)
        raise InputError(
            f"{name}: open_clip knows no model {model!r}",
            fix=(f"Did you mean {' or '.join(near)}? " if near else "")
            + "Else a folder, or ORG/NAME for a repo on the Hub.",
        )
    if tag.endswith(".safetensors") and Path(tag).expanduser().is_file():
        return _Source(model, Path(tag).expanduser())
    found = open_clip.pretrained.get_pretrained_cfg(model, tag) if tag else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise InputError(
            f"{name}: {model} has no weights {tag!r}" if tag else f"{name}: which weights of {model}?",
            fix=f"Write clip/{model}:TAG with one of: {', '.join(tags) or 'none; give a file .safetensors'}.",
        )
    repo, _, file = str(found.get("hf_hub", "")).rpartition("/")
    wanted = (str(Path(file).with_suffix(".safetensors")), *_WEIGHTS) if file else _WEIGHTS
    return _Source(model, _weights(_hub_folder(repo, wanted, (), name), wanted, name), found)


def _from_folder(folder: Path, name: str) -> _Source:
    if not (folder / _CONFIG).is_file():
        raise InputError(
            f"{name}: the folder holds no {_CONFIG}",
            where=str(folder),
            fix="Save the model as open_clip does for the Hub: its config and open_clip_model.safetensors.",
        )
    _check_config(folder, name)
    return _Source(f"local-dir:{folder}", _weights(folder, _WEIGHTS, name))


def _check_config(folder: Path, name: str) -> None:
    """Raises an InputError where a model's config asks more of its tokenizer than is known to be harmless."""
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


def _from_hub(repo: str, name: str) -> _Source:
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
        fix=loading_advice(str(folder), ValueError("no weights")),
    )


def _hub_folder(repo: str, weights: tuple[str, ...], needed: tuple[str, ...], name: str) -> Path:
    """A repo's files in the Hub's cache, downloaded if they are not all there."""
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
    # One file of weights after the other: the first one that is there ends the search.
    for file in dict.fromkeys(weights):
        folder = snapshot(repo, [file, _CONFIG, *_TOKENIZER])
        if (folder / file).is_file():
            return folder
    raise InputError(
        f"{name}: {repo} holds no open_clip weights as safetensors",
        fix="Weights are loaded as *.safetensors only; another tag or repo may have them.",
    )


def _tokenizer(source: _Source) -> Any:
    """The model's own; a folder's without tokenizer files is the one that its config names."""
    import open_clip

    text: dict[str, Any] = (open_clip.get_model_config(source.name) or {}).get("text_cfg", {})
    wanted = text.get("hf_tokenizer_name")
    if not wanted:  # open_clip's own, which is no tokenizer of transformers
        return open_clip.get_tokenizer(source.name)
    if source.name.startswith("local-dir:"):
        folder = Path(source.name.removeprefix("local-dir:"))
        if not any((folder / file).is_file() for file in _TOKENIZER):
            return open_clip.tokenizer.HFTokenizer(
                wanted,
                context_length=text.get("context_length", 77),
                tokenizer_mode=text.get("tokenizer_mode"),
                **text.get("tokenizer_kwargs", {}),
                trust_remote_code=False,
            )
    return open_clip.get_tokenizer(source.name, trust_remote_code=False)


@contextmanager
def _no_remote_code() -> Iterator[None]:
    """transformers asks at the terminal whether to run a model's own code where nobody has said no, and
    open_clip passes no "no" on for a text tower (`hf_model_name`). Without time for an answer it is a no."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's notes that no weights were loaded: they come next. It logs at the root, which
    also installs a handler there."""
    root = logging.getLogger()
    handlers, disabled = list(root.handlers), root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with quiet_hub(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers


# -- pictures ---------------------------------------------------------------------------------------------


def _split(transform: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """A transform as what is done to each picture beside the model, and to batches on the device.

    The first part is Pillow's alone where the transform ends as open_clip's do: workers that run torch
    would start threads of their own, and levels of 8 bits are a quarter of the memory.
    """
    import numpy as np
    import torch

    steps: list[Any] = list(getattr(transform, "transforms", ()))
    ends = [type(step).__name__ for step in steps[-2:]]
    if len(ends) < 2 or "ToTensor" not in ends[0] or ends[1] != "Normalize":
        return transform, lambda batch: batch
    *head, _, norm = steps
    mean = torch.tensor(norm.mean, dtype=torch.float32).view(1, -1, 1, 1)
    std = torch.tensor(norm.std, dtype=torch.float32).view(1, -1, 1, 1)

    def prepare(image: Any) -> Any:
        for step in head:
            image = step(image)
        return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)

    def normalize(batch: Any) -> Any:
        # In place: each step would else take fresh pages for a whole batch.
        levels = batch.to(torch.float32).div_(255)
        return levels.sub_(mean.to(batch.device)).div_(std.to(batch.device))

    return prepare, normalize


# -- tokens -----------------------------------------------------------------------------------------------


class TokenRows:
    """A model's own tokenizer, without the cut: a text as rows of the encoder's length, one per window."""

    def __init__(self, tokenizer: Any, context: int, name: str) -> None:
        self._tokenizer, self.context = tokenizer, context
        self._prefix: list[int] = []
        self._suffix: list[int] = []
        self._last: list[int] = []  # behind the padding
        self._pad, self._pad_left, self._is_sep_dropped = 0, False, False
        inner = getattr(tokenizer, "tokenizer", None)
        if inner is None:  # CLIP's own byte pairs
            self._prefix, self._suffix = [tokenizer.sot_token_id], [tokenizer.eot_token_id]
            self._special = set(tokenizer.all_special_ids)
        else:
            self._pad = inner.pad_token_id or 0
            self._pad_left = inner.padding_side == "left"
            ids = (inner.bos_token_id, inner.eos_token_id, inner.cls_token_id, inner.sep_token_id)
            self._special = {i for i in (*ids, inner.pad_token_id) if i is not None}
            if getattr(tokenizer, "tokenizer_mode", "") == "clips":
                self._prefix, self._suffix = [inner.bos_token_id], [inner.eos_token_id]
                self._last = [inner.cls_token_id]
            else:
                plain, framed = inner("a", add_special_tokens=False).input_ids, inner("a").input_ids
                at = next((i for i in range(len(framed)) if framed[i : i + len(plain)] == plain), 0)
                self._prefix, self._suffix = framed[:at], framed[at + len(plain) :]
                if getattr(tokenizer, "strip_sep_token", False):
                    self._sep, self._is_sep_dropped = inner.sep_token_id, True
        self.room = context - len(self._prefix) - len(self._suffix) - len(self._last)
        # The row that is made here must be the row that the model was trained on.
        sample = "A picture of two red kites, seen from below."
        theirs = tokenizer([sample], context_length=context)[0].tolist()
        if self.room < 1 or (len(self._bare(sample)) <= self.room and self.rows(sample) != [theirs]):
            raise InputError(f"{name}: its tokenizer ({type(tokenizer).__name__}) is not understood")

    def rows(self, text: str) -> list[list[int]]:
        """One row of `context` token ids for each window of a text, specials and padding included."""
        ids = self._bare(text)
        return [self._row(ids[at : at + self.room]) for at in starts(len(ids), self.room)]

    def _bare(self, text: str) -> list[int]:
        """A text's tokens alone. A special token that is spelt out in a text would end it for the encoder,
        so that all behind it were cut; such tokens are left out."""
        tokenizer = self._tokenizer
        inner = getattr(tokenizer, "tokenizer", None)
        if inner is None:
            ids = tokenizer.encode(text)
        else:
            if hasattr(tokenizer, "clean_fn"):
                text = tokenizer.clean_fn(text)
            else:  # SigLIP's, which has its cleaning built in
                from open_clip.tokenizer import get_clean_fn

                text = get_clean_fn("canonicalize")(text)
            ids = inner(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        return [i for i in ids if i not in self._special]

    def _row(self, ids: list[int]) -> list[int]:
        row = [*self._prefix, *ids, *self._suffix]
        padding = [self._pad] * (self.context - len(row) - len(self._last))
        row = [*padding, *row] if self._pad_left else [*row, *padding]
        if self._is_sep_dropped:
            row = [0 if i == self._sep else i for i in row]
        return [*row, *self._last]
