"""Removes metadata from pictures by decoding and re-encoding them.

This removes EXIF (place, camera, time), XMP, comments, colour profiles, the prompt that some programs write
into a PNG, and content credentials.
"""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.pictures import MAX_PIXELS
from overt.data.run.images import ImageStore

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_GPS = 0x8825
_HARMLESS = {
    *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression", "loop"),
    *("duration", "background", "transparency", "gamma", "srgb", "interlace", "version", "aspect"),
    *("adobe", "adobe_transform", "compression", "extension", "timestamp", "default_image", "blend"),
    *("disposal", "bbox", "resolution", "resolution_unit", "chromaticity"),
}


@dataclass
class PictureCount:
    """Numbers of pictures: written, with metadata, with a place in it, and unreadable."""

    written: int = 0
    with_metadata: int = 0
    with_place: int = 0
    unreadable: int = 0

    def words(self) -> str:
        if not self.written and not self.unreadable:
            return ""
        text = f"{self.written:,} pictures, re-encoded without metadata"
        if self.with_metadata:
            text += f" ({self.with_metadata:,} carried some, {self.with_place:,} of them a place)"
        if self.unreadable:
            text += f"; {self.unreadable:,} could not be read and are left out"
        return text


class Pictures:
    """The pictures of one run, cleaned as they are asked for. Safe to use from several threads."""

    def __init__(self, run: Path) -> None:
        self._store = ImageStore(run)
        self._lock = threading.Lock()
        self.count = PictureCount()

    def get(self, reference: str, name: str) -> dict[str, bytes | str] | None:
        """A picture as `datasets.Image` stores it, {"bytes", "path"}; None where it cannot be read.

        Args:
            reference: its path relative to the run folder.
            name: what it is called in the data set, without an ending.
        """
        try:
            data, ending, met = clean_picture(self._store.get(reference))
        except (InputError, ValueError):
            with self._lock:
                self.count.unreadable += 1
            return None
        with self._lock:
            self.count.written += 1
            self.count.with_metadata += bool(met)
            self.count.with_place += "place" in met
        return {"bytes": data, "path": f"{name}.{ending}"}


def clean_picture(data: bytes) -> tuple[bytes, str, set[str]]:
    """Re-encodes a picture. Returns its bytes, its file ending, and the kinds of metadata that it had.

    JPEG stays JPEG (quality 95, no colour subsampling); everything else becomes a lossless PNG. Only the
    first frame of an animation is kept. The EXIF rotation is applied, and colours are converted to sRGB.

    Raises:
        ValueError: the picture cannot be read, or has more than 64 million pixels.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures; the limit below is ours
            image: Picture = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"more than {MAX_PIXELS:,} pixels")
            jpeg = image.format in ("JPEG", "MPO")
            image.load()
            met = _metadata(image)
            image = _srgb(ImageOps.exif_transpose(image))
            clear = not jpeg and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info)
            image = image.convert("RGBA" if clear else "RGB")
            # A new picture: Pillow carries what it read along in `info` and writes some of it again.
            bare = Image.new(image.mode, image.size)
            bare.paste(image)
            sink = io.BytesIO()
            if jpeg:
                bare.save(sink, "JPEG", quality=95, subsampling=0)
            else:
                bare.save(sink, "PNG", compress_level=4)
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"no picture that can be read: {error}") from error
    return sink.getvalue(), "jpg" if jpeg else "png", met


def _metadata(image: Picture) -> set[str]:
    names = {str(key).rpartition(":")[2].rpartition(".")[2] for key in image.info}
    met = {name for name in names if name.lower() not in _HARMLESS}
    try:
        exif = image.getexif()
        if len(exif):
            met.add("exif")
        if exif.get_ifd(_GPS):
            met.add("place")
    except (OSError, ValueError, SyntaxError, KeyError, TypeError):
        met.add("exif")  # there, and broken
    return met


def _srgb(image: Picture) -> Picture:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return image
    try:
        from PIL import ImageCms

        there = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, there, srgb, outputMode=image.mode)
        return turned or image  # None only where it was asked to change the picture itself
    except (ImportError, OSError, ValueError, TypeError):
        return image  # the colours shift a little; the profile must not stay
    except Exception as error:
        if type(error).__name__ == "PyCMSError":
            return image
        raise
