"""`http/FILE.yaml`: a model behind plain HTTP, declared in YAML; examples/http_target.yaml explains it.

The prompt is hostile text: it is put into the decoded request as a value, and never becomes part of a
template, an address or a header. So is the answer: what comes back is bounded, and an address in it is
followed only if it is http(s).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import Any

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.http import retry_after
from overt.data.targets import LayerDecision, Response
from overt.generation.images.http_file import (
    PLACEHOLDER,
    VARIABLE,
    Condition,
    ErrorRule,
    RefusalRule,
    read_http_file,
)
from overt.generation.images.jsonpath import Path, parse_path
from overt.generation.images.wire import Reply, Wire, failed, status_kind

MAX_IMAGES = 16  # of one answer
_MAX_FAULTS = 5  # failed polls in a row before the job is given up
_SHORTEST_SECRET = 4  # to take "-" or "no" out of every message would spoil it and hide nothing


class HTTPTarget:
    """A target that a YAML file declares.

    Args:
        file: the file's path.

    Raises:
        InputError: the file cannot be used (each problem with its line), or an environment variable that a
            header names is not set.
    """

    def __init__(self, file: str) -> None:
        self.name = f"http/{file}"
        self._file = read_http_file(file)
        self._layer = File(file).stem
        self._secrets: list[str] = []
        self._headers = {name: self._expanded(name, text) for name, text in self._file.headers.items()}
        # A secret may hold another: the longer one has to be taken out first.
        self._secrets.sort(key=len, reverse=True)
        self._host = _origin(self._file.url)
        self.modality = self._file.modality
        if self._file.max_concurrency is not None:
            self.max_concurrency = self._file.max_concurrency
        self._wire = Wire(self._file.timeout)

    async def respond(self, prompt: str, *, seed: int) -> Response:
        """One attempt: the request, the polls until the job is done, the pictures' own addresses."""
        started = time.monotonic()
        reply = await self._exchange(prompt.encode("utf-8", "replace").decode("utf-8"), seed)
        if isinstance(reply, CallError):
            response = Response(status=reply.status, message=reply.message, error=reply)
        else:
            response = await self._read(reply, seed)
        return self._clean(replace(response, latency_s=time.monotonic() - started))

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()

    # -- asking ---------------------------------------------------------------------------------------

    def _expanded(self, header: str, text: str) -> str:
        """A header's value with its environment variables put in."""
        mark = self._file.header_marks[header]

        def value(found: Any) -> str:
            variable = found[1]
            secret = os.environ.get(variable, "").strip()
            place = f"{mark.file}:{mark.line}:{mark.column}"
            if not secret:
                raise InputError(
                    f"headers.{header}: the environment variable {variable} is not set",
                    where=place,
                    fix=f"export {variable}=...",
                )
            if not secret.isprintable():
                raise InputError(
                    f"headers.{header}: {variable} holds a character that no header may hold", where=place
                )
            if len(secret) >= _SHORTEST_SECRET:
                self._secrets.append(secret)
            return secret

        return VARIABLE.sub(value, text)

    async def _exchange(self, prompt: str, seed: int) -> Reply | CallError:
        spec = self._file
        values = {"prompt": prompt, "seed": seed}
        url = spec.url
        if spec.query:
            filled = {name: str(fill(text, values)) for name, text in spec.query.items()}
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(filled)
        reply = await self._wire.send(
            spec.method,
            url,
            headers=self._headers,
            json_body=fill(spec.json_body, values),
            form={name: str(fill(text, values)) for name, text in spec.form.items()} or None,
        )
        return reply if isinstance(reply, CallError) or spec.poll is None else await self._finished(reply)

    async def _finished(self, reply: Reply) -> Reply | CallError:
        """The answer of the finished job, or one that already decides."""
        poll = self._file.poll
        assert poll is not None
        if self._decided(reply):
            return reply
        address = self._poll_address(reply.json())
        if isinstance(address, CallError):
            return address
        known = _origin(address) == self._host or urllib.parse.urlsplit(address).hostname in poll.hosts
        headers = self._headers if known else {}
        until, faults, wait = time.monotonic() + poll.max_s, 0, poll.every_s
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(wait, left))
            got = await self._wire.send("GET", address, headers=headers)
            wait = poll.every_s
            if isinstance(got, Reply) and self._decided(got):
                status = got.status
                if self._rule(got) is not None or not (status == 429 or status >= 500):
                    return got
            if isinstance(got, CallError) or got.status >= 400:
                # The job is paid for: a poll that fails is repeated before everything is begun anew.
                faults += 1
                if faults == _MAX_FAULTS:
                    return got
                asked = None if isinstance(got, CallError) else retry_after(got.headers)
                wait = max(poll.every_s, asked or 0.0)
            else:
                faults = 0
        return CallError("timeout", f"the job was not done in {poll.max_s:g} seconds")

    def _decided(self, reply: Reply) -> bool:
        poll = self._file.poll
        assert poll is not None
        if reply.status >= 300 or self._rule(reply) is not None:
            return True
        return any(_same(v, wanted) for v in poll.path.find(_json(reply)) for wanted in poll.values)

    def _poll_address(self, data: Any) -> str | CallError:
        poll = self._file.poll
        assert poll is not None
        if isinstance(poll.url, Path):
            url = poll.url.first(data)
            if not isinstance(url, str):
                return CallError("server", f"the answer holds no address at {poll.url.text}")
            return _absolute(self._file.url, url)
        missing = []

        def value(found: Any) -> str:
            part = parse_path(found[1]).first(data)
            if isinstance(part, bool) or not isinstance(part, (str, int)) or part in ("", ".", ".."):
                missing.append(found[1])
                return ""
            return urllib.parse.quote(str(part), safe="")

        url = PLACEHOLDER.sub(value, poll.url)
        return CallError("server", f"the answer holds nothing at {missing[0]}") if missing else url

    # -- reading --------------------------------------------------------------------------------------

    def _rule(self, reply: Reply) -> tuple[RefusalRule | ErrorRule, Any] | None:
        """The first rule that this answer meets, refusals before errors, with the value that it looked at."""
        data = _json(reply)
        rules: tuple[RefusalRule | ErrorRule, ...] = (*self._file.refusals, *self._file.errors)
        for rule in rules:
            met, value = meets(rule.when, reply, data)
            if met:
                return rule, value
        return None

    async def _read(self, reply: Reply, seed: int) -> Response:
        spec, data = self._file, _json(reply)
        rule, value = self._rule(reply) or (None, None)
        if isinstance(rule, RefusalRule):
            return await self._refused(rule, value, reply, data)
        message = self._message(reply, data)
        if isinstance(rule, ErrorRule):
            return failed(rule.kind, message, reply=reply)
        if reply.status >= 400:
            return failed(status_kind(reply.status), message, reply=reply)
        if reply.status >= 300:
            return failed("server", f"HTTP {reply.status} without an answer", reply=reply)
        text = spec.text.first(data) if spec.text else None
        text = text if isinstance(text, str) else ""
        images: tuple[bytes, ...] | CallError = ()
        if spec.encoding:
            images = await self._images(reply, data)
        if isinstance(images, CallError):
            return failed(images.kind, images.message, reply=reply)
        if not images and not text.strip():
            place = spec.image or spec.text
            what = "text" if spec.modality == "text" else "picture"
            why = f"the answer holds no {what}" + (f" at {place.text}" if place else "")
            return failed("server", f"{why}: {message}" if message else why, reply=reply)
        return self._filled(Response(images=images, text=text, status=reply.status), data, seed)

    def _filled(self, response: Response, data: Any, seed: int) -> Response:
        """With what else the answer tells."""
        spec = self._file
        revised = spec.revised_prompt.first(data) if spec.revised_prompt else None
        drawn = spec.seed.first(data) if spec.seed else None
        if isinstance(drawn, bool) or not isinstance(drawn, int):
            drawn = seed if spec.takes_seed else None
        return replace(response, revised_prompt=revised if isinstance(revised, str) else None, seed=drawn)

    async def _refused(self, rule: RefusalRule, value: Any, reply: Reply, data: Any) -> Response:
        code = rule.code.first(data) if isinstance(rule.code, Path) else rule.code
        if code is None:
            code = value
        if isinstance(code, bool) or not isinstance(code, (str, int)) or code == "":
            code = "refused"
        code = " ".join(str(code).split())[:100]
        # A flagged picture is evidence, if it came: what cannot be had of it changes nothing.
        images = await self._images(reply, data) if self._file.encoding and reply.status < 300 else ()
        return Response(
            images=() if isinstance(images, CallError) else images,
            status=reply.status,
            code=code,
            message=self._message(reply, data)[:500],
            layers=(LayerDecision(rule.layer or self._layer, rule.stage, True, reason=code),),
        )

    def _message(self, reply: Reply, data: Any) -> str:
        """The provider's words, where they usually stand; the beginning of a body that is no JSON."""
        if self._file.message is not None and isinstance(said := self._file.message.first(data), str):
            return said[:500]
        if isinstance(data, dict):
            for path in ("$.error.message", "$.error", "$.message", "$.detail", "$.errors[0]"):
                if isinstance(said := parse_path(path).first(data), str):
                    return said[:500]
            return ""
        if data is None and _picture_kind(reply.body) is None:
            start = reply.body[:400].decode("utf-8", "replace").strip()
            if start[:1] == "<":
                return f"a page instead of an answer: {start[:200]}"
            return f"no JSON: {start[:200]}" if start else "an empty body"
        return ""

    async def _images(self, reply: Reply, data: Any) -> tuple[bytes, ...] | CallError:
        spec = self._file
        if spec.encoding == "body":
            fault = broken(reply.body)
            return CallError("server", fault) if fault else (reply.body,)
        assert spec.image is not None
        values = [value for value in spec.image.find(data) if value not in (None, "")]
        if len(values) > MAX_IMAGES:
            return CallError("server", f"{len(values)} pictures in one answer")
        images = []
        for value in values:
            if not isinstance(value, str):
                return CallError("server", f"{spec.image.text} holds {type(value).__name__}, not a text")
            picture = await self._picture(value)
            if isinstance(picture, CallError):
                return picture
            if fault := broken(picture):
                return CallError("server", fault)
            images.append(picture)
        return tuple(images)

    async def _picture(self, value: str) -> bytes | CallError:
        if self._file.encoding == "base64" or value[:5].lower() == "data:":
            head, comma, rest = value.partition(",")
            body = rest if comma and head.lower().startswith("data:") else value
            try:
                return base64.b64decode("".join(body.split()).translate(_URL_SAFE), validate=True)
            except (binascii.Error, ValueError) as error:
                return CallError("server", f"the picture is not valid base64: {error}")
        url = _absolute(self._file.url, value)
        if isinstance(url, CallError):
            return url
        # The key is for the model's own host: pictures usually lie in somebody else's store.
        headers = self._headers if _origin(url) == self._host else {}
        got = await self._wire.send("GET", url, headers=headers)
        if isinstance(got, CallError):
            return got
        if got.status != 200:  # an expired address is no bad key, so a 403 here is no "auth"
            return CallError(
                "rate_limit" if got.status == 429 else "server",
                f"HTTP {got.status} where the picture should be",
                got.status,
            )
        return got.body

    # -- secrets --------------------------------------------------------------------------------------

    def _clean(self, response: Response) -> Response:
        """Without the keys, which some servers repeat in what they say."""
        if not self._secrets:
            return response
        error = response.error
        return replace(
            response,
            text=self._hidden(response.text),
            code=self._hidden(response.code),
            message=self._hidden(response.message),
            revised_prompt=None if response.revised_prompt is None else self._hidden(response.revised_prompt),
            layers=tuple(replace(layer, reason=self._hidden(layer.reason)) for layer in response.layers),
            error=None if error is None else replace(error, message=self._hidden(error.message)),
        )

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


