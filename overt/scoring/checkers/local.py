"""Batches and error handling for local checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from overt.data.chat import CallError
from overt.data.filters import FilterDecision
from overt.data.local.batches import in_batches
from overt.data.local.devices import one_line
from overt.data.local.memory import Room

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Processors scale the shorter side to the model's input (or pad to a square), so a strip of 60,000,000 x 1
# pixels would take terabytes. Generated pictures stay far below these limits.
_MOST_ELONGATED = 50
_LONGEST_SIDE = 32_768


def decide_pictures(
    score: Callable[[list[Picture]], list[FilterDecision]], images: list[Picture], room: Room
) -> list[FilterDecision]:
    """Returns the decisions on RGB pictures, in order, as many at a time as `room` has.

    Any other error than running out of memory becomes the `FilterDecision.error` of the
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
    checked = in_batches(
        [images[number] for number in readable],
        score,
        room,
        failed=_failed,
        full=_too_large,
    )
    decisions.update(zip(readable, checked, strict=True))
    return [decisions[number] for number in range(len(images))]


def _too_large(error: Exception) -> FilterDecision:
    message = f"out of memory with this picture alone ({one_line(error)})"
    return FilterDecision(None, error=CallError("server", message))


def _failed(error: Exception) -> FilterDecision:
    words = f"{type(error).__name__}: {one_line(error)}"
    return FilterDecision(None, error=CallError("bad_request", words))
