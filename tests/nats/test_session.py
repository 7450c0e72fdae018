"""The operator's connection: replaced when it dies, however quietly, and meanwhile no is said at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client.connection import Timing
from sagamesh_jetstream.client.session import Session, connect
from support.processes.stage import run, until
from support.servers.nats_server import NatsServer


class Watched:
    """A session that runs, and what it has told."""

    def __init__(self, url: str) -> None:
        self.news: list[str] = []
        self.heard: list[bytes] = []
        self.session = Session(url, timeout=1.0, timing=Timing(start=0.1, connect=1.0, reply=0.5, watch=0.1))
        self.session.opened = lambda: self.news.append("opened")
        self.session.lost = lambda: self.news.append("lost")
        self.session.listen("news.>", lambda _, body: self.heard.append(body))

    async def hears(self, body: str) -> None:
        """Wait until what is published arrives."""
        async with asyncio.timeout(20):
            while body.encode() not in self.heard:
                try:
                    await self.session.publish("news.of.the.day", body.encode())
                except UnavailableError:  # nobody stores it
                    await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Watched]:
    on = Watched(url)
    running = asyncio.create_task(on.session.run())
    try:
        yield on
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_a_server_that_comes_later_is_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = NatsServer(tmp_path)
        server.start()
        server.stop()
        async with watched(server.url) as on:
            with pytest.raises(UnavailableError, match="has not connected"):
                await on.session.api("INFO")
            await until(lambda: "cannot be reached" in on.session.problem)
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await on.session.api("INFO")
            server.start()
            await until(lambda: on.news == ["opened"])
            assert on.session.problem == ""
            await on.session.api("INFO")
            await on.hears("first")
        server.stop()

    run(scenario())


@pytest.mark.parametrize("death", ["killed", "hung"])
def test_a_server_that_dies_is_noticed_and_found_again(tmp_path: Path, death: str) -> None:
    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with watched(server.url) as on:
                await on.hears("first")
                if death == "killed":
                    server.kill()
                else:
                    server.pause()  # the connection stays, and nobody answers
                await until(lambda: on.news == ["opened", "lost"])
                with pytest.raises(UnavailableError):
                    await on.session.api("INFO")
                if death == "killed":
                    server.start()
                else:
                    server.resume()
                await until(lambda: on.news == ["opened", "lost", "opened"])
                await on.session.api("INFO")
                await on.hears("second")

    run(scenario())


def test_where_somebody_is_silent_that_is_raised_in_time() -> None:
    async def keep_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent:
            port = silent.sockets[0].getsockname()[1]
            began = time.monotonic()
            with pytest.raises(
                UnavailableError, match=r"cannot be reached: nothing there answers as a NATS server does$"
            ):
                async with connect(f"nats://127.0.0.1:{port}", timeout=0.5):
                    """Never reached."""
            assert time.monotonic() - began < 10, "the default would take longer"

    run(scenario())


def test_a_read_of_more_than_the_server_gives_at_once_is_no_read_of_less(tmp_path: Path) -> None:
    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with connect(server.url) as js:
                await js.api(
                    "STREAM.CREATE.X", {"name": "X", "subjects": ["x.>"], "storage": "memory", "allow_direct": True}
                )
                await asyncio.gather(*(js.publish(f"x.{n}", b"") for n in range(1025)))
                with pytest.raises(UnavailableError, match=r"^X cannot be read: 413 "):
                    await js.last("X", ["x.>"])

    run(scenario())


class StrictServer(NatsServer):
    def _config(self) -> dict[str, Any]:
        user = {"user": "small", "password": "s3cret", "permissions": {"publish": ["$JS.API.INFO"]}}
        return {**super()._config(), "authorization": {"users": [user]}}


def test_a_missing_right_is_told_with_the_server_s_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        with StrictServer(tmp_path) as server:
            async with connect(server.url.replace("//", "//small:s3cret@"), timeout=1) as js:
                await js.api("INFO")
                with pytest.raises(
                    UnavailableError, match=r"^NATS did not answer STREAM\.NAMES within 1 s; meanwhile"
                ) as no:
                    await js.api("STREAM.NAMES")
                assert 'permissions violation for publish to "$js.api.stream.names"' in str(no.value)

    run(scenario())


def test_where_nothing_is_there_that_is_raised_at_once_and_logged_for_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        server = NatsServer(tmp_path)
        server.start()
        server.stop()
        began = time.monotonic()
        address = server.url.removeprefix("nats://")
        with pytest.raises(
            UnavailableError, match=f"^NATS at nats://{address} cannot be reached: .*Connect call failed"
        ):
            async with connect(f"nats://me:s3cret@{address}"):
                """Never reached."""
        assert time.monotonic() - began < 5, "half of what a request may take"

    caplog.set_level(logging.DEBUG)
    run(scenario())
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert "s3cret" not in caplog.text


def test_a_client_that_has_gone_deaf_is_replaced(tmp_path: Path) -> None:
    """nats-py says that it is connected while nobody reads any more."""

    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with watched(server.url) as on:
                await on.hears("first")
                client = on.session._connection._client
                assert client is not None
                client._reading_task.cancel()
                assert client.is_connected
                await until(lambda: on.news == ["opened", "lost", "opened"])
                await on.hears("second")

    run(scenario())
