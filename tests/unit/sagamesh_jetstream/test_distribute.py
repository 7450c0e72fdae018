"""What is asked of NATS to make a saga stand, how often, and what becomes of a no: on streams in memory.

What a server makes of it is tried in `tests/nats`.
"""

from __future__ import annotations

import asyncio

import pytest

from sagamesh.distribution import buckets
from sagamesh.errors import SagameshError
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_jetstream.client.ports import JetStreamError
from sagamesh_jetstream.client.replies import CONSUMER_EXISTS, NO_PEERS, TOO_LARGE
from sagamesh_jetstream.upkeep.distribute import distribute, read_entries
from support.builders import shapes
from support.fakes.mesh import scenario
from support.fakes.wiretap import Wiretap

RULES = project(shapes.straight(2))
LOG = "SAGA_default_simulated"
ACTIVE = buckets.active_subject("default", "app", "simulated")
FIRST, SECOND = (f"CONSUMER.CREATE.{LOG}.p-s{n}" for n in range(2))
BUCKET = f"STREAM.CREATE.{buckets.RULES_STREAM}"
OF_THE_LEADER = f"STREAM.MSG.GET.{buckets.RULES_STREAM}"


def refusing(wanted: str, err_code: int, *, servers: int = 1) -> Wiretap:
    """A server that always says no to one verb."""

    def before(asked: str) -> None:
        if asked == wanted:
            raise JetStreamError(asked, 400, err_code, "no")

    js = Wiretap(MemoryStreams(servers=servers))
    js.before = before
    return js


def test_what_somebody_undoes_at_once_is_done_ten_times_and_then_told() -> None:
    js = Wiretap(MemoryStreams())

    def undo(asked: str) -> None:
        log = js.streams.stream(LOG)
        if asked.startswith("STREAM.INFO") and log is not None:
            log.consumers.pop("p-s0", None)

    js.before = undo
    with pytest.raises(SagameshError, match=f"^{FIRST} was done 10 times, and each time somebody undid it$"):
        asyncio.run(distribute(js, RULES))
    assert js.asked.count(FIRST) == 10


def test_who_is_overtaken_looks_again_before_anything_else_and_tells_it_in_the_end() -> None:
    js = refusing(FIRST, CONSUMER_EXISTS)
    with pytest.raises(JetStreamError, match=str(CONSUMER_EXISTS)):
        asyncio.run(distribute(js, RULES))
    assert js.asked.count(FIRST) == 10
    assert SECOND not in js.asked
    assert js.streams.last(buckets.RULES_STREAM, [">"]) == (), "nothing is active to which nobody listens"


def test_what_another_makes_active_after_us_stays_active() -> None:
    js = Wiretap(MemoryStreams())

    def make_active(asked: str) -> None:
        if ACTIVE in js.asked and asked.startswith("STREAM.INFO"):
            js.streams.publish(ACTIVE, {}, b"theirs")

    js.before = make_active
    asyncio.run(distribute(js, RULES))
    assert js.asked.count(ACTIVE) == 1, "no tug of war"
    assert [message.body for message in js.streams.last(buckets.RULES_STREAM, [ACTIVE])] == [b"theirs"]


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("replicas", [2, 3])
def test_where_nats_has_not_so_many_servers_one_is_enough(servers: int, replicas: int) -> None:
    js = Wiretap(MemoryStreams(servers=servers))
    done = asyncio.run(distribute(js, RULES, replicas=replicas))
    enough = replicas <= servers
    assert (done.replicas, js.asked.count(BUCKET)) == ((replicas, 1) if enough else (1, 2))


@pytest.mark.parametrize(("replicas", "times"), [(3, 2), (2, 2), (1, 1)])
def test_a_cluster_that_has_no_room_for_a_single_one_is_not_asked_again_and_again(replicas: int, times: int) -> None:
    js = refusing(BUCKET, NO_PEERS)
    with pytest.raises(JetStreamError, match=str(NO_PEERS)):
        asyncio.run(distribute(js, RULES, replicas=replicas))
    assert js.asked.count(BUCKET) == times


@pytest.mark.parametrize("replicas", [3, 1])
def test_a_no_for_another_reason_is_told_at_once(replicas: int) -> None:
    js = refusing(BUCKET, TOO_LARGE, servers=3)
    with pytest.raises(JetStreamError, match=str(TOO_LARGE)):
        asyncio.run(distribute(js, RULES, replicas=replicas))
    assert js.asked.count(BUCKET) == 1


def entries(number: int) -> dict[str, bytes]:
    """So many documents, and which one is active."""
    subjects = [f"{buckets.bucket_prefix(buckets.RULES_BUCKET)}default.app.simulated.{n:010x}" for n in range(number)]
    return {subject: subject.encode() for subject in [*subjects, ACTIVE]}


async def bucket_with(written: dict[str, bytes]) -> Wiretap:
    js = Wiretap(MemoryStreams())
    await js.api(BUCKET, buckets.rules_bucket())
    for subject, body in written.items():
        await js.publish(subject, body)
    js.asked.clear()
    return js


@scenario
async def test_documents_are_read_many_at_once_and_only_active_is_asked_of_the_leader():
    written = entries(600)
    js = await bucket_with(written)
    assert await read_entries(js, list(written)) == written
    assert js.asked == ["last 250", "last 250", "last 100", OF_THE_LEADER], "as many as a server answers at once"


@scenario
async def test_a_document_that_is_known_is_not_read_again_and_active_is():
    written = entries(3)
    js = await bucket_with(written)
    known = dict.fromkeys(written, b"known")
    assert await read_entries(js, list(written), known) == known | {ACTIVE: written[ACTIVE]}
    assert js.asked == [OF_THE_LEADER]


@scenario
async def test_what_is_not_found_nearby_is_asked_of_the_leader():
    class Stale(Wiretap):
        async def last(self, stream, subjects):
            return (await super().last(stream, subjects))[1:]

    written = entries(3)
    js = Stale((await bucket_with(written)).streams)
    assert await read_entries(js, list(written)) == written
    assert js.asked == ["last 3", OF_THE_LEADER, OF_THE_LEADER]
