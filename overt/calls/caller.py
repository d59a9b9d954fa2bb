"""The caller: stages give it questions and receive answers in the same order.

Its event loop runs in a thread of its own, so that calls go on while a stage works. A question is answered
from the journal, or else sent, retried, journalled and parsed. A slot is held until its reply is in the
journal, so that a `kill -9` loses only the calls in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from overt.calls.channel import Channel, ChatChannel, Reply, Subject
from overt.calls.costs import Price, PriceList, Stats
from overt.calls.flow import Flow, Pace
from overt.data.chat import (
    Answer,
    AnswerError,
    Ask,
    CallError,
    ChatModel,
    ChatReply,
    ChatRequest,
    Question,
)
from overt.data.errors import BudgetReached, InputError, OvertError, RunError
from overt.data.json_types import JsonObject
from overt.data.plugins.attempts import BROKEN_CLASS, MEND
from overt.data.replies import asked_again
from overt.data.run.journal import Entry, Journal
from overt.policies.floor import stopped

T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")
A = TypeVar("A", bound=Reply)

RETRIED = frozenset({"rate_limit", "server", "timeout", "connection"})
ASKED_AGAIN = RETRIED | {BROKEN_CLASS}  # failures that are not journalled: the next run asks again
REPAIRS = 2  # extra tries after a reply that cannot be parsed
MISFITS = 8  # bad requests before the first success after which the model, endpoint or class must be wrong


@dataclass(frozen=True)
class CallerOptions:
    """How calls are made; none of it changes the results. `timeout` is in seconds per call, `rpm` in requests
    per minute, `max_cost` in US dollars for this process."""

    concurrency: int = 32
    rpm: float | None = None
    timeout: float = 120.0
    max_retries: int = 6
    max_requests: int | None = None
    max_cost: float | None = None
    prices: Path | None = None


class _Stop(Exception):
    """Stops all further requests; carries the error for the user."""

    def __init__(self, error: OvertError) -> None:
        self.error = error


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
        self._paces: dict[int, Pace] = {}
        self._misfits: dict[int, int | None] = {}  # None once a model has answered
        self._channels: dict[int, Subject] = {}
        self._stop: OvertError | None = None
        self._unwritten: list[tuple[Entry, asyncio.Future[None]]] = []

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._write()
            for channel in self._channels.values():
                await channel.close()

        # A model that fails to close must not hide an earlier error.
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._journal.close()

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
        self._register(channel)
        return _Bound(self, channel, purpose)

    def stream(
        self, channel: Channel[Q, A], purpose: str, jobs: Iterable[tuple[T, Q, str]]
    ) -> Iterator[tuple[T, A]]:
        """Sends many requests over one channel; replies come in the order of the jobs.

        Args:
            jobs: (any object, returned with the reply; the request; the category for the cost). They are
                read lazily, so there may be more than memory holds.
        """
        self._register(channel)
        line = _Line(channel, purpose)

        async def work(job: tuple[T, Q, str]) -> tuple[T, A]:
            about, request, category = job
            return about, await self._reply(line, request, category)

        return self._run(work, jobs)

    def _register(self, channel: Subject) -> None:
        subject = id(channel.subject)
        if subject not in self._paces:
            self._paces[subject] = Pace(channel.ceiling or self.options.concurrency, self.options.rpm)
            self._channels[subject] = channel
            self._misfits[subject] = 0

    # -- one question, on the loop --------------------------------------------------------------------

    async def _answer(self, line: _Line[ChatRequest, ChatReply], question: Question[T]) -> Answer[T]:
        request = question.request
        kind = why = ""
        for attempt in range(1, REPAIRS + 2):
            reply = await self._reply(line, request, question.category)
            if reply.error is not None:
                return Answer(question.about, reply, None, reply.error.kind, reply.error.message)
            try:
                return Answer(question.about, reply, question.parse(reply))
            except AnswerError as error:
                why = str(error)
            if reply.refusal:
                return Answer(question.about, reply, None, "refused", reply.refusal)
            kind = "malformed" if reply.text.strip() else "empty"
            request = asked_again(question.request, reply.text, why, attempt)
        return Answer(question.about, reply, None, kind, why)

    async def _reply(self, line: _Line[Q, A], request: Q, category: str) -> A:
        channel = line.channel
        plain = channel.plain(request)
        written = write_request(plain)
        key = call_key(channel.name, written)
        if (entry := self._journal.get(key)) is not None:
            reply = channel.unpack(entry.reply)
            self._book(line.purpose, category, reply, entry.cost, cached=1)
            return reply
        pace = self._paces[id(channel.subject)]
        attempt = 0
        while True:
            await pace.enter()
            try:
                self._may_send(pace)
                reply = await self._send(channel, request)
                error = reply.error
                pace.saw(
                    error is not None and error.kind == "rate_limit",
                    error.retry_after if error else None,
                )
                if error is None or error.kind not in RETRIED:
                    self._stop_if_hopeless(channel, error)
                    if error is not None and error.kind == BROKEN_CLASS:
                        # The user's class failed, not a provider: a run with the fixed class asks again.
                        self.stats.error(error.kind)
                        self._book(line.purpose, category, reply, 0.0, retries=attempt)
                        return reply
                    cost = channel.cost(reply)
                    self._book(line.purpose, category, reply, cost, requests=1, retries=attempt)
                    self.stats.spent += cost
                    packed = channel.pack(reply)
                    await self._record(
                        Entry(key, channel.name, line.purpose, category, written, packed, cost)
                    )
                    return reply
            finally:
                pace.leave()
            self.stats.error(error.kind)
            attempt += 1
            if attempt > self.options.max_retries:
                # Not journalled, so the next run asks again.
                self._book(line.purpose, category, reply, 0.0, retries=attempt - 1)
                return reply
            await asyncio.sleep(_pause(attempt, error.retry_after))

    async def _send(self, channel: Channel[Q, A], request: Q) -> A:
        self.stats.sent += 1
        timeout = None if channel.patient else self.options.timeout
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                reply = await channel.send(request)
        except TimeoutError:
            reply = channel.failed(CallError("timeout", f"no answer in {timeout or 0:g} seconds"))
        except OvertError as error:  # such as a full disk, which would stop every other reply too
            self._stop = self._stop or error
            raise _Stop(self._stop) from error
        reply = channel.timed(reply, time.perf_counter() - started)
        # Before the journal, a repair that quotes it, or a failure's message can hold it.
        stop = stopped(channel.pack(reply))
        return channel.without_body(reply, str(stop)) if stop else reply

    def _may_send(self, pace: Pace) -> None:
        if self._stop is not None:
            raise _Stop(self._stop)
        options, stats = self.options, self.stats
        again = "Everything so far is kept: the same command with a higher cap goes on."
        if options.max_requests is not None and stats.sent >= options.max_requests:
            self._stop = BudgetReached(f"--max-requests {options.max_requests} is reached", fix=again)
        elif options.max_cost is not None:
            # Calls in flight are expected to cost the average so far.
            answered = max(1, stats.sent - pace.active + 1)
            expected = stats.spent + (pace.active - 1) * stats.spent / answered
            if expected >= options.max_cost:
                self._stop = BudgetReached(f"--max-cost US${options.max_cost:g} is reached", fix=again)
        if self._stop is not None:
            raise _Stop(self._stop)

    def _stop_if_hopeless(self, channel: Subject, error: CallError | None) -> None:
        """Ends the run after an error that every other request would meet too."""
        kind = error.kind if error else ""
        message = error.message if error else ""
        subject = id(channel.subject)
        if kind in {"auth", "billing"}:
            what = "the key was not accepted" if kind == "auth" else "the account has no credit left"
            named = channel.key_hint and kind == "auth"
            fix = f"Look at the key in the environment variable {channel.key_hint}." if named else ""
            self._stop = RunError(f"{channel.name}: {what}: {message}", fix=fix or "Top it up, then resume.")
            raise _Stop(self._stop)
        if kind in {"bad_request", BROKEN_CLASS} and (count := self._misfits[subject]) is not None:
            self._misfits[subject] = count + 1
            if count + 1 >= MISFITS:
                self._stop = (
                    RunError(f"the class fails at every request: {message}", fix=MEND)
                    if kind == BROKEN_CLASS
                    else RunError(
                        f"{channel.name} rejects every request: {message}",
                        fix="Look at the model's name and at --base-url.",
                    )
                )
                raise _Stop(self._stop)
        elif kind in {"", "floor"}:
            self._misfits[subject] = None

    def _book(self, purpose: str, category: str, reply: Reply, cost: float, **counts: int) -> None:
        self.stats.add(
            purpose,
            category,
            cost=cost,
            seconds=reply.latency_s,
            input_tokens=reply.input_tokens or 0,
            output_tokens=reply.output_tokens or 0,
            **counts,
        )

    # -- the journal: one commit for all replies of one turn of the loop --------------------------------

    async def _record(self, entry: Entry) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write)
        self._unwritten.append((entry, future))
        # Shielded: a received reply is written even if its question is cancelled.
        await asyncio.shield(future)

    def _write(self) -> None:
        batch, self._unwritten = self._unwritten, []
        if not batch:
            return
        try:
            self._journal.put(entry for entry, _ in batch)
        except OvertError as error:
            self._stop = error
            for _, future in batch:
                if not future.done():
                    future.set_exception(_Stop(error))
            return
        for _, future in batch:
            if not future.done():
                future.set_result(None)

    # -- many questions, from the stage's thread --------------------------------------------------------

    def _run(self, work: Callable[[T], Coroutine[object, object, R]], items: Iterable[T]) -> Iterator[R]:
        window = max(1024, 32 * self.options.concurrency)
        flow: Flow[T, R] = Flow(self._loop, work, window)
        try:
            for result in flow.run(items):
                self._tell()
                yield result
        except _Stop as stop:
            raise stop.error from None
        finally:
            flow.cancel()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._spoke > 0.25:
            self._spoke = now
            self._on_progress(self.stats.line())


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


def write_request(request: JsonObject) -> str:
    """A request as JSON with sorted keys. It is ASCII, because UTF-8 cannot store a lone surrogate."""
    return json.dumps(request, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def call_key(model: str, written: str) -> str:
    """The journal's key: BLAKE2b of the model's name and the written request, 32 hex digits. The URL of the
    endpoint is not part of it: the same model behind another URL is the same model."""
    return hashlib.blake2b(f"{model}\n{written}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds before the next attempt: the server's wish, or else 0.5, 1, 2 ... up to 60. Jitter keeps calls
    that failed together apart."""
    if asked is not None:
        return max(min(asked, 600.0), 0.05) * random.uniform(1.0, 1.25)
    return min(60.0, 0.5 * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
