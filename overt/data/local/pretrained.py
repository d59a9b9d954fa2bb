"""Loads models of transformers. Heavy packages are imported inside the functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.hub import is_hub_id, quiet_hub
from overt.data.local.advice import loading_advice
from overt.data.local.devices import one_line, pick_device, pick_dtype, quiet_loading, source_of
from overt.data.local.folders import is_original, read_json, what_lies_there
from overt.data.local.unfinished import finish_constructors
from overt.data.local.whole import check_report, whole_weights

_ADAPTER = "adapter_model.safetensors"


@contextmanager
def speaking_loader(
    name: str, source: str, more: str = "", elsewhere: Collection[str] = ()
) -> Iterator[None]:
    """Turns any exception while a model loads into an `InputError` with a hint, and refuses a model that is
    not whole.

    Args:
        name: the model as the user wrote it.
        source: its Hub id or folder.
        more: a further hint.
        elsewhere: names of weights that something else brings, such as an adapter with its own head.
    """
    finish_constructors()
    try:
        with whole_weights(name, elsewhere):
            yield
    except InputError:
        raise
    except Exception as error:  # libraries raise many types on a broken model
        advice = loading_advice(source, error)
        raise InputError(
            f"{name} cannot be loaded: {one_line(error)}", fix=f"{advice} {more}".strip()
        ) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the parts of a text model lie. adapter: a folder, or "". gguf: a file in `model`, or ""."""

    model: str
    tokenizer: str
    adapter: str = ""
    gguf: str = ""

    @property
    def shown(self) -> str:
        return str(Path(self.model) / self.gguf) if self.gguf else self.model

    def options(self) -> dict[str, object]:
        return {"gguf_file": self.gguf} if self.gguf else {}


def load_text_model(
    name: str,
    model: str,
    model_class: str | Callable[[str], str],
    *,
    device: str | None,
    dtype: str | None,
    trust_remote_code: bool,
    check: Callable[[Any, str], None] | None = None,
    **tokenizer_options: object,
) -> tuple[Any, Any]:
    """Loads a tokenizer and a model in evaluation mode, from safetensors or GGUF only.

    Args:
        name: the filter or chat model, for messages.
        model: a Hub id, a folder, or a file that ends in .gguf (of a folder, or ORG/REPO/FILE.gguf of the
            Hub). A folder may hold an adapter (PEFT): its model is loaded from where adapter_config.json
            says, or from the folder itself if it lies there, and the adapter is put on it, not merged.
        model_class: a class of `transformers`, such as "AutoModelForSequenceClassification"; or what gives it
            for the model's Hub id or folder.
        device: "cuda", "cuda:1", "mps", "cpu"; "auto" for all devices (needs accelerate); None for the best.
        dtype: a torch dtype's name; None for bfloat16 on cuda, float32 elsewhere.
        trust_remote_code: run the code in the repo. Only if the user asked for it.
        check: called with the tokenizer and the model's Hub id or folder before the weights are loaded, which
            takes long.

    Raises:
        InputError: the device or dtype does not exist, or the model cannot be loaded or is not whole.
        ModuleNotFoundError: a package that it needs is not installed (the registry reports it).
    """
    place = _place(name, model)
    where = pick_device(device, name)
    kind = pick_dtype(dtype, where, name)
    import transformers  # after torch: otherwise transformers would hide its models for the whole process

    with quiet_loading(), speaking_loader(name, place.shown, elsewhere=_weights_of(place.adapter)):
        spread = _spread(place, where)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            place.tokenizer, trust_remote_code=trust_remote_code, **place.options(), **tokenizer_options
        )
        if check is not None:
            check(tokenizer, place.model)
        chosen = model_class if isinstance(model_class, str) else model_class(place.model)
        loaded: Any = getattr(transformers, chosen).from_pretrained(
            place.model,
            dtype=kind,
            trust_remote_code=trust_remote_code,
            **({} if place.gguf else {"use_safetensors": True}),
            **place.options(),
            **spread,
        )
        if place.adapter:
            _put_on(name, loaded, place.adapter)
        loaded = (loaded if spread else loaded.to(where)).eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    # A classifier reads its last token that is no padding: what its config says of it stays.
    if loaded.can_generate() and getattr(loaded.config, "pad_token_id", None) is None:
        loaded.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, loaded


def _spread(place: _Place, where: str) -> dict[str, object]:
    """Options that put a model onto devices while it loads: quantized ones cannot be moved later."""
    if where == "auto":
        return {"device_map": "auto"}
    if place.gguf:
        return {}
    import transformers

    config, _ = transformers.PretrainedConfig.get_config_dict(place.model)
    return {"device_map": {"": where}} if config.get("quantization_config") else {}


# -- files and adapters --------------------------------------------------------------------------------------


