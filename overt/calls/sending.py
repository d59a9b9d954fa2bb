"""The attempts at one request: paced, capped, retried, live or by batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
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


class Sender:
    """Sends the requests of one process. `stop` is the error that ends all sending, once there is one.

    Args:
        terms: what the user wants of batches.
    """

    def __init__(self, options: CallerOptions, stats: Stats, waits: Waits, terms: Terms) -> None:
        self.options, self.stats, self.terms = options, stats, terms
        self.stop: OvertError | None = None
        self.boxes: dict[int, Mailbox[object]] = {}  # by the id of the channel's subject
        self._waits = waits
        self._paces: dict[int, Pace] = {}
        self._flying = 0  # live calls that are sent and not answered
        self._unpaced = Pace(AT_ONCE)  # a batch is one request, whatever is in it

    def register(self, channel: Subject) -> None:
        """Gives a model its pace."""
        self._paces[id(channel.subject)] = Pace(channel.ceiling or self.options.concurrency, self.options.rpm)

    def settle(self, error: OvertError) -> None:
        """Sends nothing more because of this error, and waits for the live calls under way, which are paid
        for: of several models at work the others may be in the middle of theirs."""
        self.stop = self.stop or error
        while self._flying:
            time.sleep(_SETTLE_S)

    # -- batches --------------------------------------------------------------------------------------

    def open_box(self, channel: Subject, standing: Standing, journal: Journal, on_sent: OnSent) -> None:
        """Lets a model be asked by batch, if the user wants that or the journal has batches of it.

        Raises:
            InputError: it has no batch API, and its calls would be paid for in full.
        """
        terms, price = self.terms, channel.price
        rows = self._rows_of(channel, standing, journal)
        if not (terms.gathers or rows):
            return
        model = innermost(channel.subject)
        service = model.batches() if isinstance(model, Batched) else None
        if service is None or not isinstance(model, Batched):
            self._live_alone(channel)
            return
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
        self.boxes[id(channel.subject)] = box
        if terms.gathers and price is not None and box.share == 1.0:
            terms.tell(
                f"{channel.name}: no lower price of batches is known of {service.host}: their calls are "
                "counted at the full one (a price file can say it: batch: 0.5)"
            )

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
        return self.options.max_cost - self.stats.spent - sum(box.owed for box in self.boxes.values())

    def call(self, channel: Subject, key: str) -> contextlib.AbstractContextManager[None]:
        """A call from its first attempt to its row in the journal."""
        box = self.boxes.get(id(channel.subject))
        return box.call(key) if box is not None else contextlib.nullcontext()

    def standing(self) -> list[str]:
        """How the batches stand that are waited for."""
        parcels = [(box, parcel) for box in self.boxes.values() for parcel in box.parcels]
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

    async def attempts(
        self, channel: Channel[Q, A], standing: Standing, request: Q, key: str
    ) -> tuple[A, int]:
        """Sends a request until it is answered, refused or out of retries. Returns the last reply and the
        number of retries. A wait that the service names is none of --retries.

        Args:
            key: of the call, in the journal.
        """
        box = self.boxes.get(id(channel.subject))
        retries = waits = 0
        while True:
            reply = await self._attempt(channel, request, key, box)
            error = reply.error
            wait = error.retry_after if error else None
            if error is None:
                return reply, retries + waits
            self.stats.error(error.kind)
            if stop := standing.waits_too_long(error):
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

    async def _attempt(self, channel: Channel[Q, A], request: Q, key: str, box: Mailbox[object] | None) -> A:
        """One attempt, in its turn."""
        by_batch = box is not None and box.takes(key)
        pace = self._unpaced if by_batch else self._paces[id(channel.subject)]
        await pace.enter()
        try:
            if box is None or not box.has(key):
                await self._admit(channel, pace, box if by_batch else None)
                self.stats.sent += 1
            reply = await self._send(channel, request, patient=by_batch)
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

    async def _admit(self, channel: Subject, pace: Pace, box: Mailbox[object] | None) -> None:
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
        self._may_send(pace, is_live=box is None)

    def _may_send(self, pace: Pace, *, is_live: bool) -> None:
        if self.stop is not None:
            raise Stop(self.stop)
        options, stats = self.options, self.stats
        again = "Everything so far is kept: the same command with a higher cap goes on."
        if options.max_requests is not None and stats.sent >= options.max_requests:
            self.stop = BudgetReached(f"--max-requests {options.max_requests} is reached", fix=again)
        elif options.max_cost is not None and is_live:  # a mailbox reckons before it sends
            # Calls in flight are expected to cost the average so far.
            answered = max(1, stats.sent - pace.active + 1)
            expected = stats.spent + (pace.active - 1) * stats.spent / answered
            if expected >= options.max_cost:
                self.stop = BudgetReached(f"--max-cost US${options.max_cost:g} is reached", fix=again)
        if self.stop is not None:
            raise Stop(self.stop)
