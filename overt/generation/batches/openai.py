"""The batch API of OpenAI and of endpoints that copy it: `/files`, `/batches`, `/files/ID/content`.

Documented at https://platform.openai.com/docs/guides/batch; the fields are those of `openai.types.Batch`.
Each line of the result has the status and the body that a live call would have got: rejected requests too,
in the file of errors. A line's own `error` stands where there was no response: the time was up, or it was
cancelled. Groq (https://console.groq.com/docs/batch) and Azure are alike; Together, Mistral and xAI have
other protocols.
"""

from __future__ import annotations

import asyncio
import io
import re
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from typing import Final

from overt.data.batch import BatchState, Line, State
from overt.data.chat import CallError, ErrorKind
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, object_at, objects_at, text_at
from overt.data.provider.http import Mask
from overt.generation.batches.exchange import Exchanges, count, host_of, moment, reply_of
from overt.generation.transport import Reply, Upload, openai_endpoint

# All other words are those of a batch that goes on.
_STATES: Final[dict[str, State]] = {
    "completed": "ended",
    "expired": "expired",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "failed": "failed",
}
# Codes of a failed batch that will be taken once others have ended.
_FULL = frozenset({"token_limit_exceeded", "request_limit_exceeded"})
_FULL_WORDS = re.compile(r"enqueued token limit|too many (?:enqueued|in.progress)", re.IGNORECASE)
# A line's own errors. One that a cancelled batch left undone is no failure of the request.
_UNDONE = "batch_cancelled"
_ERRORS: Final[dict[str, ErrorKind]] = {"batch_expired": "timeout", "request_timeout": "timeout"}
_MARK = "overt"  # the name of our label in the metadata
_MOST_PAGES = 20  # of the list, a hundred batches each, in which ours is looked for
_MOST_PROBLEMS = 5
# Azure's older addresses name the deployment; its batches stand beside them, and the body names it instead.
_DEPLOYMENT = re.compile(r"(?P<head>.*?/openai)/deployments/(?P<name>[^/?]+)[^?]*(?P<query>\?.*)?$")
_READY_S = 2.0  # between two looks at a file that Azure has not imported yet
_MOST_LOOKS = 150