def _place(name: str, model: str) -> _Place:
    """Finds the parts of a text model.

    Raises:
        InputError: a part is missing, or the folder holds a form that is not loaded.
        ModuleNotFoundError: a package that this form needs is not installed.
    """
    repo, _, file = _split_gguf(model)
    if file:
        source = source_of(repo, name, "torch", "transformers", "accelerate", "gguf")
        return _Place(source, source, gguf=file)
    source = source_of(model, name, "torch", "transformers", files=(".gguf",))
    path = Path(source)
    if not path.is_dir():
        return _hub_place(name, source)
    if is_original(path):
        raise InputError(f"{name} cannot be loaded: it has no config.json", fix=what_lies_there(path))
    files = sorted(path.glob("*.gguf"))
    if files and not any(path.glob("*.safetensors")):
        if len(files) > 1:
            raise InputError(
                f"{name} cannot be loaded: the folder holds {len(files)} GGUF files",
                fix=f"Name one, FOLDER/FILE.gguf: {', '.join(file.name for file in files[:6])}.",
            )
        return _place(name, str(files[0]))
    if (path / "adapter_config.json").is_file():
        return _adapted(name, source, path)
    return _Place(source, source)


def _split_gguf(model: str) -> tuple[str, str, str]:
    """(folder or repo, "/", GGUF file), the last two empty if the model is no GGUF file."""
    path = Path(model).expanduser()
    if path.suffix.lower() != ".gguf":
        return model, "", ""
    if path.is_file():
        return str(path.parent), "/", path.name
    owner, _, rest = model.partition("/")
    repo, _, file = rest.partition("/")
    return (f"{owner}/{repo}", "/", file) if file and is_hub_id(f"{owner}/{repo}") else (model, "", "")


def _hub_place(name: str, source: str) -> _Place:
    """The parts of a model of the Hub, which may be an adapter."""
    from huggingface_hub import hf_hub_download, snapshot_download

    with quiet_hub():
        try:
            hf_hub_download(source, "adapter_config.json")
        except Exception:  # no adapter; if the repo cannot be read at all, its loader says why
            return _Place(source, source)
    with speaking_loader(name, source):
        folder = snapshot_download(source, allow_patterns=["*.json", "*.jinja", "*.model", "*.txt", _ADAPTER])
    return _adapted(name, folder, Path(folder))


def _adapted(name: str, source: str, folder: Path) -> _Place:
    source_of(source, name, "peft")
    if not (folder / _ADAPTER).is_file():
        raise InputError(f"{name} cannot be loaded: {_ADAPTER} is missing", fix=what_lies_there(folder))
    if (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        return _Place(source, source, source)
    base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{name} is an adapter, and its adapter_config.json names no model",
            fix="Write the model's folder or Hub id there, as base_model_name_or_path.",
        )
    beside = folder / base
    base = str(beside) if not Path(base).is_dir() and beside.is_dir() else base
    try:
        found = source_of(base, name, "torch", "transformers")
    except InputError as error:
        raise InputError(
            f"{name} is an adapter for {base!r}, which cannot be had: {error.what}",
            fix="Write the place of that model into adapter_config.json, as base_model_name_or_path.",
        ) from error
    has_tokenizer = any(any(folder.glob(p)) for p in ("tokenizer.json", "*.model", "vocab.*"))
    return _Place(found, source if has_tokenizer else found, source)


def _weights_of(adapter: str) -> frozenset[str]:
    """The names of a model's weights that an adapter brings whole, such as a head."""
    if not adapter:
        return frozenset()
    from safetensors import safe_open

    with safe_open(Path(adapter) / _ADAPTER, framework="pt") as file:
        return frozenset(name.removeprefix("base_model.model.") for name in file.keys())  # noqa: SIM118


def _put_on(name: str, model: Any, adapter: str) -> None:
    if getattr(model, "_hf_peft_config_loaded", False):  # it lay beside the model: transformers has read it
        return
    report = model.load_adapter(adapter, ignore_mismatched_sizes=True)
    if report is not None:
        check_report(name, "adapter", report.to_dict())


# -- tokens --------------------------------------------------------------------------------------------------


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """All tokens that end an answer, since those of the model and the tokenizer may differ."""
    tokens: set[int] = set()
    for ends in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        tokens |= set(ends) if isinstance(ends, (list, tuple)) else {ends} if ends is not None else set()
    return tokens


def control_tokens(tokenizer: Any) -> list[str]:
    """The texts of a tokenizer's control tokens with more than two characters, the longest first."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    tokens = {str(t) for t in tokenizer.all_special_tokens} | {t.content for t in added.values() if t.special}
    return sorted((token for token in tokens if len(token) > 2), key=len, reverse=True)
