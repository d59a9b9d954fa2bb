"""The caller: stages hand it questions, it hands back answers in the same order.

An event loop runs in a thread of its own, so that calls go on while a stage works on what it has. Each
question is looked up in the journal, else sent, retried where that can help, journalled, and read. A slot
is held until its answer is on record: whatever a `kill -9` costs was in flight.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from overt.calls.pace import Pace
from overt.calls.prices import Price, PriceTable
from overt.calls.stats import Stats
from overt.data.chat import (
    Answer,
    AnswerError,
    Ask,
    CallError,
    ChatModel,
    ChatReply,
    ChatRequest,
    Message,
    Question,
)
from overt.data.errors import BudgetReached, InputError, OvertError, RunError
from overt.data.journal import Entry, Journal

T = TypeVar("T")
R = TypeVar("R")

RETRIED = frozenset({"rate_limit", "server", "timeout", "connection"})
REPAIRS = 2  # times that an unreadable answer is asked for again
MISFITS = 8  # bad requests in a row, before any answer, after which the model or endpoint is wrong


@dataclass(frozen=True)
class CallerOptions:
    """How calls are made; none of it decides what comes out. `timeout` in seconds for one answer,
    `rpm` requests per minute, `max_cost` US dollars of this process."""

    concurrency: int = 32
    rpm: float | None = None
    timeout: float = 120.0
    max_retries: int = 6
    max_requests: int | None = None
    max_cost: float | None = None
    prices: Path | None = None


class _Stop(Exception):
    """Ends everything that is still to be sent; carries what the user is told."""

    def __init__(self, error: OvertError) -> None:
        self.error = error


class Caller:
    """One process's calls for one run. A context manager: it owns the journal and the event loop."""

    def __init__(
        self, journal: Path, options: CallerOptions, on_progress: Callable[[str], None] = lambda text: None
    ) -> None:
        self.options = options
        self.stats = Stats()
        self._journal = Journal(journal)
        self._prices = PriceTable.load(options.prices)
        self._on_progress = on_progress
        self._spoke = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="overt-calls", daemon=True)
        self._paces: dict[int, Pace] = {}
        self._misfits: dict[int, int | None] = {}  # None once a model has answered
        self._models: dict[int, ChatModel] = {}
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
            for model in self._models.values():
                await model.close()

        try:
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=20)
        except Exception:  # a model that does not close must not hide what was said before
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._journal.close()

    def bind(self, model: ChatModel, purpose: str) -> Ask:
        """An `Ask` for one model. `purpose` is what the cost is booked under.

        Raises:
            InputError: `max_cost` is set and nobody knows what this model costs.
        """
        price = self._prices.of(model.name)
        if price is None and self.options.max_cost is not None:
            raise InputError(
                f"--max-cost is set, but no price is known for {model.name}",
                fix="Give its price in a YAML file: --prices prices.yaml "
                "(lines such as  my-model: {input: 0.15, output: 0.60}  in US dollars per million tokens), "
                "or leave --max-cost out.",
            )
        if id(model) not in self._paces:
            ceiling = self.options.concurrency
            if own := getattr(model, "max_concurrency", None):
                ceiling = int(own)
            self._paces[id(model)] = Pace(ceiling, self.options.rpm)
            self._models[id(model)] = model
            self._misfits[id(model)] = 0
        return _Bound(self, model, purpose, price)

    # -- one question, on the loop --------------------------------------------------------------------

    async def _answer(self, bound: _Bound, question: Question[T]) -> Answer[T]:
        request = question.request
        kind = why = ""
        for repair in range(REPAIRS + 1):
            reply = await self._reply(bound, request, question.category, first=repair == 0)
            if reply.error is not None:
                return Answer(question.about, reply, None, reply.error.kind, reply.error.message)
            try:
                return Answer(question.about, reply, question.parse(reply))
            except AnswerError as error:
                why = str(error)
            if reply.refusal:
                return Answer(question.about, reply, None, "refused", reply.refusal)
            kind = "malformed" if reply.text.strip() else "empty"
            request = _repaired(question.request, reply.text, why)
        return Answer(question.about, reply, None, kind, why)

    async def _reply(self, bound: _Bound, request: ChatRequest, category: str, first: bool) -> ChatReply:
        plain = dataclasses.asdict(request)
        key = call_key(bound.model, plain)
        if (entry := self._journal.get(key)) is not None:
            reply = _reply_of(entry.reply)
            self._book(bound, category, reply, entry.cost, cached=1)
            return reply
        pace = self._paces[id(bound.chat)]
        attempt = 0
        while True:
            await pace.enter()
            try:
                self._may_send(pace)
                reply = await self._send(bound, request)
                error = reply.error
                pace.saw(error is not None and error.kind == "rate_limit", error and error.retry_after)
                if error is None or error.kind not in RETRIED:
                    self._stop_if_hopeless(bound, error)
                    cost = bound.price.cost(reply) if bound.price else 0.0
                    self._book(bound, category, reply, cost, requests=1, retries=attempt)
                    self.stats.spent += cost
                    await self._record(
                        Entry(key, bound.model, bound.purpose, category, plain, _plain(reply), cost)
                    )
                    return reply
            finally:
                pace.leave()
            self.stats.error(error.kind)
            attempt += 1
            if attempt > self.options.max_retries:
                # Not journalled: the next run may have better luck.
                self._book(bound, category, reply, 0.0, retries=attempt - 1)
                return reply
            await asyncio.sleep(_pause(attempt, error.retry_after))

    async def _send(self, bound: _Bound, request: ChatRequest) -> ChatReply:
        self.stats.sent += 1
        # A local model works its queue off in batches: waiting in it is no sign of trouble.
        timeout = None if hasattr(bound.chat, "max_concurrency") else self.options.timeout
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                reply = await bound.chat.complete(request)
        except TimeoutError:
            reply = ChatReply(error=CallError("timeout", f"no answer in {timeout:g} seconds"))
        return dataclasses.replace(reply, latency_s=time.perf_counter() - started)

    def _may_send(self, pace: Pace) -> None:
        if self._stop is not None:
            raise _Stop(self._stop)
        options, stats = self.options, self.stats
        again = "Everything so far is kept: the same command with a higher cap goes on."
        if options.max_requests is not None and stats.sent >= options.max_requests:
            self._stop = BudgetReached(f"--max-requests {options.max_requests} is reached", fix=again)
        elif options.max_cost is not None:
            # What is in flight will cost about what a call has cost so far.
            answered = max(1, stats.sent - pace.active + 1)
            expected = stats.spent + (pace.active - 1) * stats.spent / answered
            if expected >= options.max_cost:
                self._stop = BudgetReached(f"--max-cost US${options.max_cost:g} is reached", fix=again)
        if self._stop is not None:
            raise _Stop(self._stop)

    def _stop_if_hopeless(self, bound: _Bound, error: CallError | None) -> None:
        """What would fail for every other request too ends the run, before it fails ten thousand times."""
        kind = error.kind if error else ""
        model = id(bound.chat)
        if kind in {"auth", "billing"}:
            what = "the key was not accepted" if kind == "auth" else "the account has no credit left"
            name = getattr(bound.chat, "api_key_env", None)
            fix = f"Look at the key in the environment variable {name}." if name and kind == "auth" else ""
            message = error.message if error else ""
            self._stop = RunError(f"{bound.model}: {what}: {message}", fix=fix or "Top it up, then resume.")
            raise _Stop(self._stop)
        if kind == "bad_request" and (count := self._misfits[model]) is not None:
            self._misfits[model] = count + 1
            if count + 1 >= MISFITS:
                message = error.message if error else ""
                self._stop = RunError(
                    f"{bound.model} rejects every request: {message}",
                    fix="Look at the model's name and at --base-url.",
                )
                raise _Stop(self._stop)
        elif not kind:
            self._misfits[model] = None

    def _book(
        self, bound: _Bound, category: str, reply: ChatReply, cost: float, **counts: int
    ) -> None:
        self.stats.add(
            bound.purpose,
            category,
            cost=cost,
            seconds=reply.latency_s,
            input_tokens=reply.input_tokens or 0,
            output_tokens=reply.output_tokens or 0,
            **counts,
        )

    # -- the journal: all that came in during one turn of the loop is committed at once -----------------

    async def _record(self, entry: Entry) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write)
        self._unwritten.append((entry, future))
        # Shielded: an answer that has come in is written even if its question is cancelled.
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

    def _run(self, bound: _Bound, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        window = max(1024, 32 * self.options.concurrency)
        flow: _Flow[Question[T], Answer[T]] = _Flow(
            self._loop, lambda question: self._answer(bound, question), window
        )
        try:
            for answer in flow.run(questions):
                self._tell()
                yield answer
        except _Stop as stop:
            raise stop.error from None
        finally:
            flow.cancel()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._spoke > 0.25:
            self._spoke = now
            self._on_progress(self.stats.line())


class _Flow(Generic[T, R]):
    """Maps a coroutine over items, many at once, results in order, with a bounded lookahead."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[T], Coroutine[Any, Any, R]], window: int
    ) -> None:
        self._loop, self._work, self._window = loop, work, window
        self._changed = threading.Condition()
        self._done: dict[int, R | BaseException] = {}
        self._finished = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, items: Iterable[T]) -> Iterator[R]:
        source = iter(items)
        submitted = yielded = 0
        exhausted = False
        failed: BaseException | None = None
        while True:
            # Feed in batches: one wake-up of the loop for many items.
            batch: deque[tuple[int, T]] = deque()
            while not exhausted and failed is None and submitted - yielded < self._window and len(batch) < 64:
                if batch and submitted - self._finished > 512:
                    break  # enough is waiting; rendering more now would only take memory
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                    break
                batch.append((submitted, item))
                submitted += 1
            if batch:
                self._loop.call_soon_threadsafe(self._start, batch)
            while True:
                with self._changed:
                    found = yielded in self._done
                    result = self._done.pop(yielded, None)
                if not found:
                    break
                yielded += 1
                if isinstance(result, BaseException):
                    # Answers that were under way are still worth having: they reach the journal.
                    failed = failed or result
                elif failed is None:
                    yield result  # type: ignore[misc]
            if (exhausted or failed is not None) and yielded == submitted:
                if failed is not None:
                    raise failed
                return
            with self._changed:
                full = exhausted or failed is not None or submitted - yielded >= self._window
                busy = full or submitted - self._finished > 512
                if busy and yielded not in self._done:
                    self._changed.wait(0.5)

    def _start(self, batch: deque[tuple[int, T]]) -> None:
        for index, item in batch:
            task = self._loop.create_task(self._one(index, item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, index: int, item: T) -> None:
        result: R | BaseException
        try:
            result = await self._work(item)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            result = error
        with self._changed:
            self._done[index] = result
            self._finished += 1
            self._changed.notify()

    def cancel(self) -> None:
        """Cancels what is still under way; nothing happens where all is done."""

        def cancel() -> None:
            for task in self._tasks:
                task.cancel()

        if self._tasks and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(cancel)


@dataclass(frozen=True)
class _Bound:
    caller: Caller
    chat: ChatModel
    purpose: str
    price: Price | None

    @property
    def model(self) -> str:
        return self.chat.name

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        return self.caller._run(self, questions)


def call_key(model: str, request: dict[str, Any]) -> str:
    """The journal's key: BLAKE2b over the model's name and the request, 32 hex digits. Where the
    endpoint stands is no part of it: the same model behind another URL is the same model."""
    blob = json.dumps([model, request], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(blob.encode(), digest_size=16).hexdigest()


def _repaired(request: ChatRequest, bad: str, why: str) -> ChatRequest:
    """The request again, with the answer that could not be read and the reason."""
    turns = list(request.messages)
    if bad.strip():
        turns.append(Message("assistant", bad[:4000]))
    turns.append(Message("user", f"That answer could not be read: {why}. Answer again, in the form asked for."))
    return dataclasses.replace(request, messages=tuple(turns))


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds before the next attempt: what the server asked for, else 0.5, 1, 2 ... up to 60; jittered
    so that calls that failed together do not come back together."""
    pause = min(60.0, 0.5 * 2 ** (attempt - 1))
    if asked is not None:
        pause = max(min(asked, 600.0), 0.05)
    return pause * random.uniform(1.0, 1.25) if asked is not None else pause * random.uniform(0.5, 1.0)


def _plain(reply: ChatReply) -> dict[str, Any]:
    return dataclasses.asdict(reply)


def _reply_of(data: dict[str, Any]) -> ChatReply:
    error = data.pop("error", None)
    return ChatReply(**data, error=CallError(**error) if error else None)
