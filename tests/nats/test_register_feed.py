"""The registers that people watch: from now on, in order, each once, whatever becomes of server and consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sagamesh.distribution import topology
from sagamesh.errors import UnavailableError
from sagamesh.log import codec
from sagamesh.log.registers import START, Absent, Completed, Instance, Name, Origin, Register, marker
from sagamesh_cli.local import register_feed
from sagamesh_cli.local.register_feed import RegisterFeed, following
from sagamesh_jetstream.client.ports import JetStreamError
from sagamesh_jetstream.client.session import connect
from sagamesh_sidecar.adapters.nats import NatsLog
from support.processes.stage import run, until
from support.servers.nats_server import NatsServer

[STREAM] = topology.streams("t", "s")
LOG = STREAM["name"]
FINISH = Name("_", "finish")
MARKER = marker("step", 1, START)
ORIGIN = Origin("run", 1, 1.0, "revision", "pod", "attempt")


class Watcher:
    """Who writes registers, and watches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[tuple[str, str]] = []

    def hear(self, instance: Instance, register: Register) -> None:
        self.heard.append((instance.id, ".".join(register.name)))

    async def write(self, *ids: str) -> None:
        """The end of instances, what nobody watches, and what nobody can read."""
        async with NatsLog(self.url, name="test") as log:
            for each in ids:
                for name, value in ((FINISH, Completed()), (MARKER, Absent("a", "b"))):
                    headers, body = codec.encode(name, value, ORIGIN, "someone")
                    await log.put(Instance("t", "s", each).subject(name), headers, body)
                await log.put(f"saga.t.s.{each}._.notice", {}, b"no register")

    async def hears(self, *ids: str) -> None:
        await until(lambda: self.heard == [(each, "_.finish") for each in ids])


@asynccontextmanager
async def watching(server: NatsServer, *before: str) -> AsyncIterator[Watcher]:
    """`before`: what stands already."""
    async with connect(server.url) as js:
        await js.api(f"STREAM.CREATE.{LOG}", STREAM)
    on = Watcher(server.url)
    await on.write(*before)
    async with following(server.url, "t", ["s"], on.hear):
        yield on


def test_what_is_written_from_now_on_is_heard_also_after_a_crash_of_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with watching(server, "old") as on:
                await on.write("a", "b")
                await on.hears("a", "b")
                server.kill()
                server.restart()
                await on.write("c")
                await on.hears("a", "b", "c")

    run(scenario())


def test_a_consumer_that_is_silent_is_replaced_and_nothing_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_feed, "HEARTBEAT", 0.2)
    monkeypatch.setattr(register_feed, "AGAIN", 0.1)

    async def consumers(url: str) -> list[str]:
        async with connect(url) as js:
            return list((await js.api(f"CONSUMER.NAMES.{LOG}"))["consumers"])

    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with watching(server) as on:
                await on.write("a")
                await on.hears("a")
                [name] = await consumers(server.url)
                async with connect(server.url) as js:
                    await js.api(f"CONSUMER.DELETE.{LOG}.{name}")
                await on.write("b")
                await on.hears("a", "b")
                [another] = await consumers(server.url)
                assert another != name
                await asyncio.sleep(1)  # several heartbeats long nothing is written, and the consumer stays
                assert await consumers(server.url) == [another]

    run(scenario())


def test_what_an_old_consumer_still_brings_is_not_heard_twice() -> None:
    async def bring(feed: RegisterFeed, sequence: int) -> None:
        headers, body = codec.encode(FINISH, Completed(), ORIGIN, "someone")
        reply = f"$JS.ACK.{LOG}.c.1.{sequence}.9.1795600984123456789.5"
        subject = Instance("t", "s", f"i{sequence}").subject(FINISH)
        await feed._on_message(cast("Any", SimpleNamespace(subject=subject, reply=reply, headers=headers, data=body)))

    async def scenario() -> None:
        on = Watcher("")
        feed = RegisterFeed(cast("Any", None), LOG, "saga.t.s.>", on.hear, after=4)
        for sequence in (4, 5, 6, 5, 6, 7):
            await bring(feed, sequence)
        assert [each for each, _ in on.heard] == ["i5", "i6", "i7"]

    run(scenario())


def test_a_stream_or_a_server_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        with NatsServer(tmp_path) as server, pytest.raises(JetStreamError, match="stream not found"):
            async with following(server.url, "t", ["s"], lambda *_: None):
                """Never reached."""
        with pytest.raises(UnavailableError, match="cannot be reached"):
            async with following(server.url, "t", ["s"], lambda *_: None):
                """Never reached."""

    run(scenario())
