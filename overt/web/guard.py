"""Access control of the local pages: a token, a cookie, and checks of host and origin.

The socket is bound to loopback; a token that only the printed address holds is exchanged for a cookie
(HttpOnly, SameSite=Strict); a Host header that does not name loopback is refused (a foreign name that
resolves to 127.0.0.1 is how web pages reach local servers); so is every request that a page of another origin
sends.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
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
    """A rejected request, with its HTTP status and reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


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


def guard(app: ASGIApp, keys: Keys, command: str) -> ASGIApp:
    """Rejects requests that do not come from the page, and sets the headers of every response. A header that
    the response has already stays: a page that stands for itself names its own script.

    Args:
        command: whose page it is, "review" or "view".
    """
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, RedirectResponse, Response

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in own
                ]
            await send(message)

        request = Request(scope)
        try:
            host = _host(request)
            # Cookies ignore ports, so each page on this machine needs its own cookie name.
            cookie = f"overt_{command}_" + hashlib.sha256(host.encode()).hexdigest()[:8]
            _check_origin(request, host)
            token = request.query_params.get("token")
            if token is not None and request.method == "GET" and request.url.path == "/":
                if not keys.admits(token):
                    raise Refused(403, f"this address is not that of the {command} that is running")
                response: Response = RedirectResponse("/", 303)
                response.set_cookie(cookie, keys.session, httponly=True, samesite="strict", path="/")
                await response(scope, receive, send_on)
                return
            if not keys.knows(request.cookies.get(cookie, "")):
                raise Refused(
                    403, f"open the address that `overt {command}` printed: it holds the key to this page"
                )
        except Refused as error:
            await PlainTextResponse(error.why + "\n", error.status)(scope, receive, send_on)
            return
        await app(scope, receive, send_on)

    return guarded


def _host(request: Request) -> str:
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        raise Refused(421, "this server answers to localhost only")
    return str(hosts[0])


def _check_origin(request: Request, host: str) -> None:
    # "none": typed or clicked outside of any page. Old browsers do not send the header.
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_visit = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not is_visit:
        raise Refused(403, "this request comes from another page")
    if request.method not in ("GET", "HEAD") and request.headers.get("origin") != f"http://{host}":
        raise Refused(403, "this request comes from another page")
