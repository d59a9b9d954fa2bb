"""Which languages the floor covers, and whether a policy keeps to them.

A language is covered if it has a file in languages/. What a policy is written in is known from its
`languages` and from its texts: a script that no covered language uses, or texts with too few of the commonest
words of every covered language.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from overt.policies.floor.fold import fold
from overt.policies.floor.terms import UNSPACED, WORD, language_files

if TYPE_CHECKING:
    from overt.policies.schema import Category, Policy

# The scripts of the covered languages, as the names of their letters in Unicode begin.
_SCRIPTS = frozenset(
    ("LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH")
)
_LEAST = 30  # words from which the language of a text can be told
_SHARE = 0.15  # of the commonest words; the shipped policies have 0.19 to 0.34, a Swedish text has 0.09


def covered() -> frozenset[str]:
    """The tags of the covered languages: "en", "de"."""
    return frozenset(file.language for file in language_files() if file.language != "und")


def uncovered(policy: Policy) -> tuple[str, ...]:
    """What a policy has to do with languages that the floor does not cover, a sentence each."""
    found: dict[str, None] = {}
    for category in policy.categories:
        for tag in category.languages:
            if tag.partition("-")[0].lower() not in covered():
                found[f'the policy asks for prompts in "{tag}"'] = None
    for script in _foreign_scripts(policy):
        found[f"the policy has words in {script.capitalize()} letters"] = None
    for category in policy.categories:
        if not found and _is_foreign(_texts(category, terms=False)):
            found[f"the texts of {category.id} are in none of the languages that the floor knows"] = None
    known = ", ".join(sorted(covered()))
    return tuple(
        f"{what}: there the floor cannot see what is sexual about minors, so read what is written "
        f"(covered: {known})"
        for what in found
    )


def _texts(category: Category, *, terms: bool = True) -> Iterator[str]:
    """The texts of a category; `terms`: bare terms too, which have no common words."""
    yield from (category.title, *category.disallowed, *category.allowed, category.instruction or "")
    for trigger in category.triggers:
        yield from (trigger.term, *trigger.neutral) if terms else ()
        yield from (side for scene in trigger.scenes for side in (scene.benign, scene.unsafe) if side)


def _foreign_scripts(policy: Policy) -> list[str]:
    """Scripts of words that no covered language uses. A single letter is a sign, as in formulas."""
    texts = [text for category in policy.categories for text in _texts(category)]
    texts += [filler for fillers in policy.slots.values() for filler in fillers]
    scripts: set[str] = set()
    for word in " ".join(texts).split():
        if not word.isascii():
            letters = Counter(map(_script, word))
            scripts.update(script for script, count in letters.items() if count > 1)
    return sorted(scripts - _SCRIPTS - {""})


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    return "" if char.isascii() or not char.isalpha() else unicodedata.name(char, "").partition(" ")[0]


def _is_foreign(texts: Iterator[str]) -> bool:
    """Whether texts are long enough to be told, and in none of the covered languages."""
    folded = fold(" ".join(texts))
    words = WORD.findall(folded)
    if len(words) < _LEAST or len(UNSPACED.findall(folded)) > len(words):
        return False
    counts = Counter(words)
    shares = (
        sum(counts[word] for word in set(fold(file.common).split())) / len(words) for file in language_files()
    )
    return max(shares) < _SHARE
