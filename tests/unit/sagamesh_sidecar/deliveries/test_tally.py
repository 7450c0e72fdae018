"""Calls as people are shown them: while they run, after retries, after the end; and those that reached nobody."""

from __future__ import annotations

import asyncio

from sagamesh.log import registers
from sagamesh.log.registers import Done, Failed, Instance, Undone
from sagamesh.protocol.answers import Answer
from sagamesh_sidecar.deliveries.parking import FORGET
from sagamesh_sidecar.deliveries.tally import Tally
from support.builders import shapes
from support.fakes.mesh import LOST, Mesh, ok, scenario

PLACE = Instance("default", "simulated", "i-1")
KEY = ("subject", "a")


@scenario
async def test_a_call_counts_from_when_it_is_made():
    async with Mesh(shapes.straight(2)).running() as mesh:
        owner, release = mesh.peers["p-s0"], asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return ok()

        owner.app.answers["/s0"] = slow
        await mesh.start()
        await mesh.until(lambda: owner.app.calls)
        assert await owner.calls(PLACE) == {"s0": 1, "s1": 0}
        assert await mesh.peers["p-s1"].calls(PLACE) == {"s0": 0, "s1": 0}, "it cannot know yet"
        release.set()
        await mesh.ended()
        for peer in mesh.peers.values():
            assert await peer.calls(PLACE) == {"s0": 1, "s1": 1}


@scenario
async def test_calls_that_fail_are_counted_while_they_are_tried_again_and_in_the_end():
    async with Mesh(shapes.straight(2)).running() as mesh:
        owner, other = mesh.peers["p-s0"], mesh.peers["p-s1"]
        owner.app.answers["/s0"] = LOST
        await mesh.start()
        await mesh.until(lambda: len(owner.app.calls) >= 3)
        await mesh.until(lambda: not owner.relay.in_flight)
        assert (await owner.calls(PLACE))["s0"] == len(owner.app.calls)
        assert (await other.calls(PLACE))["s0"] == 0
        owner.app.answers.clear()
        done = await mesh.value(registers.end("s0"))
        assert isinstance(done, Done)
        assert done.called == len(owner.app.calls)
        for peer in (owner, other):
            assert (await peer.calls(PLACE))["s0"] == done.called
        assert owner.relay.tally.of(PLACE) == {}


@scenario
async def test_an_action_that_no_call_reached_was_not_called_however_often_it_was_tried():
    async with Mesh(shapes.straight(2)).running() as mesh:
        owner = mesh.peers["p-s1"]
        owner.app.away = True  # and nobody knows yet: the step begins
        await mesh.start()
        await mesh.until(lambda: owner.metric("deliveries_total", saga="simulated", result="nak") >= 2)
        assert (await owner.calls(PLACE))["s1"] == 0
        await mesh.cancel()
        failed = await mesh.value(registers.end("s1"))
        assert isinstance(failed, Failed)
        assert failed.deliveries > 1
        assert failed.called == 0
        assert (await mesh.peers["p-s0"].calls(PLACE))["s1"] == 0


@scenario
async def test_an_action_that_ends_while_its_app_is_away_counts_the_calls_of_before():
    async with Mesh(shapes.straight(2)).running() as mesh:
        owner = mesh.peers["p-s1"]

        async def dies() -> Answer:
            owner.app.away = True
            return LOST

        owner.app.answers["/s1"] = dies
        await mesh.start()
        await mesh.until(lambda: owner.availability.away)
        await mesh.cancel()
        failed = await mesh.value(registers.end("s1"))
        assert isinstance(failed, Failed)
        assert (failed.called, len(owner.app.calls)) == (1, 1)


@scenario
async def test_the_relay_forgets_what_has_no_news():
    async with Mesh(shapes.straight(1), ack_wait=0.05).running() as mesh:
        tally = mesh.peers["p-s0"].relay.tally
        count = tally.take_up(KEY, PLACE, "action")
        count.made, count.seen = 1, count.seen - 2 * FORGET
        await mesh.until(lambda: tally.of(PLACE) == {})


