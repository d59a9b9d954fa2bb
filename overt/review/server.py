"""The review page: one person at a screen, on this machine only (see `guard` for what keeps others out).

No request names a path: pictures are asked for by number.
"""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError, OvertError, RunError
from overt.data.json_types import JsonObject
from overt.data.text import visible
from overt.policies.schema import Policy
from overt.review.desk import Desk, Refused
from overt.review.guard import Keys, guard
from overt.review.label_store import LabelStore
from overt.review.questions import QUESTIONS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

_MOST_BODY = 64 << 10


def make_app(desk: Desk, page: str, keys: Keys) -> ASGIApp:
    """The application, behind its guard."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    async def home(_: Request) -> Response:
        return HTMLResponse(page)

    async def nothing(_: Request) -> Response:
        return Response(status_code=204)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        kind = {"review.js": "text/javascript", "review.css": "text/css"}.get(name)
        return Response(_asset(name), media_type=kind) if kind else Response("not here", 404)

    def action(work: Callable[[JsonObject], JsonObject]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                data = json.loads(await _body(request))
                if not isinstance(data, dict):
                    raise Refused(400, "the body is not a JSON object")
                return JSONResponse(await run_in_threadpool(work, data))
            except Refused as error:
                return JSONResponse({"error": error.why}, error.status)
            except (ValueError, RecursionError):
                return JSONResponse({"error": "the body is not JSON"}, 400)
            except OvertError as error:
                return JSONResponse({"error": visible(error.message())}, 507)

        return answer

    async def picture(request: Request) -> Response:
        asked = request.path_params
        try:
            data = await run_in_threadpool(desk.picture, asked["place"], asked["which"], asked["number"])
        except Refused as error:
            return Response(error.why, error.status, media_type="text/plain")
        return Response(data, media_type="image/jpeg")

    routes = [
        Route("/", home),
        Route("/favicon.ico", nothing),  # browsers ask for it
        Route("/static/{name}", asset),
        Route("/picture/{place:int}/{which}/{number:int}", picture),
        *(
            Route(f"/api/{name}", action(getattr(desk, name)), methods=["POST"])
            for name in ("next", "label", "skip", "undo")
        ),
    ]
    return guard(Starlette(routes=routes), keys)


async def _body(request: Request) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            raise Refused(413, "the body is too large")
    return data


# -- the server -----------------------------------------------------------------------------------------


class Server:
    """The page on a loopback port. `address` is what a person opens, `once` what a program opens."""

    def __init__(
        self, run: Path, store: LabelStore, policy: Policy, *, port: int = 0, reviewer: str = ""
    ) -> None:
        """Binds the port and locks the review of this run.

        Raises:
            InputError: the port is taken.
            RunError: another server has this review open.
        """
        from filelock import FileLock, Timeout

        self._lock = FileLock(run / ".review.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunError(
                "another `overt review` serves this run",
                where=str(run),
                fix="Open the address that it printed: several people can review there at once.",
            ) from error
        except OSError as error:
            raise RunError(f"cannot lock the review: {error.strerror}", where=str(run)) from error
        # Without the protocol's number asyncio leaves Nagle's algorithm on: 40 ms for every answer.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(128)  # early connections wait
        except OSError as error:
            self._socket.close()
            self._lock.release()
            raise InputError(
                f"port {port} cannot be used: {error.strerror}", fix="Give another --port, or none."
            ) from error
        self._keys = Keys()
        base = f"http://127.0.0.1:{self._socket.getsockname()[1]}/?"
        self.address = base + urllib.parse.urlencode({"token": self._keys.token})
        self.once = base + urllib.parse.urlencode({"token": self._keys.once})
        self._app = make_app(Desk(run, store, policy), render_page(run, policy, reviewer), self._keys)

    def serve(self, started: Callable[[], None] = lambda: None) -> None:
        """Serves until Ctrl-C. `started` is called when the page can be opened."""
        import asyncio

        import uvicorn

        config = uvicorn.Config(
            self._app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,  # it would hold the token
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)

        async def main() -> None:
            asyncio.get_running_loop().call_later(0.05, started)
            await server.serve(sockets=[self._socket])

        try:
            asyncio.run(main())
        finally:
            self._socket.close()
            self._lock.release()


def render_page(run: Path, policy: Policy, reviewer: str = "") -> str:
    """The page without any item: frame, questions and keys."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("overt.review", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("review.html.j2").render(
        run=visible(run.resolve().name),
        policy=visible(policy.name),
        reviewer=visible(reviewer),
        questions=QUESTIONS.values(),
    )


def _asset(name: str) -> str:
    return (resources.files("overt.review") / name).read_text("utf-8")
