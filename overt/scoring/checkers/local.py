"""Batches and error handling for local checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from overt.data.chat import CallError
from overt.data.filters import FilterDecision
from overt.data.local.batches import in_batches
from overt.data.local.devices import one_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Processors scale the shorter side to the model's input (or pad to a square), so a strip of 60,000,000 x 1
# pixels would take terabytes. Generated pictures stay far below these limits.
_MOST_ELONGATED = 50
_LONGEST_SIDE = 32_768


def decide_pictures(
    score: Callable[[list[Picture]], list[FilterDecision]], images: list[Picture], batch_size: int
) -> list[FilterDecision]:
    """Returns the decisions on RGB pictures, in order, `batch_size` at a time.

    Running out of memory halves the batches; any other error becomes the `FilterDecision.error` of the
    picture that caused it.
    """
    decisions: dict[int, FilterDecision] = {}
    readable = []
    for number, image in enumerate(images):
        width, height = image.size
        long, short = max(width, height), min(width, height)
        if short < 1 or long > _MOST_ELONGATED * short or long > _LONGEST_SIDE:
            error = CallError("bad_request", f"a picture of {width} x {height} pixels cannot be judged")
            decisions[number] = FilterDecision(None, error=error)
        else:
            readable.append(number)
    checked, _ = in_batches(
        [images[number] for number in readable],
        score,
        batch_size,
        failed=_failed,
        full=FilterDecision(None, error=CallError("server", "out of memory with this picture alone")),
    )
    decisions.update(zip(readable, checked, strict=True))
    return [decisions[number] for number in range(len(images))]


def _failed(error: Exception) -> FilterDecision:
    words = f"{type(error).__name__}: {one_line(error)}"
    return FilterDecision(None, error=CallError("bad_request", words))
