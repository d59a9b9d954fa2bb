"""Loads models of transformers. Heavy packages are imported inside the functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from overt.data.errors import InputError
from overt.data.local.devices import loading_advice, one_line, pick_device, pick_dtype, source_of
from overt.data.local.unfinished import finish_constructors
from overt.data.local.whole import whole_weights


@contextmanager
def speaking_loader(name: str, source: str, more: str = "") -> Iterator[None]:
    """Turns any exception while a model loads into an `InputError` with a hint, and refuses a model that is
    not whole.

    Args:
        name: the model as the user wrote it.
        source: its Hub id or folder.
        more: a further hint.
    """
    finish_constructors()
    try:
        with whole_weights(name):
            yield
    except InputError:
        raise
    except Exception as error:  # libraries raise many types on a broken model
        advice = loading_advice(source, error)
        raise InputError(
            f"{name} cannot be loaded: {one_line(error)}", fix=f"{advice} {more}".strip()
        ) from error


def load_text_model(
    name: str,
    model: str,
    model_class: str,
    *,
    device: str | None,
    dtype: str | None,
    trust_remote_code: bool,
    **tokenizer_options: object,
) -> tuple[Any, Any]:
    """Loads a tokenizer and a model in evaluation mode, from safetensors only.

    Args:
        name: the filter or chat model, for messages.
        model: a Hub id or a local folder.
        model_class: a class of `transformers`, such as "AutoModelForSequenceClassification".
        device: "cuda", "cuda:1", "mps", "cpu"; "auto" for all devices (needs accelerate); None for the best.
        dtype: a torch dtype's name; None for bfloat16 on cuda, float32 elsewhere.
        trust_remote_code: run the code in the repo. Only if the user asked for it.

    Raises:
        InputError: the device or dtype does not exist, or the model cannot be loaded.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """
    source = source_of(model, name, "torch", "transformers")
    where = pick_device(device, name)
    kind = pick_dtype(dtype, where, name)
    import transformers  # after torch: otherwise transformers would hide its models for the whole process

    spread = {"device_map": "auto"} if where == "auto" else {}
    with speaking_loader(name, source):
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            source, trust_remote_code=trust_remote_code, **tokenizer_options
        )
        loaded: Any = getattr(transformers, model_class).from_pretrained(
            source, dtype=kind, use_safetensors=True, trust_remote_code=trust_remote_code, **spread
        )
        loaded = (loaded if spread else loaded.to(where)).eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if getattr(loaded.config, "pad_token_id", None) is None:
        loaded.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, loaded


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
