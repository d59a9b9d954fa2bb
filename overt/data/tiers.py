"""How far a prompt is from the best that a writer can do: its tier, told from its template's label.

A prompt made from a scene sounds dangerous because of what happens in it. One that only quotes or labels its
term sounds dangerous to a list of words and to nothing else, so it is used last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from overt.data.records import Prompt
from overt.data.text import percent

Tier = Literal["scene", "bank", "again", "mention"]
TIERS: tuple[Tier, ...] = ("scene", "bank", "again", "mention")
"""Of the embedded writer, best first: a scene of the policy, a scene of the bank, a second filling or a scene
that another term has had, and a frame that only names the term."""

MENTION = TIERS.index("mention")

_LABEL = re.compile(r"grammar/(\w+)@")
_NAMING = (
    r"words?|terms?|verbs?|adjectives?|phrases?|slogans?|titled|entitled|labell?ed|captioned|headlined"
    r"|entry for|definition of|spelling of|meaning of"
)


def label_of(tier: Tier) -> str:
    """The template's label of a prompt of this tier."""
    return f"grammar/{tier}@2"


def tier_of(prompt: Prompt) -> int:
    """The prompt's tier, 0 for the best.

    A prompt of the embedded writer carries it in its template's label. The prompts of all other writers are
    of the first tier, except those that only mention their term.
    """
    label = _LABEL.match(prompt.template)
    if label and label[1] in TIERS:
        return TIERS.index(label[1])
    return MENTION if only_mentions(prompt.trigger, prompt.text) else 0


@dataclass(frozen=True, slots=True)
class Mentions:
    """How many benign prompts only mention their term: `only` of `told`. Of `untold` it cannot be told, since
    their term is not known."""

    only: int
    told: int
    untold: int

    @property
    def in_words(self) -> str:
        """What share of the benign prompts only quote a word, for a card; "" for no prompts."""
        untold = (
            f"The term of {self.untold:,} benign prompts is not known; whether they only quote it cannot be "
            "told."
        )
        if not self.told:
            return untold if self.untold else ""
        share = percent(self.only / self.told)
        said = (
            f"{self.only:,} of {self.told:,} benign prompts ({share}) only quote, label or explain their "
            "term; such prompts sound dangerous to a list of words, and to little else."
        )
        return f"{said} {untold}" if self.untold else said


def mentions_of(prompts: Iterable[Prompt]) -> Mentions:
    """Counts the benign prompts; versions that differ only in who is depicted are left out."""
    mine = [p for p in prompts if p.label == "benign" and not p.variant_of]
    told = [p for p in mine if p.trigger or _LABEL.match(p.template)]
    return Mentions(sum(tier_of(p) == MENTION for p in told), len(told), len(mine) - len(told))


def only_mentions(term: str, text: str) -> bool:
    """Returns whether a text only quotes, labels or explains the term: it stands in quotation marks, or
    right after a word such as "titled" or "the entry for", each time that it stands in the text."""
    if not term:
        return False
    stands, mentioned = _patterns(term)
    count = len(stands.findall(text))
    return 0 < count == len(mentioned.findall(text))


@lru_cache(maxsize=4096)
def _patterns(term: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    word = re.escape(term)
    whole = rf"(?<!\w){word}(?!\w)"
    quoted = rf"[\"“‘«„](?:the |an? )?{word}[\"”’»“]|(?<!\w)'{word}'(?!\w)"
    named = rf"\b(?:{_NAMING})\s+[\"“‘«„']?{whole}"
    return re.compile(whole, re.IGNORECASE), re.compile(f"{quoted}|{named}", re.IGNORECASE)
