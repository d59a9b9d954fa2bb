"""CLIP, SigLIP, SigLIP 2 and their relatives in the format of transformers: folders with a config.json.

Texts and pictures go through the model's own processor, as the documentation of transformers uses it: texts
padded to the encoder's length, which SigLIP needs. Long texts are split into windows instead of cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.hub import is_hub_id, quiet_hub
from overt.data.local.devices import pick_device, quiet_loading, source_of
from overt.data.local.folders import read_json
from overt.data.local.pretrained import speaking_loader
from overt.data.plugins.names import in_words
from overt.scoring.faithfulness.dual import Loaded, pick_precision
from overt.scoring.faithfulness.openclip_source import CONFIG
from overt.scoring.faithfulness.windows import starts
from overt.scoring.filters.local import positions

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

_UNSEEN = -1  # in a row: padding that the attention mask hides
_CONTEXT = 77  # if neither model nor tokenizer has a limit
_SAMPLE = "A picture of two red kites, seen from below."


def of_transformers(spec: str) -> str | None:
    """The folder or Hub id of a model in the format of transformers; None if `spec` means one of open_clip,
    whose config wins where both lie there."""
    folder = Path(spec.removeprefix("local-dir:")).expanduser()
    if folder.is_dir():
        return str(folder) if _is_of_transformers(folder) else None
    repo = spec.removeprefix("hf-hub:")
    if not is_hub_id(repo) or spec.startswith((".", "/", "~")) or ":" in repo:
        return None
    import open_clip

    if repo.replace("/", "-") in open_clip.list_models():
        return None
    with quiet_hub():
        from huggingface_hub import file_exists, snapshot_download

        try:
            return repo if _is_of_transformers(Path(snapshot_download(repo, local_files_only=True))) else None
        except Exception:  # not in the cache
            pass
        try:
            return None if file_exists(repo, CONFIG) else repo if file_exists(repo, "config.json") else None
        except Exception:  # no connection: the loader of open_clip says so
            return None


def _is_of_transformers(folder: Path) -> bool:
    if (folder / CONFIG).is_file():
        return False
    return isinstance(read_json(folder / "config.json").get("model_type"), str)


def load(model: str, *, device: str | None, precision: str | None, name: str) -> Loaded:
    """Loads a model with its processor.

    Raises:
        InputError: it cannot be loaded, needs its own code, is not whole, has no encoder for texts or for
            pictures, or its tokenizer is not understood.
    """
    source = source_of(model, name, "torch", "transformers")
    where = pick_device(device, name)
    _, dtype = pick_precision(precision, where, name)
    import torch
    import transformers

    with quiet_loading(), speaking_loader(name, source, "clip/ runs no code that a model brings."):
        config: Any = transformers.AutoConfig.from_pretrained(source)
        _check_kind(name, transformers.MODEL_MAPPING.get(type(config), None))
        processors: Any = transformers.AutoProcessor
        processor = processors.from_pretrained(source)
        towers: Any = transformers.AutoModel.from_pretrained(source, use_safetensors=True, dtype=dtype)
    if lacks := [part for part in ("tokenizer", "image_processor") if not hasattr(processor, part)]:
        raise InputError(
            f"{name}: its {type(processor).__name__} has no {' and no '.join(lacks)}",
            fix="The folder needs the files of both, as processor.save_pretrained(folder) leaves them.",
        )
    towers = towers.to(where).eval().requires_grad_(False)
    rows = ProcessorRows(processor, positions(towers, processor.tokenizer, _CONTEXT), name)
    pair = Towers(towers, processor.tokenizer.pad_token_id or 0, dtype)
    loaded = Loaded(pair, _prepare(processor), lambda b: b, rows, where, torch.float32)
    _try(loaded, name)
    return loaded


def _check_kind(name: str, kind: Any) -> None:
    """Raises an InputError if a class of models has no encoders for texts and for pictures."""
    wanted = ("get_text_features", "get_image_features")
    if kind is None or not all(hasattr(kind, function) for function in wanted):
        raise InputError(
            f"{name}: {getattr(kind, '__name__', 'its model')} is no pair of encoders for texts and pictures",
            fix="clip/ takes CLIP, SigLIP and their relatives; text/FOLDER takes encoders of texts.",
        )


def _try(loaded: Loaded, name: str) -> None:
    """Encodes one text and one picture, so that what does not work is said before a run."""
    import torch
    from PIL import Image

    try:
        with torch.inference_mode():
            text = loaded.model.encode_text(torch.tensor(loaded.tokens.rows(_SAMPLE)).to(loaded.device))
            grey = loaded.prepare(Image.new("RGB", (64, 64), (128, 128, 128)))
            picture = loaded.model.encode_image(grey.unsqueeze(0).to(loaded.device))
    except Exception as error:  # a broken model may raise anything
        raise InputError(
            f"{name} cannot encode: {in_words(error)}",
            fix="Do its processor and its weights belong together?",
        ) from error
    if text.ndim != 2 or picture.ndim != 2 or text.shape[1] != picture.shape[1]:
        shapes = f"{tuple(text.shape)} and {tuple(picture.shape)}"
        raise InputError(
            f"{name}: its encoders give vectors of {shapes}, which cannot be compared",
            fix="clip/ takes CLIP, SigLIP and their relatives.",
        )
    if not (text.isfinite().all() and picture.isfinite().all()):
        raise InputError(
            f"{name} gives numbers that are not finite", fix="Another precision may do: precision=fp32."
        )


# -- texts ---------------------------------------------------------------------------------------------------


class ProcessorRows:
    """Tokenizes a text without cutting it, as rows of the encoder's length, one per window. Padding that the
    processor masks is -1."""

    def __init__(self, processor: Any, context: int, name: str) -> None:
        self.context = context
        self._tokenizer = tokenizer = processor.tokenizer
        self._special = set(tokenizer.all_special_ids)
        plain = tokenizer("a", add_special_tokens=False).input_ids
        framed = tokenizer("a").input_ids
        at = next((i for i in range(len(framed)) if framed[i : i + len(plain)] == plain), 0)
        self._prefix, self._suffix = framed[:at], framed[at + len(plain) :]
        self.room = context - len(self._prefix) - len(self._suffix)
        whole = processor(
            text=[_SAMPLE], padding="max_length", truncation=True, max_length=context, return_tensors="pt"
        )
        theirs = whole["input_ids"][0].tolist()
        self._pad = tokenizer.pad_token_id
        self._pad_left = tokenizer.padding_side == "left"
        if "attention_mask" in whole:
            mask = whole["attention_mask"][0].tolist()
            theirs = [token if seen else _UNSEEN for token, seen in zip(theirs, mask, strict=True)]
            self._pad = _UNSEEN
        # Rows made here must equal those of the model's own processor.
        fits = len(self._bare(_SAMPLE)) <= self.room
        if self.room < 1 or (fits and self.rows(_SAMPLE) != [theirs]):
            raise InputError(f"{name}: its tokenizer ({type(tokenizer).__name__}) is not understood")

    def rows(self, text: str) -> list[list[int]]:
        """Returns one row of `context` token ids for each window, with special tokens and padding."""
        ids = self._bare(text)
        return [self._row(ids[at : at + self.room]) for at in starts(len(ids), self.room)]

    def _bare(self, text: str) -> list[int]:
        """A text's tokens without special ones: one spelled out in the text would end it for the encoder."""
        ids = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        return [i for i in ids if i not in self._special or i == self._tokenizer.unk_token_id]

    def _row(self, ids: list[int]) -> list[int]:
        row = [*self._prefix, *ids, *self._suffix]
        padding = [self._pad] * (self.context - len(row))
        return [*padding, *row] if self._pad_left else [*row, *padding]


