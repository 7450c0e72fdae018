"""The operator's loop in this process: a cluster in memory that can be told to lie, and a real NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.log.registers import SagaKey
from sagamesh.rules.local import FORMAT
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_jetstream.client.session import Session
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.resource import Note
from sagamesh_operator.sagas.reconciler import Reconciler
from sagamesh_operator.sagas.watch_health import GRACE
from support.fakes.memory_cluster import MemoryCluster
from support.processes.stage import run, until
from support.servers.nats_server import NatsServer, emptied


class World:
    def __init__(self, url: str) -> None:
        self.cluster = MemoryCluster()
        self.session = Session(url)
        self.skew = 0.0
        self.operator = self.recruit()

    def recruit(self) -> Reconciler:
        """An operator that knows nothing yet."""
        self.metrics = OperatorMetrics()
        operator = Reconciler(
            self.session, self.cluster, self.metrics, installation="test", now=lambda: 1e9 + self.skew
        )
        self.session.opened, self.session.lost = operator.connected, operator.disconnected
        self.session.listen(buckets.heartbeat_subjects(), operator.heard)
        self.cluster.watched = operator.told
        return operator

    async def report(self, participant: str, pod: str = "1", **told: Any) -> None:
        """A heartbeat."""
        body = heartbeat.encode(Heartbeat(namespace="shop", participant=participant, pod=pod, **told))
        await self.session.publish(buckets.heartbeat_subject("shop", participant, pod), body)

    def revision(self, name: str) -> str:
        revision: str = self.cluster.objects[SagaKey("shop", name)]["status"]["activeRevision"]
        return revision

    def stands(self, name: str) -> bool:
        """Whether this operator has distributed it, whatever was said of that."""
        return self.operator.records.of(SagaKey("shop", name)).standing is not None

    async def shows(self, name: str, kind: str, *wanted: str) -> None:
        await until(lambda: self.cluster.condition(name, kind) == wanted)


Scenario = Callable[[World], Awaitable[None]]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def url(shared_server: NatsServer) -> str:
    """Of a server for all, with nothing in it."""
    return emptied(shared_server).url


def play(url: str, scenario: Scenario) -> None:
    async def whole() -> None:
        on = World(url)
        async with working(on):
            await until(lambda: not on.session.problem)
            await scenario(on)

    run(whole())


@asynccontextmanager
async def working(on: World) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(on.session.run()), asyncio.create_task(on.operator.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def test_it_is_ready_when_all_have_said_so_and_no_more_when_one_is_behind_or_gone(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.apply("a")
        await on.shows("a", "Ready", "False", "SidecarsMissing")
        revision = on.revision("a")
        await on.report("orders", holds={"a": (revision,)}, starts={"a": revision})
        await on.report("payments", holds={"a": (revision,)})
        await on.shows("a", "Ready", "True", "Ready")
        await on.report("payments", pod="2")
        await on.shows("a", "Ready", "False", "SidecarsBehind")
        await on.report("payments", pod="2", holds={"a": (revision,)})
        await on.shows("a", "Ready", "True", "Ready")
        await on.session.publish(buckets.heartbeat_subject("shop", "payments", "2"), b"")
        await until(lambda: on.cluster.objects[SagaKey("shop", "a")]["status"]["synced"] == "2/2")
        assert [note.reason for note in on.cluster.events] == ["SidecarsMissing", "Ready", "Ready"]

    play(url, scenario)


def test_a_revision_waits_for_a_sidecar_that_could_not_read_it(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.apply("a")
        await on.shows("a", "Distributed", "True", "Distributed")
        before = on.revision("a")
        await on.report("payments", pod="old", formats=(7,))
        await until(lambda: on.operator.fleet.of("shop", "payments"))
        on.cluster.apply("a", parkAfter="1m")
        await on.shows("a", "Distributed", "False", "SidecarTooOld")
        await on.shows("a", "Stalled", "True", "SidecarTooOld")
        assert on.revision("a") == before
        await on.report("payments", pod="old", formats=(FORMAT, 7))  # it was replaced by a newer one
        await on.shows("a", "Distributed", "True", "Distributed")
        assert on.revision("a") != before

    play(url, scenario)


def test_a_dead_watch_is_found_out_and_the_list_serves_meanwhile(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.watched = None
        on.cluster.apply("a")
        await on.operator._look(repair=False)
        await on.shows("a", "Distributed", "True", "Distributed")
        assert not on.operator.watching.dead(1e9 + GRACE / 2)
        assert on.operator.watching.dead(1e9 + GRACE + 1)
        on.cluster.delete("a")
        await on.operator._look(repair=False)
        await until(lambda: not on.operator.records.present())

    play(url, scenario)


def test_a_list_that_is_older_than_what_the_watch_told_takes_nothing_away(url: str) -> None:
    async def scenario(on: World) -> None:
        listed = on.cluster.sagas

        async def old() -> tuple[list[JsonObject], int]:
            found = await listed()
            on.cluster.apply("newer")  # while the answer is on its way
            return found

        on.cluster.sagas = old  # type: ignore[method-assign]
        await on.operator._look(repair=False)
        assert list(on.operator.records.present()) == [SagaKey("shop", "newer")]

    play(url, scenario)


def test_what_cannot_be_said_is_said_later(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.away = True
        on.cluster.apply("a")
        await until(lambda: on.stands("a"))
        assert on.cluster.condition("a", "Distributed") == ("", "")
        on.cluster.away = False
        await on.shows("a", "Distributed", "True", "Distributed")

    play(url, scenario)


def test_an_operator_that_starts_again_says_nothing_twice(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.apply("a")
        await on.shows("a", "Distributed", "True", "Distributed")
        patches, events = on.cluster.patches, len(on.cluster.events)
        on.operator = on.recruit()
        again = asyncio.create_task(on.operator.run())
        on.operator.connected()
        await on.operator.synced.wait()
        await until(lambda: on.stands("a") and not len(on.operator._queue))
        assert (on.cluster.patches, len(on.cluster.events)) == (patches, events)
        again.cancel()
        await asyncio.wait([again])

    play(url, scenario)


def test_what_somebody_has_done_to_the_stream_is_mended_in_time(url: str) -> None:
    async def scenario(on: World) -> None:
        on.cluster.apply("a")
        await on.shows("a", "Distributed", "True", "Distributed")
        await on.session.api("STREAM.DELETE.SAGA_shop_a")
        await on.operator._look(repair=True)
        async with asyncio.timeout(10):
            while not (await on.session.api("STREAM.NAMES", {"subject": "saga.shop.a.>"}))["streams"]:
                await asyncio.sleep(0.02)

    play(url, scenario)


def test_what_is_created_again_as_its_end_is_told_is_not_forgotten(url: str) -> None:
    async def scenario(on: World) -> None:
        record = on.cluster.record

        async def created_meanwhile(key: SagaKey, uid: str, note: Note) -> None:
            await record(key, uid, note)
            if note.reason == "Retired":
                on.cluster.apply("a")

        on.cluster.record = created_meanwhile  # type: ignore[method-assign]
        on.cluster.apply("a")
        await on.shows("a", "Distributed", "True", "Distributed")
        await on.report("orders", starts={"a": on.revision("a")})
        await until(lambda: on.operator.fleet.starters("shop", "a"))
        on.cluster.delete("a")
        await until(lambda: "Retiring" in [note.reason for note in on.cluster.events])
        await on.report("orders")  # it starts the saga no more, and so nothing keeps its log
        await until(lambda: on.cluster.objects)
        await on.shows("a", "Distributed", "True", "Distributed")
        told = [note.reason for note in on.cluster.events if note.reason in ("Retiring", "Retired")]
        assert told == ["Retiring", "Retired"]
        assert on.operator.records.of(SagaKey("shop", "a")).told_at is None, "when it goes, that is news again"

    play(url, scenario)


def test_what_is_deleted_while_it_is_distributed_is_not_spoken_of_again(url: str) -> None:
    async def scenario(on: World) -> None:
        ask = on.session.api

        async def deleted_meanwhile(verb: str, body: JsonObject | None = None) -> JsonObject:
            if verb.startswith("CONSUMER.CREATE") and on.cluster.objects:
                on.cluster.delete("a")
            return await ask(verb, body)

        on.session.api = deleted_meanwhile  # type: ignore[method-assign]
        on.cluster.apply("a")
        await until(lambda: not on.cluster.objects and not len(on.operator._queue))
        assert 'saga="a"' not in on.metrics.exposition()[0].decode()

    play(url, scenario)
