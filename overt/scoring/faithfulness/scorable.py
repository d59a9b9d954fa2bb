"""Tells pictures that can be scored from those that cannot, such as black placeholders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from overt.data.errors import OvertError
from overt.data.local.devices import one_line
from overt.data.pictures import FLAT_RANGE, UnreadablePicture, level_range, measure, open_frames

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Load = Callable[[str], bytes]

# The same limits as in checkers/local.py: preprocessing scales the shorter side to the model's input.
_MOST_ELONGATED = 50
_LONGEST_SIDE = 32_768


def see(load: Load, path: str) -> tuple[Picture | None, str]:
    """Returns (RGB `PIL.Image`, ""), or (None, reason) for a picture that cannot be scored."""
    try:
        data = load(path)
        frames = open_frames(data)
        # Of an animation the first frame that shows something.
        image = next((frame for frame in frames if level_range(frame) > FLAT_RANGE), frames[0])
        if level_range(image) <= FLAT_RANGE:
            # Measuring is slow, so only possible placeholders are measured.
            look = measure(data).look
            if look != "picture":
                return None, "flat (one plain colour)" if look == "flat" else look
    except UnreadablePicture as error:
        return None, f"unreadable: {one_line(error)[:200]}"
    except OvertError as error:  # a missing file; the full message would hold a local path
        return None, f"unreadable: {error.what}"
    except OSError as error:
        return None, f"unreadable: {error.strerror or type(error).__name__}"
    long, short = max(image.size), min(image.size)
    if long > _MOST_ELONGATED * short or long > _LONGEST_SIDE:
        return None, f"not to be judged at {image.size[0]} x {image.size[1]} pixels"
    return image, ""


def lost(reasons: Iterable[str], total: int, whose: str = "") -> str:
    """Returns the detail for pictures without a score, or ""."""
    counts = Counter(reasons)
    if not counts:
        return ""
    what = f"{whose} picture" if whose else "picture"
    if total == 1:
        return f"the {what} is {next(iter(counts))}"
    said = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return f"{counts.total()} of {total} {what}s without a score: {said}"
