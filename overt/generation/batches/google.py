"""The batch API of Gemini: `models/M:batchGenerateContent`, `batches/ID`, and the Files API for the requests.

Documented at https://ai.google.dev/gemini-api/docs/batch-api and https://ai.google.dev/api/batch-api. A line
of the result is a response of `generateContent`, or a status of gRPC. To begin a batch is not idempotent: two
equal requests begin two. An expired one has no results.
"""

from __future__ import annotations

import io
import json
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from typing import Final

from overt.data.batch import BatchState, Line, State
from overt.data.chat import CallError
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, object_at, objects_at, text_at
from overt.data.provider.http import Mask
from overt.generation.batches.exchange import Exchanges, count, host_of, moment, reply_of
from overt.generation.transport import Reply, absolute, same_site

# After BATCH_STATE_ or JOB_STATE_: both stand in the documentation. All others: it goes on.
_STATES: Final[dict[str, State]] = {
    "SUCCEEDED": "ended",
    "PARTIALLY_SUCCEEDED": "ended",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
# HTTP statuses of gRPC's codes, and their names (https://github.com/googleapis/googleapis, rpc/code.proto).
_GRPC: Final[dict[int, tuple[int, str]]] = {
    1: (499, "CANCELLED"),
    2: (500, "UNKNOWN"),
    3: (400, "INVALID_ARGUMENT"),
    4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"),
    7: (403, "PERMISSION_DENIED"),
    8: (429, "RESOURCE_EXHAUSTED"),
    9: (400, "FAILED_PRECONDITION"),
    10: (409, "ABORTED"),
    11: (400, "OUT_OF_RANGE"),
    12: (501, "UNIMPLEMENTED"),
    13: (500, "INTERNAL"),
    14: (503, "UNAVAILABLE"),
    16: (401, "UNAUTHENTICATED"),
}
_CANCELLED, _FULL = 1, 8
_MOST_INLINE = 20  # requests that are sent in the body: the pictures come back in one, too
_INLINE_BYTES = 15_000_000  # the documented limit of the body is 20 MB
_MOST_PAGES = 20


class GoogleBatches:
    """The batch API of one Gemini model.

    Args:
        base_url: of the Gemini API, such as https://generativelanguage.googleapis.com/v1beta
        headers: with the key.
    """

    limit = 50_000
    max_bytes = 1_900_000_000  # of a file; 2 GB are documented

    def __init__(self, model: str, *, base_url: str, headers: dict[str, str], mask: Mask) -> None:
        self._model, self._base = model, base_url.rstrip("/")
        self.host = host_of(base_url)
        self._exchanges = Exchanges("google", headers, mask)

    async def check(self) -> CallError | None:
        return await self._exchanges.check(f"{self._base}/batches?pageSize=1")

    async def upload(self, lines: Sequence[Line], label: str) -> str | CallError:
        if len(lines) <= _MOST_INLINE and sum(len(line.body) for line in lines) <= _INLINE_BYTES:
            return ""
        content = io.BytesIO()
        for line in lines:
            content.write(f'{{"key":"{line.id}","request":'.encode() + line.body + b"}\n")
        data = content.getvalue()
        began = await self._exchanges.ask(
            "POST",
            self._beside("upload", "files"),
            headers={
                "X-Goog-Upload-Protocol": "resumable",
                "X-Goog-Upload-Command": "start",
                "X-Goog-Upload-Header-Content-Length": str(len(data)),
                "X-Goog-Upload-Header-Content-Type": "application/jsonl",
            },
            json={"file": {"display_name": label}},
        )
        if isinstance(began, CallError):
            return began
        url = absolute(self._base, began.headers.get("x-goog-upload-url", ""))
        if isinstance(url, CallError) or not same_site(self._base, url):
            return CallError("server", "the answer gives no address of the same site for the file")
        got = await self._exchanges.ask(
            "POST",
            url,
            headers={"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"},
            data=data,
        )
        if isinstance(got, CallError):
            return got
        return text_at(got.data, "$.file.name") or CallError("server", "the file got no name")

    async def create(self, lines: Sequence[Line], file: str, label: str) -> BatchState | CallError:
        source: Json = {"file_name": file}
        if not file:
            requests: list[Json] = [
                {"request": json.loads(line.body), "metadata": {"key": line.id}} for line in lines
            ]
            source = {"requests": {"requests": requests}}
        body: Json = {"batch": {"display_name": label, "input_config": source}}
        url = f"{self._base}/models/{self._model}:batchGenerateContent"
        return _read(await self._exchanges.ask("POST", url, json=body))

    async def find(self, label: str, file: str) -> BatchState | CallError | None:
        token = ""
        for _ in range(_MOST_PAGES):
            query = urllib.parse.urlencode({"pageSize": "100", **({"pageToken": token} if token else {})})
            got = await self._exchanges.ask("GET", f"{self._base}/batches?{query}")
            if isinstance(got, CallError):
                return got
            for batch in objects_at(got.data, "$.operations[*]"):
                if text_at(batch, "$.metadata.displayName") == label:
                    return _state(batch)
            if not (token := text_at(got.data, "$.nextPageToken")):
                break
        return None

    async def look(self, id: str) -> BatchState | CallError:
        return _read(await self._exchanges.ask("GET", f"{self._base}/{_named(id)}"))

    async def cancel(self, id: str) -> CallError | None:
        got = await self._exchanges.ask("POST", f"{self._base}/{_named(id)}:cancel")
        return got if isinstance(got, CallError) else None

    async def results(self, state: BatchState) -> AsyncIterator[tuple[str, Reply | CallError] | CallError]:
        if state.results:
            for file in state.results:
                url = self._beside("download", f"{_named(file)}:download?alt=media")
                async for line in self._exchanges.lines(url):
                    if isinstance(line, CallError):
                        yield line
                        return
                    if (found := _result(line)) is not None:
                        yield found
            return
        got = await self._exchanges.ask("GET", f"{self._base}/{_named(state.id)}")
        if isinstance(got, CallError):
            yield got
            return
        for line in _inline(got.data):
            if (found := _result(line)) is not None:
                yield found

    async def close(self) -> None:
        await self._exchanges.close()

    def _beside(self, service: str, path: str) -> str:
        """An address of the Files API: https://HOST/upload/v1beta/files"""
        parts = urllib.parse.urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}/{service}{parts.path}/{path}"


