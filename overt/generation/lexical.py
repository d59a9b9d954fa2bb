"""`builtin/lexical`: a rewriter without a model. It swaps trigger terms by the policy's neutral wordings.

It knows no grammar beyond what a swap needs: capitals, a plural, "a" and "an". What comes out is named
honestly (strategy "lexical"), and is what a word list would have its users write.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from overt.data.records import Drop, Prompt
from overt.data.rewrites import Candidate
from overt.generation.rewrite import category_of, fit
from overt.policies.schema import Policy, Trigger

_VOWEL = re.compile(r"(?!eu|uni|use|one\b|ut[ei])[aeiou]|hour|honest|heir", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


class Lexical:
    """Swaps every trigger term that the policy has neutral wordings for."""

    name = "builtin/lexical"

    def rewrite(self, policy: Policy, prompt: Prompt, *, count: int, seed: int) -> Iterator[Candidate | Drop]:
        """At most `count` wordings of a prompt: the first with each trigger's first neutral wording, and
        so on. None where no trigger with a neutral wording stands in it. `seed` makes no difference."""
        seen: set[str] = set()
        triggers = [t for t in category_of(policy, prompt).triggers if t.neutral]
        # The longest first: of "kill" and "kill switch" the longer one is meant.
        triggers.sort(key=lambda t: (-len(t.term), t.term))
        found = [t for t in triggers if _pattern(t).search(prompt.text)]
        if not found:
            return
        longest = max(len(t.neutral) for t in found)
        for turn in itertools.islice(range(longest), count):
            text = prompt.text
            for trigger in found:
                text = _swapped(text, trigger, trigger.neutral[turn % len(trigger.neutral)])
            yield fit(prompt, text, "lexical", self.name, "", seen)


def _pattern(trigger: Trigger) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(trigger.term)}(?P<plural>e?s)?(?!\w)", re.IGNORECASE)


def _swapped(text: str, trigger: Trigger, neutral: str) -> str:
    """The text with every place of the term swapped, articles and capitals kept right."""
    parts: list[str] = []
    end = 0
    for match in _pattern(trigger).finditer(text):
        before = text[end : match.start()]
        new = _plural(neutral) if match["plural"] else neutral
        if match.group()[:1].isupper():
            new = new[:1].upper() + new[1:]
        if article := _ARTICLE.search(before):
            right = "an" if _VOWEL.match(new) else "a"
            right = right.capitalize() if article[1][0].isupper() else right
            before = before[: article.start()] + right + article[2]
        parts += [before, new]
        end = match.end()
    return "".join(parts) + text[end:]


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
