"""The little of ASGI that the API and the probes need: one request in, one response out. No framework, no routes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, unquote

from sagamesh_sidecar.web.problems import CONTENT_TYPE, ProblemError

T = TypeVar("T")
AsgiMessage = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]

JSON = "application/json"
BODY_TIMEOUT = 30.0
"""Seconds in which a body must have arrived: it comes from this machine, so only a busy app takes seconds at all."""
DRAIN = 4 * 1024 * 1024
DRAIN_TIMEOUT = 5.0
"""Bytes of a body that is not wanted which are still taken, unread, so that its sender gets to see the answer: sixteen
times what is allowed, for who sends more means it; and seconds for it, where nothing of the body is wanted."""

LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?"
HOST = re.compile(LOOPBACK, re.IGNORECASE | re.ASCII)
ORIGIN = re.compile(rf"http://{LOOPBACK}", re.IGNORECASE | re.ASCII)
HTTP_PORT = "80"
"""The port of an origin that names none."""


class AsgiApp(Protocol):
    """What a `Server` serves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None: ...

    def close(self) -> None:
        """The server is stopping: whatever waits must answer now."""
        ...


class Gone(Exception):  # noqa: N818 - a fact about the client, not an error of anybody
    """The client hung up. Nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, whole."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Room:
    """Bytes that the bodies of all requests in hand may have together."""

    def __init__(self, size: int) -> None:
        self.left = size


class Request:
    """One request. Header names are lower case, repeated ones are joined by a comma. Bodies are held in `room`."""

    def __init__(self, scope: Scope, receive: Receive, room: Room | None = None) -> None:
        self.method: str = scope["method"]
        self.path = tuple(map(unquote, scope["raw_path"].decode("latin-1").split("/")[1:]))
        """Its segments, decoded after they are parted: `%2F` is part of a segment."""
        self.headers = _headers(scope["headers"])
        self.port: int = (scope["server"] or ("", 0))[1]
        """The port that it came to; 0 where its sender is gone already."""
        self._query: bytes = scope["query_string"]
        self._receive = receive
        self._room = room or Room(DRAIN)
        self._held = 0

    def query(self, name: str) -> str | None:
        """The last value of a parameter."""
        try:
            return parse_qs(self._query.decode("latin-1"), keep_blank_values=True, max_num_fields=20)[name][-1]
        except (KeyError, ValueError):
            return None

    async def body(self, limit: int) -> bytes:
        """The whole body. Never holds more than `limit` bytes, and one piece. Raises ProblemError, or Gone."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await self._body(limit)
        except TimeoutError:
            raise ProblemError("slow-body", f"the body did not arrive within {BODY_TIMEOUT:g} seconds") from None

    async def drain(self) -> None:
        """Take what comes of the body, and forget it. Raises Gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                async for _ in self._pieces():
                    pass

    def release(self) -> None:
        """The body is not held any more."""
        self._room.left += self._held
        self._held = 0

    async def _body(self, limit: int) -> bytes:
        body, size, fits = bytearray(), 0, True
        async for piece in self._pieces():
            size += len(piece)
            fits = fits and size <= limit and len(piece) <= self._room.left
            if fits:
                self._room.left -= len(piece)
                self._held += len(piece)
                body += piece
            elif body:
                body.clear()
                self.release()
        if size > limit:
            detail = f"the body has more than {limit} bytes, which is the most that is taken"
            raise ProblemError("too-large", detail, headers={"connection": "close"})
        if not fits:
            raise ProblemError(
                "busy", "the bodies of other requests take all the room there is; send the request again"
            )
        return bytes(body)

    async def _pieces(self) -> AsyncIterator[bytes]:
        size, more = 0, True
        while more and size <= DRAIN:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            yield piece

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when the client hangs up; then raises Gone."""
        task = asyncio.ensure_future(work)
        hung_up = asyncio.ensure_future(self._hung_up())
        try:
            await asyncio.wait((task, hung_up), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Gone
        finally:
            task.cancel()
            hung_up.cancel()
            await asyncio.gather(task, hung_up, return_exceptions=True)

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def refusal(problem: ProblemError) -> Response:
    """The answer to a request that is not carried out."""
    return Response(problem.status, problem.document(), CONTENT_TYPE, problem.headers)


def only_loopback(request: Request) -> None:
    """A page in a browser must not get here, neither under a name that it bound to this address nor directly.

    Nor one of another server on this machine: anybody may have written that.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not HOST.fullmatch(host):
        raise ProblemError("foreign-host", "the Host header must be 127.0.0.1, localhost or [::1], with any port")
    if origin is None:
        return
    of_loopback = ORIGIN.fullmatch(origin)
    if of_loopback is None or int(of_loopback[1] or HTTP_PORT) != request.port:
        raise ProblemError("foreign-host", "requests of pages from other hosts or ports are not served")


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def answer(send: Send, response: Response) -> None:
    """Send a response. Its length is said, so that the connection can be kept."""
    headers = {"content-type": response.content_type, "content-length": str(len(response.body)), **response.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body})
