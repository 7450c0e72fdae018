"""One sidecar's API over real sockets: its own server, real instances and rulebook, the log in memory.

The app is away for ever, for the API never calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sagamesh.distribution import buckets, topology
from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.log import codec, registers
from sagamesh.log.codec import Message
from sagamesh.log.registers import (
    Instance,
    Name,
    Origin,
    Value,
)
from sagamesh.protocol.answers import Answer, Away
from sagamesh.rules.codec import encode_rules
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.api.instances import Instances
from sagamesh_sidecar.api.routes import Api
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.rules.rulebook import Rulebook
from sagamesh_sidecar.web.problems import KINDS
from sagamesh_sidecar.web.server import Server

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "shop", "ce-type": "order.placed"}
JSON = {"content-type": "application/json"}


def saga(name: str, event: str, key: str | None = None, *, pivot: bool) -> Saga:
    def step(name: str, on: str, **more: Any) -> Step:
        emits = (Emit(event=f"{name}.ok"),)
        return Step(
            name=name, participant=f"p-{name}", after=(on,), action=Action(path=f"/{name}"), emits=emits, **more
        )

    steps = (
        step("reserve", event, compensation=Compensation(path="/undo")),
        step("charge", "reserve.ok", pivot=pivot, compensation=None if pivot else Compensation(path="/undo")),
    )
    return Saga(namespace="shop", name=name, start=StartSpec(participant="orders", event=event, key=key), steps=steps)


SAGAS = (
    saga("checkout", "order.placed", "event.data.orderId", pivot=True),
    saga("audit", "order.audited", pivot=False),
    saga("both-a", "both", pivot=False),
    saga("both-b", "both", "event.data.orderId", pivot=False),
)


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and code, once it is proven that the rest is as it must be."""
        document = self.json
        assert self.headers["content-type"] == "application/problem+json"
        assert document["type"] == f"https://sagamesh.dev/docs/problems.md#{document['code']}"
        assert document["status"] == self.status == KINDS[document["code"]].status
        assert document["detail"]
        assert ("retry-after" in self.headers) == (self.status == 503)
        return self.status, document["code"]


class NoApp:
    """The API never calls the app."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
        return Away()

    async def reachable(self, timeout: float = 1.0) -> bool:
        return False


class WatchedLog(MemoryLog):
    """Tells how often it was read, to whoever waits for that."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.reads = 0
        self.read_again = asyncio.Event()

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        self.reads += 1
        self.read_again.set()
        return await super().read(stream, subjects)

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        self.reads += 1
        self.read_again.set()
        return await super().read_after(stream, subject, sequence)

    async def looked_at(self, times: int) -> None:
        """Returns after so many reads more."""
        goal = self.reads + times
        while self.reads < goal:
            self.read_again.clear()
            await self.read_again.wait()


class World:
    """One sidecar's API on a port of its own, and the log that it stands on."""

    def __init__(self) -> None:
        self.nats = MemoryServer()
        self.nats.create_stream(buckets.rules_bucket())
        self.log = WatchedLog(self.nats)
        app, metrics = NoApp(), PrometheusMetrics(app_up=lambda: False, connected=lambda: True)
        self.rulebook = Rulebook("shop", "orders", self.log, metrics, poll=60.0)
        executor = Executor("orders", self.log, app, Availability(app), metrics)
        self.instances = Instances(executor, metrics, pod="orders-1")
        self.parking = Parking(metrics)
        self.tally = Tally()
        self.drains, self.drained = 0, asyncio.Event()
        api = Api(
            instances=self.instances,
            rulebook=self.rulebook,
            parking=self.parking,
            tally=self.tally,
            namespace="shop",
            now=self.log.now,
            drain=self.drain,
        )
        self.server = Server(api, "127.0.0.1", 0, grace=5.0)

    async def drain(self) -> int:
        """As long as the test lets it take."""
        self.drains += 1
        await self.drained.wait()
        return 2

    async def distribute(self, *sagas: Saga) -> None:
        for one in sagas:
            rules = project(one)["orders"]
            self.nats.create_stream(*topology.streams("shop", one.name))
            active = buckets.active_subject("shop", "orders", one.name)
            await self.log.put(buckets.rules_subject(rules), {}, encode_rules(rules))
            await self.log.put(active, {}, rules.revision.encode())
        await self.rulebook.refresh()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self.server.bind()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.serve())
            try:
                yield
            finally:
                self.server.stop()

    async def call(
        self, method: str, path: str, body: bytes | Iterator[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        def exchange() -> Reply:
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
            try:
                connection.request(method, path, body, dict(headers or {}), encode_chunked=not isinstance(body, bytes))
                response = connection.getresponse()
                return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
            finally:
                connection.close()

        return await asyncio.to_thread(exchange)

    async def start(self, data: object = None, query: str = "", **headers: str) -> Reply:
        data = {"orderId": "o-1"} if data is None else data
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", f"/v1/events{query}", json.dumps(data).encode(), JSON | EVENT | named)

    async def batch(self, *events: Mapping[str, object]) -> Reply:
        body = [{"specversion": "1.0", "source": "shop", **event} for event in events]
        headers = {"content-type": "application/cloudevents-batch+json"}
        return await self.call("POST", "/v1/events", json.dumps(body).encode(), headers)

    async def cancel(self, path: str, reason: str | None = None) -> Reply:
        body = b"" if reason is None else json.dumps({"reason": reason}).encode()
        return await self.call("POST", f"/v1/sagas/{path}/cancel", body)

    def messages(self, name: str) -> tuple[Message, ...]:
        return self.nats.messages(*registers.streams("shop", name))

    async def write(self, path: str, *written: tuple[Name, Value], revision: str = "") -> None:
        """Write registers as other participants do."""
        instance = Instance("shop", *path.split("/"))
        rules = self.rulebook.newest(instance.saga)
        assert rules is not None
        origin = Origin("run-1", 1, 0.0, revision or rules.local.revision, "pod", "attempt")
        for name, value in written:
            headers, body = codec.encode(name, value, origin, "others")
            assert isinstance(await self.log.put(instance.subject(name), headers, body), int)


def scenario(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Make `async def test(world)` a test: with rules and a server, in bounded time."""

    async def play() -> None:
        world = World()
        async with asyncio.timeout(20):
            await world.distribute(*SAGAS)
            async with world.serving():
                await test(world)

    def run() -> None:
        asyncio.run(play())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
