"""Pictures to vectors: decoded in threads beside the model, batch by batch, a bounded way ahead of it."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from overt.data.local.devices import free_memory, out_of_memory
from overt.scoring.faithfulness.scorable import Load, see
from overt.scoring.faithfulness.windows import unit

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

    from overt.scoring.faithfulness.windows import Vector

# Pictures come back: an original's own is the baseline of each of its rewordings, which are neighbours.
_REMEMBERED = 2048
BATCHES_AHEAD = 3


class Seen:
    """A picture's unit vector, or why it has none; neither while it is being waited for."""

    __slots__ = ("vector", "why")

    def __init__(self) -> None:
        self.vector: Vector | None = None
        self.why = ""

    @property
    def is_known(self) -> bool:
        return self.vector is not None or bool(self.why)


class Embedder:
    """Embeds the pictures that it is asked for, in the order in which it is asked.

    Args:
        load: from a path to encoded bytes; called in threads.
        prepare: from an RGB `PIL.Image` to a tensor; called in threads.
        encode: from a list of such tensors to an (n, d) tensor, which may still be computed.
        batch_size: most pictures at once.
    """

    def __init__(
        self,
        load: Load,
        prepare: Callable[[Picture], torch.Tensor],
        encode: Callable[[list[torch.Tensor]], torch.Tensor],
        batch_size: int,
    ) -> None:
        self._load, self._prepare, self._encode, self._batch_size = load, prepare, encode, batch_size
        self._queue: deque[tuple[Seen, Future[torch.Tensor | str]]] = deque()
        self._known: OrderedDict[str, Seen] = OrderedDict()
        self._running: tuple[list[Seen], torch.Tensor] | None = None
        self._pool = ThreadPoolExecutor(max(1, min(16, os.cpu_count() or 1)), "pictures")

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """How many pictures were asked for and not yet handed to the model."""
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """Whether more may be asked for; what is decoded and not yet encoded is all in memory."""
        return self.waiting < BATCHES_AHEAD * self._batch_size

    def ask(self, path: str) -> Seen:
        """The picture at a path; known after some steps."""
        seen = self._known.get(path)
        if seen is None:
            seen = self._known[path] = Seen()
            self._queue.append((seen, self._pool.submit(self._read, path)))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(path)
        return seen

    def step(self) -> None:
        """Starts the next batch, then takes in the one before: a GPU computes while this one is gathered."""
        batch: list[Seen] = []
        tensors: list[torch.Tensor] = []
        while self._queue and len(batch) < self._batch_size:
            seen, future = self._queue.popleft()
            found = future.result()
            if isinstance(found, str):
                seen.why = found
            else:
                batch.append(seen)
                tensors.append(found)
        started = (batch, self._attempt(tensors)) if batch else None
        if self._running is not None:
            self._take_in(*self._running)
        self._running = started

    def _take_in(self, batch: list[Seen], vectors: torch.Tensor) -> None:
        for seen, vector in zip(batch, unit(vectors.float().cpu().numpy()), strict=True):
            if vector[0] == vector[0]:
                seen.vector = vector
            else:
                seen.why = "without a finite embedding"

    def _read(self, path: str) -> torch.Tensor | str:
        """The picture as a tensor, or why it has none."""
        image, why = see(self._load, path)
        return why if image is None else self._prepare(image)

    def _attempt(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """As `encode`; a batch that does not fit into memory is halved."""
        import torch

        try:
            return self._encode(tensors)
        except Exception as error:
            if len(tensors) == 1 or not out_of_memory(error):
                raise
        free_memory()
        half = len(tensors) // 2
        return torch.cat([self._attempt(tensors[:half]), self._attempt(tensors[half:])])
