"""Patterns of the shell and of grep, matched in time that grows with pattern times text and no faster: a
model may write any pattern. (Python's `re` takes exponential time for some.)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overt.environments.operations.shell.calls import Fails

MOST = 200  # characters of a pattern
_CLASSES = {"d": str.isdigit, "w": lambda c: c.isalnum() or c == "_", "s": str.isspace}
_NAMED = {"digit": str.isdigit, "alpha": str.isalpha, "alnum": str.isalnum, "space": str.isspace}
_BACKSLASH = "\\"

Fits = Callable[[str], bool]


class BadPattern(Fails):
    """A pattern cannot be read; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class _Atom:
    fits: Fits
    least: int  # 0 or 1; 0 where it repeats
    repeats: bool


@dataclass(frozen=True, slots=True)
class _Branch:
    atoms: tuple[_Atom, ...]
    at_start: bool
    at_end: bool


class Pattern:
    """A regular expression without groups: characters, `.`, classes, `*`, `+`, `?`, `^`, `$` and `|`.

    Args:
        extended: as `grep -E` reads it; else `+`, `?` and `|` need a backslash.
        fixed: take every character as it is.

    Raises:
        BadPattern: it is too long, or has what is not supported (groups, counts).
    """

    def __init__(
        self, text: str, *, extended: bool = False, fixed: bool = False, ignore_case: bool = False
    ) -> None:
        if len(text) > MOST:
            raise BadPattern(f"a pattern has at most {MOST} characters here")
        self._folds = ignore_case
        text = text.lower() if ignore_case else text
        if fixed:
            self._branches: tuple[_Branch, ...] = (_Branch(tuple(map(_literal, text)), False, False),)
        else:
            self._branches = tuple(map(_branch, _alternatives(text if extended else _extended(text))))

    def search(self, text: str) -> bool:
        """Whether it occurs in a text."""
        return self.span(text) is not None

    def span(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Where it first occurs at or after `start`, the longest there; None: nowhere."""
        text = text.lower() if self._folds else text
        found = [span for branch in self._branches if (span := _span(branch, text, start)) is not None]
        return min(found, key=lambda span: (span[0], -span[1])) if found else None


class Glob:
    """A pattern of file names: `*`, `?` and `[...]`; a backslash takes the next character as it is.

    Raises:
        BadPattern: it is too long.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MOST:
            raise BadPattern(f"a pattern has at most {MOST} characters here")
        atoms: list[_Atom] = []
        place = 0
        while place < len(text):
            char = text[place]
            if char == "*":
                atoms.append(_Atom(lambda c: True, 0, True))
                place += 1
            elif char == "[" and "]" in text[place + 2 :]:
                fits, place = _class(text, place)
                atoms.append(_Atom(fits, 1, False))
            else:
                place += int(char == _BACKSLASH and place + 1 < len(text))
                atoms.append(_Atom((lambda c: True), 1, False) if char == "?" else _literal(text[place]))
                place += 1
        self._branch = _Branch(tuple(atoms), True, True)

    def fits(self, name: str) -> bool:
        """Whether the whole name fits."""
        return _span(self._branch, name, 0) is not None


def _extended(text: str) -> str:
    """A basic expression as an extended one: `+`, `?`, `|` and brackets change places with their escapes."""
    found, place = "", 0
    while place < len(text):
        char, after = text[place], text[place + 1 : place + 2]
        if char == _BACKSLASH and after in tuple("+?|(){}"):
            found, place = found + after, place + 2
        elif char == _BACKSLASH and after:
            found, place = found + char + after, place + 2
        else:
            found, place = found + (_BACKSLASH + char if char in "+?|(){}" else char), place + 1
    return found


def _literal(char: str) -> _Atom:
    return _Atom(lambda c: c == char, 1, False)


def _alternatives(text: str) -> list[str]:
    """Splits at `|` outside of classes."""
    found, piece, place, inside = [], "", 0, False
    while place < len(text):
        char = text[place]
        size = 2 if char == _BACKSLASH and not inside else 1
        inside = (inside or char == "[") and not (inside and char == "]")
        if char == "|" and not inside:
            found.append(piece)
            piece = ""
        else:
            piece += text[place : place + size]
        place += size
    return [*found, piece]


def _branch(text: str) -> _Branch:
    at_start = text.startswith("^")
    at_end = text.endswith("$") and not text.endswith("\\$")
    body = text[int(at_start) : len(text) - int(at_end)]
    atoms: list[_Atom] = []
    place = 0
    while place < len(body):
        char = body[place]
        if char in "*+?":
            if not atoms:
                raise BadPattern("nothing to repeat")
            before = atoms[-1] if char == "+" else atoms.pop()
            atoms.append(_Atom(before.fits, 0, char != "?" or before.repeats))
            place += 1
            continue
        if char in "(){}":
            raise BadPattern("groups and counts are not supported here")
        fits, place = _fits(body, place)
        atoms.append(_Atom(fits, 1, False))
    return _Branch(tuple(atoms), at_start, at_end)


def _fits(body: str, place: int) -> tuple[Fits, int]:
    """What fits the character class at a place, and the place after it."""
    char = body[place]
    if char == ".":
        return (lambda c: True), place + 1
    if char == "[":
        return _class(body, place)
    if char == _BACKSLASH:
        if place + 1 >= len(body):
            raise BadPattern("trailing backslash")
        after = body[place + 1]
        if after.isalnum() and after not in _CLASSES:
            raise BadPattern(f"\\{after} is not supported here")
        return _CLASSES.get(after, lambda c: c == after), place + 2
    return (lambda c: c == char), place + 1


def _class(body: str, place: int) -> tuple[Fits, int]:
    negated = body[place + 1 : place + 2] in ("^", "!")
    begin = place + 1 + int(negated)
    end = begin
    while end < len(body) and (body[end] != "]" or end == begin):
        end = body.find(":]", end) + 2 if body.startswith("[:", end) and ":]" in body[end:] else end + 1
    if end >= len(body):
        raise BadPattern("unmatched [")
    inner, singles = body[begin:end], set()
    tests: list[Fits] = []
    for name, test in _NAMED.items():
        if f"[:{name}:]" in inner:
            inner = inner.replace(f"[:{name}:]", "")
            tests.append(test)
    at = 0
    while at < len(inner):
        if at + 2 < len(inner) and inner[at + 1] == "-":
            tests.append(_between(inner[at], inner[at + 2]))
            at += 3
        else:
            singles.add(inner[at])
            at += 1
    return (lambda c: (c in singles or any(test(c) for test in tests)) != negated), end + 1


def _between(low: str, high: str) -> Fits:
    return lambda c: low <= c <= high


def _span(branch: _Branch, text: str, start: int) -> tuple[int, int] | None:
    """The leftmost, longest match of a branch: all begins are followed at once, each state keeping the
    earliest of its own."""
    atoms, last = branch.atoms, len(branch.atoms)
    states: dict[int, int] = {}
    best: tuple[int, int] | None = None
    for place in range(start, len(text) + 1):
        if best is None and (not branch.at_start or place == 0):
            _enter(states, atoms, 0, place)
        is_end = last in states and (not branch.at_end or place == len(text))
        if is_end and (best is None or states[last] <= best[0]):
            best = (states[last], place)
        if not states and (best is not None or branch.at_start):
            break
        if place < len(text):
            states = _moved(states, atoms, text[place], len(text) if best is None else best[0])
    return best


def _moved(states: dict[int, int], atoms: Sequence[_Atom], char: str, latest: int) -> dict[int, int]:
    """The states after a character, of those that began at `latest` at the latest."""
    after: dict[int, int] = {}
    for state, begin in states.items():
        if state < len(atoms) and begin <= latest and atoms[state].fits(char):
            _enter(after, atoms, state if atoms[state].repeats else state + 1, begin)
    return after


def _enter(states: dict[int, int], atoms: Sequence[_Atom], state: int, begin: int) -> None:
    """Adds a state, and those reached from it without a character."""
    while True:
        if state in states and states[state] <= begin:
            return  # and so are those behind it
        states[state] = begin
        if state >= len(atoms) or atoms[state].least > 0:
            return
        state += 1
