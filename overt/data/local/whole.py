"""Sees to it that a model has all its weights: what a checkpoint lacks, libraries fill with random numbers.

transformers and diffusers report what was missing or left over only where they are asked, and a pipeline's
parts load out of reach. So their loaders are wrapped once; inside of `whole_weights` each of them is asked. A
tokenizer without its vocabulary loads as well (transformers 5 makes one that knows no word), and is told.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.local.gaps import Gaps, gaps_of, without_quantization


@dataclass(slots=True)
class _Watch:
    """What is found while models load. elsewhere: names of weights that an adapter brings."""

    elsewhere: Collection[str]
    gaps: list[Gaps] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


_watch: ContextVar[_Watch | None] = ContextVar("loading", default=None)


@contextmanager
def whole_weights(name: str, elsewhere: Collection[str] = ()) -> Iterator[None]:
    """Checks every model and tokenizer of transformers and diffusers that loads inside.

    Args:
        name: the model as the user wrote it.
        elsewhere: names of weights that something else brings, such as an adapter with its own head.

    Raises:
        InputError: weights are missing, left over, of another shape or not finite, or a tokenizer has no
            vocabulary; it lists them. It comes instead of any later error, which these would cause.
    """
    _wrap_loaders()
    watch = _Watch(elsewhere)
    token = _watch.set(watch)
    try:
        yield
    except Exception as error:
        _check(name, watch, error)
        raise
    finally:
        _watch.reset(token)
    _check(name, watch, None)


def check_report(name: str, kind: str, report: Mapping[str, Any]) -> None:
    """Checks the loading report of something that is loaded by itself, such as an adapter.

    Raises:
        InputError: as `whole_weights`.
    """
    _check(name, _Watch((), [gaps_of(kind, report)]), None)


def check_adapters(name: str, pipeline: Any, weights: Collection[str] = ()) -> None:
    """Checks that a LoRA reached a pipeline of diffusers, which only warns if no name of a weight fits, and
    passes over what is for a part that it does not look for.

    Args:
        weights: the names of the LoRA's weights, which begin with a part of the pipeline.

    Raises:
        InputError: it did not, or not as a whole.
    """
    reached = pipeline.get_list_adapters()
    if not reached:
        raise InputError(
            f"{name}: the LoRA has no weight for any part of this pipeline, so it would change nothing",
            fix="Is it for another kind of model? Names begin with the part, such as unet. or transformer.",
        )
    left = sorted({weight.split(".")[0] for weight in weights} - set(reached))
    if left:
        raise InputError(
            f"{name}: the LoRA reaches {', '.join(sorted(reached))} of this pipeline and nothing else, "
            f"but also has weights for {', '.join(left)}",
            fix="Is it for another kind of model?",
        )


def check_finite(name: str, model: Any) -> None:
    """Checks the weights of a `torch.nn.Module` that is loaded by itself.

    Raises:
        InputError: some hold NaN or infinity.
    """
    _check(name, _Watch((), [Gaps(type(model).__name__, not_finite=_not_finite(model))]), None)


def check_numbers(name: str, model: Any, file: Path) -> None:
    """Checks that the file of a model that is loaded by itself holds no integers for its weights.

    Raises:
        InputError: it does.
    """
    from safetensors import safe_open

    with safe_open(file, framework="pt") as weights:
        slices = {key: weights.get_slice(key) for key in weights.keys()}  # noqa: SIM118
        _check(
            name, _Watch((), [Gaps(type(model).__name__, whole_numbers=_whole_numbers(model, slices))]), None
        )


def _check(name: str, watch: _Watch, cause: Exception | None) -> None:
    for gaps in watch.gaps:
        if said := gaps.said():
            raise InputError(
                f"{name} is not whole. Weights of its {gaps.kind} {said}", fix=gaps.fix()
            ) from cause
    for said in watch.others:
        raise InputError(
            f"{name} is not whole. {said}", fix="Copy the model's files again, all of them."
        ) from cause


# -- the libraries' loaders ----------------------------------------------------------------------------------


def _wrap_loaders() -> None:
    if transformers := sys.modules.get("transformers"):
        _wrap(transformers.PreTrainedModel, "from_pretrained", _asking)
        # An adapter's report replaces its model's; here the model's own passes by, in transformers 5.
        _wrap(transformers.PreTrainedModel, "_finalize_model_loading", _overhearing)
        # It casts integers to floating-point numbers without a word.
        inner = sys.modules.get("transformers.modeling_utils")
        _wrap(inner, "convert_and_load_state_dict_in_model", _reading_numbers)
        _wrap(transformers.PreTrainedTokenizerBase, "from_pretrained", _reading)
    if diffusers := sys.modules.get("diffusers"):
        drawing = functools.partial(_asking, looks_at_numbers=False)
        _wrap(diffusers.ModelMixin, "from_pretrained", drawing)
    # Single files and LoRAs have no report; these modules exist once diffusers has imported them.
    for module in ("single_file_model", "single_file_utils"):
        _wrap(sys.modules.get(f"diffusers.loaders.{module}"), "load_model_dict_into_meta", _filling)
    _wrap(sys.modules.get("diffusers.loaders.peft"), "_maybe_warn_for_unhandled_keys", _warning)


def _wrap(place: Any, name: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces a method of a class or a function of a module, once. Other releases may lack it."""
    kept = getattr(place, "__dict__", {}).get(name)
    function = getattr(kept, "__func__", kept)
    if function is None or hasattr(function, "is_watched"):
        return
    wrapped = by(function)
    wrapped.is_watched = True  # type: ignore[attr-defined]
    kind: Any = type(kept)  # classmethod or staticmethod, if it is no plain function
    setattr(place, name, wrapped if function is kept else kind(wrapped))


