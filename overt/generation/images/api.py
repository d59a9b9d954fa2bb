"""What the providers' adapters share: one attempt under one clock, polling, result pictures, safe words."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from overt.data.chat import CallError, ErrorKind
from overt.data.codes import refusal_stage
from overt.data.errors import InputError
from overt.data.http import retry_after
from overt.data.targets import Response
from overt.generation.images.wire import Reply, Wire, failed, key_from, status_kind

_MAX_PICTURES = 8  # one is asked for
_SLOWEST_POLL_S = 5.0
_BROKEN_LOOKS = 3  # answers that are no JSON before a job is given up
_URL = re.compile(r"(https?://)([\w.:-]*)[^\s\"'<>]*", re.IGNORECASE)
_MASKED = re.compile(r"\S*\*{3,}\S*")  # providers show a key's ends
_PICTURE = re.compile(
    rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|GIF8|BM|II\*\0|MM\0\*|....ftyp|\xff\x0a", re.DOTALL
)
_TOO_LONG = re.compile(
    r"too[ _]long|max(imum)?[ _]length|at most \d+ characters|exceeds .*(token|character)", re.I
)


class ImageAPI:
    """The base of the adapters that speak HTTP; a subclass says in `_attempt` what one attempt is.

    Args:
        name: "provider/model".
        base_url: where the provider stands.
        api_key_env: the environment variable that holds the key; it is read once and never shown.
        timeout: seconds for one attempt, waiting for its job and fetching its pictures included.
        poll_s: seconds before the first look at a job; later looks come a little slower.

    Raises:
        InputError: no key, and the server is not on this machine; or `base_url` is no address.
    """

    provider: ClassVar[str]  # what the codes stand under in codes.yaml

    def __init__(
        self, name: str, *, base_url: str, api_key_env: str, timeout: float, poll_s: float = 1.0
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"{name}: base_url {base_url!r} is no http(s) address")
        self.name = name
        self._base = base_url.rstrip("/")
        self._key = key_from(api_key_env, name, base_url)
        self._timeout, self._poll_s = timeout, poll_s
        self._wire = Wire(timeout)

    async def respond(self, prompt: str, *, seed: int) -> Response:
        """One attempt. A job that was accepted is waited for: it is paid for whatever becomes of it."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._attempt(sendable(prompt), seed)
        except TimeoutError:
            response = failed("timeout", f"no result in {self._timeout:g} seconds")
        return replace(response, latency_s=time.perf_counter() - start)

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()

    async def _attempt(self, prompt: str, seed: int) -> Response:
        raise NotImplementedError

    # -- exchanges ------------------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply | Response:
        """One exchange: the answer whatever its status, or a response that holds the fault."""
        sent = await self._wire.send(method, url, headers=headers, json_body=body, form=form)
        return sent if isinstance(sent, Reply) else failed(sent.kind, self._words(sent.message))

    async def _poll(
        self, url: str, headers: Mapping[str, str], is_done: Callable[[Any], bool]
    ) -> Reply | Response:
        """The first answer whose JSON `is_done`, or one that says that there will be none.

        A look that fails costs nothing and the job goes on: limits, faults of the server and dropped
        connections are waited out; the attempt's clock ends the wait.
        """
        wait, broken = self._poll_s, 0
        while True:
            await asyncio.sleep(wait)
            reply = await self._wire.send("GET", url, headers=headers)
            wait = min(wait * 1.2, max(_SLOWEST_POLL_S, self._poll_s))
            if isinstance(reply, CallError):
                continue
            data = reply.json()
            if is_done(data):
                return reply
            if reply.status >= 400:
                if status_kind(reply.status) not in ("rate_limit", "server"):
                    return reply
                wait = max(wait, retry_after(reply.headers) or 0.0)
            elif data is None:
                broken += 1
                if broken == _BROKEN_LOOKS:
                    return reply

    async def _pictures(
        self, urls: Iterable[Any], headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, ...] | Response:
        """The pictures behind result addresses, byte for byte, or a response that holds the fault.

        `headers` (they hold the key) go along to the provider's own site only.
        """
        pictures = []
        for url in list(urls)[:_MAX_PICTURES]:
            if isinstance(url, str) and url.startswith("data:"):
                picture = decoded(url.partition(",")[2])
                if picture is None:
                    return failed("server", "the answer's picture is no base64")
                pictures.append(picture)
                continue
            # The address itself is not shown: it is signed, whoever has it has the picture.
            if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
                return failed("server", "the answer gives no http(s) address for its picture")
            own = headers if headers and self._is_own(url) else None
            reply = await self._send("GET", url, headers=own)
            if isinstance(reply, Response):
                return reply
            if reply.status != 200:
                # Not the key's fault: the address has its own signature. A new attempt brings a new one.
                return failed("server", f"the picture's address answered HTTP {reply.status}", reply=reply)
            if not _is_picture(reply):
                kind = reply.headers.get("content-type", "nothing known")[:80]
                return failed("server", f"the picture's address gave {kind}, no picture", reply=reply)
            pictures.append(reply.body)
        return tuple(pictures)

    def _is_own(self, url: str) -> bool:
        """Whether an address that came in an answer may be sent the key: it is of the provider's site."""
        try:
            own, other = urllib.parse.urlsplit(self._base), urllib.parse.urlsplit(url)
            host, other_host = own.hostname or "", other.hostname or ""
        except ValueError:
            return False
        if other.scheme != own.scheme or not other_host:
            return False
        if host == other_host:
            return True
        site, is_number = host.split(".")[-2:], host.replace(".", "").isdigit()
        return len(site) == 2 and not is_number and other_host.split(".")[-2:] == site

    # -- reading --------------------------------------------------------------------------------------

    def _turned_down(
        self,
        reply: Reply | None,
        code: str,
        message: str,
        *,
        kind: ErrorKind | None = None,
        wait: float | None = None,
        safety: Mapping[str, Any] | None = None,
    ) -> Response:
        """No picture: a refusal if codes.yaml has the code, else an error of `kind` (by default what the
        status means). `wait` is what the body says of Retry-After."""
        words = self._words(message)
        code = self._words(code)[:100]
        status = reply.status if reply else None
        if refusal_stage(self.provider, code):
            return Response(status=status, code=code, message=words, safety=safety or {})
        if kind is None:
            kind = "server" if reply is None or reply.status < 400 else status_kind(reply.status)
            if kind == "bad_request" and _TOO_LONG.search(words):
                kind = "too_long"
        response = failed(kind, words or f"HTTP {status}", reply=reply, code=code, safety=safety)
        if wait is not None and response.error is not None and response.error.retry_after is None:
            response = replace(response, error=replace(response.error, retry_after=wait))
        return response

    def _not_json(self, reply: Reply) -> Response:
        """An answer that is none, mostly a page of something that stands in between."""
        kind = status_kind(reply.status) if reply.status >= 400 else "server"
        if kind == "auth" and reply.status == 403:
            kind = "server"  # a firewall's page says nothing of the key
        what = reply.headers.get("content-type", "")[:80] or "nothing known"
        return failed(kind, f"HTTP {reply.status}, the body is no JSON object but {what}", reply=reply)

    def _words(self, text: object) -> str:
        """A provider's words without keys and without what stands behind the host in an address."""
        said = _URL.sub(r"\1\2/...", " ".join(str(text).split()))
        for part in {self._key, *self._key.split(":")}:
            if len(part) >= 6:
                said = said.replace(part, "[key]")
        return sendable(_MASKED.sub("[key]", said))[:500]


