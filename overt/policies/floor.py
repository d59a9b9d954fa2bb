"""The floor that no policy can lift: nothing sexual about minors, neither asked for nor kept.

A text trips the floor when it names a minor and, anywhere in the same text, something sexual. It is a
matter of words, without a model, and errs to the side of dropping: a poster that teaches pupils about
abuse, a history of the age of consent, a sculptor's nude cherub and a pin-up "girl" trip it too. Such
texts are lost to a data set; that is the price of never keeping a bad one. A text with only a minor, or
only sexual content between adults, passes. What the lists hold, and the phrases that are set aside as
innocent ("same-sex parents", "a Game Boy"), is data: floor_terms.yaml.

Disguises that are undone before matching: case, accents, full-width and mathematical letters, zero-width
characters, Cyrillic, Greek and small-capital look-alikes, digits for letters, masked letters (s*x),
spaced letters (s e x), and words run together.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import product
from typing import Any

import yaml

from overt.policies.schema import Category

_MINOR, _SEXUAL = 1, 2

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
_WORD = re.compile("(?:[^\\W_]|[\u0900-\u097f])+")  # Indic vowel signs are part of their word
# Combining marks of Latin, Greek and Cyrillic, Arabic vowel signs and the Arabic stretcher. The marks of
# Indic scripts are vowels and stay.
_MARKS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u0640\u20d0-\u20ff\ufe00-\ufe0f]")
_REGIONAL = {0x1F1E6 + i: chr(ord("a") + i) for i in range(26)}
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

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
# Ages from 0 to 17 and classes of a school. Texts reach these folded: small letters without accents.
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
# "minor" is a noun for a person before these words or at the end, else an adjective ("minor injuries").
_AFTER_NOUN = re.compile(
    "in|on|at|with|and|who|is|was|being|having|has|or|for|to|by|from|under|of|s|as|while|engaged|involved"
    "|posing|wearing|without|into|through|against|performing"
)


@dataclass(frozen=True)
class _Lists:
    words: dict[str, int]  # whole words
    stems: dict[str, int]  # words given as stem*
    lengths: tuple[int, ...]  # of the stems
    phrases: dict[str, tuple[tuple[tuple[str, ...], int], ...]]  # by first word
    innocent: dict[str, tuple[tuple[str, ...], ...]]
    unspaced: re.Pattern[str]  # terms of scripts without blanks, and emoji; group m, s or both by list
    unspaced_innocent: re.Pattern[str]
    marked: tuple[tuple[frozenset[str], dict[str, int]], ...]
    glued: re.Pattern[str]  # a word of one list run together with one of the other


def _fold(text: str) -> str:
    """Letters without case, accents, width and invisible characters."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text.translate(_REGIONAL)).casefold()
    text = _MARKS.sub("", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=1)
