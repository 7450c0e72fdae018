"""`sagamesh-sidecar drain`, as the preStop hook of a pod that leaves runs it: real processes, under load."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_sidecar.settings import to_environment
from support.builders.orders import MEALS, conclude, mixed, place
from support.fakes.scripted_app import Call
from support.processes.stage import Stage, run, stage, until
from support.processes.web import ask
from support.servers.nats_server import stand_still

ACK_WAIT = 10.0
"""Seconds until what a sidecar held is handed out again, unless it gave it back."""


async def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """`sagamesh-sidecar ...`: its exit code, and what it said and complained."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sagamesh_sidecar", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def drain(member: ProcessMember) -> tuple[int, str, str]:
    return await command("drain", **to_environment(member.settings))


async def readiness(on: Stage, participant: str, replica: int) -> tuple[int, str]:
    answer = await ask("GET", f"{on.urls[participant][replica].health}/readyz")
    return answer.status, answer.text.strip()


async def calls(on: Stage, replica: int) -> dict[str, float]:
    """How often each participant's app was called by that replica, and what it still has in hand."""
    counts = {name: await on.metric("calls_total", name, replica) for name in on.sidecars}
    return counts | {f"{name} in hand": await on.metric("in_flight", name, replica) for name in on.sidecars}


def tickets(on: Stage) -> int:
    return len(on.rows("kitchen", "SELECT id FROM tickets"))


async def terminated(member: ProcessMember) -> int:
    assert member.process is not None
    member.process.terminate()
    return await member.process.wait()


def test_f55_a_rolling_restart_with_drains_under_load(full: bool, tmp_path: Path) -> None:
    """Every participant's replicas, one after the other: preStop, a while in which the others work, and SIGTERM."""
    keys: Counter[str] = Counter()

    async def count(call: Call, forward: Callable[[], Awaitable[bytes]]) -> bytes:
        keys[call.headers["idempotency-key"]] += 1
        return await forward()

    async def scenario() -> None:
        slow = {"kitchen": ("--slow", "0.1")}
        between = dict.fromkeys(("orders", "consumers", "kitchen", "accounting"), count)
        async with stage(MEALS, tmp_path, ack_wait=None, replicas=2, services=slow, between=between) as on:
            orders = {}
            for turn in range(10 if full else 1):
                for number in (0, 1):
                    batch = mixed(f"turn-{turn}-{number}", 40)
                    orders |= batch
                    before = tickets(on)
                    placing = asyncio.create_task(place(on, batch))
                    await until(lambda before=before: tickets(on) > before + 3)
                    members = [replicas[number] for replicas in on.sidecars.values()]
                    assert await asyncio.gather(*map(drain, members)) == [(0, "drained\n", "")] * len(members)
                    still = await calls(on, number)
                    late = mixed(f"late-{turn}-{number}", 12)  # taken by a replica that has drained, at one of the two
                    orders |= late
                    await placing
                    # F55: A pod that leaves drains before, while its app still starts sagas
                    assert set(await place(on, late)) == {202}
                    await on.finished(*orders, seconds=60)
                    # F55: No more deliveries are asked for
                    # F55: once that is over, no call reaches the app
                    assert await calls(on, number) == still, "an app was called after the drain had ended"
                    for name in on.sidecars:
                        status = (503, "drained: no delivery is taken any more")
                        assert await readiness(on, name, number) == status
                    assert await asyncio.gather(*map(terminated, members)) == [0] * len(members)
                    await asyncio.gather(*(member.revived() for member in members))
            await conclude(on, orders)
            for key in orders:
                # F55: nothing waits for a lease to run out
                assert await on.took(key) < ACK_WAIT, "something waited for a lease to run out"
            # A compensation has two deliveries that may come at once, to two replicas: `abort`, and its successor's.
            again = [key for key, times in keys.items() if times > 1 and key.endswith('/action"')]
            assert again == [], "these were called more than once"

    run(scenario(), 900 if full else 120)


@pytest.mark.of_its_kind
def test_f55_a_drain_without_time_gives_the_delivery_to_the_other_replica(tmp_path: Path) -> None:
    async def scenario() -> None:
        slow = {"kitchen": ("--slow", "2")}
        async with stage(MEALS, tmp_path, ack_wait=None, replicas=2, services=slow, grace=0.1) as on:
            await on.start("slow")
            await until(lambda: tickets(on))
            busy = [bool(await on.metric("in_flight", "kitchen", replica)) for replica in (0, 1)].index(True)
            word = "drained; 1 deliveries were given back unfinished\n"
            assert await drain(on.sidecars["kitchen"][busy]) == (0, word, "")
            assert await on.metric("in_flight", "kitchen", busy) == 0
            assert await on.finished("slow") == {"slow": "completed"}
            found = await on.registers("slow")
            taken_over = found["create-ticket", "end"].time - found["create-ticket", "begin"].time
            # F55: else given back and taken over before its lease runs out
            assert taken_over < ACK_WAIT, "it was given back, rather than left until its lease ran out"
            assert on.ledger("slow") == ("APPROVED", ["CONFIRMED"], 1)
            await on.check("slow")

    run(scenario())


def test_f55_sigterm_during_a_drain_and_a_second_drain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, services={"kitchen": ("--slow", "3")}) as on:
            [kitchen] = on.sidecars["kitchen"]
            assert await drain(on.sidecars["consumers"][0]) == (0, "drained\n", "")
            assert await drain(on.sidecars["consumers"][0]) == (0, "drained\n", ""), "once more, when it is over"
            assert await terminated(on.sidecars["consumers"][0]) == 0
            await on.sidecars["consumers"][0].revived()

            await on.start("slow")
            await until(lambda: tickets(on))
            draining = [asyncio.create_task(drain(kitchen)) for _ in range(2)]
            async with asyncio.timeout(10):
                while await readiness(on, "kitchen", 0) != (503, "draining: what runs is finished"):
                    await asyncio.sleep(0.01)
            assert await terminated(kitchen) == 0
            assert await asyncio.gather(*draining) == [(0, "drained\n", "")] * 2, "answered on the way out"
            # F55: what runs is finished within `grace`
            assert ("create-ticket", "end") in await on.registers("slow"), "it was finished on the way out"
            assert await on.finished("slow") == {"slow": "completed"}
            log = kitchen.log.read_text()
            assert "Traceback" not in log, log

    run(scenario())


def test_drains_that_cannot_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        who = {"SAGAMESH_NAMESPACE": "shop", "SAGAMESH_PARTICIPANT": "orders", "SAGAMESH_GRACE": "0"}
        sentence = "sagamesh-sidecar: no sidecar listens on 127.0.0.1 port 9\n"
        assert await command("drain", SAGAMESH_API_PORT="9", **who) == (3, "", sentence)
        code, _, complained = await command("drain", SAGAMESH_API_PORT="0", **who)
        assert (code, "SAGAMESH_API_PORT is 0" in complained) == (2, True)
        code, _, complained = await command("dry", **who)
        assert (code, complained.startswith("sagamesh-sidecar: usage: ")) == (2, True)

    run(scenario())


def test_a_sidecar_that_hangs_is_waited_for_no_longer_than_its_grace(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(MEALS, tmp_path, ack_wait=None, grace=0.1) as on:
            [kitchen] = on.sidecars["kitchen"]
            assert kitchen.process is not None
            stand_still(kitchen.process.pid)
            try:
                code, said, complained = await drain(kitchen)
            finally:
                kitchen.process.send_signal(signal.SIGCONT)
            assert (code, said) == (1, "")
            assert complained.startswith("sagamesh-sidecar: not drained within 10.1 seconds")

    run(scenario())
