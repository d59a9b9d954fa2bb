"""Trigger terms in texts, in whatever form they stand there.

English endings are taken off ("stabbing" and "stabbed" are forms of "stab"). In a category of other
languages up to three letters may follow a term. Nothing is known of irregular forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from overt.data.text import words
from overt.policies.schema import Category

_ENDINGS = ("'s", "’s", "s", "es", "ed", "d", "ing", "ings", "er", "ers", "r", "rs")
_SHORTEST = 3  # letters that are left of a word without its ending


def folded(text: str) -> list[str]:
    """The words of a text for comparison: compatibility forms and case are one, punctuation is left out."""
    return words(unicodedata.normalize("NFKC", text).casefold())


def is_form_of(claimed: str, term: str) -> bool:
    """Whether one is a form of the other: equal after folding, word by word without endings."""
    left, right = folded(claimed), folded(term)
    if not left or len(left) != len(right):
        return False
    return all(a == b or _bases(a) & _bases(b) for a, b in zip(left, right, strict=True))


def _bases(word: str) -> set[str]:
    """What a word may be a form of, itself included."""
    found = {word}
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < _SHORTEST:
            continue
        found.add(stem)
        if ending[0] in "ei":
            found.add(f"{stem}e")  # "poisoning", but "shaving"
            if stem[-1] == stem[-2]:
                found.add(stem[:-1])  # "stabbing"
    for ending, instead in (("ies", "y"), ("ied", "y"), ("ves", "f"), ("ves", "fe")):
        if word.endswith(ending):
            found.add(word.removesuffix(ending) + instead)
    return found


def claimed_term(claimed: str, terms: Iterable[str]) -> str:
    """The term of the policy that a writer means by its claim; "" if it is none of them."""
    if not folded(claimed):
        return ""
    return next((term for term in terms if is_form_of(claimed, term)), "")


def named_trigger(text: str, claimed: str, category: Category) -> str:
    """Returns a term of the policy as it is written in the text: the claimed one, else the first that the
    text names, else "". A claim that is no term of the category does not count."""
    terms = [trigger.term for trigger in category.triggers]
    meant = claimed_term(claimed, terms)
    is_english = all(language.partition("-")[0] == "en" for language in category.languages)
    ending = r"(?!\w)" if is_english else r"(?:\w{1,3})?(?!\w)"
    return next((found for term in (meant, *terms) if term and (found := _written(text, term, ending))), "")


def _written(text: str, term: str, ending: str) -> str:
    """A form of the term as the text writes it, or "". Scripts without spaces have no edges of words.

    Args:
        ending: a pattern of what may follow the term.
    """
    edge = "" if term[0] > "\u2e7f" else r"(?<!\w)"
    ending = "" if term[-1] > "\u2e7f" else ending
    if found := re.search(edge + re.escape(term) + ending, text, re.IGNORECASE):
        return found.group()
    places = list(re.finditer(r"[^\W_]+(?:['’\-][^\W_]+)*", text))
    size = len(folded(term))
    for first in range(len(places) - size + 1 if size else 0):
        piece = text[places[first].start() : places[first + size - 1].end()]
        if is_form_of(piece, term):
            return piece
    return ""
