"""Encoded pictures as services send them: base64, or bytes at an address. No picture is opened here, since
one of 30,000 x 30,000 pixels is small until it is decoded."""

from __future__ import annotations

import base64
import binascii
import re

from overt.data.json_types import Json
from overt.generation.transport import Upload

_URL_SAFE = str.maketrans("-_", "+/")
_PICTURE = re.compile(
    rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|GIF8|BM|II\*\0|MM\0\*|....ftyp|\xff\x0a", re.DOTALL
)
_PAGE = (b"<!doctype", b"<html", b"{")


def decoded(text: str) -> bytes:
    """Returns the bytes of a base64 text or a data: address.

    Raises:
        ValueError: the text is not base64, or is empty.
    """
    head, comma, rest = text.partition(",")
    body = rest if comma and head[:5].lower() == "data:" else text
    try:
        found = base64.b64decode("".join(body.split()).translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the picture is not valid base64: {error}") from error
    if not found:
        raise ValueError("the picture is empty")
    return found


def looks_like_picture(data: bytes, content_type: str) -> bool:
    """Returns whether a body may be a picture, by its first bytes or else its Content-Type."""
    if not data or _PICTURE.match(data):
        return bool(data)
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("image/") and not data.lstrip()[:9].lower().startswith(_PAGE)


def picture_kind(data: bytes) -> str | None:
    """Returns the format of an encoded picture by its first bytes, or None if unknown."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return "BMP" if data.startswith(b"BM") and len(data) > 26 else None


def media_type(data: bytes) -> str:
    """Returns the media type of an encoded picture, "application/octet-stream" if unknown."""
    kind = picture_kind(data)
    return f"image/{kind.lower()}" if kind else "application/octet-stream"


def base64_of(data: bytes) -> str:
    """Returns an encoded picture as base64."""
    return base64.b64encode(data).decode("ascii")


def data_address(data: bytes) -> str:
    """Returns an encoded picture as a data: address."""
    return f"data:{media_type(data)};base64,{base64_of(data)}"


def as_input(name: str, data: bytes) -> dict[str, Json]:
    """Returns the input of a job that is a picture, as a data: address; a list where its name is a plural."""
    address = data_address(data)
    return {name: [address] if name.endswith("s") else address}


def as_file(data: bytes) -> Upload:
    """Returns the file of a form that holds a picture."""
    kind = media_type(data)
    return Upload(f"picture.{kind.partition('/')[2]}", data, kind)


def broken(data: bytes) -> str:
    """Returns why these bytes are not a whole picture, or "" if they look like one."""
    kind = picture_kind(data)
    if kind is None:
        start = data[:60].decode("utf-8", "replace").strip()
        return f"no picture: {start!r}" if data else "an empty body where the picture should be"
    tail = data[-(1 << 16) :]
    whole = {
        "PNG": b"IEND\xaeB`\x82" in tail,
        "JPEG": b"\xff\xd9" in tail,
        "GIF": data.rstrip(b"\0").endswith(b";"),
        "WEBP": len(data) >= 8 + int.from_bytes(data[4:8], "little"),
    }
    return "" if whole.get(kind, True) else f"the {kind} was cut off after {len(data):,} bytes"
