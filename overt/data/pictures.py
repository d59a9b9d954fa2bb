"""Measures images: whether an image shows anything, and whether it was blurred or pixelated.

Placeholders of safety checkers are black, blank or of one flat colour. An almost black night scene is not a
placeholder: it still has a lamp, grain or a gradient. So the mean alone decides nothing.

Of an animation (GIF, APNG, WebP, AVIF, pages of a TIFF) several frames are looked at: see `open_frames`.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

Look = Literal["picture", "black", "white", "flat"]

# A 30,000 x 30,000 PNG of one colour is 2.6 MB on the wire and 2.7 GB in memory. Text-to-image services
# draw far fewer pixels.
MAX_PIXELS = 64_000_000
MAX_BYTES = 64 << 20  # of a picture that a data set names
FRAMES = 16  # of an animation that are looked at
MOST_FRAMES = 2_000  # of an animation that is looked at at all: 80 seconds at 25 a second
MOST_KEPT, MOST_DECODED = 2, 16  # times the most pixels of one picture: the frames looked at, and all of them
SHEET_SIDE = 512  # pixels, longer side of a frame on the sheet of an animation
MEASURED_SIDE = 512  # pixels; larger images are reduced before contrast and edges are measured

# JPEG and WebP leave a few levels of noise in a plain image. Measured on plain images with up to two
# levels of noise, quality 30 to 95: a range of at most 16 of 255 levels, a deviation of at most 1.7 of their
# grey (colours alone may deviate by 3: JPEG rounds them coarsely).
FLAT_RANGE = 16
FLAT_DEVIATION = 2.0
# The steepest edge, in ranges of contrast per side of the image. Of 98 photographs, drawings and screens
# 97 have 93 and more (one through a microscope has 58; a single sharp lamp is enough). Blurred with a
# Gaussian of side/60 or more, 92 in 100 have less than 48.
SOFT_EDGE = 48.0
# Contrast in details of 1/32 to 1/8 of the side, as a share of all contrast. Blurred images still have 0.15
# and more, up to a blur of about side/25; a gradient, a vignette, a sunset or fog has 0.03 to 0.13.
BLUR_PARTS = 0.15
BLUR_SIDE = 128  # pixels; in a smaller image even a sharp edge is a large part of the side
# The share of all horizontal (and all vertical) change that lies on one lattice of block edges.
LATTICE_SHARE = 0.9
LATTICE_STEP = 12  # levels; recompression (JPEG of quality 60) changes less inside the blocks
# Distinct colours as a share of the blocks, at most of 1,500 (grey: 450), and distinct levels of grey, at
# most of 200. In the mosaic of a photograph each block has a mean of its own: 0.2 to 1, less only for a
# single texture (gravel, a wall). Sprites, boards and tables have a palette of up to about 30 colours: less
# than 0.2 in 664 of 669.
MOSAIC_COLOURS = 0.2
_COLOURS, _GREYS, _LEVELS = 1500, 450, 200


class UnreadablePicture(ValueError):
    """The bytes are not an image, broken, or too large to open. Another try helps only for a broken image."""

    def __init__(self, what: str, *, is_too_large: bool = False) -> None:
        super().__init__(what)
        self.is_too_large = is_too_large


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Measurements of one image. Levels are 0 to 255, shares 0 to 1.

    mean: over all pixels and channels. range: the largest range of a channel.
    deviation: standard deviation of the grey image.
    edge: the steepest edge, in ranges of contrast per side; 0 without contrast.
    parts: share of the contrast in details of 1/32 to 1/8 of the side.
    lattice: share of change on the best lattice of block edges, the lesser of both directions.
    block: side of the blocks in pixels, 0 without a lattice.
    colours: variety of the blocks' colours (see `MOSAIC_COLOURS`), 0 without a lattice.
    """

    format: str
    width: int
    height: int
    mean: float
    deviation: float
    range: int
    edge: float
    parts: float
    lattice: float
    block: float
    colours: float

    @property
    def look(self) -> Look:
        """Whether it shows a picture, or is plainly black, white or of another colour."""
        if self.range > FLAT_RANGE or self.deviation > FLAT_DEVIATION:
            return "picture"
        return "black" if self.mean <= 12 else "white" if self.mean >= 243 else "flat"

    @property
    def blurred(self) -> bool:
        """Whether it has parts but no sharp edge. An image of fog or soft light can look the same, so the
        caller should know the prompt."""
        return (
            self.look == "picture"
            and max(self.width, self.height) >= BLUR_SIDE
            and self.edge < SOFT_EDGE
            and self.parts >= BLUR_PARTS
        )

    @property
    def pixelated(self) -> bool:
        """Whether it is a mosaic of plain blocks with too many colours for pixel art."""
        return self.look == "picture" and self.lattice >= LATTICE_SHARE and self.colours >= MOSAIC_COLOURS


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decodes an image to an RGB `PIL.Image`; transparency becomes white. Of an animation the first frame.

    Raises:
        UnreadablePicture: not an image, truncated, or more than `max_pixels` pixels. The size is read
            from the header, before memory is allocated.
    """
    return _open(data, max_pixels, frames=1)[0][0]


def open_frames(data: bytes, max_pixels: int = MAX_PIXELS) -> list[Picture]:
    """Decodes an image to RGB `PIL.Image`s: at most `FRAMES` frames of an animation, evenly spaced, the first
    and the last among them; else the one picture. The same bytes give the same frames.

    Raises:
        UnreadablePicture: as `open_picture`; or the animation has more frames or pixels than can be looked
            at. A frame that cannot be read makes the whole unreadable.
    """
    return _open(data, max_pixels)[0]


def open_sheet(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decodes an image for people: an animation as its frames side by side, so that none of them is hidden
    and nothing moves; any other image as it is.

    Raises:
        UnreadablePicture: as `open_frames`.
    """
    from PIL import Image

    frames = open_frames(data, max_pixels)
    if len(frames) == 1:
        return frames[0]
    columns = math.ceil(math.sqrt(len(frames)))
    for frame in frames:
        frame.thumbnail((SHEET_SIDE, SHEET_SIDE))
    width, height = (max(sizes) for sizes in zip(*(frame.size for frame in frames), strict=True))
    sheet = Image.new("RGB", (columns * width, math.ceil(len(frames) / columns) * height), "white")
    for number, frame in enumerate(frames):
        sheet.paste(frame, (number % columns * width, number // columns * height))
    return sheet


def level_range(image: Picture) -> int:
    """The largest range of levels in a channel of an RGB image: 0 (one plain colour) to 255."""
    bands = (band for band in image.getextrema() if isinstance(band, tuple))
    return max(high - low for low, high in bands)


def _open(data: bytes, max_pixels: int, frames: int = FRAMES) -> tuple[list[Picture], str]:
    """The decoded frames, at most `frames` of them, and the name of the format."""
    from PIL import Image

    if not data:
        raise UnreadablePicture("no bytes")
    if data[:256].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg", b"{", b"[")):
        raise UnreadablePicture("text (HTML, XML or JSON) instead of a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Picture = Image.open(
                io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "TIFF")
            )
            name = image.format or "?"
            return [_plain(image, max_pixels) for _ in _seek(image, frames, max_pixels)], name
    except UnreadablePicture:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit
        raise UnreadablePicture(f"more than {max_pixels:,} pixels", is_too_large=True) from error
    except Exception as error:  # Pillow raises a dozen types for broken files
        words = " ".join(str(error).split())[:200]
        # Pillow's message has the address of the buffer, which changes each time.
        words = "no known picture format" if "cannot identify" in words else words
        raise UnreadablePicture(f"broken picture: {words}") from error


def _seek(image: Picture, most: int, max_pixels: int) -> Iterator[int]:
    """Goes to each frame that is to be looked at."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadablePicture(f"{width} x {height} pixels, more than {max_pixels:,}", is_too_large=True)
    yield 0
    count = getattr(image, "n_frames", 1) if most > 1 else 1
    if count == 1:
        return
    # Formats hold differences: to see the last frame, all before it are decoded.
    kept = width * height * min(count, most) > MOST_KEPT * max_pixels
    if count > MOST_FRAMES or kept or width * height * count > MOST_DECODED * max_pixels:
        what = f"an animation of {count:,} frames of {width} x {height} pixels"
        raise UnreadablePicture(f"{what} is too much to look at", is_too_large=True)
    last = min(most, count) - 1
    for number in range(1, last + 1):
        image.seek(number * (count - 1) // last)
        yield number


def _plain(image: Picture, max_pixels: int) -> Picture:
    """The frame that is open as RGB, its transparency as white."""
    from PIL import Image

    if image.width * image.height > max_pixels:  # a page of its own size
        raise UnreadablePicture(f"more than {max_pixels:,} pixels", is_too_large=True)
    image.load()
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA")
        plane = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(plane, image).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _eight_bits(image: Picture) -> Picture:
    """Scales to 8 bits. Pillow cuts 16-bit grey off at 255, which turns an image white."""
    import numpy as np
    from PIL import Image

    levels = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = float(levels.max(initial=0))
    scale = 1.0 if image.mode == "F" and top > 1 else 255.0 if top <= 1 else 1 / 257 if top > 255 else 1.0
    return Image.fromarray(np.clip(levels * scale, 0, 255).astype(np.uint8))


def measure(data: bytes, max_pixels: int = MAX_PIXELS) -> PictureFacts:
    """Measures one encoded image. Of an animation the frame that shows most: it is plain, blurred or a mosaic
    only if every frame that is looked at is.

    Raises:
        UnreadablePicture: see `open_frames`.
    """
    frames, name = _open(data, max_pixels)
    best: PictureFacts | None = None
    for image in frames:
        facts = _measured(image, name)
        if best is None or _shows(facts) > _shows(best):
            best = facts
        if _shows(best) == 2:
            break
    assert best is not None  # the first frame is always there
    return best


def _shows(facts: PictureFacts) -> int:
    """How much of a picture there is to see: 0 a plain colour, 1 something unclear, 2 something clear."""
    if facts.look != "picture":
        return 0
    return 1 if facts.blurred or facts.pixelated else 2


def _measured(image: Picture, name: str) -> PictureFacts:
    from PIL import Image, ImageStat

    spread = level_range(image)
    width, height = image.size
    scale = max(width, height) / MEASURED_SIDE
    small = image
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        small = image.resize(size, Image.Resampling.BOX)
    grey = small.convert("L")
    edge, parts = _contrast(grey)
    lattice, block, colours = _mosaic(image)
    return PictureFacts(
        format=name,
        width=width,
        height=height,
        mean=sum(ImageStat.Stat(small).mean) / 3,
        deviation=ImageStat.Stat(grey).stddev[0],
        range=spread,
        edge=edge,
        parts=parts,
        lattice=lattice,
        block=block,
        colours=colours,
    )


def _contrast(grey: Picture) -> tuple[float, float]:
    """The steepest edge in ranges per side, and the share of contrast in details of 1/32 to 1/8."""
    import numpy as np
    from PIL import Image

    levels = np.asarray(grey, dtype=np.float32)
    whole = float(levels.std())
    if whole < 1e-3:
        return 0.0, 0.0
    side = max(grey.size)
    low, high = np.percentile(levels[::2, ::2], (0.5, 99.5))
    steps = [np.abs(np.diff(levels, axis=axis)).ravel() for axis in (0, 1) if levels.shape[axis] > 1]
    every = np.concatenate(steps)
    if high - low > FLAT_RANGE:
        # The 150th steepest of 500,000 steps: an edge of 150 pixels, not a speck.
        place = len(every) - 1 - round(len(every) * 0.0003)
        edge = float(np.partition(every, place)[place]) / float(high - low) * side
    else:  # almost plain: stars, a dot, a thin line. Here every step counts.
        edge = float(every.max(initial=0)) / max(1.0, float(levels.max() - levels.min())) * side

    plain = grey.convert("F")

    def coarse(cells: int) -> NDArray[np.float32]:
        size = (max(1, round(cells * grey.width / side)), max(1, round(cells * grey.height / side)))
        box = plain.resize(size, Image.Resampling.BOX)
        return np.asarray(box.resize(grey.size, Image.Resampling.BICUBIC), dtype=np.float32)

    return edge, float((coarse(32) - coarse(8)).std()) / whole


def _mosaic(image: Picture) -> tuple[float, float, float]:
    """`lattice`, `block` and `colours` of `PictureFacts`."""
    import numpy as np

    rgb = np.asarray(image)[:2048, :2048]
    grey = rgb[..., 1].astype(np.int16)  # green is most of the brightness
    directions = []
    for axis in (1, 0):
        change = np.abs(np.diff(grey, axis=axis))
        change[change <= LATTICE_STEP] = 0
        share, lines = _lattice(change.sum(axis=1 - axis, dtype=np.int64).astype(np.float64))
        if share < LATTICE_SHARE:
            return share, 0.0, 0.0
        directions.append((share, lines))
    (across, columns), (down, rows) = directions
    starts_x, starts_y = np.concatenate([[0], columns + 1]), np.concatenate([[0], rows + 1])
    sums = np.add.reduceat(np.add.reduceat(rgb, starts_y, axis=0, dtype=np.int64), starts_x, axis=1)
    sizes = np.outer(np.diff(np.append(starts_y, len(rgb))), np.diff(np.append(starts_x, rgb.shape[1])))
    means = (sums // sizes[..., None]).reshape(-1, 3)
    # Recompression moves a mean by one or two levels, and colours by more.
    colours = len(np.unique(means // 2 @ np.array([1, 128, 16384])))
    greys = len(np.unique(means @ np.array([299, 587, 114]) // 2000))
    most = _COLOURS if np.ptp(means, axis=1).max() > 8 else _GREYS
    blocks = len(means)
    share = min(1.0, colours / min(blocks, most), greys / min(blocks, _LEVELS))
    return min(across, down), float(np.median(np.diff(columns))), share


def _lattice(profile: NDArray[np.float64]) -> tuple[float, NDArray[np.int64]]:
    """The largest share of a profile of change that lies on equidistant lines, and these lines.

    Blocks are side/128 to side/8 wide and at least 6 pixels. Their width is whole and starts anywhere (drawn
    by blocks, or cropped), or is fractional and starts at the edge (an enlarged copy, or a resized mosaic).
    A line includes its neighbours, since resizing can make an edge two pixels wide.
    """
    import numpy as np

    side = len(profile) + 1
    least, most = max(6, side // 128), side // 8
    none = np.zeros(0, dtype=np.int64)
    total = float(profile.sum())
    if total <= 0 or most < least:
        return 0.0, none
    # Nothing changes between two lines of a lattice. Most images fail this test, so it comes first.
    padded = np.pad(profile, least // 2)
    highest = np.lib.stride_tricks.sliding_window_view(padded, least)[: len(profile)].max(axis=1)
    peaks = np.convolve(profile >= highest, np.ones(3), "same") > 0
    if (held := float(profile[peaks].sum()) / total) < LATTICE_SHARE:
        return held, none

    wide = np.convolve(profile, (0.97, 1.0, 0.97), "same")  # neighbours of a line count almost in full
    whole = []
    for block in range(least, most + 1):
        padded = np.pad(wide, (0, -len(wide) % block))
        start = int(padded.reshape(-1, block).sum(axis=0).argmax())
        whole.append(np.arange(start, len(wide), block))
    share, lines = _coarsest(wide, total, whole)
    if share >= LATTICE_SHARE:
        return share, lines
    broken, pitch = [], float(least)
    while pitch <= most:
        broken.append(np.rint(np.arange(1, int((side - 1) / pitch) + 1) * pitch).astype(np.int64) - 1)
        pitch += 2 * pitch / side  # the last line moves by two pixels
    return max(_coarsest(wide, total, broken), (share, lines), key=lambda pair: pair[0])


def _coarsest(
    wide: NDArray[np.float64], total: float, lattices: list[NDArray[np.int64]]
) -> tuple[float, NDArray[np.int64]]:
    """The share and the lines of the best lattice. A lattice of half the block size explains as much, so the
    coarsest of those that explain enough wins."""
    pairs = [(min(1.0, float(wide[lines].sum()) / total), lines) for lines in lattices]
    enough = [pair for pair in pairs if pair[0] >= LATTICE_SHARE]
    if enough:
        fewest = min(len(lines) for _, lines in enough)
        pairs = [pair for pair in enough if len(pair[1]) <= 1.1 * fewest + 1]
    return max(pairs, key=lambda pair: pair[0])
