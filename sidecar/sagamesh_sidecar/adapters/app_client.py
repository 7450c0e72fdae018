"""The HTTP client to the one app beside us: one host, one port, plaintext HTTP/1.1, POST only.

It moves bytes and tells three endings apart, as core's `answers` has them: a whole answer, nobody there, no usable
answer. It never sends a request twice, because the app may have acted on the first one, and it does not know what a
status means: core does. No redirects, proxies, cookies, compression or TLS; that is why it can be this small.

    AnswerReader    bytes -> Answered or Unanswered, without I/O
    AppConnection   one socket, one request at a time
    AppClient       at most so many connections, the last used first
    NoApp           in the place of a client, where there is nobody to call
"""

import asyncio
import re
from collections.abc import Mapping
from functools import partial
from typing import cast

import httptools

from sagamesh.protocol.answers import MAX_DATA, Answer, Answered, Away, Unanswered

# On loopback only a full accept queue makes a connection slow; the kernel knocks again after one second.
CONNECT_TIMEOUT = 2.0

# A body in chunks of one byte takes six bytes on the wire for each: more than eight is no framing but an attack on us.
MAX_FRAMING = 8

_URL = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})/?")
_PATH = re.compile(r"/[!-~]*")
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*")
_VALUES = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"host", "connection", "content-length", "transfer-encoding"})


def parse_url(url: str) -> tuple[str, int]:
    """Host and port of `http://host:port`."""
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f"the app's URL must look like http://127.0.0.1:9001, with a port and without a path: {url!r}")
    return match[1], int(match[2])


def encode_request(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The request as bytes. What could change its meaning on the wire is refused before anything is sent."""
    if not _PATH.fullmatch(path):
        raise ValueError(f"a path starts with / and is visible ASCII, the rest percent-encoded: {path!r}")
    # All names at once, then all values: this runs for every call, and a dozen headers would be two dozen matches.
    if "" in headers or not _NAMES.fullmatch("".join(headers)) or any(name.lower() in _OURS for name in headers):
        raise ValueError(f"one of these headers is not for a caller to set: {list(headers)}")
    if not _VALUES.fullmatch("".join(headers.values())):
        raise ValueError(f"a header has control characters, or some outside latin-1: {dict(headers)}")
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


class AnswerReader:
    """Puts answers together from the pieces that the wire brings, one after the other. No I/O.

    The parser lives as long as the connection, and a connection is used again only after an answer that ended cleanly.
    """

    def __init__(self, max_head: int, max_body: int) -> None:
        self._limits = max_head, max_body
        self._parser = httptools.HttpResponseParser(self)
        self.expect()

    def expect(self) -> None:
        """Start on the answer to the next request."""
        self.answer: Answered | Unanswered | None = None  # there once it is whole, or cannot become whole any more
        self.reusable = False  # may another request follow on this connection?
        self._fault: str | None = None
        self._head_room = self._limits[0]  # of this head and of all the 1xx ones before it
        self._wire_room = self._limits[0] + MAX_FRAMING * self._limits[1]
        self._in_body = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, none at the end."""
        self._wire_room -= len(data)
        try:
            if data:
                self._parse(data)
            else:
                self._end()
        except httptools.HttpParserError as error:
            self._fault = f"unreadable answer: {error}"
        except httptools.HttpParserUpgrade:
            self._fault = "unreadable answer: it changes the protocol"
        if self._wire_room < 0:
            self._overflow("the answer is too large")
        if self._fault is not None:
            self.reusable = False  # but an answer that was whole before the rubbish came stays one
            if self.answer is None:
                self.answer = Unanswered(self._fault)

    def _parse(self, data: bytes) -> None:
        """Hand the parser no more than a head may take while it is in one, for it would buffer a head of any size."""
        if not self._in_body:
            head, data = data[: self._head_room], data[self._head_room :]
            self._head_room -= len(head)
            self._parser.feed_data(head)
        if data and self._in_body:
            self._parser.feed_data(data)
        elif data:
            self._fault = f"the head of the answer is over {self._limits[0]} bytes"

    def _end(self) -> None:
        """No more bytes will come, which is how a body ends that has no length of its own."""
        if self._in_body and not self._headers.keys() & {"content-length", "transfer-encoding"}:
            self._complete(b"".join(self._body))
        else:
            self._fault = "the app closed the connection before its answer was complete"

    def _overflow(self, why: str) -> None:
        """More comes than anybody keeps. Once there is a head, that is an answer: it says what the app did."""
        if self._in_body and self._fault is None and self.answer is None:
            self._complete(b"", why)
        elif self._fault is None:
            self._fault = why

    def _complete(self, body: bytes, unread: str = "") -> None:
        self.answer = Answered(self._parser.get_status_code(), self._headers, body, unread)

    # Called by the parser. What they raise would come back wrapped, so they note a fault instead.

    def on_message_begin(self) -> None:
        if self.answer is not None:
            self._fault = "bytes after the answer"
            return
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body or self.answer is not None:  # a trailer, which must not overrule the head; or rubbish
            return
        key, text = name.decode("latin-1").lower(), value.rstrip().decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._in_body = True
            coding = self._headers.get("transfer-encoding", "chunked")
            if coding.lower() != "chunked":
                self._fault = f"unreadable answer: transfer-encoding {coding}"

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._limits[1]:
            self._overflow(f"the body of the answer is over {self._limits[1]} bytes")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._in_body and self.answer is None and self._fault is None:  # else a 1xx: the answer is still to come
            self._complete(b"".join(self._body))
            self.reusable = self._parser.should_keep_alive()


class AppConnection(asyncio.Protocol):
    """One socket to the app. Whatever is not a clean answer to a pending request ends it."""

    def __init__(self, max_head: int, max_body: int) -> None:
        self._reader = AnswerReader(max_head, max_body)
        self._answer: asyncio.Future[Answered | Unanswered] | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # done when the socket is closed

    def usable(self) -> bool:
        return not self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    async def ask(self, request: bytes, timeout: float) -> Answered | Unanswered:
        """Send a request, wait for its answer; `usable` then says whether another may follow."""
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._reader.expect()
        timer = loop.call_later(timeout, self._fail, f"no answer within {timeout:g} s")
        try:
            self._transport.write(request)
            return await self._answer
        except BaseException:  # cancelled, too: the late answer must not be taken for that of the next request
            self.abort()
            raise
        finally:
            timer.cancel()

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Unanswered(reason))
        self.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # A port in the ephemeral range where nobody listens can be connected to itself: it would answer as an echo.
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        self._reader.feed(data)
        if self._reader.answer is not None:
            self._answer.set_result(self._reader.answer)
            if not self._reader.reusable or self._transport.get_write_buffer_size():  # answered before all was sent
                self.abort()

    def eof_received(self) -> None:
        self.data_received(b"")  # aborts in each case: the transport must not go on with a request in vain

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was closed" if exc is None else "the connection was reset")
        self.gone.set_result(None)


