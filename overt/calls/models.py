"""The models that one caller asks, and which of them are asked at the moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

from overt.calls.channel import Subject
from overt.calls.sending import Asked, Sender
from overt.calls.standing import Standing
from overt.calls.writer import JournalWriter
from overt.data.run.journal import Journal


class _Closes(Protocol):
    async def close(self) -> None: ...


class Turn:
    """A model, as one stage asks it."""

    def __init__(self, asked: Asked, lock: threading.Lock) -> None:
        self._asked, self._lock, self._is_over = asked, lock, False
        with lock:
            asked.turns += 1

    def over(self) -> bool:
        """Nothing more is asked by this stage. Returns whether nobody asks the model now."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._asked.turns -= 1
            return not self._asked.turns


class Models:
    """The models of one caller. Channels to the same object are one model. Safe for several threads."""

    def __init__(self, journal: Journal, writer: JournalWriter, sender: Sender) -> None:
        self._journal, self._writer, self._sender = journal, writer, sender
        self._lock = threading.Lock()
        self._asked: dict[int, Asked] = {}  # by the id of the object, which its channel keeps alive
        self._standings: list[Standing] = []  # also of models that were released

    def register(self, channel: Subject) -> Asked:
        """Makes a model known, if it is not.

        Raises:
            InputError: it cannot be asked by batch, as the user wants.
        """
        with self._lock:
            asked = self._asked.get(id(channel.subject))
            if asked is None:
                name, journal = channel.name, self._journal
                standing = Standing(channel, lambda: journal.has_answer(name))
                asked = self._sender.open(channel, standing, journal, self._writer.began)
                self._asked[id(channel.subject)] = asked
                self._standings.append(standing)
            return asked

    @property
    def standings(self) -> list[Standing]:
        """How all models stand that were ever asked here."""
        with self._lock:
            return list(self._standings)

    @contextlib.contextmanager
    def asking(self, asked: Asked) -> Iterator[Turn]:
        """While a stage asks a model."""
        turn = Turn(asked, self._lock)
        try:
            yield turn
        finally:
            turn.over()

    async def release(self, subject: object) -> bool:
        """Closes and forgets a model. Returns False, and does nothing, while a stage asks it or a batch of it
        is under way."""
        with self._lock:
            asked = self._asked.get(id(subject))
            if asked is None:
                return True
            if asked.turns or (asked.box is not None and asked.box.parcels):
                return False
            del self._asked[id(subject)]
            self._sender.forget(asked)
        await _close(asked)
        return True

    async def close(self) -> None:
        """Closes all models."""
        with self._lock:
            models, self._asked = list(self._asked.values()), {}
        for asked in models:
            await _close(asked)


async def _close(asked: Asked) -> None:
    closing: tuple[_Closes | None, ...] = (asked.box, asked.channel)
    for thing in closing:
        if thing is not None:
            with contextlib.suppress(Exception):  # it must not hide an earlier error, nor what came
                await thing.close()
