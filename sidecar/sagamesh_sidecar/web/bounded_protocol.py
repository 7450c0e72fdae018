"""One connection of a client: uvicorn's protocol, with bounds on what it may send, how slowly, and how slowly it reads.

uvicorn bounds none of it with httptools, and the health port faces the pod network. Nor does it bound how many there
are in a way that serves the first ones. What a request means is for `asgi` and those above.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from sagamesh_sidecar.web.asgi import Gone, Receive, Request, Scope, Send, answer, refusal
from sagamesh_sidecar.web.problems import CONTENT_TYPE, ProblemError

HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 5.0
"""A request's head must come whole within these bounds; a connection that sends nothing is closed, too. Both
are far more than a client on this machine needs."""
MAX_FRAMING = 8
"""Bytes around each byte of a body: chunks of one byte take six. Trailers count, too; nobody reads them."""
REST_SECONDS = 30.0
"""What is left of a request when it was answered must have come by then: as long as a body may take as a whole."""
READ_SECONDS = 30.0
"""An answer must be read by then, so much of it that there is room for the next one: as long as a body may take."""
LONG_HEAD = f"the head of a request may have {HEAD_BYTES} bytes"
PIPELINED = 16
"""Requests that may wait on one connection while an earlier one is carried out; hardly any client sends two."""
CONNECTIONS = 512
"""Connections of a server, waiting ones among them. Whoever comes next takes the place of the one that has been idle
for longest; where none is, his requests are answered 503. More than an app's pool has."""
IDLE_SECONDS = 2.0
"""Without a request in hand for so long, a connection may be closed for another one: far longer than a request is on
its way within a machine, also to a loop that is busy, and less than the seconds in which a head must come."""
MOST = 4096
"""Connections of a server; one more is answered before it has said anything. Two servers with so many leave half of the
open files that the process asks for."""
PIECE = 4 * 1024
"""Bytes that the parser gets at once: by so much more than is allowed may come before it is noticed.
A page of memory: smaller ones would cost more turns than they save."""


class TooMuchError(Exception):
    """Raised through the parser, which wraps it."""


