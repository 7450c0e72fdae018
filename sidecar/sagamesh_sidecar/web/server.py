"""An HTTP server inside the sidecar's loop: uvicorn, without its signals, its logging and its lifespan.

What clients may cost is bounded by `bounded_protocol`, its neighbour.
"""

from __future__ import annotations

import contextlib
import errno
import math
import socket
from collections.abc import Iterator

import uvicorn

from sagamesh_sidecar.errors import PortError
from sagamesh_sidecar.web.asgi import AsgiApp
from sagamesh_sidecar.web.bounded_protocol import CONNECTIONS, BoundedHttpProtocol, BoundedState

KEEP_ALIVE = 30
"""Seconds that an idle connection is kept: as long as our own client keeps one to the app."""


class Server:
    """One listening socket and what it serves. `bind`, then `serve` until `stop`; `grace` in seconds is for both."""

    def __init__(self, app: AsgiApp, host: str, port: int, *, grace: float) -> None:
        self.app = app
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None
        self._uvicorn = _Embedded(
            uvicorn.Config(
                app,
                loop="none",
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # its warnings are about what clients send: anybody could fill the log with them
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=math.ceil(grace),
            )
        )

    def bind(self) -> None:
        """Listen; connections wait until `serve`. Raises PortError."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            sock.listen(CONNECTIONS)
        except OSError as error:
            sock.close()
            why = "something else listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise PortError(f"cannot listen on {self.host} port {self.port}: {why}") from error
        sock.setblocking(False)
        self.port = sock.getsockname()[1]
        self._socket = sock

    @property
    def url(self) -> str:
        """Where this machine reaches it. Known once bound, where the port was 0."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def serve(self) -> None:
        """Serve until `stop`; then finish what runs, for as long as the grace allows."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self._uvicorn.abandon()
            self._socket.close()

    def stop(self) -> None:
        """Take no more connections, answer what waits, and let `serve` return."""
        self.app.close()
        self._uvicorn.should_exit = True


class _Embedded(uvicorn.Server):
    """uvicorn's server, which leaves signals to the one who owns the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: BoundedState = BoundedState()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def abandon(self) -> None:
        """Close what is left, as after a cancel: nothing, usually."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
