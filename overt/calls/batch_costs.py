"""What calls by batch cost: the share of the live price, and at most how much before they are sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

from pydantic import Field

from overt.calls.costs import Price, Share, tokens_in
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import count_at
from overt.data.yaml.schema import Schema, parse_yaml

# Where a request says how many tokens its answer may have.
_LIMITS = ("$.max_tokens", "$.max_completion_tokens", "$.generationConfig.maxOutputTokens")
# Of an answer without a limit: what the dearest picture of gpt-image-1 counts (high quality, 1024x1536).
_TOKENS_WITHOUT_LIMIT: Final = 6_240
_TOKENS_PER_PICTURE: Final = 1_000
_PICTURE_CHARS: Final = 4_000  # a longer text without a blank is a picture in base64


class HostShare(Schema):
    share: Share = Field(description="Share of the live price.")
    source: str = Field(description="The page that says so.")


@cache
def _shares() -> dict[str, HostShare]:
    data = (resources.files("overt.calls") / "batch_prices.yaml").read_bytes()
    found: dict[str, HostShare] = parse_yaml(
        data, "batch_prices.yaml", dict[str, HostShare], what="price list of batches"
    )
    return found


def share_of(price: Price | None, host: str) -> float:
    """The share of its live price that a call by batch costs: as the user's price file says, else as the
    provider does, else all of it."""
    if price is not None and price.batch is not None:
        return price.batch
    known = (row.share for end, row in _shares().items() if host == end or host.endswith(f".{end}"))
    return next(known, 1.0)


def estimated_cost(price: Price | None, body: bytes) -> float:
    """US dollars of one live request at most: its texts, the longest answer that it allows, one picture. 0 if
    the price is unknown."""
    if price is None:
        return 0.0
    data: JsonObject = json.loads(body)
    given = (count for path in _LIMITS if (count := count_at(data, path)) is not None)
    answer = next(given, _TOKENS_WITHOUT_LIMIT)
    return price.cost(sum(map(_tokens, _texts(data))), answer, 1)


def _tokens(text: str) -> int:
    is_picture = len(text) > _PICTURE_CHARS and " " not in text[:_PICTURE_CHARS]
    return _TOKENS_PER_PICTURE if is_picture else tokens_in(text)


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
