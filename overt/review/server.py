"""The review page: one person at a screen, on this machine only (`overt.web.guard` keeps others out).

No request names a path: pictures are asked for by number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError, RunError
from overt.data.text import visible
from overt.policies.schema import Policy
from overt.review.desk import Desk
from overt.review.label_store import LabelStore
from overt.review.questions import QUESTIONS
from overt.web.answers import assets, posted
from overt.web.guard import Refused
from overt.web.loopback import Loopback

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp


def make_app(desk: Desk, page: str) -> ASGIApp:
    """The application, to be put behind the guard."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    async def home(_: Request) -> Response:
        return HTMLResponse(page)

    async def nothing(_: Request) -> Response:
        return Response(status_code=204)

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
        Route("/static/{name}", assets("overt.review", ("review.js", "review.css"))),
        Route("/picture/{place:int}/{which}/{number:int}", picture),
        *(
            Route(f"/api/{name}", posted(getattr(desk, name)), methods=["POST"])
            for name in ("next", "label", "skip", "undo")
        ),
    ]
    return Starlette(routes=routes)


# -- the server -----------------------------------------------------------------------------------------


class Server:
    """The page on a loopback port. `address` is what a person opens."""

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
        try:
            self._loopback = Loopback("review", port)
        except InputError:
            self._lock.release()
            raise
        self.address, self.open_browser = self._loopback.address, self._loopback.open_browser
        self._app = make_app(Desk(run, store, policy), render_page(run, policy, reviewer))

    def serve(self, started: Callable[[], None] = lambda: None) -> None:
        """Serves until Ctrl-C. `started` is called when the page can be opened."""
        try:
            self._loopback.serve(self._app, started)
        finally:
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
        has_words=policy.modality == "text",
    )
