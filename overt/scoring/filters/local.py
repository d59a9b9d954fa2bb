"""Batches and memory handling for filters that run a `transformers` model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from overt.data.chat import CallError
from overt.data.local.batches import attempt
from overt.data.plugins.names import one_line

A = TypeVar("A")
R = TypeVar("R")

# Scores are rounded so that they do not depend on the batch.
SCORE_DIGITS = 4
# Batches of longer texts hold fewer rows, since memory depends on tokens.
_TOKENS_PER_ROW = 512


def positions(model: Any, tokenizer: Any, otherwise: int) -> int:
    """Returns the model's limit in tokens, including special tokens."""
    found = []
    if length := getattr(model.config.get_text_config(), "max_position_embeddings", None):
        # RoBERTa counts positions from the padding token on, so 512 of 514 are usable.
        offsets = [
            module.padding_idx + 1
            for name, module in model.named_modules()
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        ]
        found.append(int(length) - max(offsets, default=0))
    if 0 < tokenizer.model_max_length < 1 << 30:  # else the tokenizer does not know
        found.append(int(tokenizer.model_max_length))
    return min(found, default=otherwise)


def in_batches(
    rows: Sequence[A], length: Callable[[A], int], size: int, run: Callable[[list[A]], list[R]]
) -> list[R | CallError]:
    """Applies `run` to the rows and returns results in order; rows of similar length share a batch.

    Running out of memory halves the following batches; a row that fails gets a `CallError`.
    """
    results: dict[int, R | CallError] = {}
    tokens = size * _TOKENS_PER_ROW
    order = sorted(range(len(rows)), key=lambda n: length(rows[n]))
    while order:
        fitting = (n for n in range(min(size, len(order)), 1, -1) if n * length(rows[order[n - 1]]) <= tokens)
        batch = order[: next(fitting, 1)]
        done: list[R | CallError] | None = attempt([rows[n] for n in batch], run, _failed)
        if done is None and len(batch) > 1:
            size = len(batch) // 2
            continue
        results.update(
            zip(batch, done or [CallError("too_long", "out of memory with this text alone")], strict=True)
        )
        order = order[len(batch) :]
    return [results[n] for n in range(len(rows))]


def _failed(error: Exception) -> CallError:
    return CallError("bad_request", f"{type(error).__name__}: {one_line(error, 400)}")
