"""The embedded server: its port, its stop, its bounds; and the probes that it serves."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import pytest

from sagamesh_sidecar.errors import PortError
from sagamesh_sidecar.web import bounded_protocol
from sagamesh_sidecar.web import server as server_module
from sagamesh_sidecar.web.probes import Health
from sagamesh_sidecar.web.server import Server
from support.fakes.served_app import Slow, exchange, refused, serving


async def get(server: Server, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, head and body."""
    request = f"{method} {path} HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n"
    head, _, body = (await exchange(server, request.encode())).decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def test_a_stop_waits_for_what_runs() -> None:
    async def play() -> bytes:
        app = Slow()
        async with serving(app) as server:
            running = asyncio.create_task(exchange(server, b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n"))
            await app.asked.wait()
            server.stop()
            assert app.closed
            app.go.set()
        return await running

    assert (asyncio.run(play())).endswith(b"done")


def test_a_stop_waits_no_longer_than_the_grace() -> None:
    async def play() -> bytes:
        app = Slow()
        async with serving(app, grace=0.0) as server:
            running = asyncio.create_task(exchange(server, b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n"))
            await app.asked.wait()
        return await running

    assert b"done" not in asyncio.run(play())


def test_a_server_whose_task_is_cancelled_leaves_nothing() -> None:
    async def play() -> None:
        server = Server(Slow(), "127.0.0.1", 0, grace=1.0)
        server.bind()
        task = asyncio.create_task(server.serve())
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()

    asyncio.run(play())


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"cannot listen on 127.0.0.1 port {port}: something else listens there"):
            Server(Slow(), "127.0.0.1", port, grace=1.0).bind()


def test_two_servers_never_share_a_port() -> None:
    async def play() -> None:
        async with serving(Slow()) as first:
            with pytest.raises(PortError):
                Server(Slow(), "127.0.0.1", first.port, grace=1.0).bind()

    asyncio.run(play())


by_both = pytest.mark.skipif(not server_module._is_here("::1"), reason="this machine has no IPv6")


@by_both
def test_at_two_addresses_it_has_one_port() -> None:
    async def play() -> None:
        app = Slow()
        app.go.set()
        async with serving(app, also="::1") as server:
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, server.port)
                writer.write(b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n")
                assert (await reader.read()).endswith(b"done")
                writer.close()
        for host in ("127.0.0.1", "::1"):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, server.port)

    asyncio.run(play())


@by_both
def test_a_port_that_is_taken_at_the_second_address() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"cannot listen on ::1 port {port}: something else listens there"):
            Server(Slow(), "127.0.0.1", port, grace=1.0, also="::1").bind()
        with socket.create_server(("127.0.0.1", port)):
            pass  # nothing is left at the first one


@by_both
def test_another_port_is_taken_where_any_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    listen, tried = server_module._listen, []

    def contested(host: str, port: int) -> socket.socket:
        tried.append((host, port))
        if host == "::1" and len(tried) == 2:
            raise PortError("somebody was faster")
        return listen(host, port)

    monkeypatch.setattr(server_module, "_listen", contested)
    server = Server(Slow(), "127.0.0.1", 0, grace=1.0, also="::1")
    server.bind()
    assert [host for host, _ in tried] == ["127.0.0.1", "::1"] * 2
    assert tried[-1] == ("::1", server.port)
    for sock in server._sockets:
        sock.close()


def test_an_address_that_the_machine_does_not_have() -> None:
    async def play() -> None:
        app = Slow()
        app.go.set()
        async with serving(app, also="2001:db8::1") as server:  # of documentation: nobody has it
            assert (await get(server, "/"))[0] == 200

    asyncio.run(play())


def test_urls() -> None:
    assert Server(Slow(), "0.0.0.0", 3651, grace=1.0).url == "http://127.0.0.1:3651"
    assert Server(Slow(), "::", 3651, grace=1.0).url == "http://[::1]:3651"


def test_signals_and_logging_stay_with_their_owners() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [list(logging.getLogger(name).handlers) for name in ("", "uvicorn", "uvicorn.error")]

    async def play() -> None:
        app = Slow()
        app.go.set()
        async with serving(app) as server:
            await get(server, "/")
            assert signal.getsignal(signal.SIGTERM) == handlers[1]

    asyncio.run(play())
    assert [list(logging.getLogger(name).handlers) for name in ("", "uvicorn", "uvicorn.error")] == loggers


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: pod\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", 0.01)

    async def play() -> bytes:
        async with serving(Slow()) as server:
            return await exchange(server, begun)

    assert asyncio.run(play()) == b""


def test_a_head_that_is_late_on_a_kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> bytes:
        app = Slow()
        app.go.set()
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n")
            assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", 0.01)
            writer.write(b"GET / ")
            rest = await reader.read()
            writer.close()
            return rest

    assert asyncio.run(play()) == b""


def test_a_head_that_is_too_large() -> None:
    async def play() -> bytes:
        async with serving(Slow()) as server:
            return await exchange(server, b"GET / HTTP/1.1\r\nx: " + b"x" * 20_000)

    assert refused(asyncio.run(play())) == (400, "bad-request", "the head of a request may have 16384 bytes")


def test_what_is_no_http() -> None:
    async def play() -> bytes:
        async with serving(Slow()) as server:
            return await exchange(server, b"\x16\x03\x01 hello\r\n\r\n")

    assert refused(asyncio.run(play()))[:2] == (400, "bad-request")


def test_f57_a_request_for_which_there_is_no_memory_is_not_called_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bounded_protocol.BoundedHttpProtocol, "on_headers_complete", short)

    async def play() -> bytes:
        async with serving(Slow()) as server:
            try:
                return await exchange(server, b"GET / HTTP/1.1\r\nhost: pod\r\n\r\n")
            except ConnectionResetError:
                return b""

    assert asyncio.run(play()) == b""


def test_more_connections_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "CONNECTIONS", 1)

    async def play() -> tuple[bytes, bytes]:
        app = Slow()
        request = b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n"
        async with serving(app) as server:
            first = asyncio.create_task(exchange(server, request))
            await app.asked.wait()
            second = await exchange(server, request)
            app.go.set()
            return await first, second

    first, second = asyncio.run(play())
    assert first.endswith(b"done")
    assert refused(second)[:2] == (503, "busy")


def test_probes_and_metrics() -> None:
    troubles = {"alive": "", "ready": "NATS does not answer", "started": ""}
    health = Health(
        alive=lambda: troubles["alive"],
        ready=lambda: troubles["ready"],
        started=lambda: troubles["started"],
        metrics=lambda: (b"sagamesh_in_flight 0\n", "text/plain; version=1.0.0"),
    )

    async def play() -> None:
        async with serving(health) as server:
            assert (await get(server, "/livez"))[::2] == (200, "ok\n")
            assert (await get(server, "/startupz?verbose"))[::2] == (200, "ok\n")
            assert (await get(server, "/readyz"))[::2] == (503, "NATS does not answer\n")
            troubles["ready"] = ""
            assert (await get(server, "/readyz"))[::2] == (200, "ok\n")
            assert (await get(server, "/readyz", "HEAD"))[::2] == (200, "")
            status, head, body = await get(server, "/metrics")
            assert (status, body) == (200, "sagamesh_in_flight 0\n")
            assert "content-type: text/plain; version=1.0.0" in head
            status, head, _ = await get(server, "/metrics", "POST")
            assert status == 405
            assert "allow: get, head" in head
            assert (await get(server, "/"))[::2] == (404, "there are /livez, /readyz, /startupz and /metrics\n")

    asyncio.run(play())