class BoundedState(ServerState):
    """What the connections of one server share. `idle`: those without a request in hand, and since when.

    In the order in which they became so, by the loop's time; whoever has sent half a head is among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle: dict[BoundedHttpProtocol, float] = {}


class BoundedHttpProtocol(HttpToolsProtocol):
    """Whoever leaves the bounds is told by a 400 where that is still possible, else the connection just ends."""

    server_state: BoundedState
    _due: asyncio.TimerHandle | None = None
    """Runs while the client has to send something."""
    _unread: asyncio.TimerHandle | None = None
    """Runs while the client has to read something."""
    _in_head = False
    _in_message = False
    _body = 0
    """Bytes of the body of this request so far."""
    _other = 0
    """Bytes of its head so far, then of all that is neither head nor body."""
    _begun_with = 0
    """Bytes of the piece being parsed, if the next request to begin is the first thing in it."""

    # -- called by the transport -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(HEAD_SECONDS)
        if len(self.connections) > CONNECTIONS and not self._takes_a_place():
            self.app = busy
        self._rest()
        if len(self.connections) > MOST:
            self._refuse(ProblemError("busy", "far too many connections are open; send the request again"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._has_read()
        self._unset_keepalive_if_required()
        self.server_state.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for at in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            piece = data[at : at + PIECE]
            self._other += len(piece)
            self._begun_with = 0 if self._in_message else len(piece)
            self._parse(piece)
            if self._in_head and self._other > HEAD_BYTES:
                self.send_400_response(LONG_HEAD)
            elif self._in_message and self._other > HEAD_BYTES + MAX_FRAMING * self._body:
                self.send_400_response(f"trailers and framing may have {HEAD_BYTES} bytes")
        if not self._in_message and self._is_idle() and self._due is None:
            self._expect(HEAD_SECONDS)  # blank lines before the next request; or the rest of the last one

    def pause_writing(self) -> None:
        super().pause_writing()
        self._must_read()

    def resume_writing(self) -> None:
        self._has_read()
        super().resume_writing()

    # -- called by the parser --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise TooMuchError("too many requests at once")
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._body, self._other, self._begun_with = 0, self._begun_with, 0
        self._expect(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which must not count as what was said before
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head_size() > HEAD_BYTES:
            raise TooMuchError(LONG_HEAD)
        super().on_headers_complete()
        self.server_state.idle.pop(self, None)
        self._in_head = False
        self._other = 0
        self._expect(None)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        self._other -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._expect(None)
        super().on_message_complete()
        self._rest()

    # -- called by uvicorn -----------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_message and self._is_idle():
            self._expect(REST_SECONDS)
        if self.transport.is_closing():
            self._must_read()
        else:
            self._rest()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._must_read()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says where a request cannot be read; here as a problem. Never instead of an earlier answer."""
        if self.transport.is_closing():
            return
        if self._is_answerable():
            self._refuse(ProblemError("bad-request", msg))
        else:
            self._end()

    def _should_upgrade(self) -> bool:
        """Asked where a client would like to speak another protocol: yes, so that uvicorn leaves all of it to us."""
        return True

    # -- ours ------------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        try:
            while data:
                data = self._declined(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, TooMuchError):
                self.send_400_response(str(error.__context__))
            elif isinstance(error.__context__, MemoryError):
                self.transport.abort()  # not the client's fault; no answer means that it can be sent again
            else:
                self.send_400_response("this is no request of HTTP/1.1 as it should be")

    def _declined(self, data: bytes) -> bytes:
        """Parse. Where a request asks for an upgrade, what is to be parsed instead: the same without that wish.

        The parser would pass over the body of such a request, which for `Upgrade: h2c` is an ordinary one: the HTTP
        client of Java asks so of every server that it meets.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method, version = self.parser.get_method(), self.parser.get_http_version()
            if method == b"CONNECT":
                raise httptools.HttpParserError("nobody is a proxy here") from None
            lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = _parser(self)
            return b"\r\n".join((*lines, b"", b"")) + data[upgrade.args[0] :]
        return b""

    def _head_size(self) -> int:
        """Bytes of the head that was read, as if it had no blanks to spare."""
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _rest(self) -> None:
        """From now on it is idle, unless it has a request in hand."""
        if self._is_idle() and (self._in_head or not self._in_message):
            self.server_state.idle[self] = self.loop.time()

    def _takes_a_place(self) -> bool:
        """Whether a connection was idle for long enough to be closed in favour of this one."""
        idle = self.server_state.idle
        longest = next(iter(idle), None)
        if longest is None or self.loop.time() - idle[longest] < IDLE_SECONDS:
            return False
        del idle[longest]
        longest._end()
        return True

    def _is_answerable(self) -> bool:
        """Whether a 400 would be taken as the answer to the request that it is about."""
        if self._is_idle():
            return True
        in_its_body = self._in_message and not self._in_head
        return in_its_body and not self.pipeline and not self.cycle.response_started

    def _expect(self, seconds: float | None) -> None:
        """Something must come within so many seconds; None: nothing need come now."""
        if self._due is not None:
            self._due.cancel()
        self._due = None if seconds is None else self.loop.call_later(seconds, self._end)

    def _refuse(self, problem: ProblemError) -> None:
        body = problem.document()
        headers = {"content-type": CONTENT_TYPE, "content-length": len(body), "connection": "close", **problem.headers}
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join((*lines, "\r\n")).encode() + body)
        self._end()

    def _end(self) -> None:
        self.transport.close()
        self._must_read()

    def _must_read(self) -> None:
        if self._unread is None and self.transport.get_write_buffer_size():
            self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers in the place of the app, where there are too many connections."""
    detail = f"{CONNECTIONS} connections are open already; send the request again, or keep fewer of them"
    with contextlib.suppress(Gone):
        await Request(scope, receive).drain()
        await answer(send, refusal(ProblemError("busy", detail, headers={"connection": "close"})))


def _parser(protocol: Any) -> Any:
    """As uvicorn makes it."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
