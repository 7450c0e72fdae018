"""A drain: nothing more is asked for, what runs is finished or given back, and the rest of the sidecar stays."""

from __future__ import annotations

import asyncio

from sagamesh.log import registers
from sagamesh.log.registers import OUTCOME, START, Committed
from sagamesh.protocol.answers import Answer
from support.builders import shapes
from support.fakes.mesh import Mesh, ok, scenario


class Slow:
    """An answer that comes when the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self) -> Answer:
        await self.go.wait()
        return ok()


@scenario
async def test_what_runs_is_finished_and_nothing_more_is_taken():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer, slow = mesh.peers["p-s0"], Slow()
        peer.app.answers["/s0"] = slow
        assert peer.subscriptions.closed == ""
        await mesh.start("running")
        await mesh.until(lambda: peer.app.calls)
        draining = asyncio.create_task(peer.subscriptions.drain())
        await mesh.until(lambda: peer.subscriptions.closed.startswith("draining"))
        await mesh.start("late")
        assert not draining.done()
        slow.go.set()
        assert await draining == 0
        assert peer.subscriptions.closed.startswith("drained")
        assert isinstance(await mesh.value(OUTCOME, "running"), Committed)

        other = mesh.peer("p-s0")
        async with other.running():
            assert isinstance(await mesh.value(OUTCOME, "late"), Committed)
        assert (len(peer.app.calls), len(other.app.calls)) == (1, 1)


@scenario
async def test_what_cannot_be_finished_goes_to_another_replica_at_once():
    async with Mesh(shapes.straight(1), ack_wait=600.0, grace=0.05).running() as mesh:
        peer = mesh.peers["p-s0"]
        peer.app.answers["/s0"] = Slow()
        await mesh.start()
        await mesh.until(lambda: peer.app.calls)
        assert await peer.subscriptions.drain() == 1
        assert peer.relay.in_flight == 0
        async with mesh.peer("p-s0").running():
            assert isinstance(await mesh.value(OUTCOME), Committed)


@scenario
async def test_a_drained_sidecar_still_takes_starts():
    async with Mesh(shapes.straight(1)).running() as mesh:
        await mesh.starter.subscriptions.drain()
        started = await mesh.start("after")
        assert not started.duplicate
        assert START in mesh.values("after")
        assert isinstance(await mesh.value(OUTCOME, "after"), Committed)


@scenario
async def test_all_who_ask_wait_for_the_same_drain_and_who_leaves_does_not_end_it():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer, slow = mesh.peers["p-s0"], Slow()
        peer.app.answers["/s0"] = slow
        await mesh.start()
        await mesh.until(lambda: peer.app.calls)
        first, second = (asyncio.create_task(peer.subscriptions.drain()) for _ in range(2))
        await mesh.until(lambda: peer.subscriptions.closed)
        first.cancel()
        await asyncio.wait([first])
        assert not second.done()
        slow.go.set()
        assert await second == 0
        assert await peer.subscriptions.drain() == 0, "and once more, when it is over"
        assert registers.end("s0") in mesh.values()


@scenario
async def test_a_saga_that_is_learned_after_a_drain_is_not_asked_for():
    mesh = Mesh(shapes.straight(1))
    late = mesh.peer("p-s0")
    await late.subscriptions.drain()
    async with mesh.running(), late.running():
        await mesh.start()
        assert isinstance(await mesh.value(OUTCOME), Committed)
        assert late.app.calls == []
        assert not late.metrics.registry.get_sample_value("sagamesh_consumer_up", {"saga": "simulated"})
