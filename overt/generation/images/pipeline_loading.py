"""Loads diffusers pipelines: from a folder or the Hub, from a single file, with a LoRA, with a transformer
from a file of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from overt.data.errors import InputError
from overt.data.hub import is_cached, need_hub
from overt.data.local.devices import quiet_imports, quiet_loading
from overt.data.local.folders import damaged_weights, read_json
from overt.data.local.pretrained import speaking_loader
from overt.data.local.whole import check_adapters
from overt.generation.images.pipeline_kinds import check_class, check_draws, check_edits
from overt.generation.images.pipeline_mended import supply_moved_parts
from overt.generation.images.pipelines import Pipeline

SINGLE_FILES = (".safetensors",)
Task = Literal["draw", "edit"]
_BY_TASK: dict[Task, str] = {"draw": "AutoPipelineForText2Image", "edit": "AutoPipelineForImage2Image"}
_WEIGHTS = (".safetensors", ".gguf")
_DENOISERS = ("transformer", "unet")
_LACKING = re.compile(r"^(\w+) = (\w+)\.from_pretrained", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a pipeline is made of.

    source: a Hub id, a folder, or a single file with all weights (*.safetensors).
    options: of the libraries' `from_pretrained`; None: not given.
    config: of a single file: a folder (or a Hub id) as save_pretrained() leaves it, whose weights need not be
        there; None: the Hub's configuration for this kind of file.
    transformer: a file (*.safetensors, *.gguf) with the weights of the model that draws.
    lora: a file or folder with a LoRA. lora_scale: its weight.
    """

    source: str
    options: Mapping[str, object]
    config: str | None = None
    transformer: str | None = None
    lora: str | None = None
    lora_scale: float | None = None


class _Loader(Protocol):
    def from_pretrained(self, source: str, /, **options: object) -> Pipeline: ...


def check_recipe(recipe: Recipe, name: str) -> None:
    """Checks what can be known before anything is loaded.

    Raises:
        InputError: a file is missing or of another kind, an option that belongs to another one.
    """
    if recipe.lora_scale is not None and recipe.lora is None:
        raise InputError(f"{name}: lora_scale is the weight of a LoRA", fix="Name it: lora=FILE_OR_FOLDER.")
    if recipe.config is not None and not _is_file(recipe.source):
        raise InputError(f"{name}: config is for a single file; a folder has its own", fix="Leave it out.")
    if recipe.options.get("revision") is not None and Path(recipe.source).exists():
        raise InputError(f"{name}: revision is for the Hub; what lies here has none", fix="Leave it out.")
    if recipe.lora is not None:
        _check_lora_file(recipe.lora, name)
    if recipe.transformer is not None:
        path = Path(recipe.transformer).expanduser()
        if not path.is_file() or path.suffix not in _WEIGHTS:
            raise InputError(
                f"{name}: transformer={recipe.transformer} is no file of weights",
                fix=f"Give a file that ends in {' or '.join(_WEIGHTS)}.",
            )
        if _is_file(recipe.source):
            raise InputError(
                f"{name}: a single file has its own transformer",
                fix="Name the folder of the pipeline instead.",
            )


def _check_lora_file(lora: str, name: str) -> None:
    path = Path(lora).expanduser()
    if not path.exists() and lora.count("/") != 1:
        raise InputError(f"{name}: there is no LoRA {lora!r}", fix="Look at the path.")
    if path.is_file() and path.suffix != ".safetensors":  # diffusers would read a pickle
        raise InputError(
            f"{name}: the LoRA {path.name} is no file of safetensors",
            fix="Weights are loaded as *.safetensors only: another file can run code when it is read.",
        )
    if path.is_file() and (said := damaged_weights(path)):
        raise InputError(f"{name}: the LoRA {path.name} {said}", fix="Copy the file again.")


