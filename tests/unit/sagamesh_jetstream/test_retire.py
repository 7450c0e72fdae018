"""What is left of sagas in NATS, on streams in memory. How they go is tried on a server, in `tests/nats`."""

from __future__ import annotations

from sagamesh.distribution.buckets import RULES_BUCKET, bucket_prefix
from sagamesh.log.registers import SagaKey
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.retire import left_over
from support.builders import shapes
from support.fakes.mesh import scenario

SIMULATED = SagaKey("default", "simulated")


async def distributed() -> MemoryJetStream:
    js = MemoryJetStream(MemoryStreams())
    await distribute(js, project(shapes.straight(2)), installation="ours")
    return js


@scenario
async def test_what_stands_is_left_over_until_somebody_retires_it():
    js = await distributed()
    assert await left_over(js, "ours") == {SIMULATED}
    assert await left_over(js, "theirs") == set()
    await js.api("STREAM.PURGE.KV_sagamesh-rules")
    assert await left_over(js, "ours") == {SIMULATED}, "its log is still there"


@scenario
async def test_what_somebody_has_put_into_the_bucket_by_hand_is_in_nobody_s_way():
    js = await distributed()
    for key in ("note", "a.b", "one.two.three.four.five"):
        await js.publish(f"{bucket_prefix(RULES_BUCKET)}{key}", b"?")
    assert await left_over(js, "ours") == {SIMULATED}
