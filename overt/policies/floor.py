"""The floor under every policy: no prompt that is sexual about minors is asked for or kept.

A text fails if it names a minor and, anywhere in it, something sexual. The check uses word lists and no
model. It drops too much rather than too little: a poster that teaches pupils about abuse or a sculptor's
nude cherub fails too. A text with only a minor, or only sexual content between adults, passes. The word
lists and the innocent phrases ("same-sex parents", "a Game Boy") are in floor_terms.yaml.

The check sees through case, accents, full-width and mathematical letters, zero-width characters, Cyrillic,
Greek and small-capital look-alikes, digits for letters, masked letters (s*x), spaced letters (s e x), and
joined words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product

from overt.policies.floor_terms import MINOR, SEXUAL, WORD, floor_terms, fold
from overt.policies.schema import Category

# Letters that NFKC leaves alone and that look like Latin ones.
_LOOKALIKES = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏгԍьпшзαβεηικμνορτυχωγδѵɑɡıᴀʙᴄᴅᴇғꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢøłđħ",
    "abekmhopctyxijsdqwhlrgbnwzabenikuvoptuxwydvagiabcdeffghijklmnoprstuvwyzoldh",
)
_ODD = re.compile("[" + "".join(map(chr, _LOOKALIKES)) + "]")
_LEET: dict[str, str] = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
    "!": "i", "|": "il", "€": "e", "£": "l", "+": "t", "¡": "i",
}  # fmt: skip
_LEET_CHARS = frozenset(_LEET)
_LEET_TOKEN = re.compile(r"[\w@$!|€£+¡]+")
_MASKED = re.compile(r"(?<![^\W\d_])[^\W\d_]+(?:[*#•●_]+[^\W\d_]+)+")
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[\s._\-*~/|,•·]{1,3}[^\W_](?![^\W_])){2,}")

_NUMBER_WORDS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    "|sixteen|seventeen"
)
_D = r"(?:1[0-7]|0?[0-9])"
_N = rf"(?:{_D}|{_NUMBER_WORDS})"
_NOT_AGE = (
    r"(?!\s*(?:%|percent|pages?|minutes?|hours?|seconds?|people|layers?|coats?|lights?|degrees?|euros?|dollars?"
    r"|met(?:er|re)s?|miles?|km|into|o['’]?clock))"
)
_GRADES = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
# Ages from 0 to 17 and school years, in folded text (lower case without accents).
_AGES = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(
        (
            # a 15-year-old, two and a half years old, six months old
            rf"{_N}[\s\-]*(?:and[\s\-]+(?:a[\s\-]+)?half[\s\-]*)?(?:years?|yrs?|months?|weeks?|days?)[\s\-]*"
            r"(?:of[\s\-]+age|olds?|young)",
            rf"{_D}[\s\-]*(?:y\s?/?\.?\s?o|yr[\s\-]?olds?)\b",
            rf"(?:aged?|ages|age\s+of|age\s+is|turn(?:s|ed|ing)?)\s+(?:only\s+|just\s+|about\s+)?{_N}\b{_NOT_AGE}",
            r"(?:she|he|i|they)(?:\s+(?:is|was|am|are|were)|['’]?(?:s|m|re))\s+(?:only\s+|just\s+|barely\s+)?"
            rf"{_N}\b(?!\s*[%\w])",
            r"(?:under|below|younger\s+than)[\s\-]+(?:the\s+age\s+of\s+)?"
            rf"(?:18|eighteen|{_N})s?\b{_NOT_AGE}",
            rf"(?:{_D}(?:st|nd|rd|th)|{_GRADES})[\s\-]+(?:grade|grader|graders|form|former|formers)\b",
            rf"grade\s+{_N}\b",
            r"1[0-7]\s?f\b",
            r"minor\s*[,.;:!?)]",
            rf"(?:de|a|con|con\s+solo)\s+{_D}\s+(?:ans|anos|anni)\b(?!\s+(?:de\s+prison|plus\s+tard|fa\b))",
            rf"(?:age\w*|edad|idade|eta)\s+(?:de|di)\s+{_D}\b",
            rf"{_D}[\s\-]*(?:jahre\s+alt\w*|jahrig\w*|jaehrig\w*)",
            rf"{_D}[\s\-]*(?:лет|года|летн\w*)\b(?!\s+назад)",
            rf"{_D}\s*(?:साल|वर्ष)",
            rf"{_D}\s*(?:سنة|سنوات|عاما|عام|اعوام)",
        )
    )
    + r")|(?<=[a-z]),\s*1[0-7](?=\s*(?:[,.;)]|$))"  # "Anna, 16, ..."
)
_CJK_AGES = re.compile(
    r"(?<![\d.])(?:1[0-7]|[0-9])\s*[歳才岁歲]"
    r"|(?<![一二三四五六七八九十百])(?:十[一二三四五六七]?|[一二三四五六七八九])[歳才岁歲]"
)
# "minor" is a person before these words and at the end of a text, else an adjective ("minor injuries").
_AFTER_NOUN = re.compile(
    "in|on|at|with|and|who|is|was|being|having|has|or|for|to|by|from|under|of|s|as|while|engaged|involved"
    "|posing|wearing|without|into|through|against|performing"
)


# Arabic joins "the", "and", "with", "for" to the word.
_ARABIC_HEAD = re.compile("^(?:[وفبك]?(?:ال|لل)|[وفبكل])")


@lru_cache(maxsize=200_000)
def _word_flags(word: str) -> int:
    """The flags of a folded word."""
    lists = floor_terms()
    flags = lists.words.get(word, 0)
    for length in lists.lengths:
        if length > len(word):
            break
        flags |= lists.stems.get(word[:length], 0)
    if not flags and "\u0600" <= word[0] <= "\u06ff":
        bare = _ARABIC_HEAD.sub("", word)
        flags = lists.words.get(bare, 0) if bare else 0
    if not flags and 6 <= len(word) <= 60 and word.isascii() and lists.glued.fullmatch(word):
        flags = MINOR | SEXUAL
    return flags


class _Found:
    """The first word for a minor and the first sexual word in a text."""

    __slots__ = ("minor", "sexual")

    def __init__(self) -> None:
        self.minor = self.sexual = ""

    def add(self, term: str, flags: int) -> None:
        if flags & MINOR and not self.minor:
            self.minor = term
        if flags & SEXUAL and not self.sexual:
            self.sexual = term

    @property
    def both(self) -> bool:
        return bool(self.minor and self.sexual)


def _words(words: list[str], found: _Found) -> None:
    """Finds single words first, and phrases and marked terms only if those do not decide."""
    lists = floor_terms()
    if not lists.innocent.keys().isdisjoint(words):
        words = _without_innocent(words, lists.innocent)
    for word in words:
        if flags := _word_flags(word[:64]):  # no term is longer; keeps the cache small
            found.add(word, flags)
    if not found.both:
        _phrases(words, found)
        _marked(words, found)


def _phrases(words: list[str], found: _Found) -> None:
    """Finds terms of several words, and "minor" as a noun."""
    phrases = floor_terms().phrases
    for i, word in enumerate(words):
        if word == "minor" and (i + 1 == len(words) or _AFTER_NOUN.fullmatch(words[i + 1])):
            found.add(word, MINOR)
        for parts, flag in phrases.get(word, ()):
            if tuple(words[i : i + len(parts)]) == parts:
                found.add(" ".join(parts), flag)


def _marked(words: list[str], found: _Found) -> None:
    """Finds terms that count only if the text has a word of their language."""
    present = set(words)
    for markers, terms in floor_terms().marked:
        hits = terms.keys() & present
        if hits and markers & present:
            for hit in sorted(hits):
                found.add(hit, terms[hit])


def _without_innocent(words: list[str], starts: Mapping[str, Sequence[tuple[str, ...]]]) -> list[str]:
    kept: list[str] = []
    i = 0
    while i < len(words):
        for parts in starts.get(words[i], ()):
            if tuple(words[i : i + len(parts)]) == parts:
                kept.append("-")  # keeps the neighbours from forming a phrase
                i += len(parts)
                break
        else:
            kept.append(words[i])
            i += 1
    return kept


def _disguised(text: str, found: _Found) -> None:
    """Finds hidden words: digits for letters, look-alikes, masks, spaced letters."""
    extra: list[str] = []
    if not text.isascii() and _ODD.search(text):
        extra += WORD.findall(text.translate(_LOOKALIKES))
    extra += [word for spelling in _without_digits(text) for word in WORD.findall(spelling)]
    if extra:
        _words(extra, found)
    for match in _MASKED.finditer(text):
        if len(match[0]) <= 40:
            _masked(match[0], found)
    for match in _SPACED.finditer(text):
        _spaced("".join(WORD.findall(match[0])), found)


def _without_digits(text: str) -> Iterator[str]:
    """Yields the possible spellings of tokens with digits or signs for letters, at most 16 per form."""
    for match in _LEET_TOKEN.finditer(text):
        token = match[0].strip("!|+")
        if not 3 <= len(token) <= 40 or _LEET_CHARS.isdisjoint(token) or not any(map(str.isalpha, token)):
            continue
        for body in (token, match[0]):
            options = [_LEET.get(c, c) for c in body]
            if sum(len(o) > 1 for o in options) <= 4:
                yield from ("".join(letters) for letters in product(*options))


def _spaced(letters: str, found: _Found) -> None:
    """Finds terms in spaced letters, as they are and with digits read as letters."""
    for candidate in (letters, "".join(_LEET.get(c, c)[0] for c in letters)):
        for term, flags in _long_words():
            if term in candidate:
                found.add(term, flags)


@lru_cache(maxsize=1)
def _long_words() -> tuple[tuple[str, int], ...]:
    lists = floor_terms()
    return tuple((w, f) for w, f in {**lists.words, **lists.stems}.items() if len(w) >= 3 and w.isascii())


@lru_cache(maxsize=4096)
def _masked_terms(pattern: str) -> tuple[tuple[str, int], ...]:
    compiled = re.compile(pattern)
    return tuple((w, f) for w, f in _long_words() if compiled.fullmatch(w))


def _masked(token: str, found: _Found) -> None:
    pattern = re.sub(r"[*#•●_]+", lambda m: f"[a-z]{{1,{max(2, len(m[0]))}}}", token)
    for term, flags in _masked_terms(pattern):
        found.add(term, flags)
    _words([re.sub(r"[*#•●_]+", "", token)], found)


_DISGUISE = re.compile(r"[0-9@$!|€£+¡*#•●_]|(?<![^\W_])[^\W_][\s._\-*~/|,•·]{1,3}[^\W_](?![^\W_])")


def _scan(text: str, *, ages: bool) -> _Found:
    found = _Found()
    folded = fold(text)
    _words(WORD.findall(folded), found)
    if found.both:
        return found
    if not folded.isascii():
        lists = floor_terms()
        for hit in lists.unspaced.finditer(lists.unspaced_innocent.sub(" ", folded)):
            found.add(hit[0], {"m": MINOR, "s": SEXUAL, "b": MINOR | SEXUAL}[hit.lastgroup or "b"])
    if not folded.isascii() or _DISGUISE.search(folded):
        _disguised(folded, found)
    # The search for ages costs most, so it runs only if it can decide.
    if (
        not found.minor
        and (ages or found.sexual)
        and (age := _AGES.search(folded) or _CJK_AGES.search(folded))
    ):
        found.add(" ".join(age[0].split()), MINOR)
    return found


def floor_reason(text: str) -> str | None:
    """The reason why a text fails the floor check, or None if it passes.

    The reason quotes the two folded words. Takes linear time: tens of thousands of prompts per second.
    """
    found = _scan(text, ages=False)
    if found.both:
        return f"the floor: a minor ({found.minor!r}) together with something sexual ({found.sexual!r})"
    return None


def names_minor(text: str) -> bool:
    """Whether a text names a minor, which alone is no reason to drop it."""
    return bool(_scan(text, ages=True).minor)


def names_sexual(text: str) -> bool:
    """Whether a text has something sexual, which alone is no reason to drop it."""
    return bool(_scan(text, ages=False).sexual)


def askable(category: Category) -> tuple[str, ...]:
    """The `disallowed` statements that a writer may be shown.

    A policy may ban sexual content about minors, and judges see that statement. A writer is asked for
    disallowed content, so it must not see it.
    """
    return tuple(s for s in category.disallowed if floor_reason(f"{category.title}: {s}") is None)