# -- pictures ------------------------------------------------------------------------------------------------


def _prepare(processor: Any) -> Any:
    """Turns an RGB picture into one tensor: its pixels, and behind patches of SigLIP 2 (which keeps the
    aspect ratio) a row with their shape."""

    def prepare(image: Picture) -> torch.Tensor:
        import torch

        found = processor(images=image, return_tensors="pt")
        pixels: torch.Tensor = found["pixel_values"][0].float()
        if "spatial_shapes" not in found:
            return pixels
        shape = torch.zeros(1, pixels.shape[1])
        shape[0, :2] = found["spatial_shapes"][0]
        return torch.cat([pixels, shape])

    return prepare


class Towers:
    """A model of transformers with the functions of a model of open_clip."""

    def __init__(self, model: Any, pad: int, dtype: torch.dtype) -> None:
        self._model, self._pad, self._dtype = model, pad, dtype

    def encode_text(self, rows: torch.Tensor) -> torch.Tensor:
        unseen = rows == _UNSEEN
        masked = {"attention_mask": (~unseen).long()} if unseen.any() else {}
        return _vectors(self._model.get_text_features(rows.masked_fill(unseen, self._pad), **masked))

    def encode_image(self, pictures: torch.Tensor) -> torch.Tensor:
        import torch

        if pictures.ndim != 3:
            return _vectors(self._model.get_image_features(pictures.to(self._dtype)))
        patches, shapes = pictures[:, :-1], pictures[:, -1, :2].long()
        counts = shapes.prod(dim=1, keepdim=True)
        mask = (torch.arange(patches.shape[1], device=patches.device).unsqueeze(0) < counts).long()
        return _vectors(
            self._model.get_image_features(
                patches.to(self._dtype), pixel_attention_mask=mask, spatial_shapes=shapes
            )
        )


def _vectors(found: Any) -> torch.Tensor:
    """The features themselves; newer releases of transformers return them as `pooler_output`."""
    vectors: torch.Tensor = getattr(found, "pooler_output", found)
    return vectors
