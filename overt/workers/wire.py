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


def packed_answer(number: int, answer: object) -> bytes:
    """The answer to a message of this number, a message itself. Its own pickle lies within, so that whoever
    reads it learns of which message it is where that cannot be opened.

    Raises:
        Exception: as `packed`.
    """
    return packed((number, pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)))


def opened(answer: bytes) -> Answer:
    """An answer as it was before it was sent.

    Raises:
        Exception: it holds what cannot be made here.
    """
    return pickle.loads(answer)


def received(stream: IO[bytes]) -> Answer:
    """The next message; None: the other end is gone."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    (length,) = _HEAD.unpack(head)
    data = stream.read(length)
    return pickle.loads(data) if len(data) == length else None
