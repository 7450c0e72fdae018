"""What is asked for; and a drain: nothing more is, what runs is finished or given back, and all else stays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from sagamesh.language.model import Saga
from sagamesh.log import registers
from sagamesh.log.registers import START
from sagamesh.protocol.answers import Answer
from sagamesh_sidecar.adapters.memory.consumer import MemoryLease
from sagamesh_sidecar.deliveries.subscriptions import Subscriptions
from sagamesh_sidecar.ports import Accept
from support.builders import attempts, shapes
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
        assert await mesh.ended("running") == "committed"

        other = mesh.peer("p-s0")
        async with other.running():
            assert await mesh.ended("late") == "committed"
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
            assert await mesh.ended() == "committed"


@scenario
async def test_a_drain_cancels_all_that_is_in_hand_before_it_gives_any_of_it_back(monkeypatch: pytest.MonkeyPatch):
    async with Mesh(shapes.straight(1), ack_wait=600.0, grace=1.0).running() as mesh:
        peer, ended, back = mesh.peers["p-s0"], [], []

        async def hangs() -> Answer:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(now())
            return ok()

        async def nak(_lease: MemoryLease, delay: float) -> None:
            back.append((delay, all(hand.task.cancelling() for hand in hands)))
            await asyncio.sleep(1.0)  # as the wire may be slow

        peer.app.answers["/s0"] = hangs
        for key in ("one", "two", "gone"):
            await mesh.start(key)
        await mesh.until(lambda: len(peer.app.calls) == 3)
        hands = tuple(peer.relay._in_hand)
        next(hand for hand in hands if ".gone." in hand.lease.message.subject).renewed -= 600.0
        monkeypatch.setattr(MemoryLease, "nak", nak)
        begun = now()
        assert await peer.subscriptions.drain() == 3
        assert back == [(0.0, True), (0.0, True)]
        assert ended == [begun + 1.0] * 3, "nobody is at work while the others are given back"


@scenario
async def test_who_has_no_grace_takes_nothing_back(monkeypatch: pytest.MonkeyPatch):
    at_once = MemoryLease.nak

    async def nak(lease: MemoryLease, delay: float) -> None:
        await at_once(lease, delay)
        await asyncio.sleep(0.01)  # as the wire may be slow

    async with Mesh(shapes.straight(1), ack_wait=600.0, grace=0.0).running() as mesh:
        peer, keys = mesh.peers["p-s0"], [f"i-{n}" for n in range(5)]
        peer.app.answers["/s0"] = Slow()
        for key in keys:
            await mesh.start(key)
        await mesh.until(lambda: len(peer.app.calls) == 5)
        monkeypatch.setattr(MemoryLease, "nak", nak)
        async with mesh.peer("p-s0").running():
            assert await peer.subscriptions.drain() == 5
            assert [await mesh.ended(key) for key in keys] == ["committed"] * 5
        assert len(peer.app.calls) == 5


@scenario
async def test_a_drained_sidecar_still_takes_starts():
    async with Mesh(shapes.straight(1)).running() as mesh:
        await mesh.starter.subscriptions.drain()
        started = await mesh.start("after")
        assert not started.duplicate
        assert START in mesh.values("after")
        assert await mesh.ended("after") == "committed"


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
        assert await mesh.ended() == "committed"
        assert late.app.calls == []
        assert not late.metrics.registry.get_sample_value("sagamesh_consumer_up", {"saga": "simulated"})


GRACE = 20.0
ONE = shapes.straight(1)
OTHER = shapes.replace(ONE, name="other")


def now() -> float:
    return asyncio.get_running_loop().time()


class HeldSubscription:
    """Has something in hand until `done` is set."""

    def __init__(self, stream: str, consumer: str, accept: Accept, slots: int, *, busy: bool) -> None:
        self.asked_as = stream, consumer, accept, slots
        self.problem = ""
        self.asks = True
        self.is_waited_for = False
        self.done = asyncio.Event()
        if not busy:
            self.done.set()

    async def close(self) -> None:
        self.asks, self.is_waited_for = False, True
        try:
            await self.done.wait()
        finally:
            self.is_waited_for = False


class Source:
    """The part of a log that hands out deliveries. `busy`: whether there are some; `opens`: when it may be asked."""

    def __init__(self) -> None:
        self.given: list[HeldSubscription] = []
        self.busy = False
        self.opens = asyncio.Event()
        self.opens.set()

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> HeldSubscription:
        await self.opens.wait()
        self.given.append(HeldSubscription(stream, consumer, accept, slots, busy=self.busy))
        return self.given[-1]


class Hands:
    """The part of a relay that has deliveries in hand. `stubborn`: what is given back does not let go."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.stubborn = False
        self.given_back_at: list[float] = []

    @property
    def in_flight(self) -> int:
        return sum(not subscription.done.is_set() for subscription in self._source.given)

    async def accept(self, lease: object) -> None:
        raise AssertionError(f"nobody hands out {lease}")

    async def give_back(self) -> None:
        self.given_back_at.append(now())
        if not self.stubborn:
            for subscription in self._source.given:
                subscription.done.set()


class Listening:
    """The part of the metrics that says which sagas are listened to."""

    def __init__(self) -> None:
        self.up: dict[str, Callable[[], bool]] = {}

    def listens(self, saga: str, up: Callable[[], bool]) -> None:
        self.up[saga] = up


class Desk:
    """Subscriptions, and what is around them."""

    def __init__(self) -> None:
        self.source = Source()
        self.relay = Hands(self.source)
        self.metrics = Listening()
        self.subscriptions = Subscriptions(self.source, self.relay, self.metrics, slots=7, grace=GRACE)

    def learn(self, saga: Saga, participant: str = "p-s0") -> None:
        self.subscriptions.learned(attempts.rules(saga)[participant])


