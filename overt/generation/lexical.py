"""`builtin/lexical`: a rewriter without a model. It replaces trigger terms by the policy's neutral wordings.

It adapts capitals, plurals, "a" and "an", and no other grammar.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from overt.data.records import Drop, Prompt
from overt.data.rewrites import Candidate
from overt.generation.rewrite import category_of, fit
from overt.policies.schema import Policy, Trigger

# "a unicorn" and "an unidentified plate", "a utensil" and "an utterance", "a one-way street" and "an onion".
_VOWEL = re.compile(
    r"(?!eu|uni[acfloqstv]|us[aeu]|ut[ei]|ubiq|uran|once?\b|one-)[aeiou]|hour|honest|heir", re.IGNORECASE
)
_BEGINS = re.compile(r"(?:^|[.!?:])[\s\"'(]*\Z")
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


class Lexical:
    """Replaces every trigger term that has neutral wordings, in any category, since a filter does not know
    the prompt's category."""

    name = "builtin/lexical"

    def rewrite(self, policy: Policy, prompt: Prompt, *, count: int, seed: int) -> Iterator[Candidate | Drop]:
        """Yields at most `count` wordings of a prompt: the first with each trigger's first neutral wording,
        and so on. Yields nothing if the prompt has no such trigger. `seed` has no effect."""
        seen: set[str] = set()
        triggers = _triggers(policy, prompt)
        if not triggers:
            return
        pattern = _pattern(triggers)
        found = {match["term"].casefold() for match in pattern.finditer(prompt.text)} & triggers.keys()
        if not found:
            return
        for turn in itertools.islice(range(max(len(triggers[term].neutral) for term in found)), count):
            text = _swapped(prompt.text, pattern, triggers, turn)
            yield fit(prompt, text, "lexical", self.name, "", seen)


def neutral_swaps(policy: Policy, prompt: Prompt) -> list[tuple[int, int, int, str]]:
    """Where a prompt holds a trigger term that has neutral wordings, in any category, and its first one.

    Returns:
        Rows in the order of the text: the characters from the first to the third number are replaced by the
        text, which differ from the second number, where the term begins, by an article that has to change.
    """
    triggers = _triggers(policy, prompt)
    return list(_swaps(prompt.text, _pattern(triggers), triggers, 0)) if triggers else []


def _triggers(policy: Policy, prompt: Prompt) -> dict[str, Trigger]:
    """The triggers with neutral wordings, by their folded terms."""
    triggers: dict[str, Trigger] = {}
    for category in (category_of(policy, prompt), *policy.categories):  # the prompt's own wins
        for trigger in category.triggers:
            if trigger.neutral:
                triggers.setdefault(trigger.term.casefold(), trigger)
    return triggers


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    # Longest first, so that "kill switch" is found before "kill".
    words = "|".join(re.escape(term) for term in sorted(terms, key=lambda term: (-len(term), term)))
    return re.compile(rf"(?<!\w)(?P<term>{words})(?P<plural>e?s)?(?!\w)", re.IGNORECASE)


def _swapped(text: str, pattern: re.Pattern[str], triggers: dict[str, Trigger], turn: int) -> str:
    """Replaces every term by its neutral wording of this turn and adapts articles and capitals. One pass: a
    neutral wording that contains another term is not replaced again."""
    parts: list[str] = []
    end = 0
    for begin, _, stop, new in _swaps(text, pattern, triggers, turn):
        parts += [text[end:begin], new]
        end = stop
    return "".join(parts) + text[end:]


def _swaps(
    text: str, pattern: re.Pattern[str], triggers: dict[str, Trigger], turn: int
) -> Iterator[tuple[int, int, int, str]]:
    """Where what is replaced begins, where its term begins, where it ends, and the new text."""
    end = 0
    for match in pattern.finditer(text):
        trigger = triggers.get(match["term"].casefold())
        if trigger is None:  # "K\u0130LL": matches an i when case is ignored, but casefold differs
            continue
        neutral = trigger.neutral[turn % len(trigger.neutral)]
        has_capital = trigger.term[:1].isupper()  # as in X-ray
        begin, new = match.start(), plural(neutral) if match["plural"] else neutral
        if match.group()[:1].isupper() and (not has_capital or _BEGINS.search(text[:begin])):
            new = new[:1].upper() + new[1:]
        if article := _ARTICLE.search(text[end:begin]):
            right = "an" if _VOWEL.match(new) else "a"
            right = right.capitalize() if article[1][0].isupper() else right
            begin, new = end + article.start(), right + article[2] + new
        yield begin, match.start(), match.end(), new
        end = match.end()


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
