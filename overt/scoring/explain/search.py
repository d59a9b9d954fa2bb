"""The smallest edit of one prompt that flips a target's decision, by delta debugging.

ddmin (Zeller & Hildebrandt 2002, IEEE Trans. Softw. Eng. 28) over changes: the set of all changes is cut into
parts, and a part, or what is left without one, that still flips the decision takes its place. What remains is
1-minimal: with any one of its changes undone the target says no again. So of several words that each suffice
for a refusal all are in it, and of a phrase of which every word is needed there is one.

A search asks nothing itself: it is a generator that yields texts and is sent what the target said.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from overt.data.results.explanation import Cause, Status
from overt.scoring.explain.units import Unit, bare, edited, tokens_of

T = TypeVar("T")
Verdict = Literal["refused", "accepted", "missing", "forbidden"]

FILLER = "something"  # what stands for a word that is taken out where a gap would join its neighbours
NEIGHBOURS = 3  # words on each side that a cause may need to be refused without the rest of the prompt


@dataclass(frozen=True, slots=True)
class Trial:
    """A text to be asked. `draw` is 0 for the seed of the prompt's first draw, more for others; a `fragment`
    is no edit of the prompt but a part of it, with a seed of its own."""

    text: str
    draw: int = 0
    fragment: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What the target said. `layer` and `stage` say who refused. An error is "missing", and a text that the
    floor forbids was not asked ("forbidden"): neither is a flip."""

    verdict: Verdict
    layer: str = ""
    stage: str = ""
    score: float | None = None


@dataclass(slots=True)
class Found:
    """What a search found so far; `status` is None while it goes on.

    `falls` has for each unit of the prompt its text, and by how much the score falls without it.
    """

    status: Status | None = None
    causes: tuple[Cause, ...] = ()
    edited: str = ""
    calls: int = 0
    missing: int = 0
    forbidden: int = 0
    score_after: float | None = None
    falls: list[tuple[str, float]] = field(default_factory=list)


class _Stop(Exception):
    """The search ends with this status."""

    def __init__(self, status: Status) -> None:
        self.status: Status = status


Step = Generator[list[Trial], list[Reply], T]


