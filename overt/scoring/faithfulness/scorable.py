"""Pictures that can be scored, and why the others cannot: a black placeholder gets no number, ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from overt.data.errors import OvertError
from overt.data.local.devices import one_line
from overt.data.pictures import FLAT_RANGE, UnreadablePicture, level_range, measure, open_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Load = Callable[[str], bytes]

# Preprocessing scales the shorter side to what the model sees: a strip of 60,000,000 x 1 pixels would take
# terabytes. Nothing that is drawn from a prompt comes near this.
_MOST_ELONGATED = 50
_LONGEST_SIDE = 32_768


def see(load: Load, path: str) -> tuple[Picture | None, str]:
    """(RGB `PIL.Image`, "") or (None, why the picture has no score). Raises nothing for a bad picture."""
    try:
        data = load(path)
        image = open_picture(data)
        if level_range(image) <= FLAT_RANGE:
            # Only now, since measuring takes several times as long: it may be a placeholder.
            look = measure(data).look
            if look != "picture":
                return None, "flat (one plain colour)" if look == "flat" else look
    except UnreadablePicture as error:
        return None, f"unreadable: {one_line(error)[:200]}"
    except OvertError as error:  # a file that is gone; its message has a path of this machine
        return None, f"unreadable: {error.what}"
    except OSError as error:
        return None, f"unreadable: {error.strerror or type(error).__name__}"
    long, short = max(image.size), min(image.size)
    if long > _MOST_ELONGATED * short or long > _LONGEST_SIDE:
        return None, f"not to be judged at {image.size[0]} x {image.size[1]} pixels"
    return image, ""


def lost(reasons: Iterable[str], total: int, whose: str = "") -> str:
    """What to say of pictures without a score; "" if there are none."""
    counts = Counter(reasons)
    if not counts:
        return ""
    what = f"{whose} picture" if whose else "picture"
    if total == 1:
        return f"the {what} is {next(iter(counts))}"
    said = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return f"{counts.total()} of {total} {what}s without a score: {said}"
