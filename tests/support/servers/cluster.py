"""Three nats-servers that hold every stream thrice. Each can be killed, paused and restarted alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject
from sagamesh_jetstream.client.session import connect
from support.servers.nats_server import NatsServer
from support.servers.ports import free_ports

PATIENCE = 0.5
"""Seconds to wait for one answer: without a leader none comes."""


class Member(NatsServer):
    """One of the three."""

    def __init__(self, directory: Path, name: str, route: int, routes: list[str]) -> None:
        super().__init__(directory)
        self.name = name
        self._cluster = {"name": "test", "listen": f"127.0.0.1:{route}", "routes": routes, "no_advertise": True}

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"server_name": self.name, "cluster": self._cluster}


class Cluster:
    """What is asked of a lone server, of three."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(3)
        routes = [f"nats-route://127.0.0.1:{port}" for port in ports]
        self.members = [Member(directory / f"n{n}", f"n{n}", port, routes) for n, port in enumerate(ports, 1)]

    @property
    def url(self) -> str:
        return ",".join(member.url for member in self.members)

    participants_url = url

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def ready(self) -> None:
        """Wait until the three have found each other, and agreed on who leads."""
        await self._answer("INFO", lambda _: True)

    async def replicate(self, *streams: str) -> None:
        """Hold these streams, and their consumers, on all three, as an administrator may decide."""
        for name in streams:
            config = (await self._answer(f"STREAM.INFO.{name}", lambda _: True))["config"]
            await self._answer(f"STREAM.UPDATE.{name}", lambda _: True, config | {"num_replicas": 3})
        for name in streams:
            await self.healed(name)

    async def healed(self, stream: str) -> None:
        """Wait until the stream and its consumers have a leader, and two others that know all that it knows."""
        await self._answer(f"STREAM.INFO.{stream}", _complete)
        names = await self._answer(f"CONSUMER.NAMES.{stream}", lambda _: True)
        for name in names["consumers"]:
            await self._answer(f"CONSUMER.INFO.{stream}.{name}", _complete)

    async def leader(self, stream: str) -> Member:
        """Who leads a stream, once somebody does."""
        info = await self._answer(f"STREAM.INFO.{stream}", lambda info: info.get("cluster", {}).get("leader"))
        return next(member for member in self.members if member.name == info["cluster"]["leader"])

    async def _answer(
        self, verb: str, fits: Callable[[JsonObject], object], body: JsonObject | None = None, seconds: float = 30.0
    ) -> JsonObject:
        """What the cluster answers, once it fits."""

        async def ask() -> JsonObject:
            async with connect(self.url, timeout=PATIENCE) as stream:
                while True:
                    with contextlib.suppress(JetStreamError):
                        answer = await stream.api(verb, body)
                        if fits(answer):
                            return answer
                    await asyncio.sleep(0.05)

        return await _insist(ask, seconds)


async def _insist(ask: Callable[[], Awaitable[JsonObject]], seconds: float) -> JsonObject:
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask()
            except UnavailableError:  # no leader, or a server that is gone: another one
                await asyncio.sleep(0.05)


def _complete(info: JsonObject) -> bool:
    cluster = info.get("cluster", {})  # not at once after it has become three
    followers = cluster.get("replicas", [])
    current = [one for one in followers if one["current"] and not one.get("offline") and not one.get("lag")]
    return bool(cluster.get("leader")) and len(current) == 2
