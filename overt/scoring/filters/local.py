"""Batches and memory handling for filters that run a `transformers` model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from overt.data.chat import CallError
from overt.data.local import batches
from overt.data.local.memory import Room
from overt.data.local.sharing import Sharing
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
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if length and int(length) > 0:  # XLNet, which has no limit, says -1
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
    rows: Sequence[A],
    length: Callable[[A], int],
    room: Room,
    run: Callable[[list[A]], list[R]],
    sharing: Sharing = "any",
) -> list[R | CallError]:
    """Applies `run` to the rows and returns results in order; rows of similar length share a batch, or as
    `sharing` says.

    Running out of memory shrinks `room`; a row that fails gets a `CallError`.
    """
    tokens = room.size * _TOKENS_PER_ROW
    order = sorted(range(len(rows)), key=lambda n: length(rows[n]))

    def fits(batch: Sequence[A]) -> int:  # they come by length
        if sharing == "none":
            return 1
        if sharing == "length":
            batch = [row for row in batch if length(row) == length(batch[0])]
        return next((n for n in range(len(batch), 1, -1) if n * length(batch[n - 1]) <= tokens), 1)

    done: list[R | CallError] = batches.in_batches(
        [rows[n] for n in order], run, room, failed=_failed, full=_too_large, fits=fits
    )
    return [result for _, result in sorted(zip(order, done, strict=True), key=lambda pair: pair[0])]


def _failed(error: Exception) -> CallError:
    return CallError("bad_request", f"{type(error).__name__}: {one_line(error, 400)}")


def _too_large(error: Exception) -> CallError:
    return CallError("too_long", f"out of memory with this text alone ({one_line(error, 300)})")