class Search:
    """The search for one prompt. `steps` is the generator; `found` holds what is known at any time.

    Args:
        text: the prompt.
        reply: what the target said in the run: a refusal.
        plans: the units of the text, in the order of the text; of several plans (neutral wordings first, then
            only taking out) the first that flips the decision counts.
        again: further draws by which the refusal of the unchanged text, and the flip, are confirmed.
        seen: further draws of the unchanged text that the run itself has; they were refused too.
        most: calls for this prompt.
        hints: texts of words that are the likeliest causes.
    """

    def __init__(
        self,
        text: str,
        reply: Reply,
        plans: Sequence[Sequence[Unit]],
        *,
        again: int,
        most: int,
        seen: int = 0,
        hints: Iterable[str] = (),
    ) -> None:
        self._text, self._plans, self._again, self._seen, self._most = text, plans, again, seen, most
        self._hints = {hint.casefold() for hint in hints if hint}
        self._scored = reply.score
        self._known: dict[Trial, Reply] = {Trial(text): reply}
        self.found = Found()

    def steps(self) -> Step[None]:
        try:
            yield from self._confirm(self._text, "refused", self._again - self._seen)
            yield from self._find_falls()
            for units in self._plans:
                changes = yield from self._smallest(units)
                if changes:
                    yield from self._settle(units, changes)
                    return
            self.found.status = self._unknown() if self._is_unknown() else "nothing flips"
        except _Stop as stop:
            self.found.status = stop.status

    # -- asking ----------------------------------------------------------------------------------------------

    def _ask(self, trials: Sequence[Trial]) -> Step[list[Reply]]:
        """Asks what is not known yet.

        Raises:
            _Stop: there are no calls left for all of them.
        """
        new = [trial for trial in dict.fromkeys(trials) if trial not in self._known]
        if self.found.calls + len(new) > self._most:
            raise _Stop("capped")
        if new:
            replies = yield new
            verdicts = [reply.verdict for reply in replies]
            self.found.calls += len(new) - verdicts.count("forbidden")
            self.found.missing += verdicts.count("missing")
            self.found.forbidden += verdicts.count("forbidden")
            self._known |= dict(zip(new, replies, strict=True))
        return [self._known[trial] for trial in trials]

    def _confirm(self, text: str, expected: Verdict, draws: int) -> Step[None]:
        """Asks a text again with other seeds.

        Raises:
            _Stop: another decision came ("unstable"), or none at all.
        """
        if draws < 1:
            return
        replies = yield from self._ask([Trial(text, draw) for draw in range(1, draws + 1)])
        verdicts = {reply.verdict for reply in replies}
        if verdicts - {expected, "missing", "forbidden"}:
            raise _Stop("unstable")
        if expected not in verdicts:
            raise _Stop(self._unknown())

    def _is_unknown(self) -> bool:
        return bool(self.found.missing or self.found.forbidden)

    def _unknown(self) -> Status:
        """Why something is not known: errors, or the floor."""
        return "unanswered" if self.found.missing else "not asked"

    def _flips(self, units: Sequence[Unit], changes: Sequence[int]) -> Step[bool]:
        text = self._changed(units, changes)
        if not tokens_of(text):  # a text without words cannot be asked
            return False
        (reply,) = yield from self._ask([Trial(text)])
        return reply.verdict == "accepted"

    def _changed(self, units: Sequence[Unit], changes: Iterable[int]) -> str:
        return edited(self._text, [units[n] for n in changes])

    # -- searching -------------------------------------------------------------------------------------------

    def _find_falls(self) -> Step[None]:
        """Where the target gives a score: takes out each unit of the last plan by itself, if the calls for
        this prompt allow it twice over."""
        units = self._plans[-1]
        if self._scored is None or 2 * len(units) > self._most:
            return
        texts = [self._changed(units, [n]) for n in range(len(units))]
        asked = [n for n, text in enumerate(texts) if tokens_of(text)]
        replies = yield from self._ask([Trial(texts[n]) for n in asked])
        for n, reply in zip(asked, replies, strict=True):
            if reply.score is not None:
                word = self._text[units[n].start : units[n].stop]
                self.found.falls.append((word, self._scored - reply.score))

    def _smallest(self, units: Sequence[Unit]) -> Step[list[int]]:
        """A 1-minimal set of changes that flips the decision; empty if none was found."""
        for guess in self._guesses(units):
            if (yield from self._flips(units, guess)):
                return (yield from self._ddmin(units, guess))
        found = yield from self._ddmin(units, range(len(units)))
        return found if (yield from self._flips(units, found)) else []

    def _guesses(self, units: Sequence[Unit]) -> list[list[int]]:
        """Sets of changes that are tried first: by the fall of the score (1, 2, 4 ... units), else those of
        the hints, and the neutral wordings alone."""
        hinted = [n for n, unit in enumerate(units) if self._is_hinted(unit)]
        swapped = [n for n, unit in enumerate(units) if unit.new]
        guesses = [hinted, swapped]
        if self.found.falls and units is self._plans[-1]:
            falls = {n: self._fall(units, n) for n in range(len(units))}
            ranked = sorted(falls, key=lambda n: -falls[n])
            sizes = [2**power for power in range(len(units).bit_length())]
            guesses = [ranked[:size] for size in sizes if size < len(units)]
        return [sorted(guess) for guess in guesses if 0 < len(guess) < len(units)]

    def _is_hinted(self, unit: Unit) -> bool:
        word = self._text[unit.start : unit.stop].casefold()
        return any(word in hint.split() or hint in word for hint in self._hints)

    def _fall(self, units: Sequence[Unit], n: int) -> float:
        reply = self._known.get(Trial(self._changed(units, [n])))
        score = None if reply is None else reply.score
        return (self._scored or 0.0) - score if score is not None else 0.0

    def _ddmin(self, units: Sequence[Unit], start: Sequence[int]) -> Step[list[int]]:
        """Reduces a set of changes that flips the decision (that all changes do is taken for granted)."""
        changes, parts = list(start), 2
        while len(changes) > 1:
            chunks = _parted(changes, min(parts, len(changes)))
            rests = [[c for c in changes if c not in chunk] for chunk in chunks] if len(chunks) > 2 else []
            smaller: list[int] | None = None
            for candidate in [*chunks, *rests]:
                if (yield from self._flips(units, candidate)):
                    smaller = candidate
                    break
            if smaller is not None:
                parts = max(len(chunks) - 1, 2) if len(smaller) > len(changes) // 2 else 2
                changes = smaller
            elif parts >= len(changes):
                break
            else:
                parts *= 2
        return changes

    # -- what it means ---------------------------------------------------------------------------------------

    def _settle(self, units: Sequence[Unit], changes: Sequence[int]) -> Step[None]:
        """Notes the edit, confirms it, and finds out what each part of it stands for."""
        without = [[c for c in changes if c != one] for one in changes]
        put_back = [self._known.get(Trial(self._changed(units, rest))) for rest in without]
        self.found.edited = self._changed(units, changes)
        self.found.score_after = self._known[Trial(self.found.edited)].score
        self.found.causes = tuple(
            self._cause(units[n], reply) for n, reply in zip(changes, put_back, strict=True)
        )
        # An error where a part was put back: whether it could stay is not known.
        if not all(reply is not None and reply.verdict == "refused" for reply in put_back):
            raise _Stop(self._unknown())
        yield from self._confirm(self.found.edited, "accepted", self._again)
        self.found.status = "explained"
        taken = [units[n] for n in changes]
        causes = list(self.found.causes)
        try:
            for place, unit in enumerate(taken):
                term, alone = yield from self._term(unit, taken)
                causes[place] = self._cause(unit, put_back[place], term, alone=alone)
                self.found.causes = tuple(causes)
            yield from self._drop_artefacts(taken)
        except _Stop:  # no calls left for the names: the words of the edit are known all the same
            pass

    def _drop_artefacts(self, taken: Sequence[Unit]) -> Step[None]:
        """Drops causes that are none: words that only make a term with a neighbour since the word between was
        taken out ("a test dummy is" without "dummy"). With another word in its place they can stay."""
        left = list(zip(taken, self.found.causes, strict=True))
        for unit, cause in list(left):
            if cause.alone is not False or len(left) == 1:
                continue
            others = [other for other, _ in left if other is not unit]
            text = edited(self._text, [replace(o, new=o.new or FILLER) for o in others])
            (reply,) = yield from self._ask([Trial(text)])
            if reply.verdict == "accepted":
                left = [(other, kept) for other, kept in left if other is not unit]
                self.found.edited, self.found.score_after = text, reply.score
        self.found.causes = tuple(cause for _, cause in left)

    def _cause(self, unit: Unit, reply: Reply | None, term: str = "", *, alone: bool | None = None) -> Cause:
        start, stop = unit.start, max(unit.stop, unit.start)
        text = self._text[start:stop]
        return Cause(
            start,
            stop,
            text,
            term or text,
            unit.new.strip(),
            reply.layer if reply else "",
            reply.stage if reply else "",
            alone,
        )

    def _term(self, unit: Unit, taken: Sequence[Unit]) -> Step[tuple[str, bool | None]]:
        """The shortest stretch of words around a cause that is refused without the rest of the prompt."""
        word, whole = self._text[unit.start : unit.stop], self._text[unit.start : unit.end]
        is_missing = False
        for text in dict.fromkeys((bare(word), word, whole)):
            (reply,) = yield from self._ask([Trial(text, fragment=True)])
            if reply.verdict == "refused":
                place = self._text.index(text, unit.start)
                inside = [(place + a, place + b) for a, b in tokens_of(text)]
                return (yield from self._shrunk(inside)) if len(inside) > 1 else text, True
            is_missing = is_missing or reply.verdict not in ("refused", "accepted")
        tokens = self._window(unit, taken)
        # A score changes with every word, so that a threshold would call any words a phrase.
        if self._scored is None and len(tokens) > len(tokens_of(word)):
            window = self._text[tokens[0][0] : tokens[-1][1]]
            (reply,) = yield from self._ask([Trial(window, fragment=True)])
            if reply.verdict == "refused":
                return (yield from self._shrunk(tokens)), True
            is_missing = is_missing or reply.verdict not in ("refused", "accepted")
        return word, None if is_missing else False

    def _window(self, unit: Unit, taken: Sequence[Unit]) -> list[tuple[int, int]]:
        """The words around a cause, up to the next cause on either side."""
        tokens = tokens_of(self._text)
        inside = [n for n, (a, b) in enumerate(tokens) if a < unit.end and unit.start < b]
        if not inside:
            return []
        first, last = max(0, inside[0] - NEIGHBOURS), min(len(tokens) - 1, inside[-1] + NEIGHBOURS)
        for other in taken:
            if other.end <= unit.begin:
                first = max(first, next(n for n, (a, _) in enumerate(tokens) if a >= other.end))
            elif other.begin >= unit.end:
                last = min(last, next(n for n, (_, b) in reversed([*enumerate(tokens)]) if b <= other.begin))
        return tokens[first : last + 1]

    def _shrunk(self, tokens: Sequence[tuple[int, int]]) -> Step[str]:
        """Words dropped from the left and then from the right for as long as the rest is refused."""
        first, last = 0, len(tokens) - 1
        for left in (True, False):
            while first < last:
                a, b = (first + 1, last) if left else (first, last - 1)
                text = self._text[tokens[a][0] : tokens[b][1]]
                (reply,) = yield from self._ask([Trial(text, fragment=True)])
                if reply.verdict != "refused":
                    break
                first, last = a, b
        return self._text[tokens[first][0] : tokens[last][1]]


def _parted(items: Sequence[int], count: int) -> list[list[int]]:
    """The items in `count` parts of nearly equal length, in order."""
    size, more = divmod(len(items), count)
    ends = [n * size + min(n, more) for n in range(count + 1)]
    return [list(items[a:b]) for a, b in itertools.pairwise(ends)]