def load_pipeline(recipe: Recipe, name: str, task: Task = "draw") -> Pipeline:
    """Loads a pipeline for text to image (or for editing pictures), whatever task it was saved for, if
    diffusers knows one.

    Raises:
        InputError: the pipeline cannot be loaded, a part of it lacks weights, or it draws no pictures from
            text.
    """
    import diffusers

    if "DIFFUSERS_VERBOSITY" not in os.environ:
        # It would print the cut part of each long prompt and a line for each flagged picture.
        diffusers.utils.logging.set_verbosity_error()
    if Path(recipe.source).is_dir():
        with quiet_imports():  # diffusers imports a class when it is looked at
            check_class(_index(recipe.source).get("_class_name"), name)
    with quiet_loading(), speaking_loader(name, recipe.source):
        load = _from_file if _is_file(recipe.source) else _from_folder
        while True:  # once for each part that is put back
            try:
                pipeline = load(recipe, name, task)
                break
            except Exception as error:
                if not supply_moved_parts(str(error)):
                    raise
    check_draws(pipeline, name) if task == "draw" else check_edits(pipeline, name)
    if recipe.lora is not None:
        _add_lora(pipeline, recipe, name)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _from_folder(recipe: Recipe, name: str, task: Task) -> Pipeline:
    import diffusers

    by_task: _Loader = getattr(diffusers, _BY_TASK[task])
    as_saved: _Loader = diffusers.DiffusionPipeline
    given = {key: value for key, value in recipe.options.items() if value is not None}
    options: dict[str, object] = {"use_safetensors": True, **_left_out(recipe), **given}
    options |= _denoiser(recipe, name)
    try:
        return by_task.from_pretrained(recipe.source, **options)
    except (ValueError, AttributeError, KeyError):  # diffusers knows no such task for this class
        return as_saved.from_pretrained(recipe.source, **options)


def _left_out(recipe: Recipe) -> dict[str, object]:
    """The parts that a folder says its pipeline has none of, such as Stable Diffusion 3 without its T5:
    diffusers takes that for a damaged folder unless it is told again, part by part."""
    index = _index(recipe.source) if Path(recipe.source).expanduser().is_dir() else {}
    return {part: None for part, kind in index.items() if kind == [None, None]}


def _is_file(source: str) -> bool:
    return Path(source).expanduser().is_file()


def _index(folder: str) -> dict[str, Any]:
    """The model_index.json of a folder or of the Hub; empty if there is none."""
    path = Path(folder).expanduser() / "model_index.json"
    try:
        if not Path(folder).expanduser().is_dir():
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(folder, "model_index.json"))
    except Exception:  # loading has the better message
        return {}
    return read_json(path)


# -- a transformer of its own --------------------------------------------------------------------------------


def _denoiser(recipe: Recipe, name: str) -> dict[str, object]:
    """The model that draws, loaded from a file of its own; empty if none is named."""
    if recipe.transformer is None:
        return {}
    import diffusers

    index = _index(recipe.source)
    part = next((part for part in _DENOISERS if part in index), "")
    kind: Any = getattr(diffusers, str((index.get(part) or [None, ""])[1]), None)
    if not hasattr(kind, "from_single_file"):
        raise InputError(
            f"{name}: the model that draws in this pipeline cannot be loaded from a single file",
            fix="Name a folder that holds it, and leave transformer= out.",
        )
    path = str(Path(recipe.transformer).expanduser())
    options: dict[str, object] = {"dtype": recipe.options["dtype"]}
    if path.endswith(".gguf"):
        quantization: Any = diffusers.GGUFQuantizationConfig
        options["quantization_config"] = quantization(compute_dtype=recipe.options["dtype"])
    model = kind.from_single_file(path, config=recipe.source, subfolder=part, **options)
    return {part: model}


# -- single files --------------------------------------------------------------------------------------------


