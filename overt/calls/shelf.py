"""Results of a local model that hands them out itself, kept in the journal like answers.

Scorers of faithfulness read their cases as a stream and cut it into batches of their own, so they are no
channel: they look here before they compute, and leave here what they computed.
"""

from __future__ import annotations

from collections.abc import Iterable

from overt.data.json_types import Json, JsonObject
from overt.data.run.journal import Entry, Journal, call_key, write_request
from overt.data.secrets import storable


class Shelf:
    """The results of one model. Safe for several threads.

    Args:
        name: the model, as the user wrote it.
        version: of what decides its results besides its name. Two that differ share none.
        purpose: what the journal says of them.
    """

    def __init__(self, journal: Journal, name: str, version: str, purpose: str) -> None:
        self._journal, self._name, self._version, self._purpose = journal, name, version, purpose

    def get(self, about: JsonObject) -> JsonObject | None:
        """The result that was kept under this, if any."""
        entry = self._journal.get(self._key(about)[0])
        return entry.reply if entry is not None else None

    def put(self, rows: Iterable[tuple[JsonObject, JsonObject]]) -> None:
        """Keeps results, each under what it is about, in one transaction.

        Raises:
            RunError: disk full, read-only, or locked by another process.
        """
        entries = []
        for about, result in rows:
            key, written = self._key(about)
            entries.append(Entry(key, self._name, self._purpose, "", written, storable(result), 0.0))
        if entries:
            self._journal.put(entries)

    def _key(self, about: JsonObject) -> tuple[str, str]:
        more: dict[str, Json] = {"version": self._version}
        written = write_request({**about, **more})
        return call_key(self._name, written), written
