"""The operator's loop in virtual time, over JetStream and a cluster in memory: one saga in the midst of something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from sagamesh.distribution import buckets
from sagamesh.log.registers import START, Instance, SagaKey
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.sagas.reconciler import Reconciler
from support.fakes.memory_cluster import STEP, MemoryCluster
from support.fakes.virtual_loop import play

KEY = SagaKey("shop", "a")


class World:
    def __init__(self) -> None:
        self.streams = MemoryStreams()
        self.js = MemoryJetStream(self.streams)
        self.cluster = MemoryCluster()
        self.metrics = OperatorMetrics()
        self.operator = Reconciler(self.js, self.cluster, self.metrics, installation="ours", now=lambda: 1e9)
        self.cluster.watched = self.operator.told
        self.operator.connected()

    def retiring(self) -> float | None:
        labels = {"namespace": "shop", "saga": "a"}
        return self.metrics._registry.get_sample_value("sagamesh_operator_saga_retiring_instances", labels)

    def start_an_instance(self) -> None:
        self.streams.publish(Instance("shop", "a", "1").subject(START), {}, b"{}")


def scenario(body: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    async def whole() -> None:
        on = World()
        running = asyncio.create_task(on.operator.run())
        await body(on)
        running.cancel()

    def test() -> None:
        play(Random(1), whole())

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


@scenario
async def test_a_list_that_was_asked_for_before_a_deletion_brings_nothing_back(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    listed = on.cluster.sagas

    async def late():
        every = await listed()
        on.cluster.delete("a")  # and the watch tells it, while the list is on its way
        return every

    on.cluster.sagas = late
    await on.operator._look(repair=False)
    assert on.operator.records.of(KEY).resource is None
    on.cluster.sagas = listed
    on.cluster.apply("a")
    on.cluster.watched = None
    await on.operator._look(repair=False)
    assert on.operator.records.of(KEY).resource is not None, "what is there again is seen"


@scenario
async def test_a_late_word_of_what_a_list_has_shown_as_deleted_brings_nothing_back(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    late = on.cluster.objects[KEY]
    on.cluster.watched = None
    on.cluster.delete("a")
    for _ in range(2):
        await on.operator._look(repair=False)
        on.operator.told("MODIFIED", late)
        assert on.operator.records.of(KEY).resource is None
    on.cluster.apply("b")
    for _ in range(2):
        await on.operator._look(repair=False)
    assert KEY not in on.operator._deleted, "it is not remembered for ever"


@scenario
async def test_a_saga_that_is_there_again_counts_as_retiring_no_more(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.start_an_instance()
    on.cluster.delete("a")
    await asyncio.sleep(5)
    assert on.retiring() == 1
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert on.retiring() is None
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")


@scenario
async def test_what_another_operator_says_of_a_refused_saga_stands(on):
    on.cluster.apply("a", steps=[STEP | {"after": ["never"]}])
    await asyncio.sleep(1)
    refused = on.operator.records.of(KEY).resource
    status = on.cluster.objects[KEY]["status"]
    on.cluster.write_status(refused, status | {"activeRevision": "0123456789"})  # it has distributed one before
    await on.operator._look(repair=True)
    await asyncio.sleep(1)
    assert on.cluster.objects[KEY]["status"]["activeRevision"] == "0123456789"


@scenario
async def test_two_operators_that_remember_different_things_of_a_refused_saga_do_not_take_turns(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    own = on.cluster.objects[KEY]["status"]["activeRevision"]
    on.cluster.apply("a", steps=[STEP | {"after": ["never"]}])
    await asyncio.sleep(1)
    assert on.cluster.condition("a", "Accepted")[0] == "False"
    assert on.cluster.objects[KEY]["status"]["activeRevision"] == own, "what stands still is said"
    refused, status = on.operator.records.of(KEY).resource, on.cluster.objects[KEY]["status"]
    for other, stands in (("0123456789", "0123456789"), ("", own)):
        on.cluster.write_status(refused, status | {"activeRevision": other})
        await on.operator._look(repair=True)
        await asyncio.sleep(1)
        assert on.cluster.objects[KEY]["status"]["activeRevision"] == stands


@scenario
async def test_after_a_fault_of_ours_nothing_is_said_to_stand(on):
    publish = on.js.publish

    async def broken(subject, body):
        raise ZeroDivisionError

    on.js.publish = broken
    on.cluster.apply("a")
    await asyncio.sleep(10)
    assert on.cluster.condition("a", "Distributed") == ("", "")
    on.js.publish = publish
    await asyncio.sleep(40)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")
    assert on.streams.last(buckets.RULES_STREAM, [buckets.active_subject("shop", "orders", "a")])
