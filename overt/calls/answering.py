"""One call, on the event loop: from the journal, or else sent, booked, and journalled before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from overt.calls.channel import Channel, Reply, UnreadableRow, within_floor
from overt.calls.costs import Stats
from overt.calls.finality import RETRIED, holds, is_journalled
from overt.calls.sending import Asked, Sender, Stop
from overt.calls.writer import JournalWriter
from overt.data.errors import OvertError
from overt.data.plugins.attempts import BROKEN_CLASS
from overt.data.provider.dialect import CHANGES
from overt.data.run.journal import Entry, Journal, call_key, write_request

Q = TypeVar("Q")
A = TypeVar("A", bound=Reply)


@dataclass(frozen=True)
class _Call:
    """A call: its key, its request as it is journalled, and its row in the journal."""

    key: str
    written: str
    before: Entry | None


@dataclass(frozen=True)
class Line(Generic[Q, A]):
    """A channel, the purpose of its calls, and the model behind it."""

    channel: Channel[Q, A]
    purpose: str
    asked: Asked


class Answering:
    """The calls of one process. What it counts is written by the event loop's thread alone.

    kept: replies whose responses are kept, so that they can be read again. on_note: is told what the record
    of the run must say.
    """

    def __init__(self, journal: Journal, writer: JournalWriter, sender: Sender, stats: Stats) -> None:
        self.kept = 0
        self.on_note: Callable[[str], None] = lambda text: None
        self._journal, self._writer, self._sender, self._stats = journal, writer, sender, stats
        self._booked: set[int] = set()  # the calls whose cost is counted, by the first 60 bits of their keys
        self._under_way: dict[str, asyncio.Future[Reply | None]] = {}  # by the journal's key

    async def reply(self, line: Line[Q, A], request: Q, category: str) -> A:
        """The reply to one request.

        Raises:
            Stop: nothing more is sent.
            NotFinished: a batch goes on.
        """
        channel = line.channel
        written = write_request(channel.plain(request))
        key = call_key(channel.name, written)
        while (same := self._under_way.get(key)) is not None:
            if (failed := await asyncio.shield(same)) is not None:
                self._book(line.purpose, category, failed, 0.0)
                self._note(line, failed)
                return cast(A, failed)
        before, known = self.known(channel, key)
        standing = line.asked.standing
        if before is not None and known is not None:
            moved = before.reply.get("at", standing.place) != standing.place
            if known.error is None or holds(known.error, has_answered=standing.has_answered, moved=moved):
                standing.remembers(known.error)
                again = not self._is_first(key, before.cost)
                self._book(line.purpose, category, known, 0.0 if again else before.cost, again, cached=1)
                self._note(line, known)
                return known
        return await self._sent_once(line, request, category, _Call(key, written, before))

    async def _sent_once(self, line: Line[Q, A], request: Q, category: str, call: _Call) -> A:
        """As `_sent`, while the same request of others waits: it finds the reply in the journal, or is given
        the failure. Two that are both sent would be paid for twice, and only one reply is kept."""
        under_way: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._under_way[call.key] = under_way
        failed: Reply | None = None
        try:
            with self._sender.call(line.asked, call.key):
                reply = await self._sent(line, request, category, call)
            failed = reply if reply.error is not None else None
            return reply
        finally:
            del self._under_way[call.key]
            if not under_way.done():
                under_way.set_result(failed)

    async def _sent(self, line: Line[Q, A], request: Q, category: str, call: _Call) -> A:
        """The reply to a request that the journal does not answer."""
        channel, before, standing = line.channel, call.before, line.asked.standing
        reply, retries = await self._sender.attempts(channel, line.asked, request, call.key)
        reply, data = within_floor(channel, channel.counted(request, reply))
        is_call = reply.error is None or reply.error.kind not in RETRIED | {BROKEN_CLASS}
        cost = channel.cost(reply) if is_call else 0.0
        self._is_first(call.key, cost)
        self._book(line.purpose, category, reply, cost, requests=int(is_call), retries=retries)
        self._stats.spent += cost
        line.asked.spent += cost
        self._note(line, reply)
        # Before the journal is waited for, so that no other request goes out meanwhile.
        sender = self._sender
        if stop := standing.saw(reply.error, is_known=before is not None):
            sender.stop = sender.stop or stop
        if is_journalled(reply):
            if reply.error is not None:
                data = {**data, "at": standing.place}
            paid = cost + (before.cost if before is not None else 0.0)
            entry = Entry(call.key, channel.name, line.purpose, category, call.written, data, paid)
            try:
                await self._writer.record(entry)
            except OvertError as error:  # such as a full disk
                sender.stop = error
                raise Stop(error) from error
        if stop:
            raise Stop(stop)
        return reply

    def known(self, channel: Channel[Q, A], key: str) -> tuple[Entry | None, A | None]:
        """The journal's row of a call, and its reply as today's vocabulary reads it."""
        entry = self._journal.get(key)
        if entry is None:
            return None, None
        try:
            reply = channel.unpack(entry.reply)
        except UnreadableRow:
            self._journal.drop(key)
            return None, None
        return entry, reply if reply.raw is None else channel.reread(reply)

    def _note(self, line: Line[Q, A], reply: Reply) -> None:
        """Remembers a failure, and tells once what of a model's replies the reader of the run must know."""
        name = line.channel.name
        self.kept += reply.raw is not None
        if reply.error is not None and not reply.error.is_of_answer:
            line.asked.standing.failed(reply.error)
        for change in reply.adapted:
            if change in CHANGES:
                self.on_note(f"{name} {CHANGES[change]}")
        if reply.is_estimate:
            self._stats.estimated += 1
            self.on_note(f"{name} counts no tokens in its replies: their cost is an estimate from the texts")

    def _is_first(self, key: str, cost: float) -> bool:
        """Whether the cost of this call was not counted yet. One reply may answer several questions."""
        if not cost:
            return True
        short, before = int(key[:15], 16), len(self._booked)
        self._booked.add(short)
        return len(self._booked) > before

    def _book(
        self, purpose: str, category: str, reply: Reply, cost: float, is_again: bool = False, **counts: int
    ) -> None:
        if reply.price_share is not None and not is_again:
            self._stats.batched.add(cost, reply.price_share)
        self._stats.add(
            purpose,
            category,
            cost=cost,
            seconds=reply.latency_s,
            input_tokens=reply.input_tokens or 0,
            output_tokens=reply.output_tokens or 0,
            **counts,
        )
