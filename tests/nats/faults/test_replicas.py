"""Replicas share the work, take it over from each other, and bear to be handed everything once more."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from sagamesh.language import graph
from sagamesh.log import registers
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_cli.local.mesh import provision
from sagamesh_cli.local.sidecars import ProcessMember
from support.processes.stage import DECLINED, Stage, run, stage, until

MEALS = "02-create-order"
ACK_WAIT = 10.0
"""Seconds until what a sidecar held is handed out again, unless it gave it back."""
KINDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "completed"),
    ({}, "completed"),
    (DECLINED, "compensated"),
    ({"restaurantId": "ratskeller"}, "compensated"),
)


async def place(on: Stage, prefix: str, count: int) -> dict[str, str]:
    """Start so many orders of all kinds, alternately at each replica: their keys, and how they must end."""
    kinds = {f"{prefix}-{n}": KINDS[n % len(KINDS)] for n in range(count)}
    await asyncio.gather(*(on.start(key, **order) for key, (order, _) in kinds.items()))
    return {key: state for key, (_, state) in kinds.items()}


async def conclude(on: Stage, expected: dict[str, str]) -> None:
    assert await on.finished(*expected, seconds=30 + len(expected)) == expected
    await on.check(*expected)


async def kill_for_good(member: ProcessMember) -> None:
    """`kill -9` of a pod that no other one replaces."""
    assert member._keeper is not None
    member._keeper.cancel()
    assert await member.kill() == -signal.SIGKILL


async def leave(member: ProcessMember) -> None:
    """SIGTERM to a pod that no other one replaces, and its end."""
    assert member._keeper is not None
    member._keeper.cancel()
    assert await terminate(member) == 0


async def terminate(member: ProcessMember) -> int:
    """SIGTERM, and the exit code."""
    process = member.process
    assert process is not None
    process.terminate()
    return await process.wait()


async def acked(on: Stage) -> dict[str, list[float]]:
    """How many deliveries each replica of each participant has acked."""
    counts = {}
    for name, members in on.sidecars.items():
        counts[name] = [await on.metric("deliveries_total", name, n, result="ack") for n in range(len(members))]
    return counts


@pytest.mark.of_its_kind
def test_two_replicas_of_each_share_the_work_and_one_of_each_may_die(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, replicas=2) as on:
            first = await place(on, "first", 40)
            await conclude(on, first)
            counts = await acked(on)
            assert all(count > 0 for replicas in counts.values() for count in replicas), counts

            placing = asyncio.create_task(place(on, "second", 40))
            await until(lambda: len(on.rows("kitchen", "SELECT id FROM tickets WHERE order_id LIKE 'second-%'")) > 3)
            await asyncio.gather(*(kill_for_good(members[1]) for members in on.sidecars.values()))
            await conclude(on, first | await placing)

    run(scenario(), 90)


def test_the_same_start_at_two_replicas_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, replicas=2) as on:
            keys = [f"twice-{n}" for n in range(10)]
            for key in keys:
                answers = await asyncio.gather(*(on.post(key, replica) for replica in (0, 1, 0, 1)))
                assert sorted(answer.status for answer in answers) == [200, 200, 200, 202]
                instances = [answer.body["instances"][0] for answer in answers]
                assert len({instance["run"] for instance in instances}) == 1
                assert sorted(instance["duplicate"] for instance in instances) == [False, True, True, True]
            clashing = await asyncio.gather(on.post("clash", 0, total=10), on.post("clash", 1, total=11))
            assert sorted(answer.status for answer in clashing) == [202, 409]
            later = await on.post(keys[0], 1, total=99)
            assert later.status == 409
            assert later.body["code"] == "key-conflict"
            expected = dict.fromkeys([*keys, "clash"], "completed")
            assert await on.finished(*expected) == expected
            assert (await on.post(keys[0], 1)).status == 200, "a finished one is still a duplicate"
            await on.check(*expected)
            started = [await on.metric("sagas_started_total", "orders", replica) for replica in (0, 1)]
            assert sum(started) == len(expected), started

    run(scenario())


async def snapshot(on: Stage) -> tuple[Any, ...]:
    """Everything that a repeated delivery must not change: log, ledgers, calls where a register forbids them."""
    await on.idle()
    may_come_again = {(name, "action") for name in graph.open_steps(on.saga)}
    calls = {
        (step.name, kind): await on.metric("calls_total", step.participant, step=step.name, kind=kind)
        for step in on.saga.steps
        for kind in ("action", "compensation")
        if (step.name, kind) not in may_come_again
    }
    return await on.everything(), on.tables(), calls


async def acks(on: Stage) -> float:
    return sum(sum(replicas) for replicas in (await acked(on)).values())


async def deliverable(on: Stage) -> int:
    """How many deliveries the log holds: what each consumer listens to, of what is there."""
    there = [subject.split(".", 4)[4] for _, subject, _ in await on.everything()]
    count = 0
    for name in await on.consumers():
        heard = (await on.api(f"CONSUMER.INFO.{on.stream}.{name}"))["config"]["filter_subjects"]
        count += sum(there.count(subject.split(".", 4)[4]) for subject in heard)
    return count


def test_f27_f42_every_delivery_comes_again_after_everything_has_finished(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path) as on:
            expected = await place(on, "order", 16)
            await conclude(on, expected)
            before = await snapshot(on)
            once, acked_before = await deliverable(on), await acks(on)
            assert once >= 16 * 7

            for copy in await on.log.read(on.stream, registers.subjects(on.saga.namespace, on.saga.name)):
                # F25: a copy in the stream is refused by the server
                # F42: The server refuses the copy, since its register stands
                assert await on.log.put(copy.subject, copy.headers, copy.body) is WriteRefused.EXISTS
            assert await snapshot(on) == before, "old triggers that are sent again"

            for name in await on.consumers():
                await on.api(f"CONSUMER.RESET.{on.stream}.{name}", {"seq": 1})
            # F25: A repeated delivery changes nothing
            # F27: no write, no effect, and no call of a step that has a `begin`
            assert await snapshot(on) == before
            # F27: Every delivery of the whole log comes again and is acked
            # F42: a delivery of it that comes again is acked without effect
            assert await acks(on) >= acked_before + once, "not every delivery came again"

            acked_before = await acks(on)
            for name in await on.consumers():
                await on.api(f"CONSUMER.DELETE.{on.stream}.{name}")
            await provision(on.server.url, [on.saga])
            assert await snapshot(on) == before
            # F28: all of the log is delivered to it from the beginning
            assert await acks(on) >= acked_before + once, "not every delivery came to the new consumers"
            await conclude(on, expected | await place(on, "later", 4))

    run(scenario())


def test_f25_f27_every_delivery_comes_again_while_everything_runs(full: bool, tmp_path: Path) -> None:
    """Not only those that are under way: the consumers go back to the beginning of the log, again and again."""
    shares = range(1, 400, 10) if full else (1, 10, 20, 30)

    async def scenario() -> None:
        async with stage(MEALS, tmp_path, replicas=2) as on:
            placing = asyncio.create_task(place(on, "order", max(shares) + 10))
            for share in shares:
                await until(lambda share=share: len(on.rows("orders", "SELECT id FROM orders")) >= share)
                for name in await on.consumers():
                    await on.api(f"CONSUMER.RESET.{on.stream}.{name}", {"seq": 1})
            # F25: A repeated delivery changes nothing
            # F27: while everything runs all ends as it would have
            await conclude(on, await placing)

    run(scenario(), 900 if full else 60)


def test_f55_sigterm_during_a_slow_call_lets_it_finish(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, services={"kitchen": ("--slow", "1")}) as on:
            await on.start("slow")
            await until(lambda: on.rows("kitchen", "SELECT id FROM tickets"))
            [kitchen] = on.sidecars["kitchen"]
            assert await terminate(kitchen) == 0
            # F55: what runs is finished within `grace`
            assert ("create-ticket", "end") in await on.registers("slow"), "it was finished on the way out"
            assert await on.finished("slow") == {"slow": "completed"}
            await on.check("slow")
            log = kitchen.log.read_text()
            assert "Traceback" not in log, log

    run(scenario())


def test_f55_sigterm_without_time_gives_the_delivery_to_the_other_replica(tmp_path: Path) -> None:
    async def scenario() -> None:
        slow = {"kitchen": ("--slow", "2")}
        async with stage(MEALS, tmp_path, ack_wait=None, replicas=2, services=slow, grace=0.1) as on:
            await on.start("slow")
            await until(lambda: on.rows("kitchen", "SELECT id FROM tickets"))
            for replica, member in enumerate(on.sidecars["kitchen"]):
                if await on.metric("in_flight", "kitchen", replica):
                    await leave(member)
                    assert "Traceback" not in member.log.read_text()
                    break
            else:
                raise AssertionError("nobody was at work")
            found = await on.registers("slow")
            assert ("create-ticket", "end") not in found, "there was no time for it"
            assert await on.finished("slow") == {"slow": "completed"}
            found = await on.registers("slow")
            taken_over = found["create-ticket", "end"].time - found["create-ticket", "begin"].time
            # F55: else given back and taken over before its lease runs out
            assert taken_over < ACK_WAIT, "it was given back, rather than left until its lease ran out"
            assert on.ledger("slow") == ("APPROVED", ["CONFIRMED"], 1)
            await on.check("slow")

    run(scenario())


def test_a_rolling_restart_under_load_keeps_nothing_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, replicas=2, services={"kitchen": ("--slow", "0.1")}) as on:
            placing = asyncio.create_task(place(on, "order", 40))
            await until(lambda: len(on.rows("kitchen", "SELECT id FROM tickets")) > 3)
            for number in (0, 1):
                assert await asyncio.gather(*(terminate(on.sidecars[name][number]) for name in on.sidecars)) == [0] * 4
                await asyncio.gather(*(on.sidecars[name][number].revived() for name in on.sidecars))
            expected = await placing
            await conclude(on, expected)
            for key in expected:
                # F54: nothing waits for a lease to run out
                assert await on.took(key) < ACK_WAIT, "something waited for a lease to run out"

    run(scenario())


def test_f54_from_one_replica_to_five_and_back_under_load(full: bool, tmp_path: Path) -> None:
    """The first one is among those that leave."""
    grown = ("orders", "consumers", "kitchen", "accounting") if full else ("kitchen",)
    rounds, count = (5, 100) if full else (1, 20)

    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, services={"kitchen": ("--slow", "0.1")}) as on:
            expected: dict[str, str] = {}
            for turn in range(rounds):
                alone = asyncio.create_task(place(on, f"alone-{turn}", count))
                await asyncio.gather(*(on.scale(name, 4) for name in grown))
                five = asyncio.create_task(place(on, f"five-{turn}", count))
                for name in grown:
                    for replica in range(5 * turn, 5 * turn + 5):
                        # F54: New replicas share the one consumer at once
                        await _works(on, name, replica)
                last = asyncio.create_task(place(on, f"last-{turn}", count))
                leaving = [member for name in grown for member in on.sidecars[name][-5:-1]]
                for member in leaving:
                    await leave(member)
                for placing in (alone, five, last):
                    expected |= await placing
            # F54: those that leave finish or give back what they have in hand
            await conclude(on, expected)
            for key in expected:
                # F54: nothing waits for a lease to run out
                assert await on.took(key) < ACK_WAIT, "something waited for a lease to run out"

    run(scenario(), 600 if full else 90)


async def _works(on: Stage, participant: str, replica: int) -> None:
    async with asyncio.timeout(20):
        while not await on.metric("deliveries_total", participant, replica, result="ack"):
            await asyncio.sleep(0.02)
