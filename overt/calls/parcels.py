"""A batch and those who wait for it, and what the two who handle it know of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from overt.data.batch import BatchService, BatchState, Line
from overt.data.chat import CallError
from overt.data.run.batch_rows import BatchRow

R = TypeVar("R")


class Again:
    """What a request gets that must be sent anew: its batch was never begun."""


AGAIN: Final = Again()
Outcome: TypeAlias = R | CallError | Again


@dataclass
class Terms:
    """What the user wants of batches. Only `until` changes: targets are sent first, and waited for then.

    gathers: new requests go into batches. cancels: open batches are cancelled, and nothing is sent. until: on
    the monotonic clock, when waiting for them ends; None: never. pay_again: a batch of which nobody can tell
    whether it was begun counts as not begun. tell: shows a note. show: shows how things stand. words: of
    batches that were cancelled.
    """

    gathers: bool = False
    cancels: bool = False
    until: float | None = None
    retries: int = 6
    pay_again: bool = False
    tell: Callable[[str], None] = lambda text: None
    show: Callable[[], None] = lambda: None
    words: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Parcel(Generic[R]):
    """One batch and those who wait for it.

    bodies: of the lines that this process sends. left: lines that have no response yet. handed: the keys of
    calls that got their response and have not journalled it. is_read: whether all results were handed out.
    over: set once nothing more is to be expected from it.
    """

    row: BatchRow
    bodies: dict[str, bytes] = field(default_factory=dict)
    waiting: dict[str, list[asyncio.Future[Outcome[R]]]] = field(default_factory=dict)
    left: int = 0
    state: BatchState | None = None
    handed: set[str] = field(default_factory=set)
    is_read: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def lines(self) -> list[Line]:
        return [Line(id, self.bodies[id]) for id in self.row.lines]


class Desk(Protocol[R]):
    """The mailbox as a batch's life sees it."""

    name: str
    service: BatchService[R]
    terms: Terms
    limit: int
    parcels: list[Parcel[R]]

    def record(self, parcel: Parcel[R], row: BatchRow) -> None:
        """Writes what is known of a batch, before anything rests on it."""
        ...

    def hand(self, parcel: Parcel[R], line: str, outcome: R | CallError) -> None:
        """Gives one line's response to those who wait for it."""
        ...

    def send_again(self, parcel: Parcel[R]) -> None:
        """Gives the requests of a batch that was never begun back to their calls."""
        ...

    def fail(self, parcel: Parcel[R], error: BaseException) -> None:
        """Ends the calls that wait for a batch."""
        ...

    def done(self, parcel: Parcel[R]) -> None:
        """All results were handed out."""
        ...
