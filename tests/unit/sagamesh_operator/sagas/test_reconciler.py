"""What is done in a saga's turn, in the midst of what others do to it. In virtual time, on JetStream in memory.

When it has one: `test_reconciler_turns`.
"""

from __future__ import annotations

import asyncio

from sagamesh.distribution import buckets
from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.ports import JetStreamError
from sagamesh_operator.ports import ClusterUnavailable
from sagamesh_operator.resource import Note
from support.fakes.memory_cluster import STEP
from support.fakes.operated import EPOCH, scenario, unbegun

KEY = SagaKey("shop", "a")
A = {"namespace": "shop", "saga": "a"}


def reasons(on):
    """Of all Events."""
    return [note.reason for note in on.cluster.events]


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
    assert on.sample("saga_retiring_instances", **A) == 1
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert on.sample("saga_retiring_instances", **A) is None
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
    assert "ERROR shop/a could not be looked at" in on.log
    assert on.cluster.condition("a", "Distributed") == ("", "")
    on.js.publish = publish
    await asyncio.sleep(40)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")
    assert on.streams.last(buckets.RULES_STREAM, [buckets.active_subject("shop", "orders", "a")])


# -- what is said


@scenario
async def test_what_is_said_of_a_saga_is_logged_and_measured_until_it_is_deleted(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert "INFO shop/a: SidecarsMissing: no sidecar tells of itself at orders, payments" in on.log
    assert on.sample("saga_condition", **A, type="Distributed") == 1
    on.cluster.delete("a")
    assert on.sample("saga_condition", **A, type="Distributed") is None


@scenario
async def test_an_event_that_cannot_be_recorded_is_said_in_the_status_all_the_same(on):
    async def away(*_):
        raise ClusterUnavailable("not now")

    on.cluster.record = away
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert on.cluster.condition("a", "Ready") == ("False", "SidecarsMissing")
    assert "WARNING shop/a: no Event: not now" in on.log
    assert on.turns("again") == 0


@scenario
async def test_what_was_said_is_known_without_being_told_by_the_watch(on):
    on.cluster.watched = None
    on.cluster.apply("a")
    await on.operator._look(repair=False)
    await asyncio.sleep(1)
    said = on.cluster.patches, reasons(on)
    on.operator.connected()
    await asyncio.sleep(1)
    assert (on.cluster.patches, reasons(on)) == said


@scenario
async def test_a_log_is_on_three_servers_where_there_are_more(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert on.cluster.objects[KEY]["status"]["replicas"] == 3


# -- what is deleted, or created again


@scenario
async def test_a_saga_that_is_deleted_while_it_is_distributed_has_no_more_turns_than_that(on):
    async def deleted():
        on.cluster.delete("a")

    on.js.before_first("CONSUMER.CREATE", deleted)
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert (on.turns("done"), on.turns("again")) == (2, 0)
    assert not on.stands("a")
    assert on.sample("saga_condition", **A, type="Distributed") is None


@scenario
async def test_a_saga_that_is_deleted_while_it_is_judged_has_no_more_turns_than_that(on):
    judge = on.operator._judge

    async def deleted(document):
        on.cluster.delete("a")
        return await judge(document)

    on.operator._judge = deleted
    on.cluster.apply("a")
    await asyncio.sleep(1)
    assert (on.turns("done"), on.turns("again")) == (2, 0)
    assert on.sample("saga_condition", **A, type="Distributed") is None


@scenario
async def test_a_saga_that_is_created_again_while_it_is_retired_stands_again_at_once(on):
    async def created():
        on.cluster.apply("a")

    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.js.before_first("STREAM.DELETE", created)
    on.cluster.delete("a")
    await asyncio.sleep(0.1)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")
    assert on.stands("a")
    assert on.turns("again") == 0


@scenario
async def test_of_a_saga_that_is_created_again_nobody_says_that_it_goes(on):
    async def created():
        on.cluster.apply("a")

    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.start_an_instance()
    on.js.before_first("STREAM.INFO", created)
    on.cluster.delete("a")
    await asyncio.sleep(1)
    assert on.sample("saga_retiring_instances", **A) is None
    assert "Retiring" not in reasons(on)


@scenario
async def test_a_deleted_saga_goes_when_its_last_instance_has_ended_and_nothing_of_it_is_remembered(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.start_an_instance()
    on.cluster.delete("a")
    await asyncio.sleep(60)
    assert on.stands("a")
    on.streams.stream("SAGA_shop_a").purge(">")
    await asyncio.sleep(31)
    assert not on.stands("a")
    assert on.cluster.events[1:] == [
        Note("Normal", "Retiring", "1 of its instances still run; log and rules stay until they end"),
        Note("Normal", "Retired", "log and rules are gone"),
    ]
    assert on.operator.records.concerned("shop", "orders") == []
    turns = on.turns("done")
    await asyncio.sleep(300)
    assert on.turns("done") == turns


@scenario
async def test_that_a_deleted_saga_still_runs_is_told_again_after_half_an_hour(on):
    on.stopped = EPOCH
    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.start_an_instance()
    on.cluster.delete("a")
    await asyncio.sleep(60)
    assert reasons(on).count("Retiring") == 1
    on.stopped = EPOCH + 30 * 60
    await asyncio.sleep(60)
    assert reasons(on).count("Retiring") == 1
    on.stopped += 1
    await asyncio.sleep(60)
    assert reasons(on).count("Retiring") == 2


@scenario
async def test_a_no_of_nats_to_a_saga_that_goes_is_logged_and_tried_again(on):
    async def refused():
        raise JetStreamError("STREAM.DELETE", 500, 10000, "not now")

    on.cluster.apply("a")
    await asyncio.sleep(1)
    on.js.before_first("STREAM.DELETE", refused)
    on.cluster.delete("a")
    await asyncio.sleep(2)
    assert "ERROR shop/a: NATS refused STREAM.DELETE: not now (10000)" in on.log
    assert not on.stands("a")


@scenario
async def test_a_word_as_old_as_the_deletion_brings_nothing_back(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    last = on.cluster.objects[KEY]
    on.operator.told("DELETED", last)
    on.operator.told("MODIFIED", last)
    assert on.operator.records.of(KEY).resource is None


@scenario
async def test_a_list_as_new_as_what_is_known_shows_what_is_gone(on):
    on.cluster.apply("a")
    await asyncio.sleep(1)
    version = int(on.operator.records.of(KEY).resource.version)

    async def listed():
        return [], version

    on.cluster.sagas = listed
    await on.operator._look(repair=False)
    assert on.operator.records.of(KEY).resource is None


@unbegun
async def test_what_was_deleted_before_the_first_look_is_deleted_for_that_look(on):
    late = on.cluster.sagas

    async def listed():
        every = await late()
        on.cluster.delete("a")
        return every

    on.cluster.apply("a")
    on.cluster.sagas = listed
    running = on.begin()
    await asyncio.sleep(1)
    assert on.operator.records.present() == {}
    assert not running.done()
