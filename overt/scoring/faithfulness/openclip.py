"""CLIP and SigLIP through open_clip: found by name or folder, loaded from safetensors, tokenizer included.

open_clip's own loading would take a pickle where it finds one, warns where weights want another activation
than the model's name says, cuts prompts that are too long, and hands on to transformers whatever a model's
config says, an order to run code included. Here the weights are picked first, the tag's settings are applied,
tokens are put into windows, and no code but that of the installed libraries is run.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError
from overt.data.hub import quiet_hub
from overt.data.local.devices import loading_advice, one_line, pick_device
from overt.scoring.faithfulness.openclip_source import TOKENIZER_FILES, Source, find_source
from overt.scoring.faithfulness.windows import starts

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    Prepare = Callable[[Picture], torch.Tensor]

PRECISIONS = ("fp32", "fp16", "bf16")


class Tokenizer(Protocol):
    """A tokenizer of open_clip; `tokenizer` is the one of transformers that it wraps, where it wraps one."""

    context_length: int

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor: ...

    def __getattr__(self, name: str) -> Any: ...  # they differ from there on


@dataclass(frozen=True)
class Loaded:
    """A model ready to encode.

    prepare: RGB `PIL.Image` to a tensor of (3, height, width), uint8 levels or float32 ready for the model.
    normalize: a batch of those, on the device, to what the model takes.
    """

    model: Any
    prepare: Prepare
    normalize: Callable[[torch.Tensor], torch.Tensor]
    tokens: TokenRows
    device: str
    dtype: torch.dtype


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
    source = find_source(spec, name)
    options: dict[str, object] = {}
    if source.tag is not None:
        # Weights trained with QuickGELU are not the same model under GELU; open_clip would only warn.
        options["force_quick_gelu"] = bool(source.tag.get("quick_gelu"))
        options["force_preprocess_cfg"] = {
            key: source.tag[key]
            for key in ("mean", "std", "interpolation", "resize_mode")
            if key in source.tag
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
            tokenizer = _tokenizer(source)
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


def _tokenizer(source: Source) -> Tokenizer:
    """The model's own; a folder's without tokenizer files is the one that its config names."""
    import open_clip

    text = (open_clip.get_model_config(source.name) or {}).get("text_cfg", {})
    wanted = text.get("hf_tokenizer_name")
    if not wanted:  # open_clip's own, which is no tokenizer of transformers
        plain: Tokenizer = open_clip.get_tokenizer(source.name)
        return plain
    if source.name.startswith("local-dir:"):
        folder = Path(source.name.removeprefix("local-dir:"))
        if not any((folder / file).is_file() for file in TOKENIZER_FILES):
            named: Tokenizer = open_clip.tokenizer.HFTokenizer(
                wanted,
                context_length=text.get("context_length", 77),
                tokenizer_mode=text.get("tokenizer_mode"),
                **text.get("tokenizer_kwargs", {}),
                trust_remote_code=False,
            )
            return named
    own: Tokenizer = open_clip.get_tokenizer(source.name, trust_remote_code=False)
    return own


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


def _split(transform: Prepare) -> tuple[Prepare, Callable[[torch.Tensor], torch.Tensor]]:
    """A transform as what is done to each picture beside the model, and to batches on the device.

    The first part is Pillow's alone where the transform ends as open_clip's do: workers that run torch
    would start threads of their own, and levels of 8 bits are a quarter of the memory.
    """
    import numpy as np
    import torch

    steps = list(getattr(transform, "transforms", ()))
    ends = [type(step).__name__ for step in steps[-2:]]
    if len(ends) < 2 or "ToTensor" not in ends[0] or ends[1] != "Normalize":
        return transform, lambda batch: batch
    *head, _, norm = steps
    mean = torch.tensor(norm.mean, dtype=torch.float32).view(1, -1, 1, 1)
    std = torch.tensor(norm.std, dtype=torch.float32).view(1, -1, 1, 1)

    def prepare(image: Picture) -> torch.Tensor:
        for step in head:
            image = step(image)
        return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)

    def normalize(batch: torch.Tensor) -> torch.Tensor:
        # In place: each step would else take fresh pages for a whole batch.
        levels = batch.to(torch.float32).div_(255)
        return levels.sub_(mean.to(batch.device)).div_(std.to(batch.device))

    return prepare, normalize


# -- tokens -----------------------------------------------------------------------------------------------


class TokenRows:
    """A model's own tokenizer, without the cut: a text as rows of the encoder's length, one per window."""

    def __init__(self, tokenizer: Tokenizer, context: int, name: str) -> None:
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
