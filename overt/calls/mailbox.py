"""A model's requests gathered into batches: whose turn it is to be sent, and who waits for which answer.

A call's request comes in by `post`, as the model has written it, and waits there until its batch is over. A
batch is sent when every call that is under way waits here and none has come for a moment: filters before the
model and repairs after it take their time. What happens to a batch then is in overt/calls/batch_life.py.

A request is known by its line: the journal's key of its call and a hash of its body. So a run that is started
again finds its requests in the batches that the journal has, and sends only those that are in none.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from overt.calls.batch_costs import estimated_cost
from overt.calls.batch_life import Life
from overt.calls.costs import Price
from overt.calls.parcels import AGAIN, Again, Outcome, Parcel, Terms
from overt.data.batch import BatchService, Live
from overt.data.chat import CallError
from overt.data.errors import BudgetReached, InputError, NotFinished, OvertError
from overt.data.run.batch_rows import BatchRow
from overt.data.run.journal import Journal
from overt.data.text import money

R = TypeVar("R")

QUIET_S = 1.0  # seconds in which no request comes, after which a batch is sent
CALL: ContextVar[str] = ContextVar("overt_call")  # the journal's key of the call that a request belongs to
_HASH_BYTES = 4
_LINE_BYTES = 100  # of a line beside its body and its id
_GOES_ON = "Give the same command without --batch-cancel to go on."


@dataclass
class Served:
    """How a call was answered: the share of the price, and the seconds that its batch took."""

    share: float
    seconds: float


class Mailbox(Generic[R]):
    """The requests of one model. All methods run on one event loop.

    Args:
        rows: the batches of this model that the journal has as open.
        left: US dollars that may still be spent, None without a cap.
    """

    def __init__(
        self,
        name: str,
        service: BatchService[R],
        terms: Terms,
        *,
        place: str,
        price: Price | None,
        share: float,
        rows: Iterable[BatchRow],
        left: Callable[[], float | None],
        journal: Journal,
        on_sent: Callable[[], None],
    ) -> None:
        self.name, self.service, self.terms = name, service, terms
        self.limit = service.limit
        self.share, self._price, self._place = share, price, place
        self._left, self._journal, self._on_sent = left, journal, on_sent
        self._life: Life[R] = Life(self)
        self.parcels: list[Parcel[R]] = []
        self._of_line: dict[str, Parcel[R]] = {}
        self._keys: dict[str, int] = {}  # of open lines
        self._queue: dict[str, tuple[bytes, list[asyncio.Future[Outcome[R]]]]] = {}
        self._coming = 0  # calls under way that do not wait here
        self._arrivals = 0
        self._handing: dict[str, Parcel[R]] = {}
        self._served: dict[str, Served] = {}
        self._checked: asyncio.Task[CallError | None] | None = None
        for row in rows:
            self._add(Parcel(row))

    # -- the caller's side ----------------------------------------------------------------------------

    def takes(self, key: str) -> bool:
        """Whether this call's request goes or went into a batch."""
        return self.terms.gathers or key in self._keys

    def has(self, key: str) -> bool:
        """Whether a request of this call lies in a batch that is sent and paid for."""
        return key in self._keys

    @property
    def owed(self) -> float:
        """At most the US dollars of answers that are still to come."""
        return sum(p.row.cost * p.left / max(1, len(p.row.lines)) for p in self.parcels if p.task)

    @contextlib.contextmanager
    def call(self, key: str) -> Iterator[None]:
        """A call from its first attempt to its row in the journal."""
        CALL.set(key)
        self._coming += 1
        try:
            yield
        finally:
            self._handled(key)
            self._coming -= 1
            self._stir()

    def served(self, key: str) -> Served | None:
        """How the last answer of this call came; None if it was no batch. Told once."""
        return self._served.pop(key, None)

    async def ready(self) -> None:
        """Checks once that there is a batch API.

        Raises:
            InputError: there is none.
        """
        if self._checked is None:
            self._checked = asyncio.ensure_future(self.service.check())
        if (error := await asyncio.shield(self._checked)) is not None:
            raise InputError(
                f"{self.name}: there is no batch API at {self.service.host} ({error.message})",
                fix="Leave --batch out: its requests are sent one by one then, at the full price. "
                "Nothing was sent.",
            )

    async def close(self) -> None:
        await self.service.close()

    # -- the model's side -----------------------------------------------------------------------------

    async def post(self, body: bytes, live: Live[R]) -> R | CallError:
        """The response to a request, out of a batch; live if its call is in none and none are made.

        Args:
            body: b"" of a request that no batch takes, such as a form with a file.

        Raises:
            InputError: no batch takes it, and all are to go into one.
        """
        key = CALL.get("")
        self._handled(key)
        if not body and self.terms.gathers:
            raise InputError(
                f"{self.name}: a prompt that carries a picture goes to it as a form, which no batch takes",
                fix="Leave --batch out: its requests are sent one by one then, at the full price.",
            )
        line = f"{key}-{hashlib.blake2b(body, digest_size=_HASH_BYTES).hexdigest()}"
        while key and body and (line in self._of_line or self.terms.gathers or self.terms.cancels):
            outcome = await self._outcome(line, body)
            if not isinstance(outcome, Again):
                return outcome
        return await live()

    async def _outcome(self, line: str, body: bytes) -> Outcome[R]:
        future: asyncio.Future[Outcome[R]] = asyncio.get_running_loop().create_future()
        if self.terms.cancels and line not in self._of_line:  # what the endpoint takes was learnt after it
            key = line.partition("-")[0]
            line = next((other for other in self._of_line if other.startswith(f"{key}-")), line)
        parcel = self._of_line.get(line)
        if parcel is not None:
            parcel.waiting.setdefault(line, []).append(future)
            if parcel.task is None:
                parcel.task = asyncio.ensure_future(self._life.of(parcel))
        elif self.terms.cancels:
            raise NotFinished("the batches are cancelled, and nothing else is sent", fix=_GOES_ON)
        else:
            self._queue.setdefault(line, (body, []))[1].append(future)
        self._coming -= 1
        self._arrivals += 1
        self._stir()
        try:
            return await future
        except asyncio.CancelledError:
            self._coming += 1
            raise

    def _stir(self) -> None:
        """Sends what waits, if nothing else comes meanwhile."""
        if not self._queue:
            return
        if len(self._queue) >= self.limit:
            self._send()
        elif self._coming <= 0:
            asyncio.get_running_loop().call_later(QUIET_S, self._send_if_quiet, self._arrivals)

    def _send_if_quiet(self, arrivals: int) -> None:
        if self._queue and self._coming <= 0 and arrivals == self._arrivals:
            self._send()

    def _send(self) -> None:
        """Begins batches of all that waits and that the cap on the cost has room for."""
        queue, self._queue = self._queue, {}
        left = self._left()
        too_dear: list[asyncio.Future[Outcome[R]]] = []
        parcels: list[Parcel[R]] = []
        size, total = 0, 0.0
        for line, (body, futures) in queue.items():
            cost = estimated_cost(self._price, body) * self.share
            if left is not None and total + cost > left:
                too_dear += futures
                continue
            total += cost
            size += len(body) + len(line) + _LINE_BYTES
            last = parcels[-1] if parcels else None
            if last is None or len(last.bodies) >= self.limit or size > self.service.max_bytes:
                last, size = Parcel(self._row()), len(body)
                parcels.append(last)
            last.bodies[line], last.waiting[line] = body, futures
            last.row = replace(last.row, cost=last.row.cost + cost)
        fit = sum(len(parcel.bodies) for parcel in parcels)
        self.settle(too_dear, self._too_dear(len(queue), fit, left or 0.0))
        for parcel in parcels:
            parcel.row = replace(parcel.row, lines=tuple(parcel.bodies))
            self._add(parcel)
            parcel.task = asyncio.ensure_future(self._life.of(parcel))

    def _row(self) -> BatchRow:
        return BatchRow(f"overt-{uuid.uuid4().hex}", self.name, self._place, "new", (), created=time.time())

    def _too_dear(self, asked: int, fit: int, left: float) -> OvertError:
        return BudgetReached(
            f"--max-cost is reached: of {asked:,} requests for a batch {fit:,} fit into the US$ "
            f"{money(max(left, 0.0))} that are left, reckoned from their length and from the longest answer "
            "that each allows",
            fix="What fits is sent, and kept: the same command with a higher cap goes on.",
        )

    # -- what a batch's life changes here ---------------------------------------------------------------

    def record(self, parcel: Parcel[R], row: BatchRow) -> None:
        """Writes what is known of a batch, before anything rests on it."""
        parcel.row = row
        self._journal.put_batch(row)
        if row.step == "begun":
            self._on_sent()

    def hand(self, parcel: Parcel[R], line: str, outcome: R | CallError) -> None:
        """Gives one line's response to those who wait for it."""
        futures = parcel.waiting.pop(line, [])
        self._forget(parcel, line)
        parcel.left -= 1
        if not futures:
            return
        key = line.partition("-")[0]
        parcel.handed.add(key)
        self._handing[key] = parcel
        seconds = max(0.0, time.time() - parcel.row.created)
        if not isinstance(outcome, CallError):
            self._served[key] = Served(self.share, seconds)
        self.settle(futures, outcome)

    def send_again(self, parcel: Parcel[R]) -> None:
        """Gives the requests of a batch that was never begun back to their calls."""
        for line in parcel.row.lines:
            self._forget(parcel, line)
        self._drop(parcel)
        for futures in parcel.waiting.values():
            self.settle(futures, AGAIN)
        parcel.waiting.clear()

    def fail(self, parcel: Parcel[R], error: BaseException) -> None:
        """Ends the calls that wait for a batch."""
        parcel.task = None
        if parcel.row.step in ("new", "closed") and not parcel.is_read:  # it holds nothing
            for line in parcel.row.lines:
                self._forget(parcel, line)
            self._drop(parcel)
        waiting, parcel.waiting = parcel.waiting, {}
        for futures in waiting.values():
            self.settle(futures, error)

    def done(self, parcel: Parcel[R]) -> None:
        """All results were handed out: once they are in the journal, nothing is owed."""
        parcel.is_read = True
        for line in parcel.row.lines:
            self._forget(parcel, line)
        self._close_if_handled(parcel)

    def settle(
        self, futures: Iterable[asyncio.Future[Outcome[R]]], outcome: Outcome[R] | BaseException
    ) -> None:
        for future in futures:
            if future.done():
                continue
            self._coming += 1
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    # -- the books ------------------------------------------------------------------------------------

    def _add(self, parcel: Parcel[R]) -> None:
        self.parcels.append(parcel)
        parcel.left = len(parcel.row.lines)
        for line in parcel.row.lines:
            key = line.partition("-")[0]
            if line not in self._of_line:
                self._keys[key] = self._keys.get(key, 0) + 1
            self._of_line[line] = parcel  # the newest batch of a line has the word

    def _forget(self, parcel: Parcel[R], line: str) -> None:
        if self._of_line.get(line) is not parcel:
            return
        del self._of_line[line]
        key = line.partition("-")[0]
        self._keys[key] -= 1
        if not self._keys[key]:
            del self._keys[key]

    def _handled(self, key: str) -> None:
        """A call has dealt with the answer that it was handed: it is journalled, or the call asks anew."""
        parcel = self._handing.pop(key, None)
        if parcel is not None:
            parcel.handed.discard(key)
            self._close_if_handled(parcel)

    def _close_if_handled(self, parcel: Parcel[R]) -> None:
        if parcel.is_read and not parcel.handed and parcel in self.parcels:
            self._drop(parcel)
            with contextlib.suppress(OvertError):  # read once more by the next run, at no cost
                self._journal.put_batch(replace(parcel.row, step="closed"))

    def _drop(self, parcel: Parcel[R]) -> None:
        if parcel in self.parcels:
            self.parcels.remove(parcel)
        parcel.over.set()
