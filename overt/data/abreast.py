"""Sources that are read in threads: several at once, one ahead of its reader, one by several readers."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 4096  # items that a source may be ahead of the slowest
_LOOK_S = 0.2  # seconds between two looks whether anybody still reads


class _Source(Generic[T]):
    """The items of one source, read ahead of whoever takes them."""

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._items = items
        self._read: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(ahead)
        self._is_left = False
        self.error: BaseException | None = None  # that it ended with

    def fill(self) -> None:
        """Reads the source to its end, or until nobody takes from it any more."""
        try:
            for item in self._items:
                self._put(True, item)
                if self._is_left:
                    return
        except BaseException as error:
            self.error = error
        self._put(False, self.error)

    def take(self) -> T:
        """The next item.

        Raises:
            StopIteration: there is none.
        """
        is_item, found = self._read.get()
        if is_item:
            return found  # type: ignore[return-value]
        self._read.put((False, found))
        if isinstance(found, BaseException):
            raise found
        raise StopIteration

    def drain(self) -> None:
        """Reads what is left, whatever it is."""
        while self._read.get()[0]:
            pass

    def leave(self) -> None:
        self._is_left = True

    def _put(self, is_item: bool, what: T | BaseException | None) -> None:
        while not self._is_left:
            try:
                self._read.put((is_item, what), timeout=_LOOK_S)
                return
            except queue.Full:
                continue


def abreast(
    sources: Sequence[Iterable[T]], lanes: Sequence[str] = (), halt: Callable[[], None] | None = None
) -> Iterator[tuple[T, ...]]:
    """The first items of all sources, then the second ones, and so on. All sources have equally many items.

    The threads are daemons, so that Ctrl-C ends the program without waiting for a service. Whoever stops
    reading early lets them end at their next item.

    Args:
        lanes: of each source what it may not use at the same time as another, such as a device; "" for
            nothing. Sources of one lane are read one after the other.
        halt: lets the sources come to their end. It is called where one of them raised, and the error goes on
            when all have ended: what they had begun may be paid for.

    Raises:
        Exception: what a source raised, in the order of the items.
        ValueError: one has fewer items than another.
    """
    if len(sources) == 1:
        for item in sources[0]:
            yield (item,)
        return
    named = list(lanes) or [""] * len(sources)
    # Where one source waits for another to end, the first must be kept whole.
    ahead = AHEAD if len({*filter(None, named)}) == sum(map(bool, named)) else 0
    read = [_Source(source, ahead) for source in sources]
    for lane in lanes_of(named):
        run = contextvars.copy_context().run  # whoever listens to notes goes on listening
        parts = [read[number] for number in lane]
        threading.Thread(target=run, args=(_one_by_one, parts), name="overt-abreast", daemon=True).start()
    try:
        yield from _rows(read)
    except Exception:
        if halt is not None:
            halt()
            for source in read:
                source.drain()
        raise
    finally:
        for source in read:
            source.leave()


def _one_by_one(sources: Sequence[_Source[T]]) -> None:
    for source in sources:
        source.fill()


def _rows(read: Sequence[_Source[T]]) -> Iterator[tuple[T, ...]]:
    while True:
        row: list[T] = []
        for source in read:
            try:
                row.append(source.take())
            except StopIteration:
                break
        if not row:
            return
        if len(row) < len(read):
            raise ValueError("one source has fewer items than another")
        yield tuple(row)


def lanes_of(names: Sequence[str]) -> list[list[int]]:
    """The numbers of those that follow each other: of each name those that bear it, and each "" alone."""
    lanes: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        lanes.setdefault(name or f" {number}", []).append(number)
    return list(lanes.values())


class Ahead(Iterator[T]):
    """The items of one source, read in a thread while whoever takes them does something else.

    What was read and not taken is kept in memory.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._source = _Source(items, 0)
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._source.fill,), name="overt-ahead", daemon=True
        )
        self._thread.start()

    def __next__(self) -> T:
        return self._source.take()

    def settle(self) -> BaseException | None:
        """Waits until the source has ended, and returns the error that it ended with, if any."""
        self._thread.join()
        return self._source.error


class Shared(Generic[T]):
    """One source for several readers, which may read in threads of their own.

    An error of the source ends the parts like its end, so that their readers finish what they have begun;
    `check` raises it then.
    """

    def __init__(self, items: Iterable[T], readers: int) -> None:
        self._items = iter(items)
        self._waiting: list[deque[T]] = [deque() for _ in range(readers)]
        self._lock = threading.Lock()
        self._is_over = False
        self._error: Exception | None = None

    def part(self, number: int) -> Iterator[T]:
        """All items, for one of the readers."""
        mine = self._waiting[number]
        while mine or self._read_for(mine):
            yield mine.popleft()

    def check(self) -> None:
        """Raises the error that the source ended with, if there was one."""
        if self._error is not None:
            raise self._error

    def _read_for(self, mine: deque[T]) -> bool:
        """Reads one item more, unless another reader just did; whether there is one."""
        with self._lock:
            if mine:
                return True
            if self._is_over:
                return False
            try:
                item = next(self._items)
            except Exception as error:
                self._is_over = True
                self._error = None if isinstance(error, StopIteration) else error
                return False
            for waiting in self._waiting:
                waiting.append(item)
            return True