class OpenAIBatches:
    """The batch API beside an OpenAI-compatible endpoint.

    Args:
        path: of the requests, such as /chat/completions.
        key, base_url: as `openai_endpoint` takes them.
    """

    limit = 50_000
    max_bytes = 95_000_000  # OpenAI takes 200 MB, some of those that copy it 100

    def __init__(self, path: str, *, key: str, base_url: str | None, mask: Mask) -> None:
        self._path, self._model = f"/v1{path}", ""
        if found := _DEPLOYMENT.match(base_url or ""):
            base_url = found["head"] + (found["query"] or "")
            self._path, self._model = path, urllib.parse.unquote(found["name"])
        address, headers = openai_endpoint("", key=key, base_url=base_url)
        self._address, _, self._query = address.partition("?")
        headers.pop("Content-Type", None)  # of each exchange its own
        self._exchanges = Exchanges("openai", headers, mask)
        self.host = host_of(self._url("/batches"))

    async def check(self) -> CallError | None:
        return await self._exchanges.check(self._url("/batches", limit="1"))

    async def upload(self, lines: Sequence[Line], label: str) -> str | CallError:
        content = io.BytesIO()
        for line in lines:
            content.write(self._line(line))
        got = await self._exchanges.ask(
            "POST",
            self._url("/files"),
            form={
                "purpose": "batch",
                "file": Upload(f"{label}.jsonl", content.getvalue(), "application/jsonl"),
            },
        )
        if isinstance(got, CallError):
            return got
        name = text_at(got.data, "$.id")
        return await self._imported(name, got) if name else CallError("server", "the file got no id")

    async def create(self, lines: Sequence[Line], file: str, label: str) -> BatchState | CallError:
        body: Json = {
            "input_file_id": file,
            "endpoint": self._path,
            "completion_window": "24h",
            "metadata": {_MARK: label},
        }
        return self._read(await self._exchanges.ask("POST", self._url("/batches"), json=body))

    async def find(self, label: str, file: str) -> BatchState | CallError | None:
        after: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            got = await self._exchanges.ask("GET", self._url("/batches", limit="100", **after))
            if isinstance(got, CallError):
                return got
            there = objects_at(got.data, "$.data[*]")
            for batch in there:
                marked = text_at(batch, f"$.metadata.{_MARK}") == label
                if marked or (file and text_at(batch, "$.input_file_id") == file):
                    return _state(batch)
            if not there or first(got.data, "$.has_more") is not True:
                break
            after = {"after": text_at(there[-1], "$.id")}
        return None

    async def look(self, id: str) -> BatchState | CallError:
        return self._read(await self._exchanges.ask("GET", self._url(f"/batches/{_quoted(id)}")))

    async def cancel(self, id: str) -> CallError | None:
        got = await self._exchanges.ask("POST", self._url(f"/batches/{_quoted(id)}/cancel"))
        return got if isinstance(got, CallError) else None

    async def results(self, state: BatchState) -> AsyncIterator[tuple[str, Reply | CallError] | CallError]:
        for file in state.results:
            async for line in self._exchanges.lines(self._url(f"/files/{_quoted(file)}/content")):
                if isinstance(line, CallError):
                    yield line
                    return
                if (found := _result(line)) is not None:
                    yield found

    async def close(self) -> None:
        await self._exchanges.close()

    # -- one exchange ---------------------------------------------------------------------------------

    def _url(self, path: str, **query: str) -> str:
        parts = "&".join(filter(None, (self._query, urllib.parse.urlencode(query))))
        return f"{self._address}{path}{'?' if parts else ''}{parts}"

    def _line(self, line: Line) -> bytes:
        body = line.body
        if self._model:  # Azure knows the deployment by it
            name = urllib.parse.quote(self._model, safe="-_.~ ").encode()
            body = re.sub(rb'^\{"model":"(?:[^"\\]|\\.)*"', b'{"model":"' + name + b'"', body)
        head = f'{{"custom_id":"{line.id}","method":"POST","url":"{self._path}","body":'
        return head.encode() + body + b"}\n"

    async def _imported(self, name: str, got: Reply) -> str | CallError:
        """The name of the file once it can be used: Azure reads it first."""
        for _ in range(_MOST_LOOKS):
            status = text_at(got.data, "$.status").lower()
            if status == "error":
                why = text_at(got.data, "$.status_details", "$.error.message")
                return CallError("bad_request", f"the file was not taken: {why}")
            if status not in ("pending", "running", "notrunning"):
                break
            await asyncio.sleep(_READY_S)
            found = await self._exchanges.ask("GET", self._url(f"/files/{_quoted(name)}"))
            if isinstance(found, CallError):
                return found
            got = found
        return name

    def _read(self, got: Reply | CallError) -> BatchState | CallError:
        if isinstance(got, CallError):
            return got
        state = _state(got.object or {})
        return state if state.id else CallError("server", "the answer holds no batch", got.status)


def _state(batch: JsonObject) -> BatchState:
    said = text_at(batch, "$.status").lower()
    errors = objects_at(batch, "$.errors.data[*]")
    codes = {text_at(error, "$.code") for error in errors}
    problems = tuple(_problem(error) for error in errors[:_MOST_PROBLEMS])
    state = _STATES.get(said, "open")
    full = state == "failed" and (bool(codes & _FULL) or any(map(_FULL_WORDS.search, problems)))
    files = (text_at(batch, "$.output_file_id"), text_at(batch, "$.error_file_id"))
    return BatchState(
        text_at(batch, "$.id"),
        state,
        said or "state unknown",
        count(batch, "$.request_counts.total") or None,
        count(batch, "$.request_counts.completed"),
        count(batch, "$.request_counts.failed"),
        moment(first(batch, "$.created_at")),
        moment(first(batch, "$.expires_at")),
        problems,
        full,
        tuple(filter(None, files)),
    )


def _problem(error: JsonObject) -> str:
    line = count(error, "$.line")
    words = text_at(error, "$.message") or text_at(error, "$.code") or "no reason was given"
    return f"{words} (line {line})" if line is not None else words


def _result(line: JsonObject) -> tuple[str, Reply | CallError] | None:
    """The response in one line of a result; None of a request that was left undone."""
    id = text_at(line, "$.custom_id")
    response, error = object_at(line, "$.response"), object_at(line, "$.error")
    status, body = count(response, "$.status_code"), response.get("body")
    code = text_at(error, "$.code")
    if not id or code == _UNDONE:
        return None
    if body is None and error:
        if status is None or status < 300:
            return id, CallError(_ERRORS.get(code, "server"), text_at(error, "$.message") or code)
        body = {"error": error}
    if body is None:
        return id, CallError("server", "the line of the result holds no response", status)
    return id, reply_of(status or 200, body, text_at(response, "$.request_id"))


def _quoted(id: str) -> str:
    return urllib.parse.quote(id, safe="-_.~")
