"""Three servers, every stream on each of them: some are killed, paused or sent away. All on one stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from support.builders import oracle
from support.builders.orders import KINDS, MEALS, Orders, conclude, mixed, place, slow_kitchen, under_way, unknown
from support.processes.shared import Play, shared
from support.processes.stage import Stage, stage, until
from support.servers.cluster import Cluster

BURST = 30.0
"""Seconds that a planned restart may be felt."""


@pytest.fixture(scope="module")
def shared_play(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[Play]:
    directory = tmp_path_factory.mktemp("cluster")
    with shared(stage(MEALS, directory, server=Cluster, **slow_kitchen(full)), 600 if full else 90) as play:
        yield play


@pytest.fixture
def play(shared_play: Play) -> Iterator[Play]:
    yield shared_play
    shared_play(mend)


async def mend(on: Stage) -> None:
    """For the next test, however this one ended."""
    for member in cluster(on).members:
        if member.running:
            member.resume()
        member.start()
    await cluster(on).healed(on.stream)


def cluster(on: Stage) -> Cluster:
    assert isinstance(on.server, Cluster)
    return on.server


async def outcomes(on: Stage, orders: Orders) -> dict[str, int]:
    """Where the register stands that has decided, of each that is."""
    found = {key: oracle.decided(on.saga, await on.registers(key)) for key in orders}
    return {key: register.sequence for key, register in found.items() if register is not None}


async def agreed(on: Stage, orders: Orders) -> None:
    """All of them end as they must, and every server knows: one that was away answers reads before it has caught up."""
    await on.finished(*orders, seconds=60)
    for member in cluster(on).members:
        member.start()
    await cluster(on).healed(on.stream)
    await conclude(on, orders)


def test_f7_a_lame_duck(play: Play, full: bool) -> None:
    """The leader goes in order, as in a rolling update, and comes back."""
    if not full:
        pytest.skip("at full length only: test_server.py has the lame duck that is alone")

    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f7")
        member = await cluster(on).leader(on.stream)
        begun = time.monotonic()
        member.retire()
        # F7: in a cluster the leader hands over first
        while await cluster(on).leader(on.stream) is member:
            await asyncio.sleep(0.02)
        assert member.running
        later = mixed("f7-later", 6)
        await place(on, later)
        await on.finished(*orders, *later)
        assert time.monotonic() - begun < BURST
        await until(lambda: not member.running)
        await agreed(on, orders | later)

    play(scenario)


@pytest.mark.of_its_kind
def test_f8_the_leader_is_killed_and_f9_the_quorum_is_lost(play: Play, full: bool, report: list[str]) -> None:
    """Two go on without the third. One alone decides nothing; once there are two again, everything is decided."""

    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f8")
        await on.finished(*(key for key, kind in orders.items() if kind is KINDS["unknown"]))
        decided = await outcomes(on, orders)
        assert decided
        leader = await cluster(on).leader(on.stream)
        leader.kill()
        begun = time.monotonic()
        later = mixed("f8-later", 6)
        await place(on, later)
        seconds = time.monotonic() - begun
        report.append(f"F8, the leader of three killed: orders are taken after {seconds:.1f} s")
        # F8: the death of the leader costs an election, some 4 to 9 s and at most 30
        assert seconds < BURST
        # F8: the two others go on
        await on.finished(next(iter(later)))
        orders |= later

        before = await unknown(on)
        second = await cluster(on).leader(on.stream)
        second.kill()
        last = mixed("f9", 6)
        key, kind = next(iter(last.items()))
        answer = await on.post(key, **kind.order)
        # F9: starts are answered with 503
        assert (answer.status, answer.body["code"]) == (503, "start-unknown")
        placing = asyncio.create_task(place(on, last))
        # F9: the metric `sagamesh_writes_total{result="unknown"}` grows
        while await unknown(on) < before + 3:
            await asyncio.sleep(0.02)
        await asyncio.sleep(60 if full else 0)
        # F9: Without a majority nothing is confirmed
        assert not placing.done(), "a start was taken that no majority holds"
        second.start()
        # F9: all goes on by itself once two servers are there again
        await placing
        orders |= last
        await agreed(on, orders)
        # F8: every outcome that stood stands where it stood
        assert decided.items() <= (await outcomes(on, orders)).items()

    play(scenario)


def test_f8_five_leaders_are_killed(play: Play, full: bool) -> None:
    if not full:
        pytest.skip("at full length only: the test above kills two")

    async def scenario(on: Stage) -> None:
        orders: Orders = {}
        decided: dict[str, int] = {}
        for turn in range(5):
            orders |= await under_way(on, f"f8-{turn}")
            decided |= await outcomes(on, orders)
            leader = await cluster(on).leader(on.stream)
            leader.kill()
            later = mixed(f"f8-{turn}-later", 6)
            await place(on, later)
            orders |= later
            leader.start()
            await cluster(on).healed(on.stream)
        await agreed(on, orders)
        assert decided
        # F8: every outcome that stood stands where it stood
        assert decided.items() <= (await outcomes(on, orders)).items()

    play(scenario)


def test_f10_the_leader_pauses(play: Play, full: bool) -> None:
    """The others elect another one; when it wakes up it has nothing more to say."""
    if not full:
        pytest.skip("at full length only: test_server.py has the pause of a server that is alone")

    async def scenario(on: Stage) -> None:
        for seconds in (3, 40):
            orders = await under_way(on, f"f10-{seconds}")
            leader = await cluster(on).leader(on.stream)
            leader.pause()
            later = mixed(f"f10-{seconds}-later", 6)
            placing = asyncio.create_task(place(on, later))
            await asyncio.sleep(seconds)
            if seconds == 40:
                # F10: in a cluster the others elect another leader meanwhile
                assert await cluster(on).leader(on.stream) is not leader
            leader.resume()
            await placing
            await agreed(on, orders | later)

    play(scenario)