def _asking(load: Callable[..., Any], looks_at_numbers: bool = True) -> Callable[..., Any]:
    """A `from_pretrained` that also asks for the loading report, if somebody listens.

    looks_at_numbers: whether NaN counts. What draws tells it picture by picture (`safety.not_finite`).
    """

    @functools.wraps(load)
    def asking(cls: type, *args: Any, **options: Any) -> Any:
        watch = _watch.get()
        if watch is None:
            return load(cls, *args, **options)
        wants_report = options.pop("output_loading_info", False)
        model, report = load(cls, *args, output_loading_info=True, **options)
        gaps = _gaps(model, report, watch)
        empty = _empty(model, is_spread=options.get("device_map") is not None)
        not_finite = _not_finite(model) if looks_at_numbers else ()
        watch.gaps.append(replace(gaps, not_finite=not_finite, missing=gaps.missing or empty))
        return (model, report) if wants_report else model

    return asking


def _overhearing(finalize: Callable[..., Any]) -> Callable[..., Any]:
    """transformers' last step of loading weights; it raises for other shapes without naming them."""

    @functools.wraps(finalize)
    def overhearing(model: Any, load_config: Any, loading_info: Any, *args: Any, **options: Any) -> Any:
        try:
            return finalize(model, load_config, loading_info, *args, **options)
        finally:
            if (watch := _watch.get()) is not None:
                watch.gaps.append(_gaps(model, loading_info.to_dict(), watch))

    return overhearing


def _reading_numbers(convert: Callable[..., Any]) -> Callable[..., Any]:
    """The step of transformers that reads a file's weights into a model, in the model's dtype."""

    @functools.wraps(convert)
    def reading_numbers(
        model: Any, state_dict: Mapping[str, Any], load_config: Any, *args: Any, **options: Any
    ) -> Any:
        watch = _watch.get()
        if watch is not None and not getattr(load_config, "hf_quantizer", None):
            watch.gaps.append(Gaps(type(model).__name__, whole_numbers=_whole_numbers(model, state_dict)))
        return convert(model, state_dict, load_config, *args, **options)

    return reading_numbers


