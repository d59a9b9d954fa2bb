"""Refusal tokens: a token before the answer says whether it will be a refusal, and its probability is a knob.

After "Refusal Tokens" (arXiv 2412.06748). A model is trained on token + answer: a refuse token (one, or one
for each category) before refusals, the respond token before answers. At inference one forward pass gives the
tokens' probabilities, a rule chooses, and the model goes on behind the chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

RESPOND = "respond"  # the name of the token before answers
REFUSE = "refuse"  # the name of the only refuse token; with several each has its category's id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a model, name -> text as it is trained (" [refuse]": the leading blank matters).

    `refuse` has one token with the name `REFUSE`, or one for each category.
    """

    respond: str
    refuse: Mapping[str, str]

    @property
    def all(self) -> dict[str, str]:
        return {**self.refuse, RESPOND: self.respond}

    @property
    def is_single(self) -> bool:
        return tuple(self.refuse) == (REFUSE,)


@dataclass(frozen=True, slots=True)
class TokenShare:
    """A token's probability over the whole vocabulary, in 0..1. `is_bound`: the service listed only its most
    probable tokens and this one was not among them, so that it has at most this probability."""

    name: str
    p: float
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model wrote behind a token that the rule did not choose. `state`, `code`, `stage` and
    `evidence` are those of an outcome, by the same judge; `state` is None before it judged."""

    token: str
    text: str
    state: str | None = None
    code: str = ""
    stage: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a model with refusal tokens made of a prompt before it wrote.

    shares: of all its tokens. score: the probability of the refuse token (the highest one, of several): what
    a threshold is held against. top: the name of that token. mass: the probability of all tokens together;
    far below 1 the model does not use them. chosen: the name of the token that the answer goes on from, ""
    where the model went on with a word of its own. threshold: what decided, None: the model's own order did.
    others: what it wrote behind other tokens, where that was asked for.
    """

    shares: tuple[TokenShare, ...]
    score: float
    top: str
    mass: float
    chosen: str
    threshold: float | None = None
    others: tuple[Continuation, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """When a model refuses.

    threshold: for the only refuse token, and for categories without one of their own; None: none. each: by
    category. With categories the paper calls those with a threshold the selected ones.
    """

    threshold: float | None = None
    each: Mapping[str, float] | None = None

    def of(self, token: str) -> float | None:
        """The threshold for a refuse token, None where the model's own order decides."""
        return (self.each or {}).get(token, self.threshold)


def top_of(shares: tuple[TokenShare, ...]) -> TokenShare:
    """The most probable refuse token; of equal ones the first. A bound counts as a probability only if no
    token that was listed is above it.

    Raises:
        ValueError: there is no refuse token.
    """
    refuse = [share for share in shares if share.name != RESPOND]
    if not refuse:
        raise ValueError("there is no refuse token")
    return max(refuse, key=lambda share: (share.p, not share.is_bound))


def chosen_by(rule: Rule, shares: tuple[TokenShare, ...], own: str) -> tuple[str, float | None]:
    """The token that the rule of the paper chooses, and the threshold that decided (None: the model's order).

    One refuse token, with a threshold: refuse where p(refuse) >= threshold, a probability over the whole
    vocabulary. Without: refuse where p(refuse) >= p(respond); one that was not listed is below one that was.
    Several: the most probable one counts; with a threshold it is chosen where its p is at least that, else
    respond; without, the model goes on with its own most probable token.

    Args:
        own: the name of the model's own most probable token, "" where that is none of the tokens.
    """
    top = top_of(shares)
    threshold = rule.of(top.name)
    if threshold is not None:
        return (top.name if top.p >= threshold else RESPOND), threshold
    if top.name == REFUSE:
        respond = next((one for one in shares if one.name == RESPOND), TokenShare(RESPOND, 0.0))
        is_below = top.p < respond.p or (top.is_bound and not respond.is_bound)
        return (RESPOND if is_below else REFUSE), None
    return own, None
