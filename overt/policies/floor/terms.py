"""The floor's word lists, one file per language in languages/, grouped by how a text is searched for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from itertools import groupby

from overt.data.yaml.schema import Schema, parse_yaml
from overt.policies.floor.fold import fold

MINOR, SEXUAL = 1, 2  # flags for the list of a term; a term of both lists has both flags
BOTH = MINOR | SEXUAL
_HEAD = 3  # letters; no stem is shorter

WORD = re.compile("(?:[^\\W_]|[\u0900-\u097f])+")  # vowel signs of Devanagari are part of their word
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")  # terms of these scripts need no blanks

Words = tuple[str, ...]
Runs = tuple[tuple[str, int], ...]  # each letter of a word with how often it stands there in a row


# -- the files -----------------------------------------------------------------------------------------------


class Marked(Schema):
    """Terms that count only if the text has one of the words `with` of their language."""

    with_words: str = ""
    minor: str = ""
    sexual: str = ""


class AgeWords(Schema):
    """How a language says ages; the README of the folder explains the lists."""

    numbers: str = ""
    old: str = ""
    years: str = ""
    of: str = ""
    labels: str = ""
    ends: str = ""
    under: str = ""
    short: str = ""
    no: str = ""
    things: str = ""


class LanguageFile(Schema):
    """One file, as it is written."""

    language: str
    common: str = ""
    minor: str = ""
    minor_phrases: str = ""
    sexual: str = ""
    sexual_phrases: str = ""
    both: str = ""
    marked: Marked = Marked()
    innocent: str = ""
    topics: str = ""
    shields: str = ""
    abstract: str = ""
    denials: str = ""
    before_sex: str = ""
    ages: AgeWords = AgeWords()


@lru_cache(maxsize=1)
def language_files() -> tuple[LanguageFile, ...]:
    """The shipped files, by their names."""
    folder = resources.files("overt.policies.floor") / "languages"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return tuple(
        parse_yaml(f.read_bytes(), f.name, LanguageFile, what="word list of the floor") for f in files
    )


def phrases(text: str) -> list[str]:
    """The entries of a list that is separated by commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


# -- the lists -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FloorTerms:
    """All terms, folded, with the flags of their lists.

    words: whole words. stems: words given as stem*. lengths: the lengths of the stems. by_head: the stems by
        their first letters. heads: the first letters of words and stems.
    phrases: by their first word. innocent, topics: phrases that are removed before the search, by their first
        word; topics only near one of `shields`.
    unspaced: terms of scripts without blanks, and emoji; the groups m, s and b name the list.
    marked: (words of a language, terms that count only if one of these words is in the text).
    squeezed: words and stems without repeated letters -> (runs of letters, flags, whether it is a stem).
    abstract, denials: see `overt.policies.floor.bodies`.
    """

    words: Mapping[str, int]
    stems: Mapping[str, int]
    lengths: tuple[int, ...]
    by_head: Mapping[str, Sequence[tuple[str, int]]]
    heads: frozenset[str]
    phrases: Mapping[str, Sequence[tuple[Words, int]]]
    innocent: Mapping[str, Sequence[Words]]
    topics: Mapping[str, Sequence[Words]]
    shields: frozenset[str]
    unspaced: re.Pattern[str]
    unspaced_innocent: re.Pattern[str]
    marked: tuple[tuple[frozenset[str], Mapping[str, int]], ...]
    squeezed: Mapping[str, Sequence[tuple[Runs, int, bool]]]
    abstract: re.Pattern[str]
    denials: re.Pattern[str]

    def flags(self, word: str) -> int:
        """The flags of a word as it is written."""
        flags = self.words.get(word, 0)
        for stem, flag in self.by_head.get(word[:_HEAD], ()):
            if word.startswith(stem):
                flags |= flag
        return flags

    def may_begin(self, word: str) -> bool:
        """Whether a term may begin as this word does."""
        return word[:_HEAD] in self.heads


@lru_cache(maxsize=1)
def floor_terms() -> FloorTerms:
    """The shipped lists."""
    files = language_files()
    terms = _sorted(files)
    innocent, unspaced_innocent = _innocent(files)
    return FloorTerms(
        words=terms.words,
        stems=terms.stems,
        lengths=tuple(sorted({len(stem) for stem in terms.stems})),
        by_head={
            head: tuple((stem, terms.stems[stem]) for stem in stems)
            for head, stems in groupby(sorted(terms.stems), key=lambda stem: stem[:_HEAD])
        },
        heads=frozenset(term[:_HEAD] for term in (*terms.words, *terms.stems)),
        phrases=terms.phrases,
        innocent=_by_first_word(innocent),
        topics=_by_first_word(_words_of(t) for file in files for t in phrases(file.topics)),
        shields=_all_words(file.shields for file in files),
        unspaced=_unspaced(terms.unspaced, "".join(file.before_sex for file in files)),
        unspaced_innocent=re.compile("|".join(map(re.escape, unspaced_innocent))),
        marked=tuple(_marked(file.marked) for file in files if file.marked.with_words),
        squeezed=_squeezed(terms.words, terms.stems),
        abstract=_any_of(word for file in files for word in fold(file.abstract).split()),
        denials=_any_of(entry for file in files for entry in phrases(fold(file.denials))),
    )


