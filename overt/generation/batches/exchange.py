"""What all batch APIs share: exchanges, whose failures the shared vocabulary reads, and files of lines."""

from __future__ import annotations

import json
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import IO

from overt.data.chat import CallError
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first
from overt.data.provider.http import Mask, retry_after
from overt.data.provider.reader import Failed, judge, read_said
from overt.generation.transport import Reply, Transport, Upload

EXCHANGE_S = 1800.0  # seconds for one exchange: files have up to a hundred megabytes
# Statuses of an address that has no such method. A model or a file that is missing says 404 as well, but they
# are not asked for where this is read.
_NO_SUCH_METHOD = frozenset({404, 405, 410, 501})


class Exchanges:
    """The exchanges with one batch API.

    Args:
        service: selects the rows of vocabulary.yaml.
        headers: of every request.
    """

    def __init__(self, service: str, headers: Mapping[str, str], mask: Mask) -> None:
        self._service, self._mask = service, mask
        self._transport = Transport(EXCHANGE_S, headers)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        json: Json = None,
        form: Mapping[str, str | Upload] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        into: IO[bytes] | None = None,
    ) -> Reply | CallError:
        """A response below 300, or the error that it tells."""
        got = await self._transport.send(
            method, url, json=json, form=form, headers=headers, data=data, into=into
        )
        if isinstance(got, CallError):
            return replace(got, message=self._mask.words(got.message))
        return got if got.status < 300 else self.error(got)

    def error(self, got: Reply) -> CallError:
        """What a response that is none of 2xx tells."""
        verdict = judge(self._service, read_said(got.status, got.headers, got.data, got.text), missing="")
        if isinstance(verdict, Failed):
            error = verdict.error
        else:  # words of a refusal, but nothing of ours was refused: the batch was
            error = CallError("bad_request", got.text, got.status)
        wait = error.retry_after or retry_after(got.headers)
        return replace(error, message=self._mask.words(error.message), status=got.status, retry_after=wait)

    async def check(self, url: str) -> CallError | None:
        """An error where there is no batch API at this address of its list. Other failures are told when
        something is sent."""
        got = await self.ask("GET", url)
        if isinstance(got, CallError) and got.status in _NO_SUCH_METHOD:
            return CallError("bad_request", f"HTTP {got.status}: {got.message}", got.status)
        if isinstance(got, Reply) and got.object is None:
            return CallError("bad_request", "the list of batches is no JSON object", got.status)
        return None

    async def lines(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[JsonObject | CallError]:
        """The objects of a file of JSON lines, which goes to the disk first: pictures make it gigabytes."""
        with tempfile.TemporaryFile() as file:
            got = await self.ask("GET", url, headers=headers, into=file)
            if isinstance(got, CallError):
                yield got
                return
            file.seek(0)
            for found in objects(file):
                yield found

    async def close(self) -> None:
        await self._transport.close()


def objects(file: IO[bytes]) -> Iterator[JsonObject]:
    """The JSON objects of a file of lines; other lines are left out, so that their requests count as
    unanswered."""
    for line in file:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def reply_of(status: int, body: Json, request_id: str = "") -> Reply:
    """A response as a live call would have got it."""
    headers = {"content-type": "application/json", **({"x-request-id": request_id} if request_id else {})}
    return Reply(status, headers, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))


def host_of(url: str) -> str:
    return (urllib.parse.urlsplit(url).hostname or "").lower()


def count(data: Json, *paths: str) -> int | None:
    """A number of requests; Google writes it as a text."""
    found = first(data, *paths)
    if isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found[:12])
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def moment(value: Json) -> float | None:
    """Seconds since the epoch, of a number of them or of a time in ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value > 1e11 else float(value)  # some count in milliseconds
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