def _read(got: Reply | CallError) -> BatchState | CallError:
    if isinstance(got, CallError):
        return got
    state = _state(got.object or {})
    return state if state.id else CallError("server", "the answer holds no batch", got.status)


def _state(batch: JsonObject) -> BatchState:
    meta, error = object_at(batch, "$.metadata"), object_at(batch, "$.error")
    said = text_at(meta, "$.state") or text_at(batch, "$.state")
    word = said.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    state: State = _STATES.get(word, "open")
    code = count(error, "$.code")
    if error and state == "open":  # an operation that ended without a state
        state = "cancelled" if code == _CANCELLED else "failed"
    done, failed = (count(meta, f"$.batchStats.{name}RequestCount") for name in ("successful", "failed"))
    file = text_at(batch, "$.response.responsesFile", "$.metadata.output.responsesFile")
    return BatchState(
        text_at(batch, "$.name"),
        state,
        word.lower() or "state unknown",
        count(meta, "$.batchStats.requestCount"),
        done,
        failed,
        moment(first(meta, "$.createTime")),
        None,
        (text_at(error, "$.message") or "no reason was given",) if error else (),
        state == "failed" and code in (_FULL, 429),
        (file,) if file else (),
    )


def _inline(batch: Json) -> list[JsonObject]:
    places = ("$.response.inlinedResponses", "$.metadata.output.inlinedResponses")
    found = object_at(batch, *places)
    return objects_at(found, "$.inlinedResponses[*]") or objects_at(batch, f"{places[0]}[*]")


def _result(line: JsonObject) -> tuple[str, Reply | CallError] | None:
    """The response in one line of a result; None of a request that was left undone."""
    id = text_at(line, "$.key", "$.metadata.key")
    response, error = object_at(line, "$.response"), object_at(line, "$.error")
    if not id:
        return None
    if response:
        return id, reply_of(200, response)
    if not error:
        return id, CallError("server", "the line of the result holds no response")
    code = count(error, "$.code") or 2
    if code == _CANCELLED:
        return None
    status, name = _GRPC.get(code, (code if 400 <= code < 600 else 500, "UNKNOWN"))
    # As the body of a live call tells it.
    told = {"code": status, "message": error.get("message"), "status": name}
    return id, reply_of(status, {"error": {**told, **error, "code": status}})


def _named(name: str) -> str:
    """`batches/ID` or `files/ID` as a part of an address."""
    return urllib.parse.quote(name, safe="/-_.~")