def _lists() -> _Lists:
    data: dict[str, Any] = yaml.safe_load(
        (resources.files("overt.policies") / "floor_terms.yaml").read_text("utf-8")
    )
    words: dict[str, int] = {}
    stems: dict[str, int] = {}
    phrases: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    substrings: dict[int, list[str]] = {_MINOR: [], _SEXUAL: [], _MINOR | _SEXUAL: []}

    def add(entry: str, flag: int) -> None:
        entry = _fold(entry)
        stem = entry.endswith("*")
        parts = tuple(_WORD.findall(entry)) if not _CJK.search(entry) and entry.isprintable() else ()
        if _CJK.search(entry) or not parts or not any(c.isalpha() for c in entry):
            substrings[flag].append(entry)
        elif len(parts) > 1:
            phrases.setdefault(parts[0], []).append((parts, flag))
        elif stem:
            stems[parts[0]] = stems.get(parts[0], 0) | flag
        else:
            words[parts[0]] = words.get(parts[0], 0) | flag

    for flag, part in (
        (_MINOR, data["minor"]),
        (_SEXUAL, data["sexual"]),
        (_MINOR | _SEXUAL, {"": data["both"]}),
    ):
        for entries in part.values():
            for entry in entries.split() if isinstance(entries, str) else entries:
                add(entry, flag)
    words.pop("minor", None)  # an adjective more often than a person: see _AFTER_NOUN
    innocent: dict[str, list[tuple[str, ...]]] = {}
    for phrase in data["innocent"]:
        parts = tuple(_WORD.findall(phrase))
        innocent.setdefault(parts[0], []).append(parts)
    marked = tuple(
        (
            frozenset(entry["with"].split()),
            {w: f for f, k in ((_MINOR, "minor"), (_SEXUAL, "sexual")) for w in entry.get(k, "").split()},
        )
        for entry in data["marked"].values()
    )

    def either(flag: int) -> str:
        latin = [w for w, f in words.items() if f == flag and w.isascii() and len(w) > 2]
        latin += [rf"{w}\w*" for w, f in stems.items() if f == flag and w.isascii() and len(w) > 2]
        return "|".join(sorted(latin, key=lambda w: (-len(w), w)))

    minor, sexual = either(_MINOR), either(_SEXUAL)
    return _Lists(
        words,
        stems,
        tuple(sorted({len(s) for s in stems})),
        {k: tuple(v) for k, v in phrases.items()},
        {k: tuple(sorted(v, key=len, reverse=True)) for k, v in innocent.items()},
        _unspaced(substrings, data["suffix_before_sex"]),
        re.compile(
            "|".join(map(re.escape, sorted(map(_fold, data["innocent_unspaced"].split()), key=len)[::-1]))
        ),
        marked,
        re.compile(rf"(?:{minor})s?(?:{sexual})|(?:{sexual})(?:{minor})"),
    )


def _unspaced(terms: dict[int, list[str]], suffix_before_sex: str) -> re.Pattern[str]:
    """One pattern for scripts without blanks and emoji; its groups m, s and b say which list hit."""
    # 女性 ("woman") ends in the letter for sex too, but 少女性感 is a girl and "sexy".
    guard = f"(?<![{suffix_before_sex}])(?:(?<!女)|(?<=[少美]女))"
    groups = []
    for name, flag in (("b", _MINOR | _SEXUAL), ("m", _MINOR), ("s", _SEXUAL)):
        longest_first = sorted(terms[flag], key=lambda t: (-len(t), t))
        options = [f"{guard}{re.escape(t)}" if t.startswith("性") else re.escape(t) for t in longest_first]
        groups.append(f"(?P<{name}>{'|'.join(options)})")
    return re.compile("|".join(groups))


# Arabic writes "the", "and", "with", "for" on to the word.
_ARABIC_HEAD = re.compile("^(?:[وفبك]?(?:ال|لل)|[وفبكل])")


@lru_cache(maxsize=200_000)
def _word_flags(word: str) -> int:
    """Which lists a single folded word stands in."""
    lists = _lists()
    flags = lists.words.get(word, 0)
    for length in lists.lengths:
        if length > len(word):
            break
        flags |= lists.stems.get(word[:length], 0)
    if not flags and "\u0600" <= word[0] <= "\u06ff":
        bare = _ARABIC_HEAD.sub("", word)
        flags = lists.words.get(bare, 0) if bare else 0
    if not flags and 6 <= len(word) <= 60 and word.isascii() and lists.glued.fullmatch(word):
        flags = _MINOR | _SEXUAL
    return flags


class _Found:
    """What a text names so far: the first word for a minor and the first sexual word."""

    __slots__ = ("minor", "sexual")

    def __init__(self) -> None:
        self.minor = self.sexual = ""

    def add(self, term: str, flags: int) -> None:
        if flags & _MINOR and not self.minor:
            self.minor = term
        if flags & _SEXUAL and not self.sexual:
            self.sexual = term

    @property
    def both(self) -> bool:
        return bool(self.minor and self.sexual)


def _words(words: list[str], found: _Found) -> None:
    lists = _lists()
    starts = lists.innocent
    if not starts.keys().isdisjoint(words):
        words = _without_innocent(words, starts)
    for word in words:
        if flags := _word_flags(word[:64]):  # no term is longer; keeps the cache small
            found.add(word, flags)
    if found.both:
        return
    for i, word in enumerate(words):
        if word == "minor" and (i + 1 == len(words) or _AFTER_NOUN.fullmatch(words[i + 1])):
            found.add(word, _MINOR)
        for parts, flag in lists.phrases.get(word, ()):
            if tuple(words[i : i + len(parts)]) == parts:
                found.add(" ".join(parts), flag)
    present = None
    for markers, terms in lists.marked:
        present = present if present is not None else set(words)
        hits = terms.keys() & present
        if hits and markers & present:
            for hit in sorted(hits):
                found.add(hit, terms[hit])