@scenario
async def test_a_503_is_a_call():
    async with Mesh(shapes.straight(1)).running() as mesh:
        owner = mesh.peers["p-s0"]
        owner.app.answers["/s0"] = ok(status=503)
        await mesh.start()
        await mesh.until(lambda: len(owner.app.calls) >= 2)
        await mesh.until(lambda: not owner.relay.in_flight)
        assert await owner.calls(PLACE) == {"s0": len(owner.app.calls)}
        owner.app.answers.clear()
        await mesh.ended()
        assert await owner.calls(PLACE) == {"s0": len(owner.app.calls)}


@scenario
async def test_the_calls_of_a_compensation_count_too():
    async with Mesh(shapes.straight(2)).running() as mesh:
        owner = mesh.peers["p-s0"]
        mesh.peers["p-s1"].app.answers["/s1"] = ok({"detail": "no"}, status=422)
        owner.app.answers["/s0/undo"] = LOST
        await mesh.start()
        await mesh.until(lambda: owner.app.paths.count("/s0/undo") >= 2)
        await mesh.until(lambda: not owner.relay.in_flight)
        assert (await owner.calls(PLACE))["s0"] == len(owner.app.calls)
        owner.app.answers.clear()
        assert await mesh.ended() == "aborted"
        undone = mesh.values()[registers.compensation("s0")]
        assert isinstance(undone, Undone)
        assert undone.called == owner.app.paths.count("/s0/undo")
        assert (await mesh.peers["p-s1"].calls(PLACE))["s0"] == len(owner.app.calls)


def test_only_what_has_made_calls_and_has_not_ended_is_kept() -> None:
    tally = Tally()
    tally.take_up(KEY, PLACE, "action")
    tally.put_down(KEY, ended=False)
    assert tally.of(PLACE) == {}
    tally.take_up(KEY, PLACE, "action").made = 2
    tally.put_down(KEY, ended=False)
    assert tally.take_up(KEY, PLACE, "action").made == 2
    assert tally.of(PLACE) == {("a", "action"): 2}
    assert tally.of(PLACE._replace(id="other")) == {}
    tally.put_down(KEY, ended=True)
    assert tally.of(PLACE) == {}


def test_what_another_attempt_is_at_is_kept() -> None:
    tally = Tally()
    tally.take_up(KEY, PLACE, "action").under_way = 1
    tally.put_down(KEY, ended=True)
    assert tally.of(PLACE) == {("a", "action"): 1}


def test_the_deliveries_of_one_step_are_counted_together() -> None:
    tally = Tally()
    for subject in ("s.one", "s.two"):
        tally.take_up((subject, "a"), PLACE, "compensation").made = 1
    assert tally.of(PLACE) == {("a", "compensation"): 2}


def test_what_has_no_news_is_forgotten_unless_a_call_is_under_way() -> None:
    now = 1000.0
    tally = Tally(now=lambda: now)
    for step in ("a", "b", "c"):
        tally.take_up(("subject", step), PLACE, "action").made = 1
    tally.take_up(("subject", "b"), PLACE, "action").under_way = 1
    now += FORGET
    tally.take_up(("subject", "c"), PLACE, "action")
    tally.sweep()
    assert len(tally.of(PLACE)) == 3
    now += 1
    tally.sweep()
    assert tally.of(PLACE) == {("b", "action"): 2, ("c", "action"): 1}


def test_an_attempt_whose_count_was_forgotten_meanwhile_is_put_down_all_the_same() -> None:
    now = 1000.0
    tally = Tally(now=lambda: now)
    tally.take_up(KEY, PLACE, "action").made = 1
    now += 2 * FORGET
    tally.sweep()
    tally.put_down(KEY, ended=True)
    assert tally.of(PLACE) == {}