def _filling(fill: Callable[..., Any]) -> Callable[..., Any]:
    """The step of diffusers that fills a part with weights of a single file, by their converted names."""

    @functools.wraps(fill)
    def filling(model: Any, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        done = fill(model, state_dict, *args, **options)
        if (watch := _watch.get()) is not None:
            known, given = set(model.state_dict()), set(state_dict)
            unread = [
                re.compile(names) for names in getattr(model, "_keys_to_ignore_on_load_unexpected", ()) or ()
            ]
            left = [name for name in given - known if not any(names.search(name) for names in unread)]
            watch.gaps.append(_gaps(model, {"missing_keys": known - given, "unexpected_keys": left}, watch))
        return done

    return filling


def _warning(warn: Callable[..., Any]) -> Callable[..., Any]:
    """The step of diffusers that only warns where a LoRA and the model do not share their weights."""

    @functools.wraps(warn)
    def warning(incompatible: Any, adapter_name: str, *args: Any, **options: Any) -> Any:
        watch = _watch.get()
        if watch is not None and incompatible is not None:
            missing = [name for name in incompatible.missing_keys if f".{adapter_name}." in f"{name}."]
            report = {"missing_keys": missing, "unexpected_keys": incompatible.unexpected_keys}
            watch.gaps.append(gaps_of("LoRA", report))
        return warn(incompatible, adapter_name, *args, **options)

    return warning


def _reading(load: Callable[..., Any]) -> Callable[..., Any]:
    """A tokenizer's `from_pretrained` that looks for the vocabulary's file."""

    @functools.wraps(load)
    def reading(cls: type, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        tokenizer = load(cls, pretrained_model_name_or_path, *args, **options)
        watch = _watch.get()
        if watch is not None and not options.get("gguf_file"):
            folder = Path(pretrained_model_name_or_path, options.get("subfolder") or "")
            if folder.is_dir() and (said := _lacks_vocabulary(tokenizer, folder)):
                watch.others.append(said)
        return tokenizer

    return reading


# -- what they left ------------------------------------------------------------------------------------------


def _gaps(model: Any, report: Mapping[str, Any], watch: _Watch) -> Gaps:
    buffers = {name for name, _ in model.named_buffers()}
    gaps = gaps_of(type(model).__name__, report, buffers=buffers, elsewhere=watch.elsewhere)
    quantized = getattr(model, "hf_quantizer", None) or getattr(model.config, "quantization_config", None)
    return without_quantization(gaps) if quantized else gaps


def _not_finite(model: Any) -> tuple[str, ...]:
    """The names of floating-point weights with NaN or infinity, and of buffers with NaN."""
    import torch

    plain = (torch.Tensor, torch.nn.Parameter)  # a quantized weight is of a class of its own
    found = []
    for is_parameter, tensors in ((True, model.named_parameters()), (False, model.named_buffers())):
        for name, tensor in tensors:
            if (
                type(tensor) not in plain
                or tensor.is_meta
                or not tensor.numel()
                or not tensor.dtype.is_floating_point
                or tensor.dtype.itemsize < 2
            ):
                continue
            low, high = torch.aminmax(tensor.detach())  # one pass, no copy; NaN wins
            if bool(low.isnan()) or (is_parameter and bool(low.isinf() | high.isinf())):
                found.append(name)
    return tuple(found)


def _whole_numbers(model: Any, state_dict: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a file's integers where the model has floating-point weights. Names may be the file's own,
    of an older release, but a weight that is called so is never an integer by design."""
    floating = {name for name, tensor in model.named_parameters() if tensor.dtype.is_floating_point}
    found = []
    for name, tensor in state_dict.items():
        kind = tensor.get_dtype() if hasattr(tensor, "get_dtype") else str(getattr(tensor, "dtype", ""))
        if re.fullmatch(r"[IU]\d+|BOOL|torch\.(u?int\d+|bool)", kind) and (
            name in floating or name.endswith(".weight")
        ):
            found.append(name)
    return tuple(sorted(found))


def _empty(model: Any, is_spread: bool) -> tuple[str, ...]:
    """The names of weights without values, which an index names and no file holds."""
    if is_spread:  # some wait on the disk
        return ()
    return tuple(name for name, tensor in model.named_parameters() if tensor.is_meta)


_VOCABULARIES = (
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "vocab.*",
    "*vocab*.json",
    "*.spm",
    "tokenizer.*.json",
)


def _lacks_vocabulary(tokenizer: Any, folder: Path) -> str:
    """Says what a tokenizer's folder lacks; "" if it is whole or the tokenizer needs no file."""
    files = dict(getattr(tokenizer, "vocab_files_names", {}))
    if not files or (folder / "tokenizer.json").is_file():
        return ""
    kind = type(tokenizer).__name__
    if not any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        return f"Its {kind} would know no words: {' or '.join(files.values())} is missing"
    merges = files.get("merges_file")
    if merges and (folder / files.get("vocab_file", "")).is_file() and not (folder / merges).is_file():
        return f"Its {kind} would read letter by letter: {merges} is missing"
    return ""
