"""What stands in the driver for a model on the workers: same name, same facts, same answers."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ChatReply, ChatRequest
from overt.data.errors import RunError
from overt.data.filters import FilterDecision
from overt.data.local.batches import Batches
from overt.data.local.memory import Room
from overt.data.records import Turn
from overt.data.targets import Response
from overt.workers.crew import Crew
from overt.workers.hiring import dismiss
from overt.workers.parts import Answer, BatchLost, Facts, Item, Part
from overt.workers.spread import Spread

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class StandIn:
    """The base of all: the attributes of the model, and the end of it on the workers.

    Args:
        spread: of the workers, which `crew` holds.
    """

    name: str
    device = "the workers"  # which models share: those of one run take turns

    def __init__(self, spread: Spread, crew: Crew, part: Part, facts: Facts) -> None:
        for name, value in facts.attributes.items():
            setattr(self, name, value)
        self._crew, self._part = crew, part
        self.lanes = crew.count * facts.batches_in_flight  # batches that it has side by side
        self._ends = weakref.finalize(self, _let_go, spread, part)
        self._lost = _Lost()

    def _run(self, items: list[Item]) -> list[Answer]:
        """The replies to a batch.

        Raises:
            BatchLost: each worker that had it ended.
        """
        try:
            return self._crew.run(self._part, items)
        except BatchLost:
            self._lost.remember(items)
            raise

    def _run_alone(self, item: Item) -> Answer:
        """The reply to an item whose batch was lost: it goes alone, once, so that it shows who is to blame.

        Raises:
            BatchLost: the worker ended again.
        """
        if (lost := self._lost.for_good(item)) is not None:
            raise lost
        try:
            return self._crew.run(self._part, [item], alone=True)[0]
        except BatchLost as again:
            self._lost.keep(item, again)
            raise

    def end(self) -> None:
        """Lets go of the model on the workers."""
        if (ends := self._ends.detach()) is not None:
            dismiss(*ends[2])


def _let_go(spread: Spread, part: Part) -> None:
    """Lets go of a model whose stand-in nobody closed. The garbage collector calls this in any thread, also
    in the one that reads what the workers answer, or while another waits for them to load a model: so it
    must not wait for them itself."""
    if threading.main_thread().is_alive():
        threading.Thread(target=dismiss, args=(spread, part), name="overt-dismiss", daemon=True).start()
    else:  # the program ends, and begins no threads
        dismiss(spread, part)


class Batched(StandIn):
    """A model whose requests gather in the driver until a batch is full."""

    is_steady = False  # see `Batches`

    def __init__(self, spread: Spread, crew: Crew, part: Part, facts: Facts) -> None:
        super().__init__(spread, crew, part, facts)
        size = facts.batch_size
        self._batches: Batches[Item, Answer] = Batches(
            self._run,
            room=Room(self.name, size),
            name="overt-workers",
            is_steady=self.is_steady,
            lanes=self.lanes,
        )
        self.max_concurrency = self.lanes * size

    async def _asked(self, item: Item) -> Answer:
        """The reply to one item, which shares a batch with others."""
        if self._lost.knows(item):
            return await asyncio.to_thread(self._run_alone, item)
        return await self._batches(item)

    async def close(self) -> None:
        await self._batches.close()
        await asyncio.to_thread(self.end)


class TargetStandIn(Batched):
    """A target on the workers."""

    is_steady = True

    async def respond(
        self,
        prompt: str,
        *,
        seed: int,
        picture: bytes | None = None,
        turns: tuple[Turn, ...] = (),
        drawn: Mapping[str, bytes] | None = None,
    ) -> Response:
        """One response; its pictures are measured already."""
        try:
            response: Response = await self._asked((prompt, seed, picture, turns, drawn))
        except BatchLost as lost:
            return Response(seed=seed, error=CallError("server", lost.words))
        return response


class ChatStandIn(Batched):
    """A chat model on the workers."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        try:
            reply: ChatReply = await self._asked(request)
        except BatchLost as lost:
            return ChatReply(error=CallError("server", lost.words))
        return reply


class _Deciding(StandIn):
    """A filter or a checker on the workers. It is called in threads, `lanes` of them at a time."""

    def close(self) -> None:
        self.end()

    def _decide(self, items: Sequence[tuple[Item, ...]]) -> list[FilterDecision]:
        known = [self._lost.knows(item) for item in items]
        together = [item for item, is_known in zip(items, known, strict=True) if not is_known]
        try:
            found = iter(self._run(together) if together else [])
        except BatchLost as lost:
            found = iter([_undecided(lost)] * len(together))
        return [
            self._alone(item) if is_known else next(found)
            for item, is_known in zip(items, known, strict=True)
        ]

    def _one(self, item: tuple[Item, ...]) -> FilterDecision:
        if self._lost.knows(item):
            return self._alone(item)
        try:
            decision: FilterDecision = self._crew.run_one_by_one(self._part, [item])[0]
        except BatchLost as lost:
            self._lost.remember([item])
            return _undecided(lost)
        return decision

    def _alone(self, item: tuple[Item, ...]) -> FilterDecision:
        try:
            decision: FilterDecision = self._run_alone(item)
        except BatchLost as lost:
            return _undecided(lost)
        return decision


class FilterStandIn(_Deciding):
    """A text filter on the workers."""

    def decide(self, text: str) -> FilterDecision:
        return self._one((text,))

    def decide_many(self, texts: list[str]) -> list[FilterDecision]:
        return self._decide([(text,) for text in texts])


class CheckerStandIn(_Deciding):
    """An image checker on the workers."""

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        return self._one((image, prompt))

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        return self._decide(list(zip(images, prompts, strict=True)))


class ScorerStandIn(StandIn):
    """A scorer on the workers, whose methods are called one by one; its class does the arithmetic here."""

    def __init__(self, spread: Spread, crew: Crew, part: Part, facts: Facts) -> None:
        super().__init__(spread, crew, part, facts)
        self.lanes = crew.count  # batches of whole pictures wait in this process, and are large

    def call(self, method: str, argument: Item) -> Answer:
        """Raises: RunError: each worker that was asked ended."""
        try:
            return self._crew.call(self._part, method, argument)
        except BatchLost as lost:
            raise RunError(f"{self.name}: {lost.words}") from None


def _undecided(lost: BatchLost) -> FilterDecision:
    return FilterDecision(None, error=CallError("server", lost.words))


class _Lost:
    """The items of lost batches. One that is asked again goes alone; one that was lost alone is given up, so
    that retries of it end no more workers."""

    def __init__(self) -> None:
        self._known: dict[bytes, BatchLost | None] = {}

    def remember(self, items: Sequence[Item]) -> None:
        for item in items:
            self._known.setdefault(_key(item), None)

    def keep(self, item: object, lost: BatchLost) -> None:
        self._known[_key(item)] = lost

    def knows(self, item: object) -> bool:
        return bool(self._known) and _key(item) in self._known

    def for_good(self, item: object) -> BatchLost | None:
        return self._known.get(_key(item))


def _key(item: object) -> bytes:
    return hashlib.blake2b(pickle.dumps(item), digest_size=16).digest()