@contextlib.asynccontextmanager
async def at_work() -> AsyncIterator[Desk]:
    desk = Desk()
    following = asyncio.create_task(desk.subscriptions.run())
    yield desk
    following.cancel()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object, object]]:
    """What was logged, and with how many in flight, or given back."""
    return [(line.message, vars(line).get("in_flight"), vars(line).get("given_back")) for line in caplog.records]


async def soon() -> None:
    """Once all who can go on have done so."""
    await asyncio.sleep(0.001)


@scenario
async def test_deliveries_are_asked_for_once_however_many_revisions_of_a_saga_are_learned():
    async with at_work() as desk:
        for _ in range(2):
            desk.learn(ONE)
        desk.learn(OTHER)
        await soon()
        streams = [subscription.asked_as[0] for subscription in desk.source.given]
        assert streams == ["SAGA_default_simulated", "SAGA_default_other"]
        assert desk.source.given[0].asked_as[1:] == ("p-s0", desk.relay.accept, 7)


@scenario
async def test_who_only_starts_a_saga_asks_for_no_deliveries():
    saga = shapes.replace(ONE, start=shapes.replace(ONE.start, participant="starter"))
    async with at_work() as desk:
        desk.learn(saga, "starter")
        await soon()
        assert desk.source.given == []
        assert desk.metrics.up == {}


@scenario
async def test_a_consumer_is_up_while_its_subscription_has_no_problem():
    async with at_work() as desk:
        desk.learn(ONE)
        await soon()
        [subscription] = desk.source.given
        assert desk.metrics.up["simulated"]() is True
        subscription.problem = "the consumer was deleted"
        assert desk.metrics.up["simulated"]() is False


@scenario
async def test_a_deleted_saga_is_asked_for_no_more_and_one_of_its_name_anew():
    async with at_work() as desk:
        for saga in (ONE, OTHER):
            desk.learn(saga)
        desk.subscriptions.retired("simulated")
        desk.subscriptions.retired("a stranger")
        await soon()
        assert [subscription.asks for subscription in desk.source.given] == [False, True]
        desk.learn(ONE)
        await soon()
        assert [subscription.asks for subscription in desk.source.given] == [False, True, True]


@scenario
async def test_a_drain_waits_for_what_a_deleted_saga_has_in_hand():
    async with at_work() as desk:
        desk.source.busy = True
        desk.learn(ONE)
        desk.subscriptions.retired("simulated")
        await soon()
        [subscription] = desk.source.given
        draining = asyncio.create_task(desk.subscriptions.drain())
        await soon()
        assert not draining.done()
        subscription.done.set()
        assert await draining == 0


@scenario
async def test_what_runs_has_the_grace_and_a_drain_that_is_over_sooner_waits_for_no_more(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "sagamesh.intake")
    async with at_work() as desk:
        desk.source.busy = True
        desk.learn(ONE)
        await soon()
        [subscription] = desk.source.given
        asyncio.get_running_loop().call_at(GRACE - 0.1, subscription.done.set)
        assert desk.subscriptions.closed == ""
        draining = asyncio.create_task(desk.subscriptions.drain())
        await soon()
        assert desk.subscriptions.closed == "draining: what runs is finished"
        assert not subscription.asks
        assert await draining == 0
        assert now() == GRACE - 0.1
        assert desk.subscriptions.closed == "drained: no delivery is taken any more"
        assert desk.relay.given_back_at == []
    assert told(caplog) == [("draining", 1, None), ("drained", None, 0)]


@scenario
async def test_what_still_runs_when_the_grace_is_over_is_given_back_and_lets_go(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sagamesh.intake")
    async with at_work() as desk:
        desk.source.busy = True
        for saga in (ONE, OTHER):
            desk.learn(saga)
        await soon()
        begun = now()
        assert await desk.subscriptions.drain() == 2
        assert desk.relay.given_back_at == [begun + GRACE]
        assert now() == begun + GRACE
    assert told(caplog) == [("draining", 2, None), ("drained", None, 2)]


@scenario
async def test_a_drain_is_over_only_when_what_was_given_back_has_let_go():
    async with at_work() as desk:
        desk.source.busy = desk.relay.stubborn = True
        desk.learn(ONE)
        await soon()
        begun = now()
        asyncio.get_running_loop().call_at(begun + GRACE + 3.0, desk.source.given[0].done.set)
        assert await desk.subscriptions.drain() == 1
        assert now() == begun + GRACE + 3.0


@scenario
async def test_who_does_not_let_go_is_waited_for_five_seconds_and_told_of(caplog: pytest.LogCaptureFixture):
    async with at_work() as desk:
        desk.source.busy = desk.relay.stubborn = True
        desk.learn(ONE)
        await soon()
        begun = now()
        assert await desk.subscriptions.drain() == 1
        assert now() == begun + GRACE + 5.0
        await soon()
        assert not desk.source.given[0].is_waited_for
        assert desk.subscriptions.closed == "drained: no delivery is taken any more"
    [record] = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "what was given back has not let go yet")
    assert vars(record)["in_flight"] == 1


@scenario
async def test_a_drain_does_not_miss_a_saga_that_is_just_being_asked_for():
    async with at_work() as desk:
        desk.source.opens.clear()
        desk.learn(ONE)
        desk.learn(OTHER)
        await soon()
        draining = asyncio.create_task(desk.subscriptions.drain())
        await soon()
        assert not draining.done()
        desk.source.opens.set()
        assert await draining == 0
        assert [subscription.asks for subscription in desk.source.given] == [False], "and the next is not asked for"
