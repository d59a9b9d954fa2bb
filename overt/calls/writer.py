"""Writes replies to the journal: one commit for all replies of one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from overt.data.errors import OvertError
from overt.data.run.journal import Entry, Journal


class JournalWriter:
    """All methods run on one event loop. `on_first` is called once, after the first commit or batch."""

    def __init__(self, journal: Journal) -> None:
        self.on_first: Callable[[], None] | None = None
        self._journal = journal
        self._unwritten: list[tuple[Entry, asyncio.Future[None]]] = []

    async def record(self, entry: Entry) -> None:
        """Returns when the entry is in the journal.

        Raises:
            RunError: disk full, read-only, or locked by another process.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._unwritten:
            loop.call_soon(self.write)
        self._unwritten.append((entry, future))
        # Shielded: a received reply is written even if its question is cancelled.
        await asyncio.shield(future)

    def began(self) -> None:
        """Something is sent that is paid for."""
        if self.on_first is not None:
            first, self.on_first = self.on_first, None
            first()

    def write(self) -> None:
        """Writes what is waiting."""
        batch, self._unwritten = self._unwritten, []
        if not batch:
            return
        try:
            self._journal.put(entry for entry, _ in batch)
            self.began()
        except OvertError as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for _, future in batch:
            if not future.done():
                future.set_result(None)
