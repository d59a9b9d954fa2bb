"""The crew of a command: its seats, what is loaded on each, and who gets the next batch.

A batch goes to the seat that has the fewest. A seat that is lost is started anew beside the work, and gets
its models before it gets a batch: a dead worker that answers at once would attract every batch.

Of the batches that a lost seat had, nobody knows which ended it. So each gets a seat for itself, where it
shows. One that ends all its seats is given up after a few tries, and the others go on.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from overt.data.errors import InputError, OvertError, RunError
from overt.workers.parts import Answer, BatchLost, Facts, Item, Part, Reply, Seat, SeatLost, SeatMaker

_IDS = itertools.count()  # of parts, of all crews
_STARTS = 3  # of a seat, one after the other, before it stays empty
_FEWER = "The same command goes on where this one ended; fewer --workers need less memory."


@dataclass
class _Chair:
    """A place for a seat. seat: None while it is started, or for good. load: the batches that it has.
    is_reserved: for one batch alone."""

    number: int
    seat: Seat | None = None
    load: int = 0
    is_reserved: bool = False
    is_gone: bool = False


class Crew:
    """All workers of one command. Its methods may be called in several threads."""

    def __init__(self, engine: SeatMaker) -> None:
        self._engine = engine
        self._chairs = [_Chair(number) for number in range(engine.count)]
        self._parts: list[Part] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._last_words = ""
        try:
            self._on_each(self._sit)
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        return len(self._chairs)

    @property
    def seats(self) -> list[Seat]:
        """Those that are there now."""
        return [chair.seat for chair in self._chairs if chair.seat is not None]

    def wait(self) -> None:
        """Until every seat that was lost is there again, or does not start any more."""
        with self._changed:
            self._changed.wait_for(lambda: all(chair.seat or chair.is_gone for chair in self._chairs))

    # -- models ---------------------------------------------------------------------------------------

    def make(self, group: str, text: str, options: dict[str, object]) -> tuple[Part, Facts]:
        """Loads a model on every seat.

        Raises:
            InputError: as the registry, which makes it; or a worker ended while it loaded.
        """
        part = Part(str(next(_IDS)), group, text, options)
        self.wait()
        found: list[Facts] = []

        def load(chair: _Chair) -> None:
            if (seat := chair.seat) is None:
                return
            try:
                found.append(_value(seat.call("make", part)))
            except SeatLost as lost:
                self._lose(chair, seat, lost)
                raise

        try:
            self._on_each(load)
        except BaseException:
            self.drop(part)
            raise
        if not found:
            raise RunError(f"no worker is left for {text}: {self._last_words}", fix=_FEWER)
        with self._changed:  # from now on a seat that is started anew loads it as well
            self._parts.append(part)
        return part, found[0]

    def drop(self, part: Part) -> None:
        """Lets go of a model; it is never asked again."""
        with self._changed:
            self._parts = [known for known in self._parts if known.id != part.id]
        for seat in self.seats:
            try:
                seat.call("drop", part.id)
            except SeatLost:  # with all that it held
                continue

    # -- batches --------------------------------------------------------------------------------------

    def run(self, part: Part, items: Sequence[Item], *, alone: bool = False) -> list[Answer]:
        """The replies to one batch, from the seat that has the fewest.

        Args:
            alone: it was lost before: it gets a seat for itself, and one try.

        Raises:
            BatchLost: each of them ended.
            RunError: no worker is left.
            OvertError: as the model.
        """
        found: list[Answer] = self._call("run", part, (list(items), False), alone=alone)
        return found

    def run_one_by_one(self, part: Part, items: Sequence[Item]) -> list[Answer]:
        """As `run`, of a filter or checker that is to decide on each item alone."""
        found: list[Answer] = self._call("run", part, (list(items), True))
        return found

    def call(self, part: Part, method: str, argument: object) -> Answer:
        """What a method of the model gives for one argument. Raises: as `run`."""
        return self._call("call", part, (method, argument))

    def _call(self, method: str, part: Part, arguments: tuple[object, ...], *, alone: bool = False) -> Answer:
        most, tried = 1 if alone else self._engine.tries, 0
        while True:
            alone = alone or tried > 0
            chair, seat = self._take(part, alone=alone)
            try:
                return _value(seat.call(method, part, *arguments))
            except SeatLost as lost:
                self._lose(chair, seat, lost)
                tried += 1
                if tried == most:
                    raise BatchLost(f"{lost.words} (tried {_times(tried)})") from None
            finally:
                with self._changed:
                    chair.load -= 1
                    chair.is_reserved = chair.is_reserved and not alone
                    self._changed.notify_all()

    def _take(self, part: Part, *, alone: bool) -> tuple[_Chair, Seat]:
        """The seat that has the fewest batches; `alone`: one that has no other, and gets none meanwhile.

        Raises:
            RunError: no worker is left.
        """
        mine: _Chair | None = None
        with self._changed:
            while True:
                self._check_open(part)
                if mine is None or mine.is_gone:
                    mine = self._chosen(alone=alone)
                if mine is not None and mine.seat is not None and not (alone and mine.load):
                    mine.load += 1
                    return mine, mine.seat
                self._changed.wait()

    def _chosen(self, *, alone: bool) -> _Chair | None:
        """The chair with the fewest batches, reserved if one is to have it `alone`; None: all are reserved or
        empty."""
        free = [chair for chair in self._chairs if chair.seat and not chair.is_reserved]
        chosen = min(free, key=lambda chair: chair.load, default=None)
        if chosen is not None and alone:
            chosen.is_reserved = True
        return chosen

    def _check_open(self, part: Part) -> None:
        if self._is_closed:
            raise RunError(f"{part.text}: its workers were closed")
        if all(chair.is_gone for chair in self._chairs):
            raise RunError(f"{part.text}: no worker is left: {self._last_words}", fix=_FEWER)

    # -- seats that come and go -----------------------------------------------------------------------

    def _lose(self, chair: _Chair, seat: Seat, lost: SeatLost) -> None:
        """Empties a chair, and starts its seat anew in a thread. Of several batches that a seat had, only the
        first does so."""
        with self._changed:
            self._last_words = lost.words
            if chair.seat is not seat or self._is_closed:
                return
            chair.seat = None
        logging.getLogger("overt").warning("%s; it is started again", lost.words)
        threading.Thread(target=self._begin_again, args=(chair, seat), daemon=True).start()

    def _begin_again(self, chair: _Chair, old: Seat) -> None:
        old.close()
        for _ in range(_STARTS):
            try:
                self._sit(chair)
                return
            except SeatLost as lost:
                self._last_words = lost.words
            except OvertError as error:  # such as a folder that is gone meanwhile
                self._last_words = error.what
                break
            except Exception as error:  # no memory for a process: whoever waits for the seat must be told
                self._last_words = f"{type(error).__name__}: {error}"
                break
        with self._changed:
            chair.is_gone = True
            self._changed.notify_all()
            if self._is_closed:
                return
        logging.getLogger("overt").warning(
            "worker %d does not start any more, the others go on: %s", chair.number + 1, self._last_words
        )

    def _sit(self, chair: _Chair) -> None:
        """Starts the seat of a chair with all models, before it gets a batch.

        Raises:
            SeatLost, OvertError: it does not start.
        """
        seat, made = self._engine.seat(chair.number), set[str]()
        try:
            while (part := self._take_seat(chair, seat, made)) is not None:
                _value(seat.call("make", part))
                made.add(part.id)
        except BaseException:
            seat.close()
            raise

    def _take_seat(self, chair: _Chair, seat: Seat, made: set[str]) -> Part | None:
        """A model that the seat lacks; None: it has all of them, and stands in its chair from now on."""
        with self._changed:
            if self._is_closed:
                raise RunError("the workers were closed")
            part = next((part for part in self._parts if part.id not in made), None)
            if part is None:
                chair.seat = seat
                self._changed.notify_all()
            return part

    def _on_each(self, work: Callable[[_Chair], None]) -> None:
        """Does something at all chairs side by side.

        Raises:
            InputError: a worker ended over it.
            OvertError: the first error that the work raised.
        """
        with ThreadPoolExecutor(len(self._chairs)) as pool:
            futures = [pool.submit(work, chair) for chair in self._chairs]
        for future in futures:
            try:
                future.result()
            except SeatLost as lost:
                raise InputError(
                    f"a worker ended before it could work: {lost.words}",
                    fix="Does the model load with --workers 1? Several copies need several times the memory.",
                ) from None

    def close(self) -> None:
        """Ends all workers."""
        with self._changed:
            self._is_closed = True
            seats, self._parts = self.seats, []
            for chair in self._chairs:
                chair.seat = None
            self._changed.notify_all()
        for seat in seats:  # in no threads: at the end of the program there are no new ones
            seat.close()
        self._engine.close()


def _value(reply: Reply) -> Answer:
    """What a worker answered; its warnings are logged here.

    Raises:
        OvertError: as the worker's model raised it.
        RuntimeError: another failure, in words.
    """
    for words in reply.warnings:
        logging.getLogger("overt").warning("%s", words)
    if isinstance(reply.error, OvertError):
        raise reply.error
    if reply.error is not None:
        raise RuntimeError(str(reply.error))
    return reply.value


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
