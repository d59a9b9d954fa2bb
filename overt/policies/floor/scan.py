"""Finds a word for a minor and a sexual word in a text, hidden or not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING

from overt.policies.floor.ages import age_in
from overt.policies.floor.fold import fold, has_lookalikes, latin
from overt.policies.floor.terms import BOTH, MINOR, SEXUAL, WORD, floor_terms, runs_of

if TYPE_CHECKING:
    from overt.policies.schema import Category

_LEET: dict[str, str] = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a",
    "$": "s", "!": "i", "|": "il", "€": "e", "£": "l", "+": "t", "¡": "i", "¢": "c",
}  # fmt: skip
_LEET_CHARS = frozenset(_LEET)
_LEET_TOKEN = re.compile(r"[\w@$!|€£+¡¢]+")
_MASKED = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:[*#•●_]+[^\W\d_]+)+")
_SEPARATORS = r"\s._\-*~/|,;:•·'’+=\\"
_SPACED = re.compile(rf"(?<![^\W_])[^\W_](?:[{_SEPARATORS}]{{1,4}}[^\W_](?![^\W_])){{2,}}")
# Parts of a word with one sign between them, and no blank: chi-ld, nu.de
_PARTED = re.compile(r"(?<![^\W_])[^\W_]{1,20}(?:[._\-*~/|·•+=\\][^\W_]{1,20}){1,12}(?![^\W_])")
# "minor" is a person before these words and at the end of a text, else an adjective ("minor injuries").
_AFTER_NOUN = re.compile(
    "in|on|at|with|and|who|is|was|being|having|has|or|for|to|by|from|under|of|s|as|while|engaged|involved"
    "|posing|wearing|without|into|through|against|performing"
)
# Arabic joins "the", "and", "with", "for" to the word.
_ARABIC_HEAD = re.compile("^(?:[وفبك]?(?:ال|لل)|[وفبكل])")
_NEAR = 8  # words between a topic and its shield
_SHORTEST_PART = 3  # letters of a word that is joined to another


# -- single words --------------------------------------------------------------------------------------------


@lru_cache(maxsize=200_000)
def _word_flags(word: str) -> int:
    """The flags of a folded word."""
    lists = floor_terms()
    if flags := lists.flags(word):
        return flags
    if "\u0600" <= word[0] <= "\u06ff":
        bare = _ARABIC_HEAD.sub("", word)
        return lists.words.get(bare, 0) if bare else 0
    if flags := _stretched(word):
        return flags
    for pair, letter in (("rn", "m"), ("vv", "w")):
        if pair in word and (flags := lists.words.get(word.replace(pair, letter), 0)):
            return flags
    return _joined(word) if 6 <= len(word) <= 60 and word.isascii() else 0


def _stretched(word: str) -> int:
    """The flags of a term that a word spells with letters repeated: nuuude."""
    runs = runs_of(word)
    if len(runs) == len(word) or len(runs) < 3:
        return 0
    lists = floor_terms()
    key = "".join(letter for letter, _ in runs)
    is_long = max(count for _, count in runs) > 2
    flags = 0
    for length in (len(key), *lists.lengths):
        for term, flag, is_stem in lists.squeezed.get(key[:length], ()) if length <= len(key) else ():
            fits = all(have[1] >= need[1] for have, need in zip(runs, term, strict=False))
            # Two letters in a row are common in every language, three are not.
            if fits and (is_stem or length == len(key)) and (is_long or len(term) > 4):
                flags |= flag
    return flags


def _joined(word: str) -> int:
    """Both flags for a word of one list joined to one of the other: nudechild."""
    lists = floor_terms()
    if not lists.may_begin(word):
        return 0
    for i in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
        tail = word[i:]
        if not lists.may_begin(tail):
            continue
        head = lists.flags(word[:i])
        if not head and word[i - 1] == "s":  # a plural
            head = lists.flags(word[: i - 1])
        if head and (end := lists.flags(tail)) and head | end == BOTH:
            return BOTH
    return 0


class Found:
    """The first word for a minor and the first sexual word in a text."""

    __slots__ = ("is_age", "minor", "sexual")

    def __init__(self) -> None:
        self.minor = self.sexual = ""
        self.is_age = False  # the minor is told by an age

    def add(self, term: str, flags: int) -> None:
        if flags & MINOR and not self.minor:
            self.minor = term
        if flags & SEXUAL and not self.sexual:
            self.sexual = term

    @property
    def both(self) -> bool:
        return bool(self.minor and self.sexual)


# -- words in a row ------------------------------------------------------------------------------------------


def _words(words: list[str], found: Found, beside: Sequence[str] = ()) -> None:
    """Finds single words first, and phrases and marked terms only if those do not decide.

    Args:
        beside: other words of the text, which can tell its language.
    """
    lists = floor_terms()
    present = set(words)
    if not lists.innocent.keys().isdisjoint(present):
        words = _without(words, lists.innocent)
    if not lists.topics.keys().isdisjoint(present) and not lists.shields.isdisjoint(present):
        words = _without(words, lists.topics, near=lists.shields)
    for word in words:
        if flags := _word_flags(word[:64]):  # no term is longer; keeps the cache small
            found.add(word, flags)
    if not found.both:
        _phrases(words, found)
        _marked({*words, *beside}, found)


def _phrases(words: list[str], found: Found) -> None:
    """Finds terms of several words, and "minor" as a noun."""
    phrases = floor_terms().phrases
    for i, word in enumerate(words):
        if word == "minor" and (i + 1 == len(words) or _AFTER_NOUN.fullmatch(words[i + 1])):
            found.add(word, MINOR)
        for parts, flag in phrases.get(word, ()):
            if tuple(words[i : i + len(parts)]) == parts:
                found.add(" ".join(parts), flag)


def _marked(present: set[str], found: Found) -> None:
    """Finds terms that count only if the text has a word of their language."""
    for markers, terms in floor_terms().marked:
        hits = terms.keys() & present
        if hits and markers & present:
            for hit in sorted(hits):
                found.add(hit, terms[hit])


def _without(
    words: list[str], starts: Mapping[str, Sequence[tuple[str, ...]]], near: frozenset[str] | None = None
) -> list[str]:
    """The words without some phrases; with `near`, only those close to one of these words."""
    kept: list[str] = []
    i = 0
    while i < len(words):
        for parts in starts.get(words[i], ()):
            end = i + len(parts)
            if tuple(words[i:end]) != parts:
                continue
            if near is None or not near.isdisjoint(words[max(0, i - _NEAR) : end + _NEAR]):
                kept.append("-")  # keeps the neighbours from forming a phrase
                i = end
                break
        else:
            kept.append(words[i])
            i += 1
    return kept


def _unspaced(text: str, found: Found) -> None:
    lists = floor_terms()
    for hit in lists.unspaced.finditer(lists.unspaced_innocent.sub(" ", text)):
        found.add(hit[0], {"m": MINOR, "s": SEXUAL, "b": BOTH}[hit.lastgroup or "b"])


# -- hidden words --------------------------------------------------------------------------------------------


def _disguised(folded: str, found: Found) -> None:
    """Finds hidden words: digits for letters, masks, spaced and parted letters."""
    extra = [word for spelling in _without_digits(folded) for word in WORD.findall(spelling)]
    extra += ["".join(WORD.findall(match[0])) for match in _PARTED.finditer(folded)]
    if extra:
        _words(extra, found, WORD.findall(folded))
    for match in _MASKED.finditer(folded):
        if len(match[0]) <= 40:
            _masked(match[0], found)
    for match in _SPACED.finditer(folded):
        _spaced("".join(WORD.findall(match[0])), found)


def _without_digits(text: str) -> Iterator[str]:
    """Yields the possible spellings of tokens with digits or signs for letters, at most 16 per form."""
    for match in _LEET_TOKEN.finditer(text):
        token = match[0].strip("!|+")
        if not 3 <= len(token) <= 40 or _LEET_CHARS.isdisjoint(token) or not any(map(str.isalpha, token)):
            continue
        for body in dict.fromkeys((token, match[0])):
            options = [_LEET.get(c, c) for c in body]
            if sum(len(o) > 1 for o in options) <= 4:
                yield from ("".join(letters) for letters in product(*options))


def _spaced(letters: str, found: Found) -> None:
    """Finds terms in spaced letters, as they are and with digits read as letters."""
    if not letters.isascii():
        _unspaced(letters, found)
    terms, lengths = _long_words()
    for candidate in dict.fromkeys((letters, "".join(_LEET.get(c, c)[0] for c in letters))):
        for start in range(len(candidate)):
            for length in lengths:
                if flags := terms.get(candidate[start : start + length]):
                    found.add(candidate[start : start + length], flags)
        if found.both:
            return


@lru_cache(maxsize=1)
def _long_words() -> tuple[dict[str, int], tuple[int, ...]]:
    """Words and stems of at least three letters, and their lengths."""
    lists = floor_terms()
    terms = {w: f for w, f in {**lists.words, **lists.stems}.items() if len(w) >= 3}
    return terms, tuple(sorted(set(map(len, terms))))


@lru_cache(maxsize=4096)
def _masked_terms(pattern: str) -> tuple[tuple[str, int], ...]:
    compiled = re.compile(pattern)
    return tuple((w, f) for w, f in _long_words()[0].items() if compiled.fullmatch(w))


def _masked(token: str, found: Found) -> None:
    pattern = re.sub(r"[*#•●_]+", lambda m: rf"\w{{1,{max(2, len(m[0]))}}}", token)
    for term, flags in _masked_terms(pattern):
        found.add(term, flags)
    _words([re.sub(r"[*#•●_]+", "", token)], found)


_DISGUISE = re.compile(
    rf"[0-9@$!|€£+¡¢*#•●_]|[^\W_][.\-~/|·=\\][^\W_]|(?<![^\W_])[^\W_][{_SEPARATORS}]{{1,4}}[^\W_](?![^\W_])"
)


# -- the whole text ------------------------------------------------------------------------------------------


def scan(text: str, *, ages: bool) -> Found:
    """What a text names. `ages`: whether ages are looked for in a text with nothing sexual in it."""
    found = Found()
    folded = fold(text)
    _read(folded, found)
    if not found.both and not folded.isascii() and has_lookalikes(folded):
        _read(latin(text), found)
    # The search for ages costs most, so it runs only if it can decide.
    if not found.minor and (ages or found.sexual) and (age := age_in(folded, text)):
        found.add(" ".join(age.split()), MINOR)
        found.is_age = True
    return found


def _read(folded: str, found: Found) -> None:
    _words(WORD.findall(folded), found)
    if found.both:
        return
    if not folded.isascii():
        _unspaced(folded, found)
    if _DISGUISE.search(folded):
        _disguised(folded, found)


def floor_reason(text: str) -> str | None:
    """The reason why a text fails the floor check, or None if it passes.

    The reason quotes the two folded words. Takes linear time: tens of thousands of prompts per second.
    """
    found = scan(text, ages=False)
    if found.both and digest(text) not in _known():
        return f"the floor: a minor ({found.minor!r}) together with something sexual ({found.sexual!r})"
    return None


def floor_rule(text: str) -> str | None:
    """The name of the rule by which a text fails the floor check, or None. It quotes nothing of the text."""
    found = scan(text, ages=False)
    if not found.both or digest(text) in _known():
        return None
    if found.minor == found.sexual:
        return "one-word-for-both"
    return "age-and-sexual-word" if found.is_age else "minor-and-sexual-word"


def names_minor(text: str) -> bool:
    """Whether a text names a minor, which alone is no reason to drop it."""
    return bool(scan(text, ages=True).minor)


def names_sexual(text: str) -> bool:
    """Whether a text has something sexual, which alone is no reason to drop it."""
    return bool(scan(text, ages=False).sexual)


def askable(category: Category) -> tuple[str, ...]:
    """The `disallowed` statements that a writer may be shown.

    A policy may ban sexual content about minors, and judges see that statement. A writer is asked for
    disallowed content, so it must not see it.
    """
    return tuple(s for s in category.disallowed if floor_reason(f"{category.title}: {s}") is None)


# -- exceptions ----------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    """BLAKE2b of a text without case and runs of white space: 16 hex digits."""
    line = " ".join(text.casefold().split())
    return hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """Digests of published harmless prompts that the lists would stop; see known_prompts.txt."""
    lines = (resources.files("overt.policies.floor") / "known_prompts.txt").read_text("ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
