"""What this user has named: the addresses, key variables and classes that their own commands reached.

A run's folder can come from anybody, so what stands in it is not taken for the user's word. The list is in
`$XDG_STATE_HOME/overt/places` (`~/.local/state` by default): one empty file for each place, named by a hash,
in a folder that its owner alone can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "overt" / "places"


def is_known(place: str) -> bool:
    """Whether this user has named the place."""
    with contextlib.suppress(OSError):
        return (folder() / _hash(place)).is_file()
    return False


def remember(places: Iterable[str]) -> None:
    """Remembers places; where that cannot be written, they will be asked about."""
    with contextlib.suppress(OSError):
        for place in places:
            path = folder() / _hash(place)
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _hash(place: str) -> str:
    return hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=16).hexdigest()
