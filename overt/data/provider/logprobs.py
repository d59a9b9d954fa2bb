"""Reads the probabilities of an answer's first token, as OpenAI's chat protocol lists them.

`choices[0].logprobs.content[0].top_logprobs` has the most probable tokens, `{"token": ..., "logprob": ...}`
each: the natural logarithm of a probability over the whole vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject
from overt.data.refusal_tokens import Tokens, TokenShare


@dataclass(frozen=True, slots=True)
class TopTokens:
    """The tokens that a service listed for a place: text -> probability in 0..1.

    bound: the most that a token can have which is not among them.
    """

    listed: Mapping[str, float]
    bound: float

    @property
    def own(self) -> str:
        """The text of the most probable token."""
        return max(self.listed, key=lambda text: self.listed[text])

    def shares(self, tokens: Tokens) -> tuple[TokenShare, ...]:
        """The probability of each token, or its bound."""
        return tuple(
            TokenShare(name, self.listed[text]) if text in self.listed else TokenShare(name, self.bound, True)
            for name, text in tokens.all.items()
        )


def read_top(data: Json) -> TopTokens | None:
    """The tokens that are listed for the first place of an answer; None where there are none."""
    first = _inside(data, "choices", 0, "logprobs", "content", 0)
    top = _inside(first, "top_logprobs")
    listed: dict[str, float] = {}
    if not isinstance(top, list):
        return None
    for text, p in filter(None, map(_share, top)):
        listed[text] = max(p, listed.get(text, 0.0))
    if not listed:
        return None
    # Some services list the token that was drawn among them, however improbable it is: it bounds nothing.
    drawn = _inside(first, "token")
    ranked = [p for text, p in listed.items() if text != drawn] or list(listed.values())
    left = max(0.0, 1.0 - sum(listed.values()))
    return TopTokens(listed, min(*ranked, left))


def _inside(data: Json, *steps: str | int) -> Json:
    """What lies in JSON data behind names and places; None if nothing does."""
    for step in steps:
        if isinstance(step, str):
            data = data.get(step) if isinstance(data, dict) else None
        else:
            data = data[step] if isinstance(data, list) and step < len(data) else None
    return data


def _share(entry: Json) -> tuple[str, float] | None:
    found: JsonObject = entry if isinstance(entry, dict) else {}
    text, logprob = found.get("token"), found.get("logprob")
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return (text, min(1.0, math.exp(min(logprob, 0.0)))) if not math.isnan(logprob) else None