def _sorted(files: Iterable[LanguageFile]) -> _Sorted:
    terms = _Sorted()
    for file in files:
        for flag, entries in (
            (MINOR, [*file.minor.split(), *phrases(file.minor_phrases)]),
            (SEXUAL, [*file.sexual.split(), *phrases(file.sexual_phrases)]),
            (BOTH, file.both.split()),
        ):
            for entry in entries:
                terms.add(fold(entry), flag)
    terms.words.pop("minor", None)  # an adjective more often than a person: see _AFTER_NOUN in scan.py
    return terms


def _all_words(lists: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in lists for word in fold(text).split())


def _words_of(phrase: str) -> Words:
    return tuple(WORD.findall(fold(phrase)))


def _innocent(files: Iterable[LanguageFile]) -> tuple[list[Words], list[str]]:
    """The innocent phrases of scripts with and without blanks, the latter by falling length."""
    spaced: list[Words] = []
    unspaced: list[str] = []
    for file in files:
        if UNSPACED.search(file.innocent):
            unspaced += fold(file.innocent).split()
        else:
            spaced += map(_words_of, phrases(file.innocent))
    return spaced, sorted(unspaced, key=len, reverse=True)


@dataclass
class _Sorted:
    words: dict[str, int] = field(default_factory=dict)
    stems: dict[str, int] = field(default_factory=dict)
    phrases: dict[str, list[tuple[Words, int]]] = field(default_factory=dict)
    unspaced: dict[int, list[str]] = field(default_factory=lambda: {MINOR: [], SEXUAL: [], BOTH: []})

    def add(self, term: str, flag: int) -> None:
        has_words = not UNSPACED.search(term) and term.isprintable() and any(c.isalpha() for c in term)
        parts = tuple(WORD.findall(term)) if has_words else ()
        if not parts:
            self.unspaced[flag].append(term)
        elif len(parts) > 1:
            self.phrases.setdefault(parts[0], []).append((parts, flag))
        else:
            single = self.stems if term.endswith("*") else self.words
            single[parts[0]] = single.get(parts[0], 0) | flag


def _marked(marked: Marked) -> tuple[frozenset[str], Mapping[str, int]]:
    terms = dict.fromkeys(fold(marked.minor).split(), MINOR)
    return frozenset(fold(marked.with_words).split()), terms | dict.fromkeys(
        fold(marked.sexual).split(), SEXUAL
    )


def _by_first_word(entries: Iterable[Words]) -> dict[str, list[Words]]:
    """Groups phrases by their first word, the longest first."""
    grouped: dict[str, list[Words]] = {}
    for entry in entries:
        grouped.setdefault(entry[0], []).append(entry)
    return {first: sorted(group, key=len, reverse=True) for first, group in grouped.items()}


def runs_of(word: str) -> Runs:
    """Each letter of a word with how often it stands there in a row."""
    return tuple((letter, len(list(run))) for letter, run in groupby(word))


def _squeezed(words: Mapping[str, int], stems: Mapping[str, int]) -> dict[str, list[tuple[Runs, int, bool]]]:
    found: dict[str, list[tuple[Runs, int, bool]]] = {}
    for table, is_stem in ((words, False), (stems, True)):
        for term, flags in table.items():
            runs = runs_of(term)
            found.setdefault("".join(letter for letter, _ in runs), []).append((runs, flags, is_stem))
    return found


def _any_of(entries: Iterable[str]) -> re.Pattern[str]:
    """A pattern for any of the words or phrases; `*` at the end stands for any ending."""
    options = []
    for entry in sorted(entries, key=len, reverse=True):
        is_open = entry.endswith("*") or UNSPACED.search(entry)
        options.append(re.escape(entry.rstrip("*")) + ("" if is_open else r"(?!\w)"))
    return re.compile(rf"(?<![^\W_{_CJK}])(?:{'|'.join(options) or '(?!)'})")


_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"


def _unspaced(terms: dict[int, list[str]], suffix_before_sex: str) -> re.Pattern[str]:
    """One pattern for scripts without blanks and emoji; its groups m, s and b name the list."""
    # 女性 ("woman") ends in the letter for sex too, but 少女性感 is a girl and "sexy".
    guard = f"(?<![{suffix_before_sex}])(?:(?<!女)|(?<=[少美]女))"
    groups = []
    for name, flag in (("b", BOTH), ("m", MINOR), ("s", SEXUAL)):
        longest_first = sorted(terms[flag], key=lambda t: (-len(t), t))
        options = [f"{guard}{re.escape(t)}" if t.startswith("性") else re.escape(t) for t in longest_first]
        groups.append(f"(?P<{name}>{'|'.join(options)})")
    return re.compile("|".join(groups))
