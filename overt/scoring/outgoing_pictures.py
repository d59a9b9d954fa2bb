"""Pictures on their way to somebody else's model: small, re-encoded, and with nothing attached to them."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from overt.data.chat import ChatRequest
from overt.data.pictures import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 768  # pixels; what the common vision models look at in one or two tiles
_QUALITY = 90


def outgoing(image_or_bytes: Picture | bytes, side: int = SIDE) -> bytes:
    """A picture as a JPEG (RGB) whose longer side is at most `side` pixels, without any metadata.

    Args:
        image_or_bytes: a `PIL.Image.Image`, or an encoded picture.

    Raises:
        UnreadablePicture: bytes that are no picture, a broken one, or one too large to open.
    """
    from PIL import Image, ImageOps

    image = open_picture(image_or_bytes) if isinstance(image_or_bytes, bytes) else image_or_bytes
    # The orientation is metadata too: it has to be in the pixels before it is thrown away.
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    # A plane of its own: Pillow's writer takes comments from what the picture was opened with.
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    file = io.BytesIO()
    bare.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def seeing(request: ChatRequest, pictures: Iterable[Picture | bytes]) -> ChatRequest:
    """The request with these pictures (`PIL.Image.Image`s, or encoded ones) beside its last message.

    Raises:
        UnreadablePicture: see `outgoing`.
    """
    *head, last = request.messages
    last = dataclasses.replace(last, images=tuple(outgoing(picture) for picture in pictures))
    return dataclasses.replace(request, messages=(*head, last))


def data_url(jpeg: bytes) -> str:
    """The same as a data URL, as OpenAI-compatible endpoints take pictures."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
