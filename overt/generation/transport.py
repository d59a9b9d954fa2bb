"""HTTP for chat models and picture services: bounded exchanges that return errors as data."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING

from overt.data.chat import CallError
from overt.data.json_types import Json, JsonObject
from overt.data.provider.http import REDIRECTS, redirected
from overt.data.secrets import masked

if TYPE_CHECKING:
    import aiohttp

MAX_BYTES = 64 << 20  # of one body; no requested picture comes near it
_QUOTED_BYTES = 2000
_MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Reply:
    """One HTTP response. Look up headers by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def data(self) -> Json:
        """The decoded body, or None if it is not JSON."""
        try:
            found: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found

    @property
    def object(self) -> JsonObject | None:
        """The body if it is a JSON object, or the first object of a list; else None."""
        data = self.data
        if isinstance(data, list) and data:  # Vertex AI wraps some errors in a list
            data = data[0]
        return data if isinstance(data, dict) else None

    @property
    def text(self) -> str:
        """The beginning of the body as text, for error messages."""
        return self.body[:_QUOTED_BYTES].decode("utf-8", "replace")

    @property
    def is_quoted_whole(self) -> bool:
        """Whether `text` is all of the body."""
        return len(self.body) <= _QUOTED_BYTES


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form."""

    name: str
    data: bytes
    media_type: str


class Transport:
    """An aiohttp session that opens on first use, on the loop that uses it.

    Args:
        timeout: seconds for one exchange.
        headers: sent with every request, but not where a redirect leaves the service.
    """

    def __init__(self, timeout: float = 120.0, headers: Mapping[str, str] | None = None) -> None:
        self._timeout, self._headers = timeout, dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Json = None,
        form: Mapping[str, str | Upload] | None = None,
        data: bytes | None = None,
        into: IO[bytes] | None = None,
    ) -> Reply | CallError:
        """Returns the response, whatever its status, or an error of kind "timeout", "connection" or "server"
        (a body larger than MAX_BYTES). `form` is sent as multipart/form-data, `data`
        unchanged. The body of a 200 is written to `into`, whatever its size; the response's own is empty.

        A GET follows redirects, without any headers once it leaves the service's own scheme, host and port.
        Any other method does not: it would become a GET, or send the prompt to a place that nobody named. It
        is an error of kind "bad_request", which says where the redirect pointed.
        """
        import aiohttp

        body: aiohttp.FormData | bytes | None = data
        if form is not None:
            body = aiohttp.FormData(default_to_multipart=True)
            for name, value in form.items():
                if isinstance(value, Upload):
                    body.add_field(name, value.data, filename=value.name, content_type=value.media_type)
                else:
                    body.add_field(name, value)
        sent: Mapping[str, str] = {**self._headers, **headers} if headers else self._headers
        for _ in range(_MOST_REDIRECTS + 1):
            reply = await self._exchange(method, url, sent, json, body, into)
            if isinstance(reply, CallError) or reply.status not in REDIRECTS:
                return reply
            target = absolute(url, reply.headers.get("location", ""))
            if isinstance(target, CallError):
                return replace(target, message="a redirect to no http(s) address", status=reply.status)
            if method != "GET":
                return CallError("bad_request", redirected(method, reply.status, target), reply.status)
            if not same_origin(url, target):
                sent = {}
            url = target
        return CallError("server", f"more than {_MOST_REDIRECTS} redirects in a row")

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        json: Json,
        body: aiohttp.FormData | bytes | None,
        into: IO[bytes] | None,
    ) -> Reply | CallError:
        import aiohttp

        try:
            async with self._open().request(
                method, url, headers=headers, json=json, data=body, allow_redirects=False
            ) as answer:
                if into is not None and answer.status == 200:
                    async for chunk in answer.content.iter_chunked(1 << 20):
                        into.write(chunk)
                    return Reply(answer.status, answer.headers, b"")
                found = await answer.content.readany()
                pieces, size = [found], len(found)
                while not answer.content.at_eof() and size <= MAX_BYTES:
                    pieces.append(await answer.content.readany())
                    size += len(pieces[-1])
                if size > MAX_BYTES:
                    return CallError("server", f"the answer is larger than {MAX_BYTES >> 20} MiB")
                return Reply(answer.status, answer.headers, b"".join(pieces))
        except TimeoutError:
            return CallError("timeout", f"no answer in {self._timeout:g} seconds")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return CallError("connection", f"{type(error).__name__}: {masked(str(error))[:300]}")

    async def close(self) -> None:
        if self._session is not None:
            with contextlib.suppress(Exception):
                await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The caller limits connections.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(self._timeout),
                # Looking for proxies is slow in every request.
                trust_env=bool(urllib.request.getproxies()),
            )
        return self._session


def absolute(base: str, url: str) -> str | CallError:
    """Resolves an address from a response against the service's; only http(s) is accepted."""
    try:
        whole = urllib.parse.urljoin(base, url.strip())
        parts = urllib.parse.urlsplit(whole)
        allowed = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port  # raises if it is no number
    except ValueError:
        allowed = False
    if not allowed or any(not c.isprintable() for c in whole):
        # The address may be signed, so it is not printed.
        return CallError("server", "the answer gives no http(s) address for its picture or its job")
    return whole


def same_site(base: str, url: str) -> bool:
    """Returns whether an address has the base's scheme and its host or one of the same site."""
    try:
        own, other = urllib.parse.urlsplit(base), urllib.parse.urlsplit(url)
        host, other_host = own.hostname or "", other.hostname or ""
    except ValueError:
        return False
    if other.scheme != own.scheme or not other_host:
        return False
    if host == other_host:
        return True
    site, is_number = host.split(".")[-2:], host.replace(".", "").isdigit()
    return len(site) == 2 and not is_number and other_host.split(".")[-2:] == site


def same_origin(base: str, url: str) -> bool:
    """Returns whether two addresses share scheme, host and port."""
    return _origin(base) == _origin(url)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


# -- OpenAI's client ---------------------------------------------------------------------------------------


def openai_endpoint(path: str, *, key: str, base_url: str | None) -> tuple[str, dict[str, str]]:
    """Returns the address of an endpoint and the headers of every request to it.

    Args:
        path: appended to the base address, as in "/chat/completions".
        key: "" if the server needs no key.
        base_url: None: OpenAI itself.
    """
    from openai import AsyncOpenAI  # slow to import: about a second

    client = AsyncOpenAI(api_key=key or "none", base_url=base_url)
    address, question, query = str(client.base_url).partition("?")
    known = (*client.default_headers.items(), *client.auth_headers.items())
    headers = {name: value for name, value in known if isinstance(value, str)}
    url = f"{address.rstrip('/')}{path}{question}{query}"
    return url, headers | {"Content-Type": "application/json"}


_BODIES = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encoded(body: Mapping[str, object]) -> bytes:
    """Encodes a request's body as OpenAI's client does."""
    return _BODIES.encode(body).encode()
