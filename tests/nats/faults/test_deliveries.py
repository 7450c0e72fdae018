"""Deliveries that two replicas have at once, and consumers that are gone. Resets of consumers are in test_replicas."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sagamesh_cli.local.mesh import provision
from support.processes.stage import Stage, hasten, run, stage

CREDIT = "01-customers-and-orders"


@pytest.mark.of_its_kind
def test_f26_two_replicas_work_on_the_same_delivery_at_once(full: bool, tmp_path: Path) -> None:
    """The server hands out again what a replica has in hand, and believes to have for ten seconds."""
    count = 200 if full else 8

    async def scenario() -> None:
        slow = {"customers": ("--slow", "1")}
        async with stage(CREDIT, tmp_path, ack_wait=None, replicas=2, services=slow) as on:
            await hasten(on, 0.3)
            fine, nobody = ([f"{name}-{n}" for n in range(count // 2)] for name in ("fine", "nobody"))
            await on.start_many(fine, total=1)
            await on.start_many(nobody, customerId="mallory")
            expected = dict.fromkeys(fine, "completed") | dict.fromkeys(nobody, "compensated")
            assert await on.finished(*expected, seconds=count) == expected
            await on.idle()
            calls = [await on.metric("calls_total", "customers", n, kind="action") for n in (0, 1)]
            assert min(calls) > 0
            # F26: Both call the app
            assert sum(calls) >= 2 * count, "nothing was in two hands at once"
            # F26: with the same key
            assert len(on.rows("customers", "SELECT step FROM answers WHERE kind = 'action'")) == count
            # F26: get one answer
            assert len(on.rows("customers", "SELECT id FROM reservations")) == len(fine)
            await on.check(*expected)

    run(scenario(), 60 + 2 * count)


def test_f28_a_consumer_that_is_deleted_is_told_and_nothing_is_lost(full: bool, tmp_path: Path) -> None:
    """While it is gone, instances are started as ever; once whoever distributes makes it again, all of them go on."""
    rounds = 10 if full else 1

    async def scenario() -> None:
        async with stage(CREDIT, tmp_path, services={"customers": ("--slow", "0.3")}) as on:
            keys: list[str] = []
            for turn in range(rounds):
                early, late = ([f"{when}-{turn}-{n}" for n in range(10)] for when in ("early", "late"))
                await on.start_many(early, total=1)
                assert [await _up(on, name) for name in on.sidecars] == [1.0, 1.0]
                for name in await on.consumers():
                    await on.api(f"CONSUMER.DELETE.{on.stream}.{name}")
                # F28: starts are taken as ever
                await on.start_many(late, total=1)
                # F28: `sagamesh_consumer_up{saga}` is 0 and the log says so within ten seconds
                await _told(on, 0.0, turn + 1)
                await provision(on.server.url, [on.saga])
                keys += early + late
                # F28: once whoever distributes makes the consumer again, everything goes on
                assert await on.finished(*keys) == dict.fromkeys(keys, "completed")
                await _told(on, 1.0, turn + 1)
            await on.check(*keys)

    run(scenario(), 60 * (rounds + 1))


async def _up(on: Stage, participant: str) -> float:
    return await on.metric("consumer_up", participant, saga=on.saga.name)


async def _told(on: Stage, up: float, alarms: int) -> None:
    """Wait until metrics and logs of all sidecars say so, which takes ten seconds at most."""
    async with asyncio.timeout(10):
        for name, [member] in on.sidecars.items():
            while await _up(on, name) != up or member.log.read_text().count("hands out nothing any more") < alarms:
                await asyncio.sleep(0.05)
