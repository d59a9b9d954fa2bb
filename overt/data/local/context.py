"""How many tokens a model takes, read from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_LIMIT = 1 << 20  # tokens; for models without positions, and tokenizers that say 1e30
# The names under which configurations keep it, the likeliest first.
_LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "max_seq_length",
            "seq_length", "n_ctx", "context_length", "model_max_length")  # fmt: skip
# With these, `max_position_embeddings` already holds the scaled length.
_IS_SCALED = {"llama3", "longrope", "su", "default", "mrope", "proportional"}
# With these, the longest row of a batch decides how every row of it is read.
_BY_LONGEST = {"longrope", "su", "dynamic"}


def context_of(model: Any, tokenizer: Any) -> int:
    """Tokens that a prompt and its answer may have together.

    Positions that are stretched count as stretched (YaRN, linear, dynamic). Without a limit of the model its
    tokenizer's holds.
    """
    config = model.config.get_text_config()
    length = next((n for key in _LENGTHS if (n := _count(getattr(config, key, None)))), 0)
    for rope in _ropes(config):
        factor = rope.get("factor")
        if not length or _kind(rope) in _IS_SCALED or not isinstance(factor, (int, float)):
            continue
        unscaled = _count(rope.get("original_max_position_embeddings")) or length
        length = max(length, int(unscaled * factor))
    if length:
        return length
    return min(_count(getattr(tokenizer, "model_max_length", None)) or NO_LIMIT, NO_LIMIT)


def stays_same_below(model: Any) -> int | None:
    """The tokens up to which rows do not change how others of their batch are read; None: always."""
    config = model.config.get_text_config()
    for rope in _ropes(config):
        if _kind(rope) in _BY_LONGEST:
            own = rope.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            return _count(own) or _count(getattr(config, "max_position_embeddings", None)) or None
    return None


def _ropes(config: Any) -> list[Mapping[str, Any]]:
    """The settings of the rotary positions; some models have one set for each kind of layer."""
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not isinstance(found, Mapping):
        return []
    nested = [value for value in found.values() if isinstance(value, Mapping)]
    return nested or [found]


def _kind(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _count(value: object) -> int:
    """A length as a positive whole number, or 0."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1e12 else 0
