"""HTTP for chat models and picture services: one exchange, its size bounded, faults as data."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from overt.data.chat import CallError
from overt.data.json_types import Json, JsonObject

if TYPE_CHECKING:
    import aiohttp

MAX_BYTES = 64 << 20  # of one body; no picture that was asked for comes near it
_QUOTED_BYTES = 2000


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. Headers are looked up by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def data(self) -> Json:
        """The decoded body, None where it is no JSON."""
        try:
            found: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found

    @property
    def object(self) -> JsonObject | None:
        """The JSON object that the body is, or that begins its list; None where there is none."""
        data = self.data
        if isinstance(data, list) and data:  # Vertex AI wraps some errors in a list
            data = data[0]
        return data if isinstance(data, dict) else None

    @property
    def text(self) -> str:
        """The beginning of the body as text, to quote from."""
        return self.body[:_QUOTED_BYTES].decode("utf-8", "replace")


class Transport:
    """An aiohttp session that opens when it is first used, on the loop that uses it.

    Args:
        timeout: seconds for one exchange.
        headers: they go along with every request.
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
        form: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply | CallError:
        """One exchange: the answer whatever its status, or an error of kind "timeout", "connection" or
        "server" (a body larger than MAX_BYTES). `form` goes out as multipart/form-data, `data` as it is."""
        import aiohttp

        body: aiohttp.FormData | bytes | None = data
        if form is not None:
            body = aiohttp.FormData(default_to_multipart=True)
            for name, value in form.items():
                body.add_field(name, value)
        try:
            async with self._open().request(
                method,
                url,
                headers=headers,
                json=json,
                data=body,
                # A redirect would carry a key in a header of the provider's own on to another host.
                allow_redirects=not (headers or self._headers),
            ) as answer:
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
            return CallError("connection", f"{type(error).__name__}: {str(error)[:300]}")

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            with contextlib.suppress(Exception):
                await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                # How many connections there are is the caller's business.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(self._timeout),
                # Looking for proxies takes two threads' time in every request.
                trust_env=bool(urllib.request.getproxies()),
            )
        return self._session


def absolute(base: str, url: str) -> str | CallError:
    """An address out of an answer, relative ones put onto the service's; http(s) alone is followed."""
    try:
        whole = urllib.parse.urljoin(base, url.strip())
        parts = urllib.parse.urlsplit(whole)
        allowed = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        allowed = False
    if not allowed or any(not c.isprintable() for c in whole):
        # The address itself is not shown: it may be signed.
        return CallError("server", "the answer gives no http(s) address for its picture or its job")
    return whole


def same_site(base: str, url: str) -> bool:
    """Whether an address has the scheme of the base and its host or one of the same site."""
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
    """Whether two addresses have one scheme, host and port."""
    return _origin(base) == _origin(url)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


# -- the official client -------------------------------------------------------------------------------------


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
