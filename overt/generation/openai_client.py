"""What OpenAI's official client knows: the address, and the headers with key, organisation and project.

The exchange itself goes straight over aiohttp: the client's own request path takes two thirds of the CPU
time of a call, and at hundreds of calls a second that is the limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping


def openai_endpoint(path: str, *, key: str, base_url: str | None) -> tuple[str, dict[str, str]]:
    """The address of an endpoint, and the headers that every request to it needs.

    Args:
        path: behind the base address, as in "/chat/completions".
        key: "" for a server that needs none.
        base_url: None: OpenAI itself.
    """
    from openai import AsyncOpenAI  # takes a second

    client = AsyncOpenAI(api_key=key or "none", base_url=base_url)
    address, question, query = str(client.base_url).partition("?")
    known = (*client.default_headers.items(), *client.auth_headers.items())
    headers = {name: value for name, value in known if isinstance(value, str)}
    url = f"{address.rstrip('/')}{path}{question}{query}"
    return url, headers | {"Content-Type": "application/json"}


def encoded(body: Mapping[str, object]) -> bytes:
    """A request's body as the official client writes it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
