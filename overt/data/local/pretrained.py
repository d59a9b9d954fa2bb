"""Models of transformers and of its kin, loaded: one way for chat models, filters, checkers and targets.

Nothing heavy is imported before a function is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from overt.data.errors import InputError
from overt.data.local.devices import loading_advice, one_line, pick_device, pick_dtype, source_of


@contextmanager
def speaking_loader(name: str, source: str, more: str = "") -> Iterator[None]:
    """Turns what a library raises while it loads a model into words, and says what to do about it.

    Args:
        name: of the model, as the user wrote it.
        source: the Hub id or folder that is loaded.
        more: a further sentence of advice.

    Raises:
        InputError: whatever was raised.
    """
    try:
        yield
    except Exception as error:  # libraries raise what they like on a broken model
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
    """A tokenizer and a model, ready to be asked. Weights are safetensors only.

    Args:
        name: of the filter or chat model, for messages.
        model: a Hub id or a local folder.
        model_class: a class of `transformers`, such as "AutoModelForSequenceClassification".
        device: "cuda", "cuda:1", "mps", "cpu"; "auto": spread over all there are (needs accelerate); None:
            the best there is.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        trust_remote_code: run the code that the repo brings. Only if the user asked for it.

    Raises:
        InputError: the device or dtype does not exist, or the model cannot be loaded.
        ModuleNotFoundError: torch or transformers is not installed (the registry puts it into words).
    """
    where = pick_device(device, name)
    kind = pick_dtype(dtype, where, name)
    import transformers  # after torch: without it transformers would hide its models for the whole process

    source = source_of(model)
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
    """All tokens that end an answer: the model's and the tokenizer's do not always agree."""
    found: set[int] = set()
    for ends in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        found |= set(ends) if isinstance(ends, (list, tuple)) else {ends} if ends is not None else set()
    return found


def control_tokens(tokenizer: Any) -> list[str]:
    """The texts of a tokenizer's control tokens with more than two characters, the longest first."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    found = {str(t) for t in tokenizer.all_special_tokens} | {t.content for t in added.values() if t.special}
    return sorted((token for token in found if len(token) > 2), key=len, reverse=True)
