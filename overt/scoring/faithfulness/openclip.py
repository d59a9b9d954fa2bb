"""CLIP and SigLIP through open_clip: found by name or folder, loaded from safetensors, tokenizer included.

open_clip itself loads pickles, only warns if the weights need another activation than the model's name says,
cuts long prompts, and passes a model's config on to transformers, even an order to run code. Here the weights
are picked first, the tag's settings are applied, tokens are split into windows, and only code of
the installed libraries is run.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from overt.data.errors import InputError
from overt.data.hub import quiet_hub
from overt.data.local.advice import loading_advice
from overt.data.local.devices import one_line, pick_device
from overt.data.local.whole import check_finite, check_numbers
from overt.scoring.faithfulness.dual import Loaded, pick_precision
from overt.scoring.faithfulness.openclip_source import (
    NOTHING_SAID,
    TOKENIZER_FILES,
    Settings,
    Source,
    find_source,
)
from overt.scoring.faithfulness.windows import starts

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    from overt.scoring.faithfulness.dual import Prepare


class Tokenizer(Protocol):
    """A tokenizer of open_clip; `tokenizer` is the transformers tokenizer that it wraps, if any."""

    context_length: int

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor: ...

    def __getattr__(self, name: str) -> Any: ...  # the rest differs between them


def load(
    spec: str,
    *,
    device: str | None,
    precision: str | None,
    name: str,
    said: Settings = NOTHING_SAID,
) -> Loaded:
    """Loads the model that `spec` names: a folder, MODEL:PRETRAINED, MODEL:FILE.safetensors or a Hub id.

    Raises:
        InputError: the model cannot be found or loaded, holds no safetensors, needs its own code, or has an
            unknown tokenizer.
    """
    import open_clip
    from open_clip.factory import load_checkpoint
    from open_clip.transform import PreprocessCfg, image_transform_v2

    where = pick_device(device, name)
    kind, dtype = pick_precision(precision, where, name)
    source = find_source(spec, name, said)
    options: dict[str, object] = {}
    if source.tag is not None:
        # Weights trained with QuickGELU are wrong under GELU; open_clip would only warn.
        if "quick_gelu" in source.tag:
            options["force_quick_gelu"] = bool(source.tag["quick_gelu"])
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
    except Exception as error:  # a broken model may raise anything
        advice = loading_advice(str(source.weights.parent), error)
        if "trust_remote_code" in str(error):
            advice = "clip/ runs no code that a model brings. Take a model that needs none."
        raise InputError(f"{name} cannot be loaded: {one_line(error)}", fix=advice) from error
    check_numbers(name, model, source.weights)
    check_finite(name, model)
    model.eval().requires_grad_(False)
    prepare, normalize = _split(transform)
    context = int(getattr(model, "context_length", None) or tokenizer.context_length)
    return Loaded(model, prepare, normalize, TokenRows(tokenizer, context, name), where, dtype, source.notes)


def _tokenizer(source: Source) -> Tokenizer:
    """Loads the model's tokenizer; a folder without tokenizer files uses the one that its config names."""
    import open_clip

    text = (open_clip.get_model_config(source.name) or {}).get("text_cfg", {})
    wanted = text.get("hf_tokenizer_name")
    if not wanted:  # open_clip's own tokenizer
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
    """Refuses a model's own code: open_clip does not pass trust_remote_code=False on for a text tower
    (`hf_model_name`), and transformers would ask at the terminal. A timeout of 0 answers no."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences open_clip's warning that no weights were loaded, since they are loaded next. It logs at the
    root logger and installs a handler there, which is removed."""
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
    """Splits a transform into a part for each picture and a part for batches on the device.

    The first part uses only Pillow if the transform ends like open_clip's: torch would start threads in each
    worker, and 8-bit levels need a quarter of the memory.
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
        # In place, to save memory for a whole batch.
        levels = batch.to(torch.float32).div_(255)
        return levels.sub_(mean.to(batch.device)).div_(std.to(batch.device))

    return prepare, normalize


# -- tokens -----------------------------------------------------------------------------------------------


class TokenRows:
    """Tokenizes a text without cutting it, as rows of the encoder's length, one per window."""

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
        # Rows made here must equal those of the model's own tokenizer.
        sample = "A picture of two red kites, seen from below."
        theirs = tokenizer([sample], context_length=context)[0].tolist()
        if self.room < 1 or (len(self._bare(sample)) <= self.room and self.rows(sample) != [theirs]):
            raise InputError(f"{name}: its tokenizer ({type(tokenizer).__name__}) is not understood")

    def rows(self, text: str) -> list[list[int]]:
        """Returns one row of `context` token ids for each window, with special tokens and padding."""
        ids = self._bare(text)
        return [self._row(ids[at : at + self.room]) for at in starts(len(ids), self.room)]

    def _bare(self, text: str) -> list[int]:
        """Returns a text's tokens without special tokens: one spelled out in the text would end it for the
        encoder."""
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
