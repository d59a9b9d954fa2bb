"""Reads the probabilities of an answer's first token, as OpenAI's chat protocol lists them.

`choices[0].logprobs.content[0].top_logprobs` has the most probable tokens, `{"token": ..., "logprob": ...,
"bytes": ...}` each: the natural logarithm of a probability over the whole vocabulary. Services spell tokens
in several ways: the bytes, where they are there, say it best.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from overt.data.json_types import Json, JsonObject
from overt.data.refusal_tokens import Tokens, TokenShare

_BLANKS = "\u0120\u2581"  # how vocabularies write a leading blank: byte-level ones, and SentencePiece


@dataclass(frozen=True, slots=True)
class TopTokens:
    """The tokens that a service listed for a place: text -> probability in 0..1.

    bound: the most that a token can have which is not among them.
    """

    listed: Mapping[str, float]
    bound: float

    def own(self, tokens: Tokens) -> str:
        """The name of the most probable token, "" where that is none of these."""
        most = max(self.listed, key=lambda text: self.listed[text])
        return next((name for name, text in tokens.all.items() if self._listed_as(text) == most), "")

    def shares(self, tokens: Tokens) -> tuple[TokenShare, ...]:
        """The probability of each token, or its bound."""
        return tuple(self._share(name, text) for name, text in tokens.all.items())

    def _share(self, name: str, text: str) -> TokenShare:
        if (listed := self._listed_as(text)) is not None:
            return TokenShare(name, self.listed[listed])
        # Some services leave out a token's leading blank, and the text of a special token altogether: what is
        # listed may then be this token.
        bare = text.strip()
        perhaps = (p for other, p in self.listed.items() if _bare(other) in ("", bare))
        return TokenShare(name, max(self.bound, *perhaps, 0.0), True)

    def _listed_as(self, text: str) -> str | None:
        """The spelling in which a token is listed, None if it is not."""
        spellings = (text, *(text.replace(" ", mark) for mark in _BLANKS))
        return next((one for one in spellings if one in self.listed), None)


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
    drawn = _text(first)
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
    text, logprob = _text(found), found.get("logprob")
    if text is None or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    # At -1e4 it is 0, and an integer may be too long for a float.
    p = math.exp(min(max(logprob, -1e4), 0.0))
    return None if math.isnan(p) else (text, p)


def _text(entry: Json) -> str | None:
    """The text of a token. Where its bytes are only a part of a letter, the service's own spelling."""
    data, text = _inside(entry, "bytes"), _inside(entry, "token")
    if isinstance(data, list) and data and all(isinstance(one, int) and 0 <= one < 256 for one in data):
        with contextlib.suppress(UnicodeDecodeError):
            return bytes(cast("list[int]", data)).decode("utf-8")
    return text if isinstance(text, str) else None


def _bare(text: str) -> str:
    return text.strip(f"{_BLANKS} \t\r\n")
