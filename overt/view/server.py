"""The page over HTTP, to be put behind the guard (`overt.web.guard`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING

from overt.data.json_types import JsonObject
from overt.view.desk import Desk
from overt.view.shelf import NotReady
from overt.web.answers import asked, assets
from overt.web.guard import Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

_FILES = ("view.css", "app.js", "dom.js", "runs.js", "run.js", "matrix.js", "prompt.js")
_API = ("runs", "run", "rows", "count", "prompt", "make", "review")


def make_app(desk: Desk) -> ASGIApp:
    """The application."""
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    shell = (resources.files("overt.view") / "static" / "shell.html").read_text("utf-8")

    async def page(_: Request) -> Response:
        return HTMLResponse(shell)

    async def nothing(_: Request) -> Response:
        return Response(status_code=204)

    async def picture(request: Request) -> Response:
        at, query = request.path_params, dict(request.query_params)
        return await _sent(
            lambda: Response(desk.picture(query, at["cell"], at["number"]), media_type="image/jpeg")
        )

    async def input_picture(request: Request) -> Response:
        at, query = request.path_params, dict(request.query_params)
        return await _sent(lambda: Response(desk.input_picture(query, at["prompt"]), media_type="image/jpeg"))

    async def made(request: Request) -> Response:
        def send() -> Response:
            found = desk.made(request.path_params["number"])
            return HTMLResponse(found.html.encode("utf-8", "replace"), headers=found.headers)

        return await _sent(send)

    routes = [
        Route("/", page),
        Route("/run", page),
        Route("/prompt", page),
        Route("/favicon.ico", nothing),  # browsers ask for it
        Route("/static/{name}", assets("overt.view", _FILES, "static")),
        Route("/picture/{cell:int}/{number:int}", picture),
        Route("/picture/of-prompt/{prompt:int}", input_picture),
        Route("/made/{number:int}", made),
        *(Route(f"/api/{name}", asked(_or_progress(getattr(desk, name)))) for name in _API),
    ]
    return Starlette(routes=routes)


def _or_progress(
    work: Callable[[Mapping[str, str]], JsonObject],
) -> Callable[[Mapping[str, str]], JsonObject]:
    """What `work` answers, or how far the index is that it needs."""

    @functools.wraps(work)
    def answer(query: Mapping[str, str]) -> JsonObject:
        try:
            return work(query)
        except NotReady as waiting:
            return waiting.to_json()

    return answer


async def _sent(work: Callable[[], Response]) -> Response:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    try:
        return await run_in_threadpool(work)
    except Refused as error:
        return Response(error.why, error.status, media_type="text/plain")
    except NotReady as waiting:
        return Response(str(waiting), 503, media_type="text/plain")