class AppClient:
    """POSTs to the app at `url`, over at most so many connections at once; further callers wait in order."""

    def __init__(
        self, url: str, *, connections: int = 32, max_head: int = 32 * 1024, max_body: int = MAX_DATA, idle: float = 30
    ) -> None:
        """`max_head`, `max_body`: bytes of an answer. `idle`: seconds that a connection is kept without use.

        By default as many connections as the sidecar's `concurrency`; far more head than services send; of a body what
        an event's data may have; and idle connections for as long as our own servers keep theirs.
        """
        self._host, self._port = parse_url(url)
        self._limits = max_head, max_body
        self._idle_limit = idle
        self._places = asyncio.Semaphore(connections)
        self._open: set[AppConnection] = set()
        self._idle: list[tuple[float, AppConnection]] = []  # (idle since, connection), a stack: the oldest come first
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
        """Send one request, once. `timeout` runs from sending to the last byte, not while waiting for a connection."""
        request = encode_request(f"{self._host}:{self._port}", path, headers, body)
        async with self._places:
            connection = self._reuse() or await self._connect(min(timeout, CONNECT_TIMEOUT))
            if connection is None:
                return Away()
            answer = await connection.ask(request, timeout)
            if connection.usable():
                self._keep(connection)
            return answer

    async def reachable(self, timeout: float = 1.0) -> bool:
        """Can a TCP connection be opened? Says nothing about what the app would answer."""
        connection = await self._connect(timeout)
        if connection is None:
            return False
        connection.abort()
        await connection.gone
        return True

    async def close(self) -> None:
        """Close all connections; calls that are still under way end as `Unanswered`, later ones as `Away`."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._idle.clear()
        for connection in self._open:
            connection.abort()
        if self._open:
            await asyncio.wait([connection.gone for connection in self._open])

    async def _connect(self, timeout: float) -> AppConnection | None:
        """None: nobody listens, or the connection was closed before anything could be sent on it."""
        create = asyncio.get_running_loop().create_connection
        try:
            async with asyncio.timeout(timeout):
                _, connection = await create(partial(AppConnection, *self._limits), self._host.strip("[]"), self._port)
        except OSError:  # a timeout is one, too
            return None
        self._open.add(connection)
        connection.gone.add_done_callback(lambda _: self._open.discard(connection))
        if self._closed or not connection.usable():
            connection.abort()
            return None
        return connection

    def _reuse(self) -> AppConnection | None:
        """The connection used last, so that the others can grow old; those that the app has closed are passed over."""
        while self._idle:
            _, connection = self._idle.pop()
            if connection.usable():
                return connection
        return None

    def _keep(self, connection: AppConnection) -> None:
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), connection))
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(self._idle_limit, self._sweep)

    def _sweep(self) -> None:
        """Drop what was idle for too long: one timer for all, set for the one that is idle longest."""
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0][0] + self._idle_limit <= loop.time():
            self._idle.pop(0)[1].abort()
        self._sweep_timer = loop.call_at(self._idle[0][0] + self._idle_limit, self._sweep) if self._idle else None


class NoApp:
    """The app of a participant that only starts sagas: away for good. What would need it waits, and nothing is lost."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:  # noqa: ARG002
        return Away()

    async def reachable(self, timeout: float = 1.0) -> bool:  # noqa: ARG002
        return False

    async def close(self) -> None:
        """Nothing is open."""
