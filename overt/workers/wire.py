"""Messages between the driver and a process that it started: pickles with their length before them.

Both ends are the same user's processes on one machine, joined by pipes that nobody else can open.
"""

from __future__ import annotations

import pickle
import struct
from typing import IO

from overt.workers.parts import Answer

_HEAD = struct.Struct(">Q")


def packed(message: object) -> bytes:
    """A message as it is sent.

    Raises:
        Exception: it holds what cannot be pickled.
    """
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(data)) + data


def received(stream: IO[bytes]) -> Answer:
    """The next message; None: the other end is gone."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    (length,) = _HEAD.unpack(head)
    data = stream.read(length)
    return pickle.loads(data) if len(data) == length else None