def _without_innocent(words: list[str], starts: dict[str, tuple[tuple[str, ...], ...]]) -> list[str]:
    kept: list[str] = []
    i = 0
    while i < len(words):
        for parts in starts.get(words[i], ()):
            if tuple(words[i : i + len(parts)]) == parts:
                kept.append("-")  # stands between its neighbours, so that they make no phrase
                i += len(parts)
                break
        else:
            kept.append(words[i])
            i += 1
    return kept


def _disguised(text: str, found: _Found) -> None:
    """Spellings that hide a word: digits for letters, look-alikes, masks, spaced letters."""
    extra: list[str] = []
    if not text.isascii() and _ODD.search(text):
        extra += _WORD.findall(text.translate(_LOOKALIKES))
    for match in _LEET_TOKEN.finditer(text):
        token = match[0].strip("!|+")
        if not 3 <= len(token) <= 40 or _LEET_CHARS.isdisjoint(token) or not any(map(str.isalpha, token)):
            continue
        for body in (token, match[0]):
            options = [_LEET.get(c, c) for c in body]
            if sum(len(o) > 1 for o in options) <= 4:
                extra += ["".join(p) for p in product(*options)]
    if extra:
        _words([w for e in extra for w in _WORD.findall(e)], found)
    for match in _MASKED.finditer(text):
        if len(match[0]) <= 40:
            _masked(match[0], found)
    for match in _SPACED.finditer(text):
        run = "".join(_WORD.findall(match[0]))
        for candidate in (run, "".join(_LEET.get(c, c)[0] for c in run)):
            for term, flags in _long_words():
                if term in candidate:
                    found.add(term, flags)


@lru_cache(maxsize=1)
def _long_words() -> tuple[tuple[str, int], ...]:
    lists = _lists()
    return tuple((w, f) for w, f in (lists.words | lists.stems).items() if len(w) >= 3 and w.isascii())


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
    folded = _fold(text)
    _words(_WORD.findall(folded), found)
    if found.both:
        return found
    if not folded.isascii():
        lists = _lists()
        for hit in lists.unspaced.finditer(lists.unspaced_innocent.sub(" ", folded)):
            found.add(hit[0], {"m": _MINOR, "s": _SEXUAL, "b": _MINOR | _SEXUAL}[hit.lastgroup or "b"])
    if not folded.isascii() or _DISGUISE.search(folded):
        _disguised(folded, found)
    # Ages and classes cost most, so they are looked for only where they decide something.
    if (
        not found.minor
        and (ages or found.sexual)
        and (age := _AGES.search(folded) or _CJK_AGES.search(folded))
    ):
        found.add(" ".join(age[0].split()), _MINOR)
    return found


def floor_reason(text: str) -> str | None:
    """Why a text falls through the floor, or None if it does not.

    The reason quotes the two words that were found, as folded for matching. Works in time linear in the
    text; tens of thousands of prompts a second.
    """
    found = _scan(text, ages=False)
    if found.both:
        return f"the floor: a minor ({found.minor!r}) together with something sexual ({found.sexual!r})"
    return None


def names_minor(text: str) -> bool:
    """Whether a text names a minor; alone that is no reason to drop it."""
    return bool(_scan(text, ages=True).minor)


def names_sexual(text: str) -> bool:
    """Whether a text has something sexual; alone that is no reason to drop it."""
    return bool(_scan(text, ages=False).sexual)


def askable(category: Category) -> tuple[str, ...]:
    """The `disallowed` statements that a writer may be shown.

    A statement that bans sexual content about minors is right to have, and judges see it. A writer that
    is asked for what it bans must not: such statements are withheld.
    """
    return tuple(s for s in category.disallowed if floor_reason(f"{category.title}: {s}") is None)
