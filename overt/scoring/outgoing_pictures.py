"""Pictures for remote models: scaled down, re-encoded, without metadata."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from overt.data.chat import ChatRequest
from overt.data.pictures import open_sheet

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 768  # pixels; one or two tiles of common vision models
_QUALITY = 90


def outgoing(image_or_bytes: Picture | bytes, side: int = SIDE) -> bytes:
    """Encodes a picture as RGB JPEG without metadata, its longer side at most `side` pixels.

    Args:
        image_or_bytes: a `PIL.Image.Image`, or an encoded picture; an animation becomes one picture with its
            frames side by side.

    Raises:
        UnreadablePicture: the bytes are not a picture, or it is broken or too large to open.
    """
    from PIL import Image, ImageOps

    image = open_sheet(image_or_bytes) if isinstance(image_or_bytes, bytes) else image_or_bytes
    # The orientation is metadata, so it is applied to the pixels first.
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    # A new image: Pillow would copy comments of the opened one.
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    file = io.BytesIO()
    bare.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def seeing(request: ChatRequest, pictures: Iterable[Picture | bytes]) -> ChatRequest:
    """Adds pictures (`PIL.Image.Image`s or encoded ones) to the request's last message.

    Raises:
        UnreadablePicture: see `outgoing`.
    """
    *head, last = request.messages
    last = dataclasses.replace(last, images=tuple(outgoing(picture) for picture in pictures))
    return dataclasses.replace(request, messages=(*head, last))


def data_url(jpeg: bytes) -> str:
    """Returns a JPEG as a data URL for OpenAI-compatible endpoints."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
