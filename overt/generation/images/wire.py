"""Plain HTTP for the providers without a well-kept SDK: one attempt, its size bounded, faults as data."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overt.data.chat import CallError, ErrorKind
from overt.data.errors import InputError
from overt.data.http import is_local, retry_after
from overt.data.targets import Response

MAX_BYTES = 64 << 20  # of one body; no picture that was asked for comes near it


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body, None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Wire:
    """An aiohttp session that opens when first used, on the loop that uses it.

    Args:
        timeout: seconds for one whole exchange, polling not counted.
    """

    def __init__(self, timeout: float = 120.0) -> None:
        self._timeout = timeout
        self._session: Any = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json_body: Any = None,
        form: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Reply | CallError:
        """One exchange: the answer whatever its status, or an error of kind "timeout", "connection" or
        "server" (a body larger than `max_bytes`). `form` goes out as multipart/form-data."""
        import aiohttp

        if self._session is None:
            # The number of connections is the caller's business.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(self._timeout)
            )
        data: Any = None
        if form is not None:
            data = aiohttp.FormData(default_to_multipart=True)
            for name, value in form.items():
                data.add_field(name, value)
        try:
            # A redirect would carry a key in a header of the provider's own on to another host.
            async with self._session.request(
                method,
                url,
                headers=dict(headers or {}),
                json=json_body,
                data=data,
                allow_redirects=not headers,
            ) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > max_bytes:
                        return CallError("server", f"the answer is larger than {max_bytes >> 20} MiB")
                names = {k.lower(): v for k, v in answer.headers.items()}
                return Reply(answer.status, names, bytes(body))
        except TimeoutError:
            return CallError("timeout", f"no answer in {self._timeout:g} seconds")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return CallError("connection", f"{type(error).__name__}: {str(error)[:300]}")

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            with contextlib.suppress(Exception):
                await self._session.close()
            self._session = None


def key_from(variable: str, name: str, base_url: str) -> str:
    """The key in an environment variable; "" for a server on this machine, which needs none.

    Raises:
        InputError: it is not set.
    """
    key = os.environ.get(variable, "")
    if not key and not is_local(base_url):
        raise InputError(
            f"no key for {name}: the environment variable {variable} is not set",
            fix=f"export {variable}=...   (another variable: {name}?api_key_env=NAME)",
        )
    return key


def status_kind(status: int) -> ErrorKind:
    """What an HTTP status means where the body says nothing better."""
    if status == 401 or status == 403:
        return "auth"
    if status == 402:
        return "billing"
    if status == 429:
        return "rate_limit"
    if status in (408, 409, 425) or status >= 500:
        return "server"
    return "too_long" if status == 413 else "bad_request"


def failed(
    kind: ErrorKind,
    message: str,
    *,
    reply: Reply | None = None,
    code: str = "",
    safety: Mapping[str, Any] | None = None,
) -> Response:
    """A response that holds an error and nothing else; message and code as the provider said them."""
    words = " ".join(message.split())[:500]
    error = CallError(
        kind, words, reply.status if reply else None, retry_after(reply.headers) if reply else None
    )
    return Response(
        status=reply.status if reply else None, code=code, message=words, safety=safety or {}, error=error
    )