def decoded(text: object) -> bytes | None:
    """The bytes of a base64 text; None where it is none or empty."""
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def sendable(text: str) -> str:
    """Half a surrogate pair cannot be put into UTF-8; it goes out as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def dig(data: Any, *path: str | int) -> Any:
    """What stands at a path of keys and places in decoded JSON; None where there is no such place."""
    for step in path:
        if isinstance(step, str) and isinstance(data, dict):
            data = data.get(step)
        elif isinstance(step, int) and isinstance(data, list) and len(data) > step:
            data = data[step]
        else:
            return None
    return data


def entries(data: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list, none where it is no list."""
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def text_at(data: Any, *path: str | int) -> str:
    """The text at a path, "" where there is none."""
    value = dig(data, *path)
    return sendable(value) if isinstance(value, str) else ""


def count_at(data: Any, *path: str | int) -> int | None:
    """The whole number at a path, None where there is none."""
    value = dig(data, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def rewritten(prompt: str, other: str) -> str | None:
    """The prompt that a provider drew from, None where it is the one it was given."""
    return other if other.strip() and other.strip() != prompt.strip() else None


def given(**options: Any) -> dict[str, Any]:
    """The options that the user set; the others are the provider's to choose."""
    return {name: value for name, value in options.items() if value is not None and value != ""}


def _is_picture(reply: Reply) -> bool:
    if not reply.body:
        return False
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if _PICTURE.match(reply.body):
        return True
    page = reply.body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"{"))
    return kind.startswith("image/") and not page
