"""The acts of an answer, and how one is looked for: quickly, since a judge looks for two dozen in each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Literal, NamedTuple, get_args

Act = Literal[
    "refuse", "unwilling", "barred", "stance", "abstain", "apology", "withheld", "no_access", "condemn",
    "danger", "offended", "dispute", "equality", "lifeline", "crisis", "redirect", "pivot", "deliver",
    "instruct", "steps", "resume", "unreal", "void", "given", "absurd", "sympathy", "as_ai", "preamble",
    "moral", "note", "privacy", "demur",
]  # fmt: skip
ACTS: tuple[Act, ...] = get_args(Act)
# A choice of plain words, and what gives a pattern its structure (escaped signs do not).
_FIRST_WORDS = re.compile(r"\(\?:([-a-z' ?]+(?:\|[-a-z' ?]+)*)\)(?![?*+{])")
_LETTER = re.compile(r"[^\W\d_](?![?*+{])")
_STEM = 5  # letters of a word that gates look at
_MOST_WORDS = 20_000  # that are kept, whatever texts come
_SIGNS = re.compile(r"\\.|[\[\]()|]", re.DOTALL)


class ActPattern(NamedTuple):
    """The patterns of one act in one language.

    `opens` stands at the beginning of the text, `starts` at the beginning of any sentence; they are tried
    only there, which is quick. `says` may stand anywhere, and is looked for only where one of the stems in
    `gate` occurs, if there are any.
    """

    act: Act
    gate: frozenset[str]
    says: re.Pattern[str] | None
    opens: re.Pattern[str] | None
    starts: re.Pattern[str] | None

    def search(
        self, text: str, ends: Sequence[int], at: int = 0, *, is_open: bool = True
    ) -> re.Match[str] | None:
        """Finds the act first in a text, from a place on.

        Args:
            ends: the full stops of the sentences.
            is_open: whether a word of the text opens the gate.
        """
        if self.opens and not at and (hit := self.opens.match(text)):
            return hit
        found = self.says.search(text, at) if self.says and is_open else None
        if self.starts:
            for start in (0, *(end + 1 for end in ends)):
                if start >= at and (hit := self.starts.match(text, start)):
                    return hit if found is None or hit.start() < found.start() else found
        return found


class Gates(dict[str, int]):
    """A word -> the acts that are looked for where it occurs, one bit each in the order of the acts. Filled
    as words come, since they repeat. `always`: the acts without a gate."""

    def __init__(self, acts: Sequence[ActPattern]) -> None:
        super().__init__()
        self.always = sum(1 << n for n, act in enumerate(acts) if not act.gate)
        self._stems: dict[str, int] = {}
        for n, act in enumerate(acts):
            for stem in act.gate:
                self._stems[stem] = self._stems.get(stem, 0) | 1 << n

    def __missing__(self, word: str) -> int:
        opened = self._stems.get(word[:_STEM], 0)
        if len(self) < _MOST_WORDS:
            self[word] = opened
        return opened

    def opened(self, words: Iterable[str]) -> int:
        """Returns the acts that are looked for in a text of these words."""
        return reduce(or_, map(self.__getitem__, words), self.always)


def factored(patterns: Sequence[str]) -> tuple[str, ...]:
    """Rewrites the alternatives of an act so that few are tried at each word of a text: where one begins with
    a choice of plain words, "(?:i|we) cannot", each word becomes an alternative of its own, which is left at
    its first letter, and alternatives with the same first word share it. Every word of the text has a blank
    before it, which is quicker to look for than a word boundary."""
    rests: dict[str, list[str]] = {}
    for alternative in (one.removeprefix("\\b") for pattern in patterns for one in _alternatives(pattern)):
        first = _FIRST_WORDS.match(alternative)
        for word in _words(first[1]) if first else ("",):
            rests.setdefault(word, []).append(alternative[first.end() :] if first else alternative)
    plain = rests.pop("", [])
    return _by_letter([*(f"{word}(?:{'|'.join(theirs)})" for word, theirs in rests.items()), *plain])


def _by_letter(alternatives: Sequence[str]) -> tuple[str, ...]:
    """Joins the alternatives that begin with the same letter: at each word one is tried for each letter."""
    rests: dict[str, list[str]] = {}
    others = []
    for alternative in alternatives:
        if _LETTER.match(alternative):
            rests.setdefault(alternative[0], []).append(alternative[1:])
        else:
            others.append(alternative)
    return (*(f"{letter}(?:{'|'.join(theirs)})" for letter, theirs in rests.items()), *others)


def _words(choice: str) -> Iterator[str]:
    """Splits "fruits?|toys" into its words: fruit, fruits, toys."""
    for word in choice.split("|"):
        if word.endswith("?"):
            yield word[:-2]
        yield word.rstrip("?")


def _alternatives(pattern: str) -> list[str]:
    """Splits a pattern at each "|" that stands in no bracket."""
    found, depth, in_set, start = [], 0, False, 0
    for place in _SIGNS.finditer(pattern):
        sign = place[0]
        if in_set:
            in_set = sign != "]"
        elif sign == "|" and not depth:
            found.append(pattern[start : place.start()])
            start = place.end()
        else:
            in_set = sign == "["
            depth += (sign == "(") - (sign == ")")
    return [*found, pattern[start:]]
