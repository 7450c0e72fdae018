"""What is left of sagas in NATS, and how they go in the midst of what others do: on streams in memory.

What a server makes of it is tried in `tests/nats`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from sagamesh.distribution import buckets
from sagamesh.distribution.buckets import RULES_BUCKET, bucket_prefix
from sagamesh.distribution.plan import INSTALLATION
from sagamesh.language.model import Action, Emit, Saga, StartSpec, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import FINISH, OUTCOME, START, Instance, Name, Origin, SagaKey, Value
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams, PageSizes
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.retire import Retiring, left_over, retire
from support.builders import shapes
from support.fakes.mesh import scenario
from support.fakes.wiretap import Wiretap

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
LOG = "SAGA_shop_checkout"
ACTIVE = buckets.active_subject("shop", "orders", "checkout")


def retired(js: MemoryJetStream, *starting: str) -> Awaitable[Retiring | None]:
    return retire(js, KEY, starting=starting, installation="default")


def test_what_another_operator_has_deleted_meanwhile_is_gone() -> None:
    async def whole(verb: str) -> None:
        streams = MemoryStreams()
        js = MemoryJetStream(streams)
        await distribute(js, RULES)
        interrupted = Wiretap(streams)
        interrupted.before_first(verb, lambda: retired(js))
        assert await retired(interrupted) is None
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
        js = Wiretap(streams)
        await distribute(js, RULES)
        assert (await distribute(js, RULES)).actions == ()
        assert await left_over(js, "default") == {KEY}
        assert js.asked.count("STREAM.LIST") == 3, "as many as there are, with the buckets"
        assert await retired(js) is None
        assert [(message.subject, message.body) for message in await js.last(buckets.RULES_STREAM, [">"])] == [
            (buckets.retired_subject("shop", participant, "checkout"), b"") for participant in ("orders", "payments")
        ]

    asyncio.run(whole())


async def begun(outcome: bytes | None = None, revision: str = RULES["orders"].revision) -> Wiretap:
    """An instance by that revision; `outcome`: what stands there."""
    js = Wiretap(MemoryStreams())
    await distribute(js, RULES)
    write(js, START, registers.Start(event="go", id="1", source="test", digest="d"), revision)
    if outcome is not None:
        js.streams.publish(Instance(*KEY, "1").subject(OUTCOME), {}, outcome)
    return js


def write(js: Wiretap, name: Name, value: Value, revision: str) -> None:
    origin = Origin("run", 1, 1.0, revision, "pod", "attempt")
    js.streams.publish(Instance(*KEY, "1").subject(name), *codec.encode(name, value, origin, "orders"))


@scenario
async def test_by_a_revision_that_nobody_knows_any_more_a_commit_is_not_the_end():
    js = await begun(revision="0123456789")
    write(js, OUTCOME, registers.Committed(), "0123456789")
    assert await retired(js) == Retiring(1)
    write(js, FINISH, registers.Completed(), "0123456789")
    assert await retired(js) is None


@scenario
async def test_what_cannot_be_read_is_not_the_end():
    assert await retired(await begun(outcome=b"?")) == Retiring(1)


@scenario
async def test_while_something_runs_nobody_closes_the_log_to_count_it():
    js = await begun()
    assert await retired(js) == Retiring(1)
    assert f"STREAM.UPDATE.{LOG}" not in js.asked


@pytest.mark.parametrize("theirs", [(LOG,), (buckets.RULES_STREAM,), (LOG, buckets.RULES_STREAM)])
def test_where_the_log_or_the_bucket_belongs_to_somebody_else_all_is_left_alone(theirs: tuple[str, ...]) -> None:
    async def whole() -> None:
        js = Wiretap(MemoryStreams())
        await distribute(js, RULES)
        for name in theirs:
            js.streams.stream(name).config["metadata"][INSTALLATION] = "theirs"
        js.asked.clear()
        assert await retired(js) is None
        assert js.asked == [f"STREAM.INFO.{LOG}", f"STREAM.INFO.{buckets.RULES_STREAM}"]

    asyncio.run(whole())
