"""Networks that are cut, silent, deaf, forgetful, late or slow, between sidecars and their server. All on one stage.

In short form sidecars take a server for dead six times sooner than the product does. What a client of the log makes of
a connection that is lost without a word is in tests/nats/test_nats_adapter.py, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sagamesh.log import registers
from support.builders.orders import MEALS, Orders, conclude, mixed, place
from support.processes.shared import Play, shared
from support.processes.stage import Stage, stage, until
from support.processes.web import ask
from support.servers.proxy import Wire

HASTE = 6.0
NOTICED = 20.0
"""Seconds until a connection counts as lost that says nothing."""
PARTICIPANTS = ("orders", "consumers", "kitchen", "accounting")


@pytest.fixture(scope="module")
def shared_wires() -> dict[str, Wire]:
    return {one: Wire(seed) for seed, one in enumerate(PARTICIPANTS)}


@pytest.fixture(scope="module")
def shared_play(tmp_path_factory: pytest.TempPathFactory, shared_wires: dict[str, Wire], full: bool) -> Iterator[Play]:
    slow = dict.fromkeys(PARTICIPANTS, ("--slow", "0.05"))
    pace = {"ack_wait": None} if full else {"ack_wait": 1.5, "haste": HASTE}
    directory = tmp_path_factory.mktemp("network")
    with shared(stage(MEALS, directory, wires=shared_wires, services=slow, **pace), 600 if full else 60) as play:
        yield play


@pytest.fixture
def play(shared_play: Play) -> Play:
    return shared_play


@pytest.fixture
def wires(shared_wires: dict[str, Wire]) -> Iterator[dict[str, Wire]]:
    yield shared_wires
    for wire in shared_wires.values():
        wire.mend()


@pytest.fixture
def noticed(full: bool) -> float:
    """The same of what runs here, with some more for a machine that does much else."""
    return NOTICED if full else NOTICED / HASTE + 3.0


async def reconnected(wire: Wire, before: int, seconds: float) -> None:
    await until(lambda: wire.connections > before, seconds)


async def ready(on: Stage, participant: str, expected: int = 200) -> None:
    async with asyncio.timeout(30):
        while (await ask("GET", f"{on.urls[participant][0].health}/readyz")).status != expected:
            await asyncio.sleep(0.02)


async def ended(on: Stage, step: str, *keys: str) -> None:
    """Wait until a step of each of these has ended."""
    subjects = [on.instance(key).subject(registers.end(step)) for key in keys]
    async with asyncio.timeout(30):
        while len(await on.log.read(on.stream, subjects)) < len(subjects):
            await asyncio.sleep(0.02)


def served(on: Stage, participant: str, prefix: str) -> int:
    """How many calls for orders with that prefix a service has answered."""
    [(count,)] = on.rows(participant, "SELECT count(*) FROM answers WHERE step LIKE ?", f"%/{prefix}-%")
    return int(count)


async def under_way(on: Stage, participant: str, prefix: str, count: int = 9) -> Orders:
    """Orders of all kinds, the first of which has just come to a participant."""
    orders = mixed(prefix, count)
    await place(on, orders)
    await until(lambda: served(on, participant, prefix))
    return orders


def test_f12_a_participant_is_cut_off(play: Play, wires: dict[str, Wire], full: bool) -> None:
    """It knows, the others go on as far as they can without it, and what it had begun is finished when it is back."""

    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "kitchen", "f12")
        wires["kitchen"].cut()
        # F12: A participant that is cut off says so in /readyz
        await ready(on, "kitchen", 503)
        later = mixed("f12-later", 9)
        await place(on, later)
        # F12: holds up only what depends on it
        await ended(on, "verify-consumer", *later)
        assert not served(on, "kitchen", "f12-later")
        await asyncio.sleep(300 if full else 0)
        wires["kitchen"].mend()
        # F12: finishes what it had begun when it is back
        await conclude(on, orders | later)
        await ready(on, "kitchen")

    play(scenario)


@pytest.mark.of_its_kind
def test_f13_half_open_tcp(play: Play, wires: dict[str, Wire], noticed: float) -> None:
    async def scenario(on: Stage) -> None:
        wire = wires["consumers"]
        orders = await under_way(on, "consumers", "f13")
        before = wire.connections
        wire.freeze()
        # F13: A connection that is dead without a word is noticed within 20 s and replaced by a new one
        await reconnected(wire, before, noticed)
        orders |= await under_way(on, "consumers", "f13-later")
        # F13: everything goes on
        await conclude(on, orders)

    play(scenario)


def test_f14_a_sidecar_cut_off_one_way_and_f16_writes_that_arrive_late(
    play: Play, wires: dict[str, Wire], noticed: float
) -> None:
    """Deliveries come, also a second time, but nothing of what the sidecar says arrives. It does so much later, from a
    connection that was given up since: what stands by then, stands.
    """

    async def scenario(on: Stage) -> None:
        wire = wires["kitchen"]
        orders = await under_way(on, "kitchen", "f14")
        before = wire.connections
        wire.freeze(back=False)
        later = mixed("f14-later", 9)
        await place(on, later)
        # F14: Where nothing that a sidecar says arrives, its leases run out and deliveries come again
        while not (await on.api(f"CONSUMER.INFO.{on.stream}.kitchen"))["num_redelivered"]:
            await asyncio.sleep(0.02)
        # F14: the connection is replaced within 20 s
        await reconnected(wire, before, noticed)
        # F14: that changes nothing
        await conclude(on, orders | later)

        stands = await on.everything()
        assert wire.held().count(b"HPUB saga.") > 1
        wire.thaw()
        await until(lambda: wire.open == 1)
        last = mixed("f16", 6)
        await place(on, last)
        await conclude(on, last)
        # F16: What the network holds back and delivers after the connection was given up
        # is refused by the server wherever a register stands by then
        assert (await on.everything())[: len(stands)] == stands

    play(scenario)


def test_f15_confirmations_are_lost(play: Play, wires: dict[str, Wire]) -> None:
    """What was stored counts as one's own, as if the confirmation had come."""

    async def scenario(on: Stage) -> None:
        keys = [f"f15-{n}" for n in range(4)]
        unknown = {one: await on.metric("writes_total", one, result="unknown") for one in PARTICIPANTS}
        calls = {one: await on.metric("calls_total", one) for one in PARTICIPANTS}
        ends = await completed(on)
        for wire in wires.values():
            wire.lose_confirmations(3)
        answers = await asyncio.gather(*(on.post(key) for key in keys))
        # F15: a start is answered with 202 and not as a duplicate
        assert [answer.status for answer in answers] == [202] * 4, "a start whose confirmation is lost is no duplicate"
        assert await on.finished(*keys) == dict.fromkeys(keys, "completed")
        for one in PARTICIPANTS:
            assert len(wires[one].lost) == 3
            while await on.metric("writes_total", one, result="unknown") < unknown[one] + 3:
                await asyncio.sleep(0.02)
            steps = [step for step in on.saga.steps if step.participant == one]
            # F15: no app is called twice
            assert await on.metric("calls_total", one) == calls[one] + len(keys) * len(steps)
        while await completed(on) < ends + len(keys):
            await asyncio.sleep(0.02)
        # F15: each end is counted once
        assert await completed(on) == ends + len(keys), "each end was written by one"
        await on.check(*keys)

    async def completed(on: Stage) -> float:
        return sum([await on.metric("sagas_finished_total", one, outcome="committed") for one in PARTICIPANTS])

    play(scenario)


def test_f17_every_link_is_slow(play: Play, wires: dict[str, Wire], full: bool, report: list[str]) -> None:
    async def scenario(on: Stage) -> None:
        latency = 0.5 if full else 0.03
        for wire in wires.values():
            wire.slow(latency, latency / 2)
        orders = mixed("f17", 30 if full else 12)
        begun = time.monotonic()
        await place(on, orders)
        # F17: Slow links make sagas slow and nothing else: with half a second each way and jitter on every link
        # 30 orders at once end within two minutes
        await conclude(on, orders, 120)
        report.append(
            f"F17, {latency:g} s each way on every link: {len(orders)} orders, {time.monotonic() - begun:.1f} s"
        )

    play(scenario)
