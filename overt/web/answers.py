"""Answers of the local pages: JSON of a function's result, and the files that come with the package."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, TypeVar

from overt.data.errors import OvertError
from overt.data.json_types import JsonObject
from overt.data.text import visible
from overt.web.guard import Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T")
Endpoint = Callable[["Request"], Awaitable["Response"]]
_MOST_BODY = 64 << 10
_KINDS = {".js": "text/javascript", ".css": "text/css"}


def posted(work: Callable[[JsonObject], JsonObject], failed: int = 507) -> Endpoint:
    """Answers a POST of a JSON object with what `work` makes of it; errors as `{"error": ...}`.

    Args:
        failed: the HTTP status of an `OvertError`.
    """

    async def read(request: Request) -> JsonObject:
        data = json.loads(await _body(request))
        if not isinstance(data, dict):
            raise Refused(400, "the body is not a JSON object")
        return data

    return _answering(read, work, failed)


def asked(work: Callable[[Mapping[str, str]], JsonObject], failed: int = 422) -> Endpoint:
    """Answers a GET with what `work` makes of the query's parameters; of one that stands twice the last."""

    async def read(request: Request) -> Mapping[str, str]:
        return dict(request.query_params)

    return _answering(read, work, failed)


def _answering(
    read: Callable[[Request], Awaitable[T]], work: Callable[[T], JsonObject], failed: int
) -> Endpoint:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(work, await read(request)))
        except Refused as error:
            return JSONResponse({"error": error.why}, error.status)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the body is not JSON"}, 400)
        except OvertError as error:
            return JSONResponse({"error": visible(error.message())}, failed)

    return answer


async def _body(request: Request) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            raise Refused(413, "the body is too large")
    return data


def assets(package: str, names: tuple[str, ...], folder: str = "") -> Endpoint:
    """Answers with a file of the package whose name is in the path, if it is one of `names`."""
    from starlette.responses import Response

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in names:
            return Response("not here", 404)
        file = resources.files(package) / folder / name
        return Response(file.read_text("utf-8"), media_type=_KINDS[f".{name.rpartition('.')[2]}"])

    return asset
