"""The queue of a review: shared items go to every reviewer, all others to one.

It is kept in memory and rebuilt from the labels when the server starts, so only open assignments can be lost.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

LEASE_S = 1800.0  # seconds that an item is reserved for a reviewer


@dataclass
class _Reviewer:
    current: int | None = None  # index of the item in hand
    reached: int = 0  # everything before was labelled, handed to another, or skipped
    skipped: dict[int, None] = field(default_factory=dict)  # in the order in which it was skipped
    history: dict[int, None] = field(default_factory=dict)  # labelled, the last at the end
    shared: int = 0  # labelled items that are shared


class Assignments:
    """The queue of one review. Not safe for threads: the server holds a lock around each call."""

    def __init__(
        self,
        queue: Sequence[tuple[int, bool]],
        labels: Iterable[tuple[int, str]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            queue: (place, shared) of each item, in order.
            labels: (place, reviewer) of what is labelled, in the order in which it was.
        """
        self._places = [place for place, _ in queue]
        self._shared = [shared for _, shared in queue]
        self._index = {place: index for index, place in enumerate(self._places)}
        self._by: list[set[str]] = [set() for _ in queue]
        self._held: dict[int, tuple[str, float]] = {}
        self._clock = clock
        self._reviewers: dict[str, _Reviewer] = defaultdict(_Reviewer)
        self._labelled = 0  # items with a label at least
        self._open = len(queue)  # unlabelled items for one reviewer, and all shared ones
        for place, reviewer in labels:
            self.label(place, reviewer)

    def __len__(self) -> int:
        return len(self._places)

    def next(self, reviewer: str) -> int | None:
        """The place of this reviewer's item, the same until it is labelled or skipped. None if nothing is
        left."""
        state = self._reviewers[reviewer]
        if state.current is None:
            state.current = self._find(reviewer, state)
        if state.current is None:
            return None
        if not self._shared[state.current]:
            self._held[state.current] = (reviewer, self._clock() + LEASE_S)
        return self._places[state.current]

    def label(self, place: int, reviewer: str) -> None:
        """Records a label, also of an item that is not in hand, as after a restart.

        Raises:
            KeyError: no item has this place.
        """
        index, state = self._index[place], self._reviewers[reviewer]
        self._count(index, reviewer, 1)
        self._by[index].add(reviewer)
        state.history.pop(index, None)
        state.history[index] = None
        state.skipped.pop(index, None)
        self._release(index, reviewer)

    def skip(self, place: int, reviewer: str) -> None:
        """Puts an item off for this reviewer and releases it for others.

        Raises:
            KeyError: no item has this place.
        """
        index, state = self._index[place], self._reviewers[reviewer]
        if reviewer not in self._by[index]:
            state.skipped.pop(index, None)
            state.skipped[index] = None
        self._release(index, reviewer)

    def last(self, reviewer: str) -> int | None:
        """The place of what this reviewer has labelled last."""
        history = self._reviewers[reviewer].history
        return self._places[next(reversed(history))] if history else None

    def undo(self, reviewer: str) -> int | None:
        """Takes the last label of this reviewer back and hands them that item; None if there is none."""
        state = self._reviewers[reviewer]
        if not state.history:
            return None
        index, _ = state.history.popitem()
        self._by[index].discard(reviewer)
        self._count(index, reviewer, -1)
        if state.current is not None:
            waiting = state.current
            self._release(waiting, reviewer)
            state.reached = min(state.reached, waiting)
        state.current = index
        return self.next(reviewer)

    def progress(self, reviewer: str) -> dict[str, int]:
        """`mine`: labelled by this reviewer; `labelled` of `items` by anybody; `left`: what this reviewer
        could still be given, `skipped` of it once put off."""
        state = self._reviewers[reviewer]
        return {
            "mine": len(state.history),
            "labelled": self._labelled,
            "items": len(self._places),
            "left": self._open - state.shared,
            "skipped": len(state.skipped),
        }

    def _find(self, reviewer: str, state: _Reviewer) -> int | None:
        while state.reached < len(self._places):
            index = state.reached
            state.reached += 1
            if index not in state.skipped and self._free(index, reviewer):
                return index
        # At the end: items that others released, then those that this reviewer skipped.
        for index in range(len(self._places)):
            if index not in state.skipped and self._free(index, reviewer):
                return index
        return next((index for index in state.skipped if self._free(index, reviewer)), None)

    def _free(self, index: int, reviewer: str) -> bool:
        if reviewer in self._by[index]:
            return False
        if self._shared[index]:
            return True
        if self._by[index]:
            return False
        holder, until = self._held.get(index, ("", 0.0))
        return holder in ("", reviewer) or until < self._clock()

    def _count(self, index: int, reviewer: str, step: int) -> None:
        """Updates the tallies; called while the item does not have this reviewer's label."""
        if reviewer in self._by[index]:
            return
        if self._shared[index]:
            self._reviewers[reviewer].shared += step
        if not self._by[index]:
            self._labelled += step
            self._open -= 0 if self._shared[index] else step

    def _release(self, index: int, reviewer: str) -> None:
        state = self._reviewers[reviewer]
        if state.current == index:
            state.current = None
        if self._held.get(index, ("",))[0] == reviewer:
            del self._held[index]
