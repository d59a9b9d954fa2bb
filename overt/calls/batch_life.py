"""What happens to one batch: handed over, begun, waited for, read; and found again by a later process.

Before the provider is asked to begin it the journal says so, since two batches are paid for twice. A process
that was killed then, or a connection that broke, leaves a batch of which nobody here knows whether it exists:
the provider's list is asked for its label before anything is sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Generic, TypeVar

from overt.calls.finality import RETRIED
from overt.calls.parcels import Desk, Parcel
from overt.calls.waits import clock, in_words, pause
from overt.data.batch import BatchState
from overt.data.chat import CallError, ErrorKind
from overt.data.errors import NotFinished, OvertError, RunError
from overt.data.run.batch_rows import BatchStep
from overt.data.text import plain

R = TypeVar("R")
T = TypeVar("T")

SETTLE_S = 10.0  # seconds after which the provider's list is believed to lack a batch that was not begun
FIRST_LOOK_S, SLOWEST_LOOK_S, LOOK_SHARE = 1.0, 60.0, 0.05  # looks come at a twentieth of the batch's age
_TOLD_S = 600.0  # seconds between two notes on a batch that goes on
_FULL_S, _LONGEST_FULL_S = 60.0, 900.0  # seconds before a batch is tried again that was one too many
_MOST_HANDED = 64  # answers handed out and not yet journalled: pictures are large
_HAND_S = 0.02

_SAME = "Everything so far is kept: the same command goes on."
_REFUSED = {
    "auth": "Look at the key.",
    "forbidden": "Look at the key and at what its project may do.",
    "billing": "Top the account up.",
}


class _NoRoom(Exception):
    """The provider did not take a batch, because too much waits already.

    Args:
        wait: seconds that it names.
        halves: whether a smaller batch may be taken.
    """

    def __init__(self, wait: float | None, *, halves: bool) -> None:
        self.wait, self.halves = wait, halves


class Life(Generic[R]):
    """The lives of one model's batches."""

    def __init__(self, desk: Desk[R]) -> None:
        self._desk, self._terms = desk, desk.terms
        self._full = 0  # batches in a row that were one too many

    async def of(self, parcel: Parcel[R]) -> None:
        """From where the batch stands to its end. An error ends the calls that wait for it."""
        try:
            await self._lived(parcel)
        except _NoRoom as full:
            try:
                await self._room(parcel, full)
                self._desk.send_again(parcel)
            except OvertError as error:
                self._desk.fail(parcel, error)
        except OvertError as error:
            self._desk.fail(parcel, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            what = f"{self._desk.name}: a batch cannot be handled: {type(error).__name__}: {error}"
            self._desk.fail(parcel, RunError(plain(what), fix=_SAME))

    async def _lived(self, parcel: Parcel[R]) -> None:
        if parcel.row.step == "new":
            await self._begin(parcel)
            self._tell(parcel, f"{len(parcel.row.lines):,} requests were sent as batch {parcel.row.id}")
        elif parcel.row.step == "begun" and not await self._found(parcel):
            self._desk.record(parcel, replace(parcel.row, step="closed"))
            self._desk.send_again(parcel)
            return
        elif parcel.state is None:
            age = in_words(time.time() - parcel.row.created)
            self._tell(parcel, f"going on with batch {parcel.row.id}, which was sent {age} ago")
        state = await self._end(parcel)
        if state.state == "failed":
            self._close(parcel)
            if state.is_full:
                raise _NoRoom(None, halves=True)
            why = "; ".join(state.problems) or "no reason was given"
            raise RunError(
                f"{self._desk.name}: the batch was not accepted: {plain(why)}",
                fix=f"Nothing was paid for. {_SAME}",
            )
        self._full = 0
        await self._read(parcel, state)

    # -- beginning it ---------------------------------------------------------------------------------

    async def _begin(self, parcel: Parcel[R]) -> None:
        desk, label, lines = self._desk, parcel.row.label, parcel.lines
        desk.record(parcel, parcel.row)
        file = await self._patiently(
            parcel, lambda: desk.service.upload(lines, label), "the requests were not taken", "new"
        )
        desk.record(parcel, replace(parcel.row, file=file, step="begun"))
        failures = 0
        while True:
            got = await desk.service.create(lines, file, label)
            if isinstance(got, BatchState):
                break
            if got.kind == "rate_limit":  # it was not begun
                self._close(parcel)
                raise _NoRoom(got.retry_after, halves=False)
            if got.kind not in RETRIED or failures >= self._terms.retries:
                self._close(parcel, unless=got.kind in RETRIED)
                raise self._refused("the batch was not begun", got)
            failures += 1
            await self._sleep(parcel, pause(failures, got.retry_after))
            if await self._found(parcel):  # the connection broke after it was begun
                return
        parcel.state = got
        desk.record(parcel, replace(parcel.row, id=got.id, step="sent"))

    async def _found(self, parcel: Parcel[R]) -> bool:
        """Whether a batch of which we do not know it was begun; then its name is written down."""
        row = parcel.row
        if (young := row.created + SETTLE_S - time.time()) > 0:
            await self._sleep(parcel, young)
        got: BatchState | CallError | None = None
        for failures in range(1, self._terms.retries + 2):
            got = await self._desk.service.find(row.label, row.file)
            if not isinstance(got, CallError) or got.kind not in RETRIED:
                break
            await self._sleep(parcel, pause(failures, got.retry_after))
        if isinstance(got, BatchState) and got.state != "failed":
            self._desk.record(parcel, replace(row, id=got.id, step="sent"))
            return True
        if isinstance(got, CallError) and not self._terms.pay_again:
            raise RunError(
                f"{self._desk.name}: a batch of {len(row.lines):,} requests may have been begun, and the "
                f"list of batches cannot be read: {plain(got.message)}",
                fix=f"Look for {row.label} (or the file {row.file or 'without a name'}) among the batches at "
                "the provider. If it is not there, the same command with --pay-again sends its requests.",
            )
        return False

    async def _room(self, parcel: Parcel[R], full: _NoRoom) -> None:
        """Waits until the provider may take more: until another batch of ours is over, if there is one."""
        desk = self._desk
        others = [p for p in desk.parcels if p is not parcel and p.row.step == "sent" and p.task]
        if not others and full.halves and len(parcel.row.lines) > 1:
            desk.limit = max(1, len(parcel.row.lines) // 2)
            self._tell(parcel, f"too much for one batch: trying again with {desk.limit:,} requests in each")
        elif others and full.wait is None:
            self._tell(parcel, "no room for another batch at the provider: it is sent once another is over")
            await self._one_over(parcel, others)
        else:
            self._full += 1
            wait = full.wait or min(_LONGEST_FULL_S, _FULL_S * 2.0 ** min(self._full - 1, 8))
            self._tell(parcel, f"no room for another batch at the provider: trying again at {clock(wait)}")
            await self._sleep(parcel, wait)

    async def _one_over(self, parcel: Parcel[R], others: Iterable[Parcel[R]]) -> None:
        overs = [asyncio.ensure_future(other.over.wait()) for other in others]
        try:
            done, _ = await asyncio.wait(overs, timeout=self._left(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for over in overs:
                over.cancel()
        if not done:
            raise self._not_finished(parcel)

    # -- waiting for it -------------------------------------------------------------------------------

    async def _end(self, parcel: Parcel[R]) -> BatchState:
        """The batch's state once it is over."""
        failures, told, is_cancelled = 0, time.monotonic(), False
        while True:
            got = await self._desk.service.look(parcel.row.id)
            if isinstance(got, BatchState):
                failures, parcel.state = 0, got
                self._terms.show()
                if got.state != "open":
                    return got
                if self._terms.cancels and not is_cancelled:
                    await self._cancel(parcel)
                    is_cancelled = True
            elif got.kind in RETRIED:
                failures += 1
                if failures == self._terms.retries:
                    self._tell(parcel, f"{plain(got.message)}; the batch goes on meanwhile")
            else:
                raise self._lost(parcel, got)
            if time.monotonic() - told > _TOLD_S:
                told = time.monotonic()
                self._tell(parcel, standing_of(parcel))
            age = time.time() - parcel.row.created
            await self._sleep(parcel, min(SLOWEST_LOOK_S, max(FIRST_LOOK_S, LOOK_SHARE * age)))

    async def _cancel(self, parcel: Parcel[R]) -> None:
        error = await self._desk.service.cancel(parcel.row.id)
        if error is not None and error.kind not in RETRIED:
            self._tell(parcel, f"batch {parcel.row.id} was not cancelled: {plain(error.message)}")
        else:
            self._tell(parcel, f"batch {parcel.row.id} is being cancelled; what is done already is kept")

    def _lost(self, parcel: Parcel[R], error: CallError) -> OvertError:
        if error.status == 404 and self._terms.pay_again:
            self._close(parcel)
        return RunError(
            f"{self._desk.name}: the provider does not tell of batch {parcel.row.id}: {plain(error.message)}",
            fix="Look at the key and at --base-url: a batch is seen by the project that sent it. If it is "
            "gone, the same command with --pay-again gives it up, and the next one sends its requests anew.",
        )

    # -- reading it -----------------------------------------------------------------------------------

    async def _read(self, parcel: Parcel[R], state: BatchState) -> None:
        desk, failures = self._desk, 0
        while (error := await self._handed_out(parcel, state)) is not None:
            failures += 1
            if error.kind not in RETRIED or failures > self._terms.retries:
                raise self._refused(f"the results of batch {parcel.row.id} cannot be read", error)
            await self._sleep(parcel, pause(failures, error.retry_after))
        answered = len(parcel.row.lines) - len(parcel.waiting)
        if state.state == "cancelled" and parcel.waiting:
            waiting, parcel.waiting = parcel.waiting, {}
            desk.done(parcel)
            parcel.waiting = waiting
            words = (
                f"{desk.name}: batch {parcel.row.id} was cancelled; {answered:,} of "
                f"{len(parcel.row.lines):,} requests had been answered, and are kept"
            )
            self._terms.words.append(words)
            raise NotFinished(words)
        for line in list(parcel.waiting):
            desk.hand(parcel, line, CallError(*_MISSING.get(state.state, _MISSING["ended"])))
        self._tell(parcel, f"batch {parcel.row.id} is over ({state.said})")
        desk.done(parcel)

    async def _handed_out(self, parcel: Parcel[R], state: BatchState) -> CallError | None:
        """Gives each response to its call, no faster than they are journalled. An error: the reading broke
        off."""
        async for found in self._desk.service.results(state):
            if isinstance(found, CallError):
                return found
            line, outcome = found
            if line in parcel.waiting:
                self._desk.hand(parcel, line, outcome)
            while len(parcel.handed) >= _MOST_HANDED:
                await asyncio.sleep(_HAND_S)
        return None

    # -- helpers --------------------------------------------------------------------------------------

    async def _patiently(
        self,
        parcel: Parcel[R],
        attempt: Callable[[], Awaitable[T | CallError]],
        doing: str,
        step: BatchStep,
    ) -> T:
        """What an exchange gives that may be repeated."""
        failures = 0
        while isinstance(got := await attempt(), CallError):
            failures += 1
            if got.kind not in RETRIED or failures > self._terms.retries:
                self._close(parcel)
                raise self._refused(doing, got)
            await self._sleep(parcel, pause(failures, got.retry_after))
        return got

    def _refused(self, what: str, error: CallError) -> RunError:
        fix = _REFUSED.get(error.kind, "")
        return RunError(f"{self._desk.name}: {what}: {plain(error.message)}", fix=f"{fix} {_SAME}".strip())

    def _close(self, parcel: Parcel[R], *, unless: bool = False) -> None:
        """Notes that nothing is owed for a batch."""
        if not unless:
            self._desk.record(parcel, replace(parcel.row, step="closed"))

    def _left(self) -> float | None:
        return None if self._terms.until is None else max(0.0, self._terms.until - time.monotonic())

    async def _sleep(self, parcel: Parcel[R], seconds: float) -> None:
        """Sleeps, but no longer than the user wants to wait.

        Raises:
            NotFinished: the time is up.
        """
        left = self._left()
        if left is not None and seconds > left:
            await asyncio.sleep(left)
            raise self._not_finished(parcel)
        await asyncio.sleep(seconds)

    def _not_finished(self, parcel: Parcel[R]) -> NotFinished:
        return NotFinished(standing_of(parcel))

    def _tell(self, parcel: Parcel[R], text: str) -> None:
        self._terms.tell(f"{self._desk.name}: {text}")


_MISSING: dict[str, tuple[ErrorKind, str]] = {
    "ended": ("server", "the batch ended without a response to this request"),
    "expired": ("timeout", "the batch's time was up before this request was done"),
}


def standing_of(parcel: Parcel[R]) -> str:
    """How a batch stands: `batch_68ab in_progress: 120 of 400 done, 2 failed, sent 25 min ago`."""
    row, state = parcel.row, parcel.state
    if row.step == "new" or state is None:
        return f"{len(row.lines):,} requests wait to be taken by the provider"
    total = state.total or len(row.lines)
    counts = [f"{state.done or 0:,} of {total:,} done"]
    counts += [f"{state.failed:,} failed"] if state.failed else []
    counts.append(f"sent {in_words(max(0.0, time.time() - row.created))} ago")
    counts += [f"to be over by {clock(state.expires - time.time())}"] if state.expires else []
    return f"batch {row.id} {plain(state.said)}: {', '.join(counts)}"
