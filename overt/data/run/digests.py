"""Hashes of a run's input files, to detect changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from overt.data.run.files import speaking_os_errors
from overt.data.tables.sources import parse_source

_BLOCK = 1 << 20


def digest_source(spec: str | None) -> str | None:
    """BLAKE2b of the file or folder of a source: 32 hex digits. None without a source and for the Hub.

    Raises:
        InputError: the file does not exist.
        RunError: the file cannot be read.
    """
    path = parse_source(spec).path if spec is not None else None
    return None if path is None else digest_files(path)


def digest_files(path: Path) -> str:
    """BLAKE2b of a file, or of all files of a folder in the order of their names: 32 hex digits. Of a run's
    folder only the dataset counts, since the journal and the lock change.

    Raises:
        RunError: a file cannot be read.
    """
    files: Iterable[Path] = [path]
    if path.is_dir():
        data = path / "dataset" if (path / "dataset").is_dir() else path
        files = sorted(p for p in data.rglob("*") if p.is_file())
    digest = hashlib.blake2b(digest_size=16)
    with speaking_os_errors("cannot read an input"):
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
    return digest.hexdigest()
