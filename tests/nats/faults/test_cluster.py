"""Three servers, every stream on each of them: some are killed, paused or sent away. All on one stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sagamesh.log.registers import OUTCOME
from support.builders.orders import MEALS, Orders, conclude, mixed, place, slow_kitchen, under_way, unknown
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
    """Where the outcome of each stands that is decided."""
    found = {key: await on.registers(key) for key in orders}
    return {key: registers[OUTCOME].sequence for key, registers in found.items() if OUTCOME in registers}


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
        decided = await outcomes(on, orders)
        leader = await cluster(on).leader(on.stream)
        leader.kill()
        begun = time.monotonic()
        later = mixed("f8-later", 6)
        await place(on, later)
        report.append(f"F8, the leader of three killed: orders are taken after {time.monotonic() - begun:.1f} s")
        orders |= later

        before = await unknown(on)
        second = await cluster(on).leader(on.stream)
        second.kill()
        last = mixed("f9", 6)
        placing = asyncio.create_task(place(on, last))
        while await unknown(on) < before + 3:
            await asyncio.sleep(0.02)
        await asyncio.sleep(60 if full else 0)
        assert not placing.done(), "a start was taken that no majority holds"
        second.start()
        leader.start()
        await placing
        orders |= last
        await agreed(on, orders)
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
            leader.resume()
            await placing
            await agreed(on, orders | later)

    play(scenario)
