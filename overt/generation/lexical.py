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
        triggers: dict[str, Trigger] = {}
        for category in (category_of(policy, prompt), *policy.categories):  # the prompt's own wins
            for trigger in category.triggers:
                if trigger.neutral:
                    triggers.setdefault(trigger.term.casefold(), trigger)
        if not triggers:
            return
        pattern = _pattern(triggers)
        found = {match["term"].casefold() for match in pattern.finditer(prompt.text)} & triggers.keys()
        if not found:
            return
        for turn in itertools.islice(range(max(len(triggers[term].neutral) for term in found)), count):
            text = _swapped(prompt.text, pattern, triggers, turn)
            yield fit(prompt, text, "lexical", self.name, "", seen)


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    # Longest first, so that "kill switch" is found before "kill".
    words = "|".join(re.escape(term) for term in sorted(terms, key=lambda term: (-len(term), term)))
    return re.compile(rf"(?<!\w)(?P<term>{words})(?P<plural>e?s)?(?!\w)", re.IGNORECASE)


def _swapped(text: str, pattern: re.Pattern[str], triggers: dict[str, Trigger], turn: int) -> str:
    """Replaces every term by its neutral wording of this turn and adapts articles and capitals. One pass: a
    neutral wording that contains another term is not replaced again."""
    parts: list[str] = []
    end = 0
    for match in pattern.finditer(text):
        trigger = triggers.get(match["term"].casefold())
        if trigger is None:  # "K\u0130LL": matches an i when case is ignored, but casefold differs
            continue
        neutral = trigger.neutral[turn % len(trigger.neutral)]
        has_capital = trigger.term[:1].isupper()  # as in X-ray
        before = text[end : match.start()]
        new = plural(neutral) if match["plural"] else neutral
        if match.group()[:1].isupper() and (not has_capital or _BEGINS.search(text[: match.start()])):
            new = new[:1].upper() + new[1:]
        if article := _ARTICLE.search(before):
            right = "an" if _VOWEL.match(new) else "a"
            right = right.capitalize() if article[1][0].isupper() else right
            before = before[: article.start()] + right + article[2]
        parts += [before, new]
        end = match.end()
    return "".join(parts) + text[end:]


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
