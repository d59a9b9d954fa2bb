"""The caller: stages give it questions and receive answers in the same order.

Its event loop runs in a thread of its own, so that calls go on while a stage works. A question is answered
from the journal, or else sent, retried, journalled and parsed. A reply goes to the journal in the turn of the
loop in which it came, so that a `kill -9` loses only the calls in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from overt.calls.channel import Channel, ChatChannel, Reply, Subject, UnreadableRow, within_floor
from overt.calls.costs import Price, PriceList, Stats
from overt.calls.finality import RETRIED, holds, is_journalled
from overt.calls.flow import Flow
from overt.calls.options import CallerOptions
from overt.calls.parcels import Terms
from overt.calls.sending import AT_ONCE, Sender, Stop
from overt.calls.shelf import Shelf
from overt.calls.standing import Standing
from overt.calls.waits import Waits
from overt.calls.writer import JournalWriter
from overt.data.chat import (
    Answer,
    Ask,
    CallError,
    ChatModel,
    ChatReply,
    ChatRequest,
    Question,
)
from overt.data.errors import InputError, NotFinished, OvertError
from overt.data.json_types import JsonObject
from overt.data.plugins.attempts import BROKEN_CLASS
from overt.data.provider.dialect import CHANGES
from overt.data.replies import answered
from overt.data.run.journal import Entry, Journal, call_key, write_request

T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")
A = TypeVar("A", bound=Reply)


class Caller:
    """The calls of one process for one run. A context manager that owns the journal and the event loop."""

    def __init__(
        self, journal: Path, options: CallerOptions, on_progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.options = options
        self.stats = Stats()
        self._journal = Journal(journal)
        self._prices = PriceList.load(options.prices)
        self._on_progress = on_progress
        self._spoke = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="overt-calls", daemon=True)
        self._standings: dict[int, Standing] = {}
        self._channels: dict[int, Subject] = {}
        self._failed: list[tuple[Standing, CallError]] = []  # replies without an answer
        self.damaged = self._journal.damaged  # the keys of its rows that could not be read
        self.reused = self._journal.reused  # the keys of an earlier run's calls that were used
        self.kept = 0  # replies whose responses are kept, so that they can be read again
        self._waits = Waits()
        wait = options.batch_wait
        self._terms = Terms(
            options.batch and not options.batch_cancel,
            options.batch_cancel,
            None if wait is None else time.monotonic() + 60 * wait,
            options.max_retries,
            options.pay_again,
            self._tell_of_batch,
            lambda: on_progress("; ".join([self.stats.line(), *self.batches])),
        )
        self._sender = Sender(options, self.stats, self._waits, self._terms)
        self.on_note: Callable[[str], None] = lambda text: None
        self._writer = JournalWriter(self._journal)

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OvertError):
            self._sender.settle(error)

        async def close() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.write()
            for box in self._sender.boxes.values():
                await box.close()
            for channel in self._channels.values():
                await channel.close()

        # A model that fails to close must not hide an earlier error.
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._journal.close()

    def shelf(self, name: str, version: str, purpose: str) -> Shelf:
        """Where a local model that is no channel keeps its results."""
        return Shelf(self._journal, name, version, purpose)

    def price_of(self, name: str) -> Price | None:
        """The price of a model, or None if it is unknown.

        Raises:
            InputError: `max_cost` is set and the price is unknown.
        """
        price = self._prices.of(name)
        if price is None and self.options.max_cost is not None:
            raise InputError(
                f"--max-cost is set, but no price is known for {name}",
                fix="Give its price in a YAML file: --prices prices.yaml "
                "(lines such as  my-model: {input: 0.15, output: 0.60}  in US dollars per million tokens, "
                "or  my-model: {image: 0.04}  per picture), or leave --max-cost out.",
            )
        return price

    def bind(self, model: ChatModel, purpose: str) -> Ask:
        """An `Ask` for one chat model. The cost is counted under `purpose`.

        Raises:
            InputError: see `price_of`.
        """
        channel = ChatChannel(model, self.price_of(model.name))
        self.register(channel)
        return _Bound(self, channel, purpose)

    def stream(
        self, channel: Channel[Q, A], purpose: str, jobs: Iterable[tuple[T, Q, str]]
    ) -> Iterator[tuple[T, A]]:
        """Sends many requests over one channel; replies come in the order of the jobs.

        Args:
            jobs: (any object, returned with the reply; the request; the category for the cost). They are
                read lazily, so there may be more than memory holds.
        """
        self.register(channel)
        line = _Line(channel, purpose)

        async def work(job: tuple[T, Q, str]) -> tuple[T, A]:
            about, request, category = job
            return about, await self._reply(line, request, category)

        return self._run(work, jobs)

    def register(self, channel: Subject) -> None:
        """Makes a model known, at the latest with its first request.

        Raises:
            InputError: it cannot be asked by batch, as the user wants.
        """
        subject = id(channel.subject)
        if subject in self._channels:
            return
        name = channel.name
        standing = Standing(channel, lambda: self._journal.has_answer(name))
        self._sender.open_box(channel, standing, self._journal, self._writer.began)
        self._sender.register(channel)
        self._channels[subject], self._standings[subject] = channel, standing

    def tells(
        self,
        on_note: Callable[[str], None],
        on_wait: Callable[[str], None],
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        """Sets who is told of what the record of the run must say, of waits that a service asked for, and of
        the first reply that was journalled."""
        self.on_note, self._waits.on_wait, self._writer.on_first = on_note, on_wait, on_first

    @property
    def unanswered(self) -> int:
        """How many replies were failures that the next run asks again."""
        return sum(not holds(error, has_answered=s.has_answered) for s, error in self._failed)

    @property
    def rejected(self) -> int:
        """How many replies were failures that hold until the model's address is another."""
        return len(self._failed) - self.unanswered

    # -- one question, on the loop --------------------------------------------------------------------

    async def _answer(self, line: _Line[ChatRequest, ChatReply], question: Question[T]) -> Answer[T]:
        if question.purpose:
            line = replace(line, purpose=question.purpose)
        return await answered(
            question,
            lambda request: self._reply(line, request, question.category),
            lambda reply: reply.refusal or None,
        )

    async def _reply(self, line: _Line[Q, A], request: Q, category: str) -> A:
        channel = line.channel
        written = write_request(channel.plain(request))
        key = call_key(channel.name, written)
        before, known = self._known(channel, key)
        standing = self._standings[id(channel.subject)]
        if before is not None and known is not None:
            moved = before.reply.get("at", standing.place) != standing.place
            if known.error is None or holds(known.error, has_answered=standing.has_answered, moved=moved):
                standing.remembers(known.error)
                self._book(line.purpose, category, known, before.cost, cached=1)
                self._note(channel, standing, known)
                return known
        with self._sender.call(channel, key):
            return await self._sent(line, request, category, _Call(key, written, before))

    async def _sent(self, line: _Line[Q, A], request: Q, category: str, call: _Call) -> A:
        """The reply to a request that the journal does not answer."""
        channel, before = line.channel, call.before
        standing = self._standings[id(channel.subject)]
        reply, retries = await self._sender.attempts(channel, standing, request, call.key)
        reply = within_floor(channel, channel.counted(request, reply))
        is_call = reply.error is None or reply.error.kind not in RETRIED | {BROKEN_CLASS}
        cost = channel.cost(reply) if is_call else 0.0
        self._book(line.purpose, category, reply, cost, requests=int(is_call), retries=retries)
        self.stats.spent += cost
        self._note(channel, standing, reply)
        # Before the journal is waited for, so that no other request goes out meanwhile.
        sender = self._sender
        if stop := standing.saw(reply.error, is_known=before is not None):
            sender.stop = sender.stop or stop
        if is_journalled(reply):
            packed: JsonObject = channel.pack(reply)
            if reply.error is not None:
                packed = {**packed, "at": standing.place}
            paid = cost + (before.cost if before is not None else 0.0)
            entry = Entry(call.key, channel.name, line.purpose, category, call.written, packed, paid)
            try:
                await self._writer.record(entry)
            except OvertError as error:  # such as a full disk
                sender.stop = error
                raise Stop(error) from error
        if stop:
            raise Stop(stop)
        return reply

    def keeps(self, name: str, request: JsonObject) -> bool:
        """Whether the journal has the response behind a refusal or a failure of this request.

        Args:
            name: of the model.
            request: as the `plain` of its channel gives it.
        """
        entry = self._journal.get(call_key(name, write_request(request)))
        found = entry.reply.get("response", entry.reply) if entry is not None else None
        return isinstance(found, dict) and bool(found.get("raw"))

    def read_again(self, channel: Channel[Q, A], request: Q) -> A | None:
        """A journalled reply as today's vocabulary reads it, without a request; None if there is none."""
        return self._known(channel, call_key(channel.name, write_request(channel.plain(request))))[1]

    def _known(self, channel: Channel[Q, A], key: str) -> tuple[Entry | None, A | None]:
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

    def _note(self, channel: Subject, standing: Standing, reply: Reply) -> None:
        """Remembers a failure, and tells once what of a model's replies the reader of the run must know."""
        self.kept += reply.raw is not None
        if reply.error is not None and reply.error.kind != "floor":
            self._failed.append((standing, reply.error))
        for change in reply.adapted:
            if change in CHANGES:
                self.on_note(f"{channel.name} {CHANGES[change]}")
        if reply.is_estimate:
            self.stats.estimated += 1
            self.on_note(
                f"{channel.name} counts no tokens in its replies: their cost is an estimate from the texts"
            )

    def _book(self, purpose: str, category: str, reply: Reply, cost: float, **counts: int) -> None:
        if reply.price_share is not None:
            self.stats.batched.add(cost, reply.price_share)
        self.stats.add(
            purpose,
            category,
            cost=cost,
            seconds=reply.latency_s,
            input_tokens=reply.input_tokens or 0,
            output_tokens=reply.output_tokens or 0,
            **counts,
        )

    # -- many questions, from the stage's thread --------------------------------------------------------

    def _run(self, work: Callable[[T], Coroutine[object, object, R]], items: Iterable[T]) -> Iterator[R]:
        window = max(1024, 32 * self.options.concurrency)
        flow: Flow[T, R] = (
            Flow(self._loop, work, AT_ONCE, AT_ONCE)
            if self._terms.gathers
            else Flow(self._loop, work, window)
        )
        try:
            for result in flow.run(items):
                self._tell()
                if flow.is_at_its_end:  # not every consumer asks for more than it needs
                    self._stop_if_nothing_came()
                yield result
        except Stop as stop:
            raise stop.error from None
        except NotFinished as error:
            raise self._sender.not_finished() or error from None
        finally:
            flow.cancel()

    # -- batches ----------------------------------------------------------------------------------------

    @property
    def batches(self) -> list[str]:
        """How the batches stand that are still at a provider."""
        return self._sender.standing()

    def sends_batches(self, channel: Subject) -> bool:
        """Whether this model's requests go into batches."""
        return self._terms.gathers and id(channel.subject) in self._sender.boxes

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Lets batches be sent, and not be waited for: the targets of a run are not asked one after the
        other then."""
        until, self._terms.until = self._terms.until, time.monotonic()
        try:
            yield
        finally:
            self._terms.until = until

    def _tell_of_batch(self, text: str) -> None:
        self._waits.on_wait(text)

    def _stop_if_nothing_came(self) -> None:
        for standing in self._standings.values():
            if stop := standing.at_the_end():
                self._sender.stop = self._sender.stop or stop
                raise stop

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._spoke > 0.25:
            self._spoke = now
            self._on_progress(self.stats.line())


@dataclass(frozen=True)
class _Call:
    """A call: its key, its request as it is journalled, and its row in the journal."""

    key: str
    written: str
    before: Entry | None


@dataclass(frozen=True)
class _Line(Generic[Q, A]):
    """A channel and the purpose of its calls."""

    channel: Channel[Q, A]
    purpose: str


class _Bound:
    """The `Ask` of one chat model."""

    def __init__(self, caller: Caller, channel: ChatChannel, purpose: str) -> None:
        self.model = channel.name
        self._caller, self._line = caller, _Line[ChatRequest, ChatReply](channel, purpose)

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        return self._caller._run(lambda question: self._caller._answer(self._line, question), questions)
