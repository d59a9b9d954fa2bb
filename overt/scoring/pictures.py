"""What a picture measures: whether it shows anything at all, and whether it was blurred or pixelated.

Placeholders of safety checkers are black, blank or one flat colour. An almost black night scene is not
one: it still holds a lamp, a grain, a gradient. So nothing is decided by the mean alone.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Look = Literal["picture", "black", "white", "flat"]

# A 30,000 x 30,000 PNG of one colour is 2.6 MB on the wire and 2.7 GB in memory. Nothing that a
# text-to-image service draws comes near this many pixels.
MAX_PIXELS = 64_000_000
MEASURED_SIDE = 512  # pixels; larger pictures are reduced before textures are measured

# JPEG and WebP leave a few levels of noise in a plain picture: measured on one-colour images of
# quality 30 to 95, the range stays under 9 of 255 levels and the deviation under 1.2.
FLAT_RANGE = 16
FLAT_DEVIATION = 2.0
# Share of a picture's contrast that lies in details finer than 1/32 of its side. Photographs,
# paintings and drawings have 0.15 to 0.7; a Gaussian blur of 1/40 of the side leaves under 0.06.
BLUR_DETAIL = 0.06
LATTICE_SHARE = 0.9  # of all horizontal (and vertical) change that lies on one lattice of block edges


class UnreadablePicture(ValueError):
    """Bytes that are no picture, a broken one, or one too large to open; the text says which."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Measurements of one picture. Levels are 0-255; `detail` and `lattice` are shares from 0 to 1.

    `detail` is None where there is no contrast to share out. `block` is the side of the blocks of the
    best lattice in pixels of the measured picture, 0 where there is none.
    """

    format: str
    width: int
    height: int
    mean: float
    deviation: float
    range: int
    detail: float | None
    lattice: float
    block: int

    @property
    def look(self) -> Look:
        """What it shows: a picture, or a plain plane that is black, white or of another colour."""
        if self.range > FLAT_RANGE or self.deviation > FLAT_DEVIATION:
            return "picture"
        return "black" if self.mean <= 12 else "white" if self.mean >= 243 else "flat"

    @property
    def blurred(self) -> bool:
        """Whether nearly all of its contrast is coarse."""
        return self.look == "picture" and self.detail is not None and self.detail < BLUR_DETAIL

    @property
    def pixelated(self) -> bool:
        """Whether its changes lie on a lattice of blocks of at least 6 pixels."""
        return self.look == "picture" and self.block >= 6 and self.lattice >= LATTICE_SHARE


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Any:
    """The decoded picture as an RGB `PIL.Image` (transparency over white).

    Raises:
        UnreadablePicture: not a picture, truncated, or more than `max_pixels` pixels. The size is read
            from the header, before any memory is taken.
    """
    from PIL import Image

    if not data:
        raise UnreadablePicture("no bytes")
    if data[:256].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"[")):
        raise UnreadablePicture("text (HTML, XML or JSON) instead of a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(
                io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "TIFF")
            )
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadablePicture(f"{width} x {height} pixels, more than {max_pixels:,}")
            image.load()
            if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
                image = image.convert("RGBA")
                plane = Image.new("RGBA", image.size, (255, 255, 255, 255))
                return Image.alpha_composite(plane, image).convert("RGB")
            return image.convert("RGB")
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow raises a dozen types for broken files
        raise UnreadablePicture(f"broken picture: {error}") from error


def measure(data: bytes, max_pixels: int = MAX_PIXELS) -> PictureFacts:
    """The facts of one encoded picture.

    Raises:
        UnreadablePicture: see `open_picture`.
    """
    import numpy as np
    from PIL import Image

    image = open_picture(data, max_pixels)
    with Image.open(io.BytesIO(data)) as header:
        name = header.format or "?"
    extrema = image.getextrema()
    spread = max(high - low for low, high in extrema)
    width, height = image.size
    scale = max(width, height) / MEASURED_SIDE
    small = image
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        small = image.resize(size, Image.Resampling.BOX)
    levels = np.asarray(small, dtype=np.float32)
    lattice, block = _lattice(np.asarray(image.convert("L"), dtype=np.int16))
    return PictureFacts(
        format=name,
        width=width,
        height=height,
        mean=float(levels.mean()),
        deviation=float(levels.std(axis=(0, 1)).max()),
        range=int(spread),
        detail=_detail(small),
        lattice=lattice,
        block=block,
    )


def _detail(image: Any) -> float | None:
    """The deviation left after a coarse copy is taken away, as a share of the whole deviation."""
    import numpy as np
    from PIL import Image

    grey = image.convert("L")
    levels = np.asarray(grey, dtype=np.float32)
    whole = float(levels.std())
    if whole < 1e-3:
        return None
    side = max(grey.size)
    coarse_size = tuple(max(2, round(32 * s / side)) for s in grey.size)
    coarse = grey.resize(coarse_size, Image.Resampling.BOX).resize(grey.size, Image.Resampling.BICUBIC)
    return float((levels - np.asarray(coarse, dtype=np.float32)).std()) / whole


def _lattice(grey: NDArray[np.int16]) -> tuple[float, int]:
    """The largest share of change on one lattice of block edges, over both directions, and its block.

    A share counts only where the lattice itself is a small part of all edges: with blocks of 2 pixels
    half of everything lies on it by chance.
    """
    import numpy as np

    grey = grey[:2048, :2048]
    best = (0.0, 0)
    for axis in (1, 0):
        change = np.abs(np.diff(grey, axis=axis))
        # Recompression smears a little change over the blocks' insides.
        profile = np.where(change > 6, change, 0).sum(axis=1 - axis).astype(np.float64)
        total = profile.sum()
        if total <= 0 or profile.size < 24:
            return 0.0, 0
        found = (0.0, 0)
        for block in range(6, min(96, profile.size // 4) + 1):
            padded = np.zeros(-(-profile.size // block) * block)
            padded[: profile.size] = profile
            share = float(padded.reshape(-1, block).sum(axis=0).max() / total)
            # Of lattices that explain alike, the coarser one is the block (8 also explains 16).
            if (share >= found[0] - 0.01 and share >= LATTICE_SHARE) or share > found[0]:
                found = (share, block)
        if axis == 1:
            best = found
        else:
            best = (min(best[0], found[0]), min(best[1], found[1]))
    return best
