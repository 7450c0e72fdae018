"""What is left of sagas in NATS, and how they go in the midst of what others do: on streams in memory.

What a server makes of it is tried in `tests/nats`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sagamesh.distribution import buckets
from sagamesh.distribution.buckets import RULES_BUCKET, bucket_prefix
from sagamesh.language.model import Action, Emit, Saga, StartSpec, Step
from sagamesh.log.registers import SagaKey
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams, PageSizes
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.retire import Retiring, left_over, retire
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


KEY = SagaKey("shop", "checkout")
CHARGE = Step(
    name="charge",
    participant="payments",
    after=("go",),
    action=Action(path="/charge"),
    emits=(Emit(event="charged"),),
    pivot=True,
)
RULES = project(
    Saga(namespace="shop", name="checkout", start=StartSpec(participant="orders", event="go"), steps=(CHARGE,))
)
ACTIVE = buckets.active_subject("shop", "orders", "checkout")


class Interrupted(MemoryJetStream):
    """Somebody does something just before the first request of a kind."""

    def __init__(self, streams: MemoryStreams, verb: str, first: Callable[[], Awaitable[object]]) -> None:
        super().__init__(streams)
        self.verb, self.first = verb, first

    async def api(self, verb, body=None):
        if verb.startswith(self.verb) and self.first is not None:
            first, self.first = self.first, None
            await first()
        return await super().api(verb, body)


def retired(js: MemoryJetStream, *starting: str) -> Awaitable[Retiring | None]:
    return retire(js, KEY, starting=starting, installation="default")


def test_what_another_operator_has_deleted_meanwhile_is_gone() -> None:
    async def whole(verb: str) -> None:
        streams = MemoryStreams()
        js = MemoryJetStream(streams)
        await distribute(js, RULES)
        assert await retired(Interrupted(streams, verb, lambda: retired(js))) is None
        assert await left_over(js, "default") == set()

    for verb in ("STREAM.UPDATE", "STREAM.DELETE"):
        asyncio.run(whole(verb))


def test_who_starts_it_without_an_entry_is_told_to_end() -> None:
    async def whole() -> None:
        js = MemoryJetStream(MemoryStreams())
        await distribute(js, RULES)
        await js.api(f"STREAM.PURGE.{buckets.RULES_STREAM}", {"filter": ACTIVE})
        assert await retired(js, "orders") == Retiring(0)
        [told] = await js.last(buckets.RULES_STREAM, [ACTIVE])
        assert told.body == b""
        assert await retired(js, "orders") == Retiring(0)
        assert (await js.last(buckets.RULES_STREAM, [ACTIVE]))[0].sequence == told.sequence, "once"
        await js.api(f"STREAM.DELETE.{buckets.RULES_STREAM}")
        assert await retired(js, "orders") == Retiring(0), "where there is no bucket nobody can be told"

    asyncio.run(whole())


def test_a_log_is_left_over_even_without_a_bucket() -> None:
    async def whole() -> None:
        js = MemoryJetStream(MemoryStreams())
        await distribute(js, RULES)
        for bucket in (buckets.RULES_STREAM, buckets.SIDECARS_STREAM):
            await js.api(f"STREAM.DELETE.{bucket}")
        assert await left_over(js, "default") == {KEY}, "were it the first of all streams"
        assert await left_over(js, "theirs") == set()

    asyncio.run(whole())


def test_all_pages_are_looked_at() -> None:
    async def whole() -> None:
        streams = MemoryStreams(pages=PageSizes(subjects=1, infos=1))
        js = MemoryJetStream(streams)
        await distribute(js, RULES)
        assert (await distribute(js, RULES)).actions == ()
        assert await left_over(js, "default") == {KEY}
        assert await retired(js) is None
        assert [message.subject for message in await js.last(buckets.RULES_STREAM, [">"])] == [
            buckets.retired_subject("shop", participant, "checkout") for participant in ("orders", "payments")
        ]

    asyncio.run(whole())
