"""The attempts at one request: paced, capped, retried, live or by batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from overt.calls.batch_costs import share_of
from overt.calls.batch_life import standing_of
from overt.calls.channel import Channel, Reply, Subject
from overt.calls.costs import Stats
from overt.calls.finality import RETRIED
from overt.calls.flow import Pace
from overt.calls.mailbox import Mailbox
from overt.calls.options import CallerOptions
from overt.calls.parcels import Terms
from overt.calls.standing import Standing
from overt.calls.waits import WAITS, Waits, pause
from overt.data.batch import Batched, innermost
from overt.data.chat import CallError
from overt.data.errors import BudgetReached, InputError, NotFinished, OvertError
from overt.data.run.batch_rows import BatchRow
from overt.data.run.journal import Journal

Q = TypeVar("Q")
A = TypeVar("A", bound=Reply)

OnSent = Callable[[], None]
_SETTLE_S = 0.02  # seconds between two looks whether calls are under way
AT_ONCE = 50_000  # requests that wait for batches together: the most that one batch takes


class Stop(Exception):
    """Stops all further requests; carries the error for the user."""

    def __init__(self, error: OvertError) -> None:
        self.error = error


@dataclass(eq=False)
class Asked:
    """A model that is asked.

    box: its batches; None: it is asked live. sent, in_flight, spent: its attempts in this process, those
    without a reply yet, and what they cost in US dollars. turns: how many stages ask it at the moment.
    """

    channel: Subject
    standing: Standing
    pace: Pace
    box: Mailbox[object] | None = None
    sent: int = 0
    in_flight: int = 0
    spent: float = 0.0
    turns: int = 0

    @property
    def cost_in_flight(self) -> float:
        """US dollars that its calls in flight are expected to cost: the average of those before."""
        return self.in_flight * self.spent / max(1, self.sent - self.in_flight)


class Sender:
    """Sends the requests of one process. `stop` is the error that ends all sending, once there is one.

    Args:
        terms: what the user wants of batches.
    """

    def __init__(self, options: CallerOptions, stats: Stats, waits: Waits, terms: Terms) -> None:
        self.options, self.stats, self.terms = options, stats, terms
        self.stop: OvertError | None = None
        # Replaced, never changed: stages add models from their threads while the loop reads.
        self._asked: tuple[Asked, ...] = ()
        self._waits = waits
        self._flying = 0  # live calls that are sent and not answered
        self._unpaced = Pace(AT_ONCE)  # a batch is one request, whatever is in it

    def settle(self, error: OvertError) -> None:
        """Sends nothing more because of this error, and waits for the live calls under way, which are paid
        for: of several models at work the others may be in the middle of theirs."""
        self.stop = self.stop or error
        while self._flying:
            time.sleep(_SETTLE_S)

    def open(self, channel: Subject, standing: Standing, journal: Journal, on_sent: OnSent) -> Asked:
        """Makes a model ready to be asked, at its own pace.

        Raises:
            InputError: it has no batch API, and its calls would be paid for in full.
        """
        box = self._open_box(channel, standing, journal, on_sent)
        pace = Pace(channel.ceiling or self.options.concurrency, self.options.rpm)
        asked = Asked(channel, standing, pace, box)
        self._asked = (*self._asked, asked)
        return asked

    def forget(self, asked: Asked) -> None:
        """Lets go of a model that is not asked any more."""
        self._asked = tuple(other for other in self._asked if other is not asked)

    @property
    def _boxes(self) -> list[Mailbox[object]]:
        return [asked.box for asked in self._asked if asked.box is not None]

    # -- batches --------------------------------------------------------------------------------------

    def _open_box(
        self, channel: Subject, standing: Standing, journal: Journal, on_sent: OnSent
    ) -> Mailbox[object] | None:
        """Lets a model be asked by batch, if the user wants that or the journal has batches of it."""
        terms, price = self.terms, channel.price
        rows = self._rows_of(channel, standing, journal)
        if not (terms.gathers or rows):
            return None
        model = innermost(channel.subject)
        service = model.batches() if isinstance(model, Batched) else None
        if service is None or not isinstance(model, Batched):
            self._live_alone(channel)
            return None
        box = Mailbox(
            channel.name,
            service,
            terms,
            place=standing.place,
            price=price,
            share=share_of(price, service.host),
            rows=rows,
            left=self._left,
            journal=journal,
            on_sent=on_sent,
        )
        model.post = box.post
        if terms.gathers and price is not None and box.share == 1.0:
            terms.tell(
                f"{channel.name}: no lower price of batches is known of {service.host}: their calls are "
                "counted at the full one (a price file can say it: batch: 0.5)"
            )
        return box

    def _rows_of(self, channel: Subject, standing: Standing, journal: Journal) -> list[BatchRow]:
        """The batches of a model that are open, at its address."""
        rows = [row for row in journal.open_batches() if row.model == channel.name]
        if away := sum(len(row.lines) for row in rows if row.place != standing.place):
            self.terms.tell(
                f"{channel.name}: {away:,} requests wait in batches at another address; they are not waited "
                "for here, and their answers are paid for"
            )
        return [row for row in rows if row.place == standing.place]

    def _live_alone(self, channel: Subject) -> None:
        """What becomes of a model without a batch API under --batch."""
        price = channel.price
        costs = price is None or price.cost(1_000_000, 1_000_000, 1) > 0
        if costs and (channel.key_hint or channel.address):
            raise InputError(
                f"{channel.name} has no batch API that overt knows, and is paid for in full",
                fix="Leave --batch out, or give it a run of its own without it.",
            )
        self.terms.tell(f"{channel.name} has no batch API: it is asked live")

    def _left(self) -> float | None:
        """US dollars that the cap leaves, beside what batches under way may cost."""
        if self.options.max_cost is None:
            return None
        return self.options.max_cost - self.stats.spent - sum(box.owed for box in self._boxes)

    def call(self, asked: Asked, key: str) -> contextlib.AbstractContextManager[None]:
        """A call from its first attempt to its row in the journal."""
        return asked.box.call(key) if asked.box is not None else contextlib.nullcontext()

    def standing(self) -> list[str]:
        """How the batches stand that are waited for."""
        parcels = [(box, parcel) for box in self._boxes for parcel in list(box.parcels)]
        return [
            f"{box.name}: {standing_of(parcel)}"
            for box, parcel in parcels
            if parcel.row.step in ("begun", "sent") and not parcel.is_read
        ]

    def not_finished(self) -> NotFinished | None:
        """What to tell where batches go on, or were cancelled."""
        if words := self.terms.words:
            fix = "The same command (without --batch-cancel) sends the rest."
            return NotFinished("\n    ".join(words), fix=fix)
        standing = "\n    ".join(self.standing())
        return NotFinished(f"batches go on at the provider:\n    {standing}") if standing else None

    # -- attempts -------------------------------------------------------------------------------------

    async def attempts(self, channel: Channel[Q, A], asked: Asked, request: Q, key: str) -> tuple[A, int]:
        """Sends a request until it is answered, refused or out of retries. Returns the last reply and the
        number of retries. A wait that the service names is none of --retries.

        Args:
            key: of the call, in the journal.
        """
        retries = waits = 0
        while True:
            reply = await self._attempt(channel, asked, request, key)
            error = reply.error
            wait = error.retry_after if error else None
            if error is None:
                return reply, retries + waits
            self.stats.error(error.kind)
            if stop := asked.standing.waits_too_long(error):
                self.halt(stop)
            if error.kind not in RETRIED:
                return reply, retries + waits
            if wait is not None:
                self._waits.tell(channel.name, wait)
            if error.kind == "rate_limit" and wait is not None and waits < WAITS:
                waits += 1
            elif retries >= self.options.max_retries:
                return reply, retries + waits
            else:
                retries += 1
            await asyncio.sleep(pause(retries, wait))

    async def _attempt(self, channel: Channel[Q, A], asked: Asked, request: Q, key: str) -> A:
        """One attempt, in its turn."""
        box = asked.box
        by_batch = box is not None and box.takes(key)
        pace = self._unpaced if by_batch else asked.pace
        await pace.enter()
        try:
            if box is None or not box.has(key):
                await self._admit(channel, box if by_batch else None)
                self.stats.sent += 1
                asked.sent += 1
            asked.in_flight += not by_batch
            try:
                reply = await self._send(channel, request, patient=by_batch)
            finally:
                asked.in_flight -= not by_batch
        finally:
            pace.leave()
        if box is not None and (served := box.served(key)) is not None:
            reply = channel.by_batch(channel.timed(reply, served.seconds), served.share)
        if not by_batch:
            error = reply.error
            limited = error is not None and error.kind == "rate_limit"
            pace.saw(limited, error.retry_after if error else None)
        return reply

    def halt(self, error: OvertError) -> NoReturn:
        """Ends all sending."""
        self.stop = self.stop or error
        raise Stop(self.stop) from error

    async def _send(self, channel: Channel[Q, A], request: Q, *, patient: bool) -> A:
        timeout = None if channel.patient or patient else self.options.timeout
        started = time.perf_counter()
        self._flying += not patient
        try:
            async with asyncio.timeout(timeout):
                reply = await channel.send(request)
        except TimeoutError:
            reply = channel.failed(CallError("timeout", f"no answer in {timeout or 0:g} seconds"))
        except NotFinished:  # of this batch, while others may be over
            raise
        except OvertError as error:  # such as a full disk, which would stop every other reply too
            self.halt(error)
        finally:
            self._flying -= not patient
        return channel.timed(reply, time.perf_counter() - started)

    async def _admit(self, channel: Subject, box: Mailbox[object] | None) -> None:
        """Lets one more request be sent, into a batch or live.

        Raises:
            Stop: a cap is reached, or there is no batch API.
            NotFinished: batches are cancelled, and nothing else is sent.
        """
        if self.terms.cancels:
            raise NotFinished(
                f"{channel.name}: a request is in no batch, and was not sent",
                fix="Give the same command without --batch-cancel to go on.",
            )
        if box is not None:
            try:
                await box.ready()
            except OvertError as error:
                self.halt(error)
        self._may_send(is_live=box is None)

    def _may_send(self, *, is_live: bool) -> None:
        if self.stop is not None:
            raise Stop(self.stop)
        options, stats = self.options, self.stats
        again = "Everything so far is kept: the same command with a higher cap goes on."
        if options.max_requests is not None and stats.sent >= options.max_requests:
            self.stop = BudgetReached(f"--max-requests {options.max_requests} is reached", fix=again)
        elif options.max_cost is not None and is_live:  # a mailbox reckons before it sends
            expected = stats.spent + sum(asked.cost_in_flight for asked in self._asked)
            if expected >= options.max_cost:
                self.stop = BudgetReached(f"--max-cost US${options.max_cost:g} is reached", fix=again)
        if self.stop is not None:
            raise Stop(self.stop)
