"""The floor's word lists (floor_terms.yaml), grouped by how a text is searched for them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

import yaml

MINOR, SEXUAL = 1, 2  # flags for the list of a term; a term of both lists has both flags

WORD = re.compile("(?:[^\\W_]|[\u0900-\u097f])+")  # Indic vowel signs are part of their word
# Combining marks of Latin, Greek and Cyrillic, Arabic vowel signs and the Arabic stretcher. The marks of
# Indic scripts are vowels and stay.
_MARKS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670\u0640\u20d0-\u20ff\ufe00-\ufe0f]")
_REGIONAL = {0x1F1E6 + i: chr(ord("a") + i) for i in range(26)}
CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

Words = tuple[str, ...]


@dataclass(frozen=True)
class FloorTerms:
    """All terms, folded, with the flags of their lists.

    words: whole words. stems: words given as stem*. lengths: the lengths of the stems.
    phrases, innocent: by their first word; innocent phrases are removed before the search.
    unspaced: terms of scripts without blanks, and emoji; the groups m, s and b name the list.
    marked: (words of a language, terms that count only if one of these words is in the text).
    glued: a word of one list joined to a word of the other.
    """

    words: Mapping[str, int]
    stems: Mapping[str, int]
    lengths: tuple[int, ...]
    phrases: Mapping[str, Sequence[tuple[Words, int]]]
    innocent: Mapping[str, Sequence[Words]]
    unspaced: re.Pattern[str]
    unspaced_innocent: re.Pattern[str]
    marked: tuple[tuple[frozenset[str], Mapping[str, int]], ...]
    glued: re.Pattern[str]


def fold(text: str) -> str:
    """Removes case, accents, letter width and invisible characters."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text.translate(_REGIONAL)).casefold()
    text = _MARKS.sub("", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=1)
def floor_terms() -> FloorTerms:
    """The shipped lists."""
    data = yaml.safe_load((resources.files("overt.policies") / "floor_terms.yaml").read_text("utf-8"))
    sorted_terms = _Sorted()
    for flag, lists in (
        (MINOR, data["minor"]),
        (SEXUAL, data["sexual"]),
        (MINOR | SEXUAL, {"": data["both"]}),
    ):
        for entry in (entry for entries in lists.values() for entry in _entries(entries)):
            sorted_terms.add(fold(entry), flag)
    words, stems = sorted_terms.words, sorted_terms.stems
    words.pop("minor", None)  # an adjective more often than a person: see AFTER_NOUN in the scan
    unspaced_innocent = sorted(map(fold, data["innocent_unspaced"].split()), key=len)[::-1]
    return FloorTerms(
        words=words,
        stems=stems,
        lengths=tuple(sorted({len(stem) for stem in stems})),
        phrases=sorted_terms.phrases,
        innocent=_by_first_word(tuple(WORD.findall(phrase)) for phrase in data["innocent"]),
        unspaced=_unspaced(sorted_terms.unspaced, data["suffix_before_sex"]),
        unspaced_innocent=re.compile("|".join(map(re.escape, unspaced_innocent))),
        marked=tuple(
            (
                frozenset(entry["with"].split()),
                {
                    word: flag
                    for flag, key in ((MINOR, "minor"), (SEXUAL, "sexual"))
                    for word in entry.get(key, "").split()
                },
            )
            for entry in data["marked"].values()
        ),
        glued=_glued(words, stems),
    )


def _entries(entries: str | list[str]) -> Iterable[str]:
    return entries.split() if isinstance(entries, str) else entries


@dataclass
class _Sorted:
    words: dict[str, int] = field(default_factory=dict)
    stems: dict[str, int] = field(default_factory=dict)
    phrases: dict[str, list[tuple[Words, int]]] = field(default_factory=dict)
    unspaced: dict[int, list[str]] = field(
        default_factory=lambda: {MINOR: [], SEXUAL: [], MINOR | SEXUAL: []}
    )

    def add(self, term: str, flag: int) -> None:
        has_words = not CJK.search(term) and term.isprintable() and any(c.isalpha() for c in term)
        parts = tuple(WORD.findall(term)) if has_words else ()
        if not parts:
            self.unspaced[flag].append(term)
        elif len(parts) > 1:
            self.phrases.setdefault(parts[0], []).append((parts, flag))
        else:
            single = self.stems if term.endswith("*") else self.words
            single[parts[0]] = single.get(parts[0], 0) | flag


def _by_first_word(phrases: Iterator[Words]) -> dict[str, list[Words]]:
    """Groups phrases by their first word, the longest first."""
    grouped: dict[str, list[Words]] = {}
    for phrase in phrases:
        grouped.setdefault(phrase[0], []).append(phrase)
    return {first: sorted(group, key=len, reverse=True) for first, group in grouped.items()}


def _glued(words: Mapping[str, int], stems: Mapping[str, int]) -> re.Pattern[str]:
    """A pattern for a Latin word of one list joined to one of the other."""

    def either(flag: int) -> str:
        latin = [w for w, f in words.items() if f == flag and w.isascii() and len(w) > 2]
        latin += [rf"{w}\w*" for w, f in stems.items() if f == flag and w.isascii() and len(w) > 2]
        return "|".join(sorted(latin, key=lambda w: (-len(w), w)))

    minor, sexual = either(MINOR), either(SEXUAL)
    return re.compile(rf"(?:{minor})s?(?:{sexual})|(?:{sexual})(?:{minor})")


def _unspaced(terms: dict[int, list[str]], suffix_before_sex: str) -> re.Pattern[str]:
    """One pattern for scripts without blanks and emoji; its groups m, s and b name the list."""
    # 女性 ("woman") ends in the letter for sex too, but 少女性感 is a girl and "sexy".
    guard = f"(?<![{suffix_before_sex}])(?:(?<!女)|(?<=[少美]女))"
    groups = []
    for name, flag in (("b", MINOR | SEXUAL), ("m", MINOR), ("s", SEXUAL)):
        longest_first = sorted(terms[flag], key=lambda t: (-len(t), t))
        options = [f"{guard}{re.escape(t)}" if t.startswith("性") else re.escape(t) for t in longest_first]
        groups.append(f"(?P<{name}>{'|'.join(options)})")
    return re.compile("|".join(groups))
