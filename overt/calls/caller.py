"""The caller: stages give it questions and receive answers in the same order.

Its event loop runs in a thread of its own, so that calls go on while a stage works. A question is answered
from the journal, or else sent, retried, journalled and parsed. A reply goes to the journal in the turn of the
loop in which it came, so that a `kill -9` loses only the calls in flight.

Several threads may ask at once, each with an iterator of its own: a caller is one process's account, pace and
journal, whoever asks. What ends all sending (a cap, a key that does not work, a full disk) ends it for all of
them; an iterator that is closed ends only its own calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from overt.calls.answering import Answering, Line
from overt.calls.channel import Channel, ChatChannel, Reply, Subject
from overt.calls.costs import Price, PriceList, Stats
from overt.calls.flow import WAITING, Ended, Flow
from overt.calls.models import Models
from overt.calls.options import CallerOptions
from overt.calls.parcels import Terms
from overt.calls.sending import AT_ONCE, Asked, Sender, Stop
from overt.calls.shelf import Shelf
from overt.calls.waits import Waits
from overt.calls.writer import JournalWriter
from overt.data.chat import (
    Answer,
    Ask,
    ChatModel,
    ChatReply,
    ChatRequest,
    Question,
)
from overt.data.errors import InputError, NotFinished, OvertError, RunError
from overt.data.json_types import JsonObject
from overt.data.local.metering import asking
from overt.data.replies import answered
from overt.data.run.journal import Journal, call_key, write_request

T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")
A = TypeVar("A", bound=Reply)

_SPEAKS_S = 0.25  # seconds between two lines of the progress


class Caller:
    """The calls of one process for one run. A context manager that owns the journal and the event loop.

    Safe for several threads. `on_progress` is called by one of them at a time; what `tells` sets is called by
    the event loop's thread, too.
    """

    def __init__(
        self, journal: Path, options: CallerOptions, on_progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.options = options
        self.stats = Stats()
        self._journal = Journal(journal)
        self._prices = PriceList.load(options.prices)
        self._on_progress = on_progress
        self._spoke, self._showing = 0.0, threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="overt-calls", daemon=True)
        self.damaged = self._journal.damaged  # the keys of its rows that could not be read
        self.reused = self._journal.reused  # the keys of an earlier run's calls that were used
        self._waits = Waits()
        wait = options.batch_wait
        self._terms = Terms(
            options.batch and not options.batch_cancel,
            options.batch_cancel,
            None if wait is None else time.monotonic() + 60 * wait,
            options.max_retries,
            options.pay_again,
            self._tell_of_batch,
            lambda: self._show("; ".join([self.stats.line(), *self.batches])),
        )
        self._sender = Sender(options, self.stats, self._waits, self._terms)
        self._writer = JournalWriter(self._journal)
        self._answering = Answering(self._journal, self._writer, self._sender, self.stats)
        self._models = Models(self._journal, self._writer, self._sender)
        self._lock = threading.Lock()  # of what stages change from their threads, which stands below
        self._is_closed = False
        self._endings: set[Callable[[], None]] = set()  # each cancels one flow
        self._impatient, self._until = 0, self._terms.until

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
            await self._models.close()

        with self._lock:
            self._is_closed = True
            endings = list(self._endings)
        for cancel in endings:  # of threads that still wait
            cancel()
        # What fails to close must not hide an earlier error.
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()
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
        line = self._line(channel, purpose)

        async def work(job: tuple[T, Q, str]) -> tuple[T, A]:
            about, request, category = job
            return about, await self._answering.reply(line, request, category)

        return self._run(line.asked, work, jobs)

    def converse(
        self,
        channel: Channel[Q, A],
        purpose: str,
        items: Iterable[T],
        talk: Callable[[T, Callable[[Q, str], Awaitable[A]]], Coroutine[object, object, R]],
    ) -> Iterator[R]:
        """Many conversations at once over one channel; their results come in the order of the items.

        Args:
            items: read lazily, so there may be more than memory holds.
            talk: an item's conversation from start to end, on the event loop: it awaits
                `ask(request, category for the cost)` as often as it likes. It must not block. An error of its
                own ends all sending: else hundreds of conversations would be paid for to their ends first.
        """
        line = self._line(channel, purpose)

        async def ask(request: Q, category: str) -> A:
            return await self._answering.reply(line, request, category)

        async def conversation(item: T) -> R:
            try:
                return await talk(item, ask)
            except NotFinished:
                raise
            except OvertError as error:
                self._sender.halt(error)

        return self._run(line.asked, conversation, items)

    def register(self, channel: Subject) -> None:
        """Makes a model known, at the latest with its first request.

        Raises:
            InputError: it cannot be asked by batch, as the user wants.
        """
        self._asked(channel)

    def release(self, model: Subject | ChatModel) -> bool:
        """Closes a model that is not asked any more, so that its memory goes; the others go on. It may be
        asked again, as if it were new.

        Args:
            model: its channel, or a chat model as it was given to `bind`.

        Returns:
            False, and nothing was done, while an iterator still asks it or a batch of it is under way.
        """
        if self._is_closed:
            return True
        closing = self._models.release(getattr(model, "subject", model))
        return asyncio.run_coroutine_threadsafe(closing, self._loop).result()

    def _line(self, channel: Channel[Q, A], purpose: str) -> Line[Q, A]:
        return Line(channel, purpose, self._asked(channel))

    def _asked(self, channel: Subject) -> Asked:
        if self._is_closed:
            raise self._ended()
        return self._models.register(channel)

    def tells(
        self,
        on_note: Callable[[str], None],
        on_wait: Callable[[str], None],
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        """Sets who is told of what the record of the run must say, of waits that a service asked for, and of
        the first reply that was journalled."""
        self._answering.on_note, self._waits.on_wait, self._writer.on_first = on_note, on_wait, on_first

    @property
    def kept(self) -> int:
        """How many replies keep their responses, so that they can be read again."""
        return self._answering.kept

    @property
    def unanswered(self) -> int:
        """How many replies were failures that the next run asks again."""
        return sum(standing.failures[0] for standing in self._models.standings)

    @property
    def rejected(self) -> int:
        """How many replies were failures that hold until the model's address is another."""
        return sum(standing.failures[1] for standing in self._models.standings)

    # -- one question, on the loop --------------------------------------------------------------------

    async def _answer(self, line: Line[ChatRequest, ChatReply], question: Question[T]) -> Answer[T]:
        if question.purpose:
            line = replace(line, purpose=question.purpose)
        return await answered(
            question,
            lambda request: self._answering.reply(line, request, question.category),
            lambda reply: reply.refusal or None,
        )

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
        key = call_key(channel.name, write_request(channel.plain(request)))
        return self._answering.known(channel, key)[1]

    # -- many questions, from the stage's thread --------------------------------------------------------

    def _run(
        self, asked: Asked, work: Callable[[T], Coroutine[object, object, R]], items: Iterable[T]
    ) -> Iterator[R]:
        with self._opened(work) as flow, self._models.asking(asked) as turn, asking():
            try:
                for result in flow.run(items):
                    self._tell()
                    # Not every consumer asks for more than it needs, so this is told before its last result.
                    if flow.is_at_its_end and turn.over():
                        self._stop_if_nothing_came(asked)
                    yield result
            except Stop as stop:
                raise stop.error from None
            except NotFinished as error:
                raise self._sender.not_finished() or error from None
            except Ended:
                raise self._ended() from None

    @contextlib.contextmanager
    def _opened(self, work: Callable[[T], Coroutine[object, object, R]]) -> Iterator[Flow[T, R]]:
        """A flow, which ends with this or with the caller."""
        concurrency = self.options.concurrency
        many = (max(1024, 32 * concurrency), WAITING + concurrency)
        if self._terms.gathers:
            many = (AT_ONCE, AT_ONCE)
        flow: Flow[T, R] = Flow(self._loop, work, *many)
        with self._lock:
            if self._is_closed:
                raise self._ended()
            self._endings.add(flow.cancel)
        try:
            yield flow
        finally:
            flow.cancel()
            with self._lock:
                self._endings.discard(flow.cancel)

    def _ended(self) -> OvertError:
        """The error of a thread whose caller another one has closed."""
        again = "Everything so far is kept: the same command goes on."
        return self._sender.stop or RunError("the calls were ended", fix=again)

    # -- batches ----------------------------------------------------------------------------------------

    @property
    def batches(self) -> list[str]:
        """How the batches stand that are still at a provider."""
        return self._sender.standing()

    def sends_batches(self, channel: Subject) -> bool:
        """Whether this model's requests go into batches."""
        return self._terms.gathers and self._asked(channel).box is not None

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Lets batches be sent, and not be waited for: the targets of a run are not asked one after the
        other then. While any thread does so, none waits."""
        with self._lock:
            self._impatient += 1
            self._terms.until = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._impatient -= 1
                if not self._impatient:
                    self._terms.until = self._until

    def _tell_of_batch(self, text: str) -> None:
        self._waits.on_wait(text)

    def _stop_if_nothing_came(self, asked: Asked) -> None:
        if stop := asked.standing.at_the_end():
            self._sender.stop = self._sender.stop or stop
            raise stop

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._spoke > _SPEAKS_S:
            self._spoke = now
            self._show(self.stats.line())

    def _show(self, line: str) -> None:
        """Shows a line of progress, unless another thread is just showing one."""
        if self._showing.acquire(blocking=False):
            try:
                self._on_progress(line)
            finally:
                self._showing.release()


class _Bound:
    """The `Ask` of one chat model."""

    def __init__(self, caller: Caller, channel: ChatChannel, purpose: str) -> None:
        self.model = channel.name
        self._caller, self._channel, self._purpose = caller, channel, purpose

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        caller, line = self._caller, self._caller._line(self._channel, self._purpose)
        return caller._run(line.asked, lambda question: caller._answer(line, question), questions)
