"""A page on a port of this machine only, behind its guard, served by uvicorn."""

from __future__ import annotations

import socket
import threading
import urllib.parse
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.plugins.install import install_extra, is_installed
from overt.web.guard import Keys, guard

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def check_installed(command: str) -> None:
    """Checks that what the local pages need is there.

    Args:
        command: whose page it is; the extra has the same name.

    Raises:
        InputError: it is not.
    """
    if not all(map(is_installed, ("starlette", "uvicorn"))):
        raise InputError(
            f"the {command} page needs starlette and uvicorn", fix=f"Install them: {install_extra(command)}"
        )


class Loopback:
    """A bound port. `address` is what a person opens, `once` what a program opens."""

    def __init__(self, command: str, port: int = 0) -> None:
        """Binds the port; connections wait until `serve`.

        Args:
            command: whose page it is, for the cookie and for messages.
            port: 0 for any free one.

        Raises:
            InputError: the port is taken.
        """
        self._command, self._keys = command, Keys()
        # Without the protocol's number asyncio leaves Nagle's algorithm on: 40 ms for every answer.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(128)  # early connections wait
        except OSError as error:
            self._socket.close()
            raise InputError(
                f"port {port} cannot be used: {error.strerror}", fix="Give another --port, or none."
            ) from error
        base = f"http://127.0.0.1:{self._socket.getsockname()[1]}/?"
        self.address = base + urllib.parse.urlencode({"token": self._keys.token})
        self.once = base + urllib.parse.urlencode({"token": self._keys.once})

    def close(self) -> None:
        self._socket.close()

    def open_browser(self) -> None:
        """Opens the page in the user's browser, without waiting for it."""
        threading.Thread(target=webbrowser.open, args=(self.once,), daemon=True).start()

    def serve(self, app: ASGIApp, started: Callable[[], None] = lambda: None) -> None:
        """Serves an application behind the guard until Ctrl-C. `started` is called when the page can be
        opened."""
        import asyncio

        import uvicorn

        config = uvicorn.Config(
            guard(app, self._keys, self._command),
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
            self.close()
