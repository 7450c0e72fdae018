"""One connection of a client that is hostile, slow, or merely unusual: what it may send, and what that may cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from sagamesh_sidecar.web import bounded_protocol as module
from sagamesh_sidecar.web.asgi import Gone, Receive, Request, Response, Scope, Send, answer
from sagamesh_sidecar.web.server import Server
from support.fakes.served_app import Slow, exchange, refused, serving

GET = b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: pod\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"


class Echo:
    """Answers what it was told: the body, and the names of the headers. `early`: before it has read anything."""

    def __init__(self, *, early: bool = False) -> None:
        self.early = early

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(Gone):
            request = Request(scope, receive)
            body = b"" if self.early else await request.body(1 << 20)
            told = {"body": body.decode(), "headers": sorted(request.headers), "method": request.method}
            await answer(send, Response(200, json.dumps(told).encode()))

    def close(self) -> None:
        pass


async def talk(reader: asyncio.StreamReader) -> dict[str, object]:
    """The next answer of an Echo on this connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    told: dict[str, object] = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
    return told


@contextlib.asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def plain_socket(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setblocking(False)
        yield client


async def until_alone(server: Server) -> None:
    """Returns once the server has no connection any more."""
    while server._uvicorn.server_state.connections:
        await asyncio.sleep(0.005)


# -- requests that ask for another protocol --------------------------------------------------------------------------

H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n"
WEBSOCKET = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n"


BODIES = (b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize("wish", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
def test_a_request_that_asks_for_an_upgrade_is_an_ordinary_one(wish: bytes) -> None:
    """As Java's client sends it: what its body holds must not get lost, nor what comes after it."""

    async def play() -> None:
        async with serving(Echo()) as server, client_of(server) as (reader, writer):
            for body, size in [(body, size) for body in BODIES for size in (1, 20, 1_000)]:
                request = b"POST /a?b=c HTTP/1.1\r\nhost: pod\r\n" + wish + body
                for at in range(0, len(request), size):
                    writer.write(request[at : at + size])
                    await asyncio.sleep(0)
                told = await talk(reader)
                assert (told["method"], told["body"]) == ("POST", "hello")
                assert {"host", "connection"} <= set(told["headers"])  # type: ignore[call-overload]
                writer.write(request + GET + request)  # pipelined
                assert [(await talk(reader))["body"] for _ in range(3)] == ["hello", "", "hello"]

    asyncio.run(play())


def test_nobody_is_a_proxy() -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server:
            return await exchange(server, b"CONNECT pod:80 HTTP/1.1\r\nhost: pod\r\n\r\nGET / HTTP/1.1\r\n\r\n")

    assert refused(asyncio.run(play()))[:2] == (400, "bad-request")


# -- too much --------------------------------------------------------------------------------------------------------


def test_a_trailer_is_no_header() -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server:
            return await exchange(server, CHUNKED + b"2\r\nhi\r\n0\r\ntraceparent: x\r\nHost: y\r\n\r\n")

    told = json.loads(asyncio.run(play()).partition(b"\r\n\r\n")[2])
    assert told == {"body": "hi", "headers": ["connection", "host", "transfer-encoding"], "method": "POST"}


@pytest.mark.parametrize(
    "rest", [b"x: y\r\n" * 200_000, b"x: " + b"y" * 1_000_000, b"1;" + b"z" * 1_000_000], ids=["lines", "line", "chunk"]
)
@pytest.mark.parametrize("app", [Echo(), Echo(early=True)], ids=["reads", "has answered"])
def test_trailers_and_framing_have_a_bound(rest: bytes, app: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    feed = module.BoundedHttpProtocol._parse

    def watched(self: module.BoundedHttpProtocol, data: bytes) -> None:
        nonlocal most
        most += len(data)
        feed(self, data)

    monkeypatch.setattr(module.BoundedHttpProtocol, "_parse", watched)
    start = CHUNKED.replace(b"connection: close\r\n", b"") + (b"" if rest.startswith(b"1") else b"0\r\n")

    async def play() -> None:
        async with serving(app) as server, client_of(server) as (reader, writer):
            writer.write(start)
            if app.early:
                await talk(reader)
            writer.write(rest)
            with contextlib.suppress(ConnectionError):
                got = await reader.read()
                assert not got or refused(got) == (400, "bad-request", "trailers and framing may have 16384 bytes")
            await until_alone(server)

    asyncio.run(play())
    assert most <= len(start) + module.HEAD_BYTES + 2 * module.PIECE


def test_a_body_may_come_in_the_smallest_chunks() -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server:
            return await exchange(server, CHUNKED + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n")

    assert json.loads(asyncio.run(play()).partition(b"\r\n\r\n")[2])["body"] == "x" * 30_000


def test_a_head_after_a_large_body_on_the_same_connection() -> None:
    async def play() -> None:
        async with serving(Echo()) as server, client_of(server) as (reader, writer):
            body = b"POST / HTTP/1.1\r\nhost: pod\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
            writer.write(body + GET[:-2])
            assert len(str((await talk(reader))["body"])) == 100_000
            writer.write(b"\r\n")
            assert (await talk(reader))["method"] == "GET"

    asyncio.run(play())


@pytest.mark.parametrize(("size", "fits"), [(16_384, True), (16_385, False), (19_000, False)])
def test_the_bound_of_a_head_is_exact(size: int, fits: bool) -> None:
    head = b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\nx: "
    head += b"x" * (size - len(head) - 4) + b"\r\n\r\n"

    async def play() -> bytes:
        async with serving(Echo()) as server:
            return await exchange(server, head)

    got = asyncio.run(play())
    if fits:
        assert got.startswith(b"HTTP/1.1 200")
    else:
        assert refused(got) == (400, "bad-request", "the head of a request may have 16384 bytes")


@pytest.mark.parametrize("more", [0, 1, 5_000])
def test_requests_that_wait_on_one_connection_have_a_bound(more: int) -> None:
    """One is carried out, so many wait; with one more the connection ends, and no answer goes to a wrong request."""
    fit = 1 + module.PIPELINED

    async def play() -> bytes:
        app = Slow()
        async with serving(app) as server, client_of(server) as (reader, writer):
            writer.write(GET * (fit + more))
            await app.asked.wait()
            app.go.set()
            if not more:
                return b"".join([await reader.readuntil(b"done") for _ in range(fit)])
            with contextlib.suppress(ConnectionError):
                return await reader.read()
            return b""

    assert asyncio.run(play()).count(b"HTTP/1.1 200 OK") == (0 if more else fit)


# -- too slow --------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def kept(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which one request was answered."""
    async with client_of(server) as (reader, writer):
        writer.write(GET)
        await talk(reader)
        yield reader, writer


def test_blank_lines_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server, kept(server) as (reader, writer):
            monkeypatch.setattr(module, "HEAD_SECONDS", 0.01)
            writer.write(b"\r\n")
            return await reader.read()

    assert asyncio.run(play()) == b""


def test_the_rest_of_a_request_that_is_answered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.2)

    async def play() -> bytes:
        async with serving(Echo(early=True)) as server, client_of(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: pod\r\ncontent-length: 1000000\r\n\r\n")
            await talk(reader)
            reading = asyncio.create_task(reader.read())
            while not reading.done():  # a byte now and then is no sign of life
                writer.write(b"x")
                await asyncio.wait({reading}, timeout=0.02)
            return reading.result() if not reading.exception() else b""

    assert asyncio.run(play()) == b""


def test_the_rest_of_a_request_that_is_answered_may_come() -> None:
    async def play() -> None:
        async with serving(Echo(early=True)) as server, client_of(server) as (reader, writer):
            for _ in range(3):
                writer.write(b"POST / HTTP/1.1\r\nhost: pod\r\ncontent-length: 100000\r\n\r\n")
                await talk(reader)
                writer.write(b"x" * 100_000)

    asyncio.run(play())


class Large:
    """Answers so much that no kernel takes it all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, Response(200, b"x" * (16 << 20)))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("request_", [GET, GET[:-2] + b"connection: close\r\n\r\n"], ids=["kept", "closed"])
def test_an_answer_that_nobody_reads_is_dropped(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.05)

    async def play() -> None:
        async with serving(Large()) as server:
            with plain_socket(server) as client:
                await asyncio.get_running_loop().sock_sendall(client, request_)
                while not server._uvicorn.server_state.connections:
                    await asyncio.sleep(0.005)
                await until_alone(server)

    asyncio.run(play())


def test_an_answer_may_be_read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 5.0)

    async def play() -> bytes:
        async with serving(Large()) as server, client_of(server) as (reader, writer):
            writer.write(GET)
            pieces = [await reader.readuntil(b"\r\n\r\n")]
            while sum(map(len, pieces[1:])) < 16 << 20:
                pieces.append(await reader.read(1 << 18))
                await asyncio.sleep(0)
            return b"".join(pieces)

    assert asyncio.run(play()).endswith(b"x" * 1000)


# -- whose answer it is ----------------------------------------------------------------------------------------------


def test_rubbish_behind_a_request_is_not_answered_in_its_place() -> None:
    async def play() -> bytes:
        app = Slow()
        async with serving(app) as server, client_of(server) as (reader, writer):
            writer.write(GET)
            await app.asked.wait()
            writer.write(b"\x00rubbish\r\n\r\n")
            got = await reader.read()
            app.go.set()
            return got

    assert asyncio.run(play()) == b"", "the client would take a 400 for the answer to its request"


def test_rubbish_behind_an_answer_is_answered() -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server, kept(server) as (reader, writer):
            writer.write(b"\x00rubbish\r\n\r\n")
            return await reader.read()

    assert refused(asyncio.run(play()))[:2] == (400, "bad-request")


def test_a_body_that_cannot_be_read_is_answered() -> None:
    async def play() -> bytes:
        async with serving(Echo()) as server:
            return await exchange(server, CHUNKED + b"2\r\nhi\r\nzzz\r\n")

    assert refused(asyncio.run(play()))[:2] == (400, "bad-request")


def test_a_path_that_cannot_be_read_is_answered() -> None:
    async def play() -> list[bytes]:
        async with serving(Echo()) as server:
            bad = b"GET %b HTTP/1.1\r\nhost: pod\r\n\r\n"
            return [await exchange(server, bad % path) for path in (b"/\x80", b"http://[::1", b"http://pod", b"x")]

    assert [refused(got)[:2] for got in asyncio.run(play())] == [(400, "bad-request")] * 4


# -- too many --------------------------------------------------------------------------------------------------------


def test_whoever_is_too_many_gets_to_see_it_though_a_body_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 1)
    request = b"POST / HTTP/1.1\r\nhost: pod\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000

    async def play() -> list[bytes]:
        app = Slow()
        async with serving(app) as server:
            first = asyncio.create_task(exchange(server, GET))
            await app.asked.wait()
            got = [await exchange(server, request) for _ in range(5)]
            first.cancel()
            app.go.set()
            return got

    assert [refused(got)[:2] for got in asyncio.run(play())] == [(503, "busy")] * 5


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two connections fill a server, and one that is idle may be closed at once, but by nothing else."""
    monkeypatch.setattr(module, "CONNECTIONS", 2)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(module, "HEAD_SECONDS", 60.0)
    return monkeypatch


@pytest.mark.parametrize("said", [b"", GET[:20]], ids=["nothing", "half a head"])
@pytest.mark.usefixtures("few")
def test_whoever_comes_next_takes_the_place_of_the_longest_idle(said: bytes) -> None:
    async def play() -> None:
        async with serving(Echo()) as server, kept(server) as (first, asks), client_of(server) as (second, writer):
            writer.write(said)
            while len(server._uvicorn.server_state.connections) < 2:
                await asyncio.sleep(0)
            asks.write(GET)
            await talk(first)  # the one that came first is not the longest idle any more
            async with kept(server):
                assert await second.read() == b"", "it is closed"
                asks.write(GET)
                await talk(first)
                async with kept(server), kept(server):
                    assert await first.read() == b"", "it is closed, too"

    asyncio.run(play())


def test_what_is_in_hand_or_has_just_come_makes_no_room(few: pytest.MonkeyPatch) -> None:
    few.setattr(module, "IDLE_SECONDS", 60.0)

    async def play() -> tuple[bytes, bytes]:
        app = Slow()
        async with serving(app) as server, client_of(server) as (reader, writer):
            writer.write(GET)
            await app.asked.wait()
            async with client_of(server) as (fresh, _):
                before = await exchange(server, GET)
                few.setattr(module, "IDLE_SECONDS", 0.0)
                taking = asyncio.create_task(exchange(server, LAST))
                assert await fresh.read() == b"", "it is closed"
                after = await exchange(server, GET)
                app.go.set()
                assert (await taking).endswith(b"done")
                assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")
                return before, after

    assert [refused(got)[:2] for got in asyncio.run(play())] == [(503, "busy")] * 2


def test_what_is_answered_before_it_has_come_whole_is_in_hand_until_then(few: pytest.MonkeyPatch) -> None:
    few.setattr(module, "CONNECTIONS", 1)

    async def play() -> None:
        async with serving(Echo(early=True)) as server, client_of(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: pod\r\ncontent-length: 2\r\n\r\nh")
            await talk(reader)
            assert refused(await exchange(server, LAST))[:2] == (503, "busy")
            writer.write(b"i")
            while (await exchange(server, LAST)).startswith(b"HTTP/1.1 503"):
                pass
            assert await reader.read() == b"", "it is closed"

    asyncio.run(play())


def test_half_a_head_behind_a_request_that_is_answered_is_nothing_in_hand(few: pytest.MonkeyPatch) -> None:
    few.setattr(module, "CONNECTIONS", 1)

    async def play() -> None:
        app = Slow()
        async with serving(app) as server, client_of(server) as (reader, writer):
            writer.write(GET + GET[:20])
            await app.asked.wait()
            app.go.set()
            await reader.readuntil(b"done")
            assert (await exchange(server, LAST)).endswith(b"done")
            assert await reader.read() == b"", "it is closed"

    asyncio.run(play())


@pytest.mark.usefixtures("few")
def test_nobody_takes_the_place_of_one_that_has_gone() -> None:
    async def play() -> None:
        async with serving(Echo()) as server:
            async with kept(server):
                pass
            await until_alone(server)
            assert not server._uvicorn.server_state.idle

    asyncio.run(play())


def test_far_too_many_are_refused_before_they_have_said_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)

    async def play() -> bytes:
        async with serving(Echo()) as server, kept(server):
            return await exchange(server, b"")

    got = asyncio.run(play())
    assert refused(got)[:2] == (503, "busy")
    assert b"\r\nretry-after: 1\r\n" in got
