"""What a provider's batch API is to the caller, and what a model must have to be asked by it.

A batch stands in for the transport: the model writes the body of each request as ever, and `Post` brings the
response to it, hours later. So what is read from it, decided and journalled is the same as of a live call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from overt.data.chat import CallError

# A response as the model's own transport gives it.
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

# open: it is not decided yet. failed: it was never begun, and nothing is paid. The others hold results: of
# each request, or of those that were done before the time was up or somebody cancelled it.
State = Literal["open", "ended", "expired", "cancelled", "failed"]
Live = Callable[[], Awaitable[R | CallError]]
Post = Callable[[bytes, Live[R]], Awaitable[R | CallError]]


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch. `id` is told with its response; `body` is a JSON object as it is sent."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BatchState:
    """What the provider says of a batch.

    id: its own name of the batch. said: its own word for the state. total, done, failed: requests, None where
    it does not count. created, expires: seconds since the epoch. problems: why it failed. is_full: it was not
    taken because too much is waiting already, and will be taken later. results: where its results stand.
    """

    id: str
    state: State
    said: str = ""
    total: int | None = None
    done: int | None = None
    failed: int | None = None
    created: float | None = None
    expires: float | None = None
    problems: tuple[str, ...] = ()
    is_full: bool = False
    results: tuple[str, ...] = ()


class BatchService(Protocol[R_co]):
    """The batch API of one model. Nothing raises for failures of the network or the provider.

    host: of the address, for the price. limit, max_bytes: the most requests, and bytes of them, in a batch.
    """

    host: str
    limit: int
    max_bytes: int

    async def check(self) -> CallError | None:
        """Whether there is a batch API at the address; costs nothing. An error of kind "bad_request" says
        that there is none."""
        ...

    async def upload(self, lines: Sequence[Line], label: str) -> str | CallError:
        """Hands over the requests; nothing is begun or paid. Returns the name of the file, "" if there is
        none because `create` sends the requests itself."""
        ...

    async def create(self, lines: Sequence[Line], file: str, label: str) -> BatchState | CallError:
        """Begins the batch. `label` is ours, for `find`."""
        ...

    async def find(self, label: str, file: str) -> BatchState | CallError | None:
        """The batch of this label or file that was begun; None if there is none."""
        ...

    async def look(self, id: str) -> BatchState | CallError: ...

    async def cancel(self, id: str) -> CallError | None: ...

    def results(self, state: BatchState) -> AsyncIterator[tuple[str, R_co | CallError] | CallError]:
        """The responses by the ids of their lines; an error in the place of a pair ends the reading. A
        request that a cancelled batch left undone is not among them."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Batched(Protocol):
    """A model that can be asked by batch.

    `batches` opens its batch API; None if this one has none. Once `post` is set, every request goes by it,
    one that no batch takes (a form with a file) as b"". A model that takes less in a batch than live says
    what by `batch_takes`, as in `Target.takes`.
    """

    post: Post | None  # type: ignore[type-arg]

    def batches(self) -> BatchService | None: ...  # type: ignore[type-arg]


def innermost(subject: object) -> object:
    """The model inside a product or a target, which names it as `behind`."""
    while (inner := getattr(subject, "behind", None)) is not None:
        subject = inner
    return subject
