"""An HTTP server inside the sidecar's loop: uvicorn, without its signals, its logging and its lifespan.

uvicorn bounds neither the time nor the size of a request's head with httptools; since the health port faces the pod
network, `Connection` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import socket
import sys
from collections.abc import Iterator

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sagamesh_sidecar.asgi import App, Receive, Scope, Send, answer, refusal
from sagamesh_sidecar.problems import CONTENT_TYPE, Problem
from sagamesh_sidecar.trouble import PortError

HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 5.0
"""A request's head must come whole within these bounds; a connection that sends nothing is closed, too."""
CONNECTIONS = 512
"""Connections at once, waiting ones among them; whoever comes next is answered 503."""
KEEP_ALIVE = 30
"""Seconds that an idle connection is kept."""


class Server:
    """One listening socket and what it serves. `bind`, then `serve` until `stop`; `grace` in seconds is for both."""

    def __init__(self, app: App, host: str, port: int, *, grace: float) -> None:
        self.app = app
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None
        self._uvicorn = _Embedded(
            uvicorn.Config(
                self._admit,
                loop="none",
                http=Connection,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
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

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._uvicorn.server_state.connections) > CONNECTIONS:
            detail = f"{CONNECTIONS} connections are open already; send the request again, or keep fewer of them"
            await answer(send, refusal(Problem("busy", detail, headers={"connection": "close"})))
        else:
            await self.app(scope, receive, send)

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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def abandon(self) -> None:
        """Close what is left, as after a cancel: nothing, usually."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


class Connection(HttpToolsProtocol):
    """One connection, whose requests have a head of bounded size that arrives in bounded time."""

    _timer: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self.send_400_response(f"the head of a request may have {HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says where a request cannot be read; here as a problem, as everywhere.

        Not where that is our own fault (no memory left, say): no answer means that it can be sent again.
        """
        if isinstance(sys.exception(), httptools.HttpParserCallbackError):
            self.transport.abort()
            return
        body = Problem("bad-request", msg).document()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_is_here()
        self._head = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
