"""What the sidecar asks of any HTTP client to the app, on real sockets.

The app here is a socket that the test plays by hand: `await app.accept()`, `await peer.request()`, `peer.send(b"...")`.
So both sides of each exchange stand in one place, in the order in which they happen, and nothing is waited for by time.
"""

import asyncio
import contextlib
import inspect
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh_sidecar.adapters.app_client import AppClient

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CLOSE = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
LIMITS = {"max_head": 1000, "max_body": 100}

in_pieces = pytest.mark.parametrize("pieces", [1, 7, 1_000_000])


class Peer:
    """The app's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.send = writer.write
        self.half_close = writer.write_eof
        self.close = writer.close

    async def request(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self._reader.readexactly(length)

    def reset(self) -> None:
        linger_not = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self._writer.transport.abort()

    async def deliver(self, data: bytes, size: int) -> None:
        """Send it in pieces of this size, one a turn of the loop, until the client has enough."""
        for at in range(0, len(data), size):
            if not self._writer.is_closing():
                self.send(data[at : at + size])
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """Returns when the client has closed its end."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    async def shut(self) -> None:
        self.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class App:
    """A listening socket, and all the connections that were ever made to it."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self._new: asyncio.Queue[Peer] = asyncio.Queue()

    async def accept(self) -> Peer:
        return await self._new.get()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(Peer(reader, writer))
        self._new.put_nowait(self.peers[-1])

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for peer in self.peers:
                await peer.shut()
            await server.wait_closed()


def scenario(**options: object) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make `async def test(app, client, ...)` a test: on both loops, in bounded time, and no socket stays open."""

    def decorate(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        async def play(**arguments: object) -> None:
            app = App()
            async with asyncio.timeout(5), app.listening():
                client = AppClient(app.url, **options)
                try:
                    await body(app, client, **arguments)
                finally:
                    await client.close()
                for peer in app.peers:
                    await peer.gone()

        def test(loop: Callable[[], asyncio.AbstractEventLoop], **arguments: object) -> None:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(play(**arguments))

        own = [p for p in inspect.signature(body).parameters.values() if p.name not in {"app", "client"}]
        loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        test.__signature__ = inspect.Signature([loop, *own])
        test.__name__, test.__doc__, test.__module__ = body.__name__, body.__doc__, body.__module__
        test.pytestmark = [
            pytest.mark.parametrize(
                "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
            ).mark
        ]
        return test

    return decorate


def post(client: AppClient, body: bytes = b"{}", *, timeout: float = 5) -> asyncio.Task[Answer]:
    return asyncio.create_task(client.post("/charges", {"saga-id": "7"}, body, timeout=timeout))


async def exchange(app: App, client: AppClient, answer: bytes) -> tuple[Peer, Answered]:
    """One whole exchange on a new connection."""
    call = post(client)
    peer = await app.accept()
    await peer.request()
    peer.send(answer)
    answered = await call
    assert isinstance(answered, Answered)
    return peer, answered


def assert_unanswered(answer: Answer, reason: str = "") -> None:
    """That no usable answer came, for a reason that matches an expression."""
    assert isinstance(answer, Unanswered)
    assert re.search(reason, answer.reason)


async def idle(app: App, client: AppClient, count: int) -> list[Peer]:
    """Connections that wait for use, the one that became idle last at the end."""
    calls = {post(client) for _ in range(count)}
    peers = [await app.accept() for _ in range(count)]
    for peer in peers:
        await peer.request()
        peer.send(OK)
        _, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    return peers


async def served(peer: Peer, client: AppClient) -> bool:
    """Whether the next call takes this connection and succeeds."""
    call = post(client)
    await peer.request()
    peer.send(OK)
    return (await call).body == b"hi"


@contextlib.contextmanager
def deaf_port() -> Iterator[str]:
    """A port whose accept queue is full: the kernel drops each new SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What is sent


@scenario()
async def test_request_on_the_wire(app, client):
    call = asyncio.create_task(client.post("/a?b=%20", {"Saga-Id": "7", "x-name": "Zoë"}, b'{"a":1}', timeout=5))
    peer = await app.accept()
    assert (await peer.request()).split(b"\r\n") == [
        b"POST /a?b=%20 HTTP/1.1",
        b"host: " + app.url.removeprefix("http://").encode(),
        b"content-length: 7",
        b"Saga-Id: 7",
        b"x-name: Zo\xeb",
        b"",
        b'{"a":1}',
    ]
    peer.send(OK)
    await call


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"x": "a\r\nb: c"}),
        ("/", {"x": "a\nb"}),
        ("/", {"x": "a\rb"}),
        ("/", {"x": "a\0b"}),
        ("/", {"x": "λ"}),
        ("/", {"x\r\ny": "a"}),
        ("/", {"x\n": "a"}),
        ("/", {"x: y": "a"}),
        ("/", {"\0": "a"}),
        ("/", {"é": "a"}),
        ("/", {"": "a"}),
        ("/", {"Content-Length": "0"}),
        ("/", {"transfer-encoding": "chunked"}),
        ("/", {"Host": "a"}),
        ("", {}),
        ("charges", {}),
        ("/a b", {}),
        ("/a HTTP/1.1\r\nx: y", {}),
        ("/ä", {}),
    ],
)
@scenario()
async def test_what_could_change_the_request_is_refused(app, client, path, headers):
    # F59: A path comes from the rules and can be nothing but a path
    with pytest.raises(ValueError, match=r"header|path"):
        await client.post(path, headers, b"", timeout=5)
    assert app.peers == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9001", "http://localhost:80/", "http://[::1]:65535"])
def test_url(url):
    AppClient(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:9001",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:9001/api",
        "http://u:p@127.0.0.1:9001",
        "127.0.0.1:9001",
        "",
    ],
)
def test_bad_url(url):
    with pytest.raises(ValueError, match=r"must look like http://127\.0\.0\.1:9001"):
        AppClient(url)


# What comes back

ANSWERS = {
    "length": (OK, 200, {"content-length": "2"}, b"hi"),
    "chunked": (
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-late: 1\r\n\r\n",
        200,
        {"transfer-encoding": "chunked"},
        b"hello",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, {}, b""),
    "1xx first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK,
        200,
        {"content-length": "2"},
        b"hi",
    ),
    "any status": (b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n", 503, {"content-length": "0"}, b""),
    "no reason": (b"HTTP/1.1 409\r\ncontent-length: 0\r\n\r\n", 409, {"content-length": "0"}, b""),
    "repeated headers": (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nCe-Type: \xeb  \r\nx-a:2\r\nX-A:\r\ncontent-length: 0\r\n\r\n",
        200,
        {"x-a": "1, 2, ", "ce-type": "\xeb", "content-length": "0"},
        b"",
    ),
}  # fmt: skip


@in_pieces
@pytest.mark.parametrize("name", ANSWERS)
@scenario()
async def test_answer(app, client, name, pieces):
    answer, status, headers, body = ANSWERS[name]
    call = post(client)
    peer = await app.accept()
    await peer.request()
    await peer.deliver(answer, pieces)
    assert await call == Answered(status, headers, body)
    assert await served(peer, client)
    assert len(app.peers) == 1


@in_pieces
@pytest.mark.parametrize(
    "answer",
    [
        CLOSE + b"\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        CLOSE + b"content-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        CLOSE + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
@scenario()
async def test_answer_that_ends_the_connection(app, client, answer, pieces):
    call = post(client)
    peer = await app.accept()
    await peer.request()
    await peer.deliver(answer, pieces)
    if b"length" not in answer and b"chunked" not in answer:
        peer.half_close()
    assert (await call).body == b"hello"
    await peer.gone()
    await exchange(app, client, OK)  # accepts another connection


@scenario()
async def test_http_1_0_may_keep_the_connection(app, client):
    peer, _ = await exchange(app, client, b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n")
    assert await served(peer, client)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "unreadable"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "unreadable"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "unreadable"),
        (CHUNKED + b"zz\r\n", "unreadable"),
        (CHUNKED + b"2\r\nabc\r\n", "unreadable"),
        (CHUNKED + b"fffffffffffffffffff\r\n", "unreadable"),
        (b"HTTP/1.1 200 OK\r\nx: %s\r\n\r\n" % (b"a" * 1000), "head of the answer is over 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nx: %s" % (b"a" * 1000), "head of the answer is over 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n%s" % (b"a: b\r\n" * 200), "head of the answer is over 1000 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "head of the answer is over 1000 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: %s" % (b"a" * 1500), "head of the answer is over"),
        (CHUNKED + b"2\r\nabc\r\n" + b"a" * 3000, "unreadable"),
    ],
)
@in_pieces
@scenario(**LIMITS)
async def test_no_usable_answer(app, client, answer, reason, pieces):
    call = post(client)
    peer = await app.accept()
    await peer.request()
    await peer.deliver(answer, pieces)
    # F22: Counts as "nobody knows"
    assert_unanswered(await call, reason)
    await peer.gone()
    await exchange(app, client, OK)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\nx: y\r\n\r\n" + b"a" * 101, "is over 100 bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\nx: y\r\n\r\n" + b"a" * 101 + OK, "is over 100 bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\nx: y\r\n\r\n" + b"a" * 101, "is over 100 bytes"),
        (CHUNKED[:-2] + b"x: y\r\n\r\n64\r\n%s\r\n1\r\na\r\n0\r\n\r\n" % (b"a" * 100), "is over 100 bytes"),
        (CHUNKED[:-2] + b"x: y\r\n\r\n64\r\n%s\r\n1\r\na\r\nrubbish" % (b"a" * 100), "is over 100 bytes"),
        (CLOSE + b"x: y\r\n\r\n" + b"a" * 101, "is over 100 bytes"),
        (CHUNKED[:-2] + b"x: y\r\n\r\n0\r\nx: " + b"a" * 2000, "too large"),
        (CHUNKED[:-2] + b"x: y\r\n\r\n1;%s\r\n" % (b"a" * 2000), "too large"),
    ],
)
@in_pieces
@scenario(**LIMITS)
async def test_of_a_body_that_nobody_keeps_the_head_is_told_and_the_connection_ends(app, client, answer, why, pieces):
    """The status says what the app did. The rest of the body is not waited for."""
    call = post(client)
    peer = await app.accept()
    await peer.request()
    await peer.deliver(answer, pieces)
    given = await call
    assert isinstance(given, Answered)
    assert (given.status, given.headers["x"], given.body) == (200, "y", b"")
    assert why in given.unread
    await peer.gone()
    await exchange(app, client, OK)


@in_pieces
@scenario(**LIMITS)
async def test_limits_are_inclusive(app, client, pieces):
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx: "
    answer = head + b"a" * (1000 - len(head) - 4) + b"\r\n\r\n" + b"b" * 100
    call = post(client)
    peer = await app.accept()
    await peer.request()
    await peer.deliver(answer, pieces)
    assert (await call).body == b"b" * 100


@scenario(**LIMITS)
async def test_limits_are_those_of_one_answer(app, client):
    peer, _ = await exchange(app, client, OK)
    for _ in range(100):  # together they would be over all limits
        assert await served(peer, client)


@scenario()
async def test_default_limits(app, client):
    limit = 256 * 1024
    peer, response = await exchange(
        app, client, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % limit + b"a" * limit
    )
    assert len(response.body) == limit
    call = post(client)
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 32 * 1024)
    assert_unanswered(await call, "over 32768 bytes")


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 2",
        OK[:-1],
        CHUNKED + b"1\r\na\r\n",
        CHUNKED,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        CLOSE + b"x: y\r\n",
    ],
)
@pytest.mark.parametrize("how", ["half_close", "close", "reset"])
@scenario()
async def test_connection_that_ends_early(app, client, part, how):
    call = post(client)
    peer = await app.accept()
    await peer.request()
    peer.send(part)
    getattr(peer, how)()
    assert_unanswered(await call, r"reset|closed")


@scenario()
async def test_body_until_close_is_cut_by_a_reset(app, client):
    call = post(client)
    peer = await app.accept()
    await peer.request()
    peer.send(CLOSE + b"\r\nhel")
    peer.reset()
    assert_unanswered(await call, "reset")


@scenario()
async def test_answer_before_the_request_was_read(app, client):
    """413 from an app that does not want the rest: an answer, but the connection is in the middle of a request."""
    call = post(client, b"a" * 64 * 1024 * 1024)
    peer = await app.accept()
    peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    assert (await call).status == 413
    await peer.gone()


# Time


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1], CLOSE + b"\r\nhi"])
@scenario()
async def test_timeout_runs_to_the_last_byte(app, client, part):
    call = post(client, timeout=0.05)
    peer = await app.accept()
    await peer.request()
    peer.send(part)
    assert_unanswered(await call, r"no answer within 0\.05 s")
    await peer.gone()


@scenario()
async def test_a_slow_answer_does_not_extend_the_timeout(app, client):
    call = post(client, timeout=0.05)
    peer = await app.accept()
    await peer.request()
    peer.send(CLOSE + b"\r\n")
    while not call.done():  # bytes come all the time
        peer.send(b"a")
        await asyncio.sleep(0)
    assert_unanswered(await call, "no answer within")


@scenario(connections=1)
async def test_waiting_for_a_connection_is_not_part_of_the_timeout(app, client):
    first, second = post(client, timeout=0.5), post(client, timeout=0.4)
    await (await app.accept()).request()
    assert_unanswered(await first)  # 0.5 s later
    peer = await app.accept()
    await peer.request()
    peer.send(OK)
    assert (await second).status == 200


@scenario(idle=0.05)
async def test_idle_connections_are_dropped(app, client):
    for peer in await idle(app, client, 2):
        await peer.gone()
    await exchange(app, client, OK)


@scenario(idle=0.3)
async def test_only_what_was_idle_for_so_long_is_dropped(app, client):
    oldest, newer, newest = await idle(app, client, 3)
    call, clock = post(client), post(client, timeout=0.15)
    await newest.request()
    assert_unanswered(await clock)
    await newer.gone()
    newest.send(OK)
    await call  # idle again since half the time
    await oldest.gone()
    assert await served(newest, client)
    await newest.gone()  # in its turn


@scenario()
async def test_the_timeout_of_a_call_ends_with_it(app, client):
    _, two = await idle(app, client, 2)
    early = post(client, timeout=0.1)
    await two.request()
    two.send(OK)
    await early
    call, clock = post(client), post(client, timeout=0.2)
    await two.request()
    assert_unanswered(await clock)
    two.send(OK)
    assert (await call).status == 200


# The pool


@scenario()
async def test_last_in_first_out(app, client):
    older, newer = await idle(app, client, 2)
    assert await served(newer, client)
    assert await served(newer, client)
    calls = post(client), post(client)
    for peer in (newer, older):
        await peer.request()
        peer.send(OK)
    await asyncio.gather(*calls)
    assert len(app.peers) == 2


@scenario(connections=2)
async def test_no_more_connections_than_allowed_and_callers_wait_in_order(app, client):
    calls = [post(client, b"%d" % number) for number in range(6)]
    peers = await app.accept(), await app.accept()
    order = [await peer.request() for peer in peers]
    for _ in range(3):
        for peer in peers:
            peer.send(OK)
            if len(order) < len(calls):
                order.append(await peer.request())
    await asyncio.gather(*calls)
    assert sorted(request[-1:] for request in order[:2]) == [b"0", b"1"]
    assert [request[-1:] for request in order[2:]] == [b"2", b"3", b"4", b"5"]
    assert len(app.peers) == 2


@scenario(connections=1)
async def test_a_cancelled_waiter_leaves_no_gap(app, client):
    first, second, third = post(client), post(client), post(client)
    peer = await app.accept()
    await peer.request()
    second.cancel()
    peer.send(OK)
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await peer.request()
    peer.send(OK)
    assert (await third).status == 200


@scenario(connections=1)
async def test_a_waiter_cancelled_when_its_turn_has_come_passes_it_on(app, client):
    async def cancel_second_at_the_end() -> None:
        await client.post("/", {}, b"", timeout=5)
        second.cancel()  # woken, but it has not run yet

    first, second, third = asyncio.create_task(cancel_second_at_the_end()), post(client), post(client)
    peer = await app.accept()
    for _ in range(2):
        await peer.request()
        peer.send(OK)
    await asyncio.wait([first, second, third])
    assert second.cancelled()
    assert third.result().status == 200
    assert len(app.peers) == 1


@scenario(connections=1)
async def test_a_cancelled_call_closes_its_connection_and_gives_its_place_back(app, client):
    call = post(client)
    peer = await app.accept()
    await peer.request()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await peer.gone()
    await exchange(app, client, OK)


@pytest.mark.parametrize("rubbish", [OK, b"H", b"rubbish", b"\x16\x03\x01"])
@scenario()
async def test_bytes_that_nobody_asked_for_close_the_connection(app, client, rubbish):
    peer, _ = await exchange(app, client, OK)
    peer.send(rubbish)
    await peer.gone()
    await exchange(app, client, OK)


@pytest.mark.parametrize("rubbish", [OK, b"H", b"rubbish", OK * 2000])
@pytest.mark.parametrize("answer", [OK, CLOSE + b"content-length: 2\r\n\r\nhi", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"])
@scenario()
async def test_bytes_behind_the_answer(app, client, answer, rubbish):
    peer, response = await exchange(app, client, answer + rubbish)
    assert (response.status, response.body) == (200, b"hi")
    await peer.gone()
    await exchange(app, client, OK)


@pytest.mark.parametrize("how", ["half_close", "reset"])
@scenario()
async def test_an_idle_connection_that_the_app_ended_is_not_used(app, client, how):
    peer, _ = await exchange(app, client, OK)
    getattr(peer, how)()
    await peer.gone() if how == "half_close" else await client.reachable()  # either way our loop has seen it
    if how == "reset":
        await app.accept()
    await exchange(app, client, OK)


@pytest.mark.parametrize("how", ["half_close", "close", "reset"])
@scenario()
async def test_a_reused_connection_that_dies_is_no_free_retry(app, client, how):
    peer, _ = await exchange(app, client, OK)
    call = post(client)
    await peer.request()
    getattr(peer, how)()
    assert_unanswered(await call, r"reset|closed")
    assert len(app.peers) == 1


@scenario()
async def test_close_ends_calls_under_way(app, client):
    peer, _ = await exchange(app, client, OK)
    call = post(client)
    await peer.request()
    await client.close()
    assert_unanswered(await call, "closed")
    assert await client.post("/", {}, b"", timeout=5) == Away()


# Nobody there


@scenario()
async def test_refused_connection(app, client):
    other = AppClient(f"http://127.0.0.1:{free_port()}", connections=1)
    for _ in range(2):  # the place comes back
        assert await other.post("/", {}, b"", timeout=5) == Away()
    assert not await other.reachable()
    await other.close()


@scenario()
async def test_no_connection_in_time(app, client):
    with deaf_port() as url:
        other = AppClient(url, connections=1)
        async with asyncio.timeout(1):
            for _ in range(2):
                assert await other.post("/", {}, b"", timeout=0.05) == Away()
            assert not await other.reachable(0.05)
        await other.close()


@scenario()
async def test_cancelled_while_connecting(app, client):
    with deaf_port() as url:
        other = AppClient(url, connections=1)
        call, waiter = post(other), post(other, timeout=0.05)
        await asyncio.wait([call], timeout=0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await waiter == Away()
        await other.close()


@scenario()
async def test_reachable(app, client):
    assert await client.reachable()
    await (await app.accept()).gone()
