"""Embeds pictures in batches; threads decode a bounded way ahead of the model."""

from __future__ import annotations

import base64
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Generic, TypeVar

from overt.data.json_types import JsonObject
from overt.data.local.memory import Room, free_memory, out_of_memory
from overt.data.rewrites import Kept
from overt.scoring.faithfulness.scorable import Load, see
from overt.scoring.faithfulness.windows import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from overt.scoring.faithfulness.windows import Vector

P = TypeVar("P")
# Vectors that may still be computed somewhere: float32 (n, d) once it is called.
Coming = Callable[[], "NDArray[np.float32]"]

# An original's picture is the baseline of each of its rewordings, which follow one another.
_REMEMBERED = 2048
_BATCHES_AHEAD = 3


class Seen:
    """A picture's unit vector, or why it has none. Both are empty until the picture is embedded."""

    __slots__ = ("vector", "why")

    def __init__(self) -> None:
        self.vector: Vector | None = None
        self.why = ""

    @property
    def is_known(self) -> bool:
        return self.vector is not None or bool(self.why)


class Embedder(Generic[P]):
    """Embeds pictures in the order of the requests.

    Args:
        load: reads the encoded bytes at a path; called in threads.
        prepare: turns an RGB `PIL.Image` into what `encode` takes; called in threads.
        encode: begins to turn a list of these into vectors.
        room: maximum pictures in a batch; it shrinks when the memory runs out.
        lanes: batches that are computed side by side. With one, the next is begun before it is waited for.
        kept: where vectors are kept from run to run, by the pictures' hashes, which are their names.
    """

    def __init__(
        self,
        load: Load,
        prepare: Callable[[Picture], P],
        encode: Callable[[list[P]], Coming],
        room: Room,
        lanes: int = 1,
        kept: Kept | None = None,
    ) -> None:
        self._load, self._prepare, self._encode, self._room = load, prepare, encode, room
        self._lanes, self._kept = lanes, kept
        self._queue: deque[tuple[str, Seen, Future[tuple[P | None, str]]]] = deque()
        self._known: OrderedDict[str, Seen] = OrderedDict()
        self._running: deque[tuple[list[tuple[str, Seen]], Coming]] = deque()
        self._pool = ThreadPoolExecutor(max(1, min(16, os.cpu_count() or 1)), "pictures")

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def has_room(self) -> bool:
        """Whether more pictures may be requested; decoded pictures stay in memory until they are encoded."""
        return len(self._queue) < (_BATCHES_AHEAD + self._lanes - 1) * self._room.size

    def ask(self, path: str) -> Seen:
        """Requests the picture at a path; it is known after some steps."""
        seen = self._known.get(path)
        if seen is None:
            seen = self._known[path] = Seen()
            seen.vector = _vector(self._kept.get(_about(path))) if self._kept is not None else None
            if seen.vector is None:
                self._queue.append((path, seen, self._pool.submit(self._read, path)))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(path)
        return seen

    def step(self) -> None:
        """Starts the next batch, then collects the one before those that compute meanwhile."""
        batch: list[tuple[str, Seen]] = []
        pictures: list[P] = []
        while self._queue and len(batch) < self._room.size:
            path, seen, future = self._queue.popleft()
            picture, why = future.result()
            if picture is None:
                seen.why = why
            else:
                batch.append((path, seen))
                pictures.append(picture)
        if batch:
            self._running.append((batch, begun(self._encode, pictures, self._room)))
        if len(self._running) > self._lanes or (self._running and not batch):
            self._take_in(*self._running.popleft())

    def _take_in(self, batch: list[tuple[str, Seen]], coming: Coming) -> None:
        rows: list[tuple[JsonObject, JsonObject]] = []
        for (path, seen), vector in zip(batch, unit(coming()), strict=True):
            if vector[0] == vector[0]:
                seen.vector = vector
                rows.append((_about(path), _row(vector)))
            else:
                seen.why = "without a finite embedding"
        if self._kept is not None:
            self._kept.put(rows)

    def _read(self, path: str) -> tuple[P | None, str]:
        """Returns the picture as `encode` takes it, or why it cannot be scored."""
        image, why = see(self._load, path)
        return (None, why) if image is None else (self._prepare(image), "")


def begun(encode: Callable[[list[P]], Coming], pictures: list[P], room: Room) -> Coming:
    """Begins to encode a batch, halving it if memory runs out."""
    try:
        return encode(pictures)
    except Exception as error:
        if len(pictures) == 1 or not out_of_memory(error):
            raise
    free_memory()
    room.shrink(len(pictures))
    room.fitted()
    half = len(pictures) // 2
    parts = [begun(encode, pictures[:half], room), begun(encode, pictures[half:], room)]

    def both() -> NDArray[np.float32]:
        import numpy as np

        return np.concatenate([part() for part in parts])

    return both


def _about(path: str) -> JsonObject:
    return {"picture": PurePosixPath(path).stem}


def _row(vector: Vector) -> JsonObject:
    """A vector as it is kept: float32, little-endian, in base64."""
    return {"vector": base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")}


def _vector(row: JsonObject | None) -> Vector | None:
    """The vector that was kept; None if there is none, or if it cannot be read."""
    import numpy as np

    try:
        found = np.frombuffer(base64.b64decode(str((row or {})["vector"]), validate=True), "<f4")
    except (KeyError, ValueError):
        return None
    return found.astype(np.float32) if len(found) and np.isfinite(found).all() else None
