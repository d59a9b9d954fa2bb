"""What a diffusers pipeline gives back: pictures and flags, in whatever form."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture

# zlib level: half the time of the default 6 for a tenth more bytes, lossless either way.
_PNG_LEVEL = 1
# The fields in which pipelines hand out pictures; Kandinsky 5 has the second.
PICTURE_FIELDS = ("images", "image")
# How far numbers from 0 to 1 may go past these ends.
_PAST = 0.5
_FLAG_FIELDS = ("nsfw_content_detected", "nsfw_detected")


def pictures(output: object) -> list[Picture]:
    """Returns the pictures of a pipeline's output as `PIL.Image`: of its field, of a tuple or list, of arrays
    (height, width, channels) or tensors (channels, height, width), alone or as a batch, in 0..1 or 0..255.

    Raises:
        RuntimeError: the output holds no pictures.
    """
    held = _held(output)
    if held is None:
        raise RuntimeError(f"the pipeline gave {type(output).__name__}, which holds no pictures")
    return [_picture(image) for image in held]


def _held(output: object) -> list[Any] | None:
    """What holds the pictures: the output's field, its first field if it is a tuple, or the output itself."""
    from PIL import Image

    held: Any = _of_field(output, PICTURE_FIELDS)
    if held is None and (_is_array(output) or isinstance(output, (list, tuple))):
        held = output
        if isinstance(output, (list, tuple)) and output and not isinstance(output[0], Image.Image):
            is_first_field = isinstance(output, tuple) or len(output) == 1
            held = output[0] if is_first_field else output
    if isinstance(held, Image.Image):
        return [held]
    if _is_array(held):
        return list(held) if held.ndim == 4 else [held]
    return list(held) if isinstance(held, (list, tuple)) else None


def _of_field(output: object, names: Sequence[str]) -> Any:
    """The first of some fields or keys that an output has; None: it has none of them."""
    for name in names:
        held = output.get(name) if isinstance(output, dict) else None
        held = getattr(output, name, None) if held is None else held
        if held is not None:
            return held
    return None


def _picture(image: Any) -> Picture:
    import numpy as np
    from PIL import Image

    if _is_tensor(image) and image.ndim == 3:
        array = image.detach().float().cpu().numpy() if image.is_floating_point() else image.cpu().numpy()
        image = array.transpose(1, 2, 0) if array.shape[0] in (1, 3, 4) else array
    if isinstance(image, np.ndarray) and image.ndim == 3:
        return Image.fromarray(_levels(image))
    if not isinstance(image, Image.Image):
        raise RuntimeError(f"the pipeline gave {type(image).__name__} instead of a picture")
    return image


def _levels(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Levels 0..255; numpy warns of NaN here, which the watch of numbers hears.

    Raises:
        RuntimeError: the numbers are on another scale. Cut off at its ends they would be another picture.
    """
    if array.dtype.kind in "ui":
        levels = array.astype("uint8")
        is_fitting = bool((levels == array).all())
    else:
        # A decoder goes a little past the ends. What is no number at all is for the watch of numbers.
        is_fitting = not bool(((array < -_PAST) | (array > 1 + _PAST))[abs(array) < float("inf")].any())
        levels = (array.clip(0, 1) * 255).round().astype("uint8")
    if not is_fitting:
        raise RuntimeError(
            f"the pipeline gave numbers from {array.min():g} to {array.max():g} instead of 0 to 1 "
            "or whole ones from 0 to 255"
        )
    return levels.squeeze(-1) if levels.shape[-1] == 1 else levels


def _is_tensor(value: object) -> bool:
    import torch

    return torch.is_tensor(value)


def _is_array(value: object) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray) or _is_tensor(value)


def safety_flags(output: object) -> Sequence[object] | None:
    """Returns what the safety checker flagged, by picture, or None if no checker ran: the output's field, or
    what stands beside the pictures in a tuple (`return_dict=False`)."""
    said = _of_field(output, _FLAG_FIELDS)
    if said is None and isinstance(output, tuple) and len(output) > 1 and _are_flags(output[1]):
        said = output[1]
    if said is None:
        return None
    # Safe Stable Diffusion says so of the last flagged picture alone.
    return list(said) if hasattr(said, "__len__") else [said]


def _are_flags(held: Any) -> bool:
    values = held.tolist() if _is_array(held) else held
    return isinstance(values, (list, tuple)) and bool(values) and all(is_verdict(value) for value in values)


def is_verdict(said: object) -> bool:
    """Whether a checker said yes or no of a picture, and no score."""
    return isinstance(said, bool) or str(getattr(said, "dtype", "")) in ("bool", "torch.bool")


def watermarks(output: object, count: int) -> list[bool]:
    """Returns for each of `count` pictures whether a checker blackened it for a watermark, as DeepFloyd IF's
    does."""
    said: Any = getattr(output, "watermark_detected", None)
    if not isinstance(said, (list, tuple)) or len(said) != count:
        return [False] * count
    return [bool(mark) for mark in said]


def png(picture: Picture) -> bytes:
    """Encodes a picture as RGB PNG without metadata."""
    plain = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()
