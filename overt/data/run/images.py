"""Stores the images of a run by their hash: RUN/images/ab/abcdef....png."""

from __future__ import annotations

import hashlib
from pathlib import Path

from overt.data.errors import InputError
from overt.data.run.files import write_atomic

_MAGIC = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
)


class ImageStore:
    """The images of one run folder. Safe for several threads and processes."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def put(self, data: bytes) -> str:
        """Stores an encoded image unchanged and returns its path relative to the run folder.

        Raises:
            RunError: disk full, folder not writable.
        """
        reference = reference_of(data)
        path = self._run / reference
        if not path.exists():
            write_atomic(path, data)
        return reference

    def has(self, reference: str) -> bool:
        """Whether an image is there, by the path that `put` returned."""
        return (self._run / reference).is_file()

    def tidy(self) -> None:
        """Removes half-written images of a process that was killed. For whoever holds the folder's lock."""
        for path in (self._run / "images").glob("*/.*.tmp"):
            path.unlink(missing_ok=True)

    def get(self, reference: str) -> bytes:
        """The bytes of an image, by the path that `put` returned.

        Raises:
            InputError: the image does not exist, or the path leads out of the run.
        """
        path = (self._run / reference).resolve()
        if not path.is_relative_to((self._run / "images").resolve()):
            raise InputError("this path leads out of the run's pictures", where=reference)
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read a picture of the run: {error.strerror}", where=str(path)
            ) from error


def reference_of(data: bytes) -> str:
    """The path that an image gets in every run, by its bytes."""
    name = hashlib.blake2b(data, digest_size=16).hexdigest()
    return f"images/{name[:2]}/{name}.{_ending(data)}"


def _ending(data: bytes) -> str:
    for magic, ending in _MAGIC:
        if data.startswith(magic):
            return ending
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return "bin"
