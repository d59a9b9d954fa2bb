"""Small copies of the pictures of a run, as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from overt.data.pictures import UnreadablePicture, open_picture
from overt.report.cases import Thumbnails

SIDE = 192  # pixels, longer side of a thumbnail
_AHEAD = 32  # thumbnails made before the budget is looked at again


def thumbnails(
    rows: Sequence[Sequence[str]], run: Path, *, budget: int, workers: int = 2
) -> list[Thumbnails]:
    """The pictures of each row, small, in the order given, until `budget` bytes are spent.

    Args:
        rows: of each row the paths of its pictures, relative to `run`; those that lead out are not opened.
        workers: threads that decode pictures.
    """
    wanted = [(i, path) for i, paths in enumerate(rows) for path in paths]
    made: dict[int, list[str]] = {}
    unreadable: dict[int, int] = {}
    left_out: dict[int, int] = {}
    root = run.resolve()
    full = False
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for start in range(0, len(wanted), _AHEAD):
            part = wanted[start : start + _AHEAD]
            if full:
                for i, _ in part:
                    left_out[i] = left_out.get(i, 0) + 1
                continue
            for (i, _), uri in zip(part, pool.map(lambda item: _read(root, item[1]), part), strict=True):
                if uri is None:
                    unreadable[i] = unreadable.get(i, 0) + 1
                elif full or len(uri) > budget:
                    full = True
                    left_out[i] = left_out.get(i, 0) + 1
                else:
                    budget -= len(uri) + 4
                    made.setdefault(i, []).append(uri)
    return [
        Thumbnails(tuple(made.get(i, ())), left_out.get(i, 0), unreadable.get(i, 0)) for i in range(len(rows))
    ]


def _read(root: Path, path: str) -> str | None:
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            return None
        return thumbnail(file.read_bytes())
    except (OSError, ValueError):  # it is gone, no picture, or has a name that no file can have
        return None


def thumbnail(data: bytes, side: int = SIDE) -> str:
    """A small copy as a data URI: WebP, at most `side` pixels, nothing but pixels in it.

    Raises:
        UnreadablePicture: the bytes are no picture, or too large a one.
    """
    from PIL import Image

    image = open_picture(data)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # A new picture, since Pillow carries a file's colour profile and EXIF along in `info`.
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    sink = io.BytesIO()
    try:
        bare.save(sink, "WEBP", quality=60, method=4)
    except OSError as error:
        raise UnreadablePicture(f"cannot be re-encoded: {error}") from error
    return "data:image/webp;base64," + base64.b64encode(sink.getvalue()).decode("ascii")
