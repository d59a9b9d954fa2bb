"""The review page: one person at a screen, on this machine only.

What keeps others out: the socket is bound to loopback; a token that only the printed address holds is
exchanged for a cookie (HttpOnly, SameSite=Strict); a Host header that does not name loopback is refused
(a foreign name that resolves to 127.0.0.1 is how web pages reach local servers); so is every request
that a page of another origin sends. No request names a path: pictures are asked for by number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from overt.data.errors import InputError, OvertError, RunError
from overt.data.images import ImageStore
from overt.policies.schema import Policy
from overt.report.words import visible
from overt.review.book import Book, Item
from overt.review.questions import QUESTIONS
from overt.review.turns import Turns

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
_MOST_BODY = 64 << 10
_MOST_NOTE = 4000
_MOST_NAME = 60
_SIDE = 1024  # pixels of a picture on the page
_TEXTS = ("prompt", "response", "revised", "rewrite")
_PICTURES = ("images", "original_images")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Desk:
    """What the page can ask for, apart from HTTP: every method is safe to call from several threads."""

    def __init__(self, run: Path, book: Book, policy: Policy) -> None:
        self._book, self._policy, self._images = book, policy, ImageStore(run)
        self._turns = Turns(book.queue(), [(label.place, label.reviewer) for label in book.labels()])
        self._lock = threading.Lock()

    def next(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The item in hand of `reviewer`, and how far everybody is."""
        with self._lock:
            return self._answer(_name(data))

    def label(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Stores `label` (with `note`, and `seconds` it took) for `place`; then as `next`."""
        reviewer, item = _name(data), self._item(data)
        label = data.get("label")
        if not isinstance(label, str) or not QUESTIONS[item.subject.question].knows(label):
            raise Refused(400, "this is no label of the question")
        note, seconds = data.get("note", ""), data.get("seconds", 0)
        if not isinstance(note, str) or len(note) > _MOST_NOTE:
            raise Refused(400, f"a note has at most {_MOST_NOTE} characters")
        if not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
            raise Refused(400, "seconds is no time")
        with self._lock:
            self._book.add(item.place, reviewer, label, note=note.strip(), seconds=round(seconds, 2))
            self._turns.label(item.place, reviewer)
            return self._answer(reviewer)

    def skip(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Puts `place` off; then as `next`."""
        reviewer, item = _name(data), self._item(data)
        with self._lock:
            self._turns.skip(item.place, reviewer)
            return self._answer(reviewer)

    def undo(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Takes the last label of `reviewer` back and gives that item, with `undone`: label and note."""
        reviewer = _name(data)
        with self._lock:
            place = self._turns.last(reviewer)
            if place is None:
                return {**self._answer(reviewer), "undone": None}
            label, note = self._book.last(place, reviewer)
            self._book.add(place, reviewer, None)
            self._turns.undo(reviewer)
            return {**self._answer(reviewer), "undone": {"label": label, "note": note}}

    def picture(self, place: int, which: str, number: int) -> bytes:
        """A picture of an item as a JPEG without metadata; `which` is "images" or "original_images"."""
        from overt.data.pictures import UnreadablePicture
        from overt.scoring.outgoing import outgoing

        if which not in _PICTURES:
            raise Refused(404, "there is no such picture")
        try:
            paths = self._book.item(place).subject.shown.get(which, ())
            return outgoing(self._images.get(paths[number]), _SIDE)
        except (KeyError, IndexError, ValueError, InputError, UnreadablePicture) as error:
            raise Refused(404, "there is no such picture, or it cannot be read") from error

    # -- small things -------------------------------------------------------------------------------------

    def _answer(self, reviewer: str) -> dict[str, Any]:
        place = self._turns.next(reviewer)
        item = self._show(self._book.item(place)) if place is not None else None
        return {"item": item, "progress": self._turns.progress(reviewer)}

    def _show(self, item: Item) -> dict[str, Any]:
        """What a reviewer sees: nothing of what the run says, nor which target it was."""
        shown = item.subject.shown
        category = next((c for c in self._policy.categories if c.id == item.subject.category), None)
        return {
            "place": item.place,
            "question": item.subject.question,
            "category": visible(category.title if category else item.subject.category),
            "disallowed": [visible(line) for line in category.disallowed] if category else [],
            "allowed": [visible(line) for line in category.allowed] if category else [],
            **{name: visible(shown.get(name) or "") for name in _TEXTS},
            **{name: len(shown.get(name, ())) for name in _PICTURES},
        }

    def _item(self, data: Mapping[str, Any]) -> Item:
        place = data.get("place")
        try:
            return self._book.item(place if isinstance(place, int) else -1)
        except KeyError as error:
            raise Refused(400, "there is no such item") from error


def _name(data: Mapping[str, Any]) -> str:
    said = data.get("reviewer")
    name = " ".join(visible(said).split()) if isinstance(said, str) else ""
    if not name or len(name) > _MOST_NAME:
        raise Refused(400, f"give your name, at most {_MOST_NAME} characters")
    return name


# -- HTTP -----------------------------------------------------------------------------------------------


def make_app(desk: Desk, page: str, keys: Keys) -> Callable[..., Awaitable[None]]:
    """The application, behind its guard."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
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

    def action(work: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[..., Awaitable[Response]]:
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


async def _body(request: Any) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            raise Refused(413, "the body is too large")
    return data


class Keys:
    """The secrets of one server: the token of the printed address, one for the browser that is opened by
    the command (good once: a command line can be read by others), and what the cookie holds."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.once = secrets.token_urlsafe(32)
        self.session = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._unused = True

    def admits(self, token: str) -> bool:
        with self._lock:
            if _same(token, self.once) and self._unused:
                self._unused = False
                return True
        return _same(token, self.token)

    def knows(self, cookie: str) -> bool:
        return _same(cookie, self.session)


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode())


def guard(app: Callable[..., Awaitable[None]], keys: Keys) -> Callable[..., Awaitable[None]]:
    """Refuses what does not come from the page, and sets the headers of every answer."""
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, RedirectResponse, Response

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (name.lower().encode(), value.encode()) for name, value in _HEADERS.items()
                ]
            await send(message)

        request = Request(scope)
        try:
            host = _host(request)
            # Cookies do not know ports: each review on this machine has a name of its own.
            cookie = "overt_review_" + hashlib.sha256(host.encode()).hexdigest()[:8]
            _check_origin(request, host)
            token = request.query_params.get("token")
            if token is not None and request.method == "GET" and request.url.path == "/":
                if not keys.admits(token):
                    raise Refused(403, "this address is not that of the review that is running")
                response: Response = RedirectResponse("/", 303)
                response.set_cookie(cookie, keys.session, httponly=True, samesite="strict", path="/")
                await response(scope, receive, send_on)
                return
            if not keys.knows(request.cookies.get(cookie, "")):
                raise Refused(
                    403, "open the address that `overt review` printed: it holds the key to this page"
                )
        except Refused as error:
            await PlainTextResponse(error.why + "\n", error.status)(scope, receive, send_on)
            return
        await app(scope, receive, send_on)

    return guarded


def _host(request: Any) -> str:
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        raise Refused(421, "this server answers to localhost only")
    return str(hosts[0])


def _check_origin(request: Any, host: str) -> None:
    # "none": typed or clicked outside of any page. Old browsers do not send the header.
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_visit = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not is_visit:
        raise Refused(403, "this request comes from another page")
    if request.method not in ("GET", "HEAD") and request.headers.get("origin") != f"http://{host}":
        raise Refused(403, "this request comes from another page")


# -- the server -----------------------------------------------------------------------------------------


class Server:
    """The page on a loopback port. `address` is what a person opens, `once` what a program opens."""

    def __init__(self, run: Path, book: Book, policy: Policy, *, port: int = 0, reviewer: str = "") -> None:
        """Takes the port, and the review of this run, for itself.

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
            self._socket.listen(128)  # who comes before the server is up waits
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
        self._app = make_app(Desk(run, book, policy), render_page(run, policy, reviewer), self._keys)

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