# -- plain functions ---------------------------------------------------------------------------------------

_URL_SAFE = str.maketrans("-_", "+/")


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A decoded JSON template with its placeholders filled. A text that is one placeholder becomes the
    value itself, a number stays a number; what was put in is not looked at again."""
    if isinstance(template, dict):
        return {name: fill(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := PLACEHOLDER.fullmatch(template):
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


def meets(when: Condition, reply: Reply, data: Any) -> tuple[bool, Any]:
    """Whether an answer meets a condition, and the value that it looked at (None for the whole body)."""
    if when.status and reply.status not in when.status:
        return False, None
    if when.path is None and not when.header:
        if not when.contains:
            return True, None
        body = reply.body[: 1 << 20].decode("utf-8", "replace") if _picture_kind(reply.body) is None else ""
        return when.contains.casefold() in body.casefold(), None
    if when.path is not None:
        values = [value for value in when.path.find(data) if value is not None]
    else:
        values = [reply.headers[when.header]] if when.header in reply.headers else []
    if when.exists is False:
        return not values, None
    for value in values:
        if when.equals and not any(_same(value, wanted) for wanted in when.equals):
            continue
        if when.contains and not _holds(value, when.contains):
            continue
        return True, value
    return False, None


def broken(data: bytes) -> str:
    """Why these bytes are no whole picture, "" if they look like one. Nothing is decoded: a picture of
    30,000 x 30,000 pixels is small until it is opened."""
    kind = _picture_kind(data)
    if kind is None:
        start = data[:60].decode("utf-8", "replace").strip()
        return f"no picture: {start!r}" if data else "an empty body where the picture should be"
    tail = data[-(1 << 16) :]
    whole = {
        "PNG": b"IEND\xaeB`\x82" in tail,
        "JPEG": b"\xff\xd9" in tail,
        "GIF": data.rstrip(b"\0").endswith(b";"),
        "WEBP": len(data) >= 8 + int.from_bytes(data[4:8], "little"),
    }
    return "" if whole.get(kind, True) else f"the {kind} was cut off after {len(data):,} bytes"


def _picture_kind(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return "BMP" if data.startswith(b"BM") and len(data) > 26 else None


def _json(reply: Reply) -> Any:
    return reply.json() if _picture_kind(reply.body) is None else None


def _same(value: Any, wanted: Any) -> bool:
    """Equality as a person means it: case makes no difference, true is not 1."""
    if isinstance(value, str) and isinstance(wanted, str):
        return value.casefold() == wanted.casefold()
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _holds(value: Any, part: str) -> bool:
    if isinstance(value, list):
        return any(_same(entry, part) for entry in value)
    return isinstance(value, (str, int)) and part.casefold() in str(value).casefold()


def _absolute(base: str, url: str) -> str | CallError:
    """An address out of an answer, relative ones put onto the request's; http(s) alone is followed."""
    try:
        whole = urllib.parse.urljoin(base, url.strip())
        parts = urllib.parse.urlsplit(whole)
        allowed = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        allowed = False
    if not allowed or any(not c.isprintable() for c in whole):
        return CallError("server", f"the answer's address is no http(s) address: {url[:100]!r}")
    return whole


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port
