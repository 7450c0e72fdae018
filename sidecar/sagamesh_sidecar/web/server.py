"""An HTTP server inside the sidecar's loop: uvicorn, without its signals, its logging and its lifespan.

What clients may cost is bounded by `bounded_protocol`, its neighbour.
"""

from __future__ import annotations

import contextlib
import errno
import math
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from sagamesh_sidecar.errors import PortError
from sagamesh_sidecar.web.asgi import AsgiApp
from sagamesh_sidecar.web.bounded_protocol import CONNECTIONS, BoundedHttpProtocol, BoundedState

PORTS = 20
"""Tried where any will do, since one that is free at one address may be taken at the other; hardly ever two."""
KEEP_ALIVE = 30
"""Seconds that an idle connection is kept: as long as our own client keeps one to the app."""


class Server:
    """Where it listens and what it serves. `bind`, then `serve` until `stop`."""

    def __init__(self, app: AsgiApp, host: str, port: int, *, grace: float, also: str = "") -> None:
        """`grace`: seconds that requests may take yet after a `stop`. `also`: another address for the same port.

        Where this machine has no such address it listens on `host` alone.
        """
        self.app = app
        self.host = host
        self.port = port
        self.also = also
        self._sockets: list[socket.socket] = []
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
        hosts = [self.host, *([self.also] if self.also and _is_here(self.also) else [])]
        left = 1 if self.port else PORTS
        while not self._sockets:
            left -= 1
            try:
                self._sockets = _listen_on(hosts, self.port)
            except PortError:
                if not left:
                    raise
        self.port = self._sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Where this machine reaches it. Known once bound, where the port was 0."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def serve(self) -> None:
        """Serve until `stop`; then finish what runs, for as long as the grace allows."""
        if not self._sockets:
            self.bind()
        try:
            await self._uvicorn.serve(sockets=self._sockets)
        finally:
            self._uvicorn.abandon()
            for sock in self._sockets:
                sock.close()

    def stop(self) -> None:
        """Take no more connections, answer what waits, and let `serve` return."""
        self.app.close()
        self._uvicorn.should_exit = True


def _listen_on(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets, one for each host, all with one port. Raises PortError, and then none is left."""
    with contextlib.ExitStack() as failing:
        sockets = []
        for host in hosts:
            sockets.append(failing.enter_context(_listen(host, port)))
            port = sockets[0].getsockname()[1]
        failing.pop_all()
        return sockets


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(CONNECTIONS)
    except OSError as error:
        sock.close()
        why = "something else listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise PortError(f"cannot listen on {host} port {port}: {why}") from error
    sock.setblocking(False)
    return sock


def _is_here(host: str) -> bool:
    """Whether this machine has an address: IPv6 may be switched off, and then there is no `::1`."""
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


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
