"""The response behind a refusal or an error, as it is kept to be read again by a better vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping

from overt.data.chat import RawResponse
from overt.data.json_types import Json
from overt.data.provider.http import Mask

MOST_CHARS = 16_000  # of a body; error bodies have a few hundred
_TEXT_CHARS = 6000  # of one text in it; the black picture of a refusal has more
_DEPTH = 40

_HEADERS = ("content-type", "retry-after", "retry-after-ms", "x-fal-error-type", "x-fal-retryable")
_HEADERS_LIKE = ("ratelimit", "rate-limit", "errortype", "request-id")


def kept(
    status: int, headers: Mapping[str, str], data: Json, text: str, mask: Mask, *, is_whole: bool = True
) -> RawResponse:
    """What is kept of a response: no key, no path of an address, at most MOST_CHARS of the body.

    Args:
        headers: with names in lower case.
        data: the decoded body, None if it is not JSON.
        text: the body as text, or its beginning; used where there is no JSON.
        is_whole: whether `text` is all of the body.
    """
    body = text if data is None else json.dumps(_masked(data, mask), ensure_ascii=False)
    body = mask.whole(body) if data is None else body
    return RawResponse(
        status,
        {name.lower(): mask.whole(value) for name, value in headers.items() if _says_something(name)},
        body[:MOST_CHARS],
        len(body) <= MOST_CHARS and (is_whole or data is not None),
    )


def reread(raw: RawResponse) -> Json:
    """The decoded body of a kept response, or None if it is not JSON."""
    if not raw.is_whole:
        return None
    try:
        data: Json = json.loads(raw.body)
    except (ValueError, RecursionError):
        return None
    return data


def _masked(value: Json, mask: Mask, depth: int = 0) -> Json:
    """Masks and shortens each text on its own, so that the body stays JSON."""
    if depth > _DEPTH:
        return None
    if isinstance(value, str):
        return mask.whole(value[:_TEXT_CHARS])
    if isinstance(value, dict):
        return {mask.whole(name): _masked(inner, mask, depth + 1) for name, inner in value.items()}
    return [_masked(inner, mask, depth + 1) for inner in value] if isinstance(value, list) else value


def _says_something(name: str) -> bool:
    name = name.lower()
    return name in _HEADERS or any(part in name for part in _HEADERS_LIKE)