def _from_file(recipe: Recipe, name: str, task: Task) -> Pipeline:
    """A pipeline from one file, its safety checker from the folder of the configuration if it lies there."""
    import diffusers

    if task != "draw":
        raise InputError(
            f"{name}: a single file holds no pipeline that edits pictures",
            fix="Name the folder of one, as save_pretrained() leaves it.",
        )

    path = str(Path(recipe.source).expanduser())
    config = recipe.config or _known_config(path, name)
    index = _index(config)
    kind: Any = getattr(diffusers, str(index.get("_class_name")), None)
    if not hasattr(kind, "from_single_file"):
        said = index.get("_class_name") or "a folder without model_index.json"
        raise InputError(
            f"{name}: {said} cannot be loaded from a single file",
            fix="Give config= the folder of a pipeline of this file's kind, or name the folder itself.",
        )
    check_class(index.get("_class_name"), name)
    parts = {}
    for part in ("safety_checker", "feature_extractor"):
        if (Path(config).expanduser() / part).is_dir() and (index.get(part) or [None])[0]:
            parts[part] = _part(config, part, index, recipe)
    for _ in index:  # parts that are not in the file, one at each try
        try:
            pipeline: Pipeline = kind.from_single_file(
                path, config=str(Path(config).expanduser()), dtype=recipe.options["dtype"], **parts
            )
            return pipeline
        except Exception as error:
            lacking = _LACKING.search(str(error))
            if (
                lacking is None
                or lacking[1] in parts
                or not (Path(config).expanduser() / lacking[1]).is_dir()
            ):
                raise
            parts[lacking[1]] = _part(config, lacking[1], index, recipe)
    raise InputError(f"{name}: parts of the pipeline are neither in the file nor in {config}")


def _part(config: str, part: str, index: Mapping[str, Any], recipe: Recipe) -> object:
    import diffusers
    import transformers
    from diffusers.pipelines import stable_diffusion

    kind = next(
        found
        for place in (transformers, diffusers, stable_diffusion.safety_checker)
        if (found := getattr(place, str(index[part][1]), None)) is not None
    )
    options = {"use_safetensors": True, "dtype": recipe.options["dtype"]} if _has_weights(kind) else {}
    return kind.from_pretrained(str(Path(config).expanduser() / part), **options)


def _has_weights(kind: object) -> bool:
    """Whether a class is a `torch.nn.Module`: those have weights."""
    import torch

    return isinstance(kind, type) and issubclass(kind, torch.nn.Module)


def _known_config(path: str, name: str) -> str:
    """The Hub's configuration for the kind of a single file, as diffusers tells it by the weights' names.

    Raises:
        InputError: it is not in the Hub's cache, and the Hub does not answer.
    """
    from diffusers.loaders import single_file_utils

    read: Any = single_file_utils
    weights = read.load_single_file_checkpoint(path)
    repo = str(read.fetch_diffusers_config(weights)["pretrained_model_name_or_path"])
    if not is_cached(repo):
        need_hub(
            f"{name}: a single file holds weights alone; the configuration of {repo} is not in the Hub's "
            "cache",
            fix="Give a folder of a pipeline of the same kind, whose weights need not be there: "
            "config=FOLDER (model_index.json and each part's config.json, tokenizer and scheduler).",
        )
    return repo


# -- LoRA ----------------------------------------------------------------------------------------------------


def _add_lora(pipeline: Any, recipe: Recipe, name: str) -> None:
    """Adds a LoRA with its weight.

    Raises:
        InputError: the pipeline takes none, or it cannot be loaded, or none of its weights fits.
    """
    assert recipe.lora is not None
    if not hasattr(pipeline, "load_lora_weights"):
        raise InputError(f"{name}: {type(pipeline).__name__} takes no LoRA", fix="Leave lora= out.")
    path = Path(recipe.lora).expanduser()
    source, options = (str(path.parent), {"weight_name": path.name}) if path.is_file() else (recipe.lora, {})
    with quiet_loading(), speaking_loader(name, str(path)), _names_read(pipeline) as names:
        pipeline.load_lora_weights(source, adapter_name="lora", use_safetensors=True, **options)
    check_adapters(name, pipeline, names)
    if recipe.lora_scale is not None:
        pipeline.set_adapters(["lora"], [recipe.lora_scale])


@contextmanager
def _names_read(pipeline: Any) -> Iterator[set[str]]:
    """Collects the names of a LoRA's weights, as diffusers converts them, while it loads."""
    names: set[str] = set()
    read = getattr(pipeline, "lora_state_dict", None)
    if read is None:
        yield names
        return

    def reading(*args: Any, **options: Any) -> Any:
        found = read(*args, **options)
        names.update(found[0] if isinstance(found, tuple) else found)
        return found

    pipeline.lora_state_dict = reading
    try:
        yield names
    finally:
        del pipeline.lora_state_dict
