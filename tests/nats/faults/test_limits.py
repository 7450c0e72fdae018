"""Too much to do, and too little to do it with: backlogs, file descriptors, memory."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import pytest

from sagamesh_cli.local.sidecars import ProcessMember
from support.processes.stage import Stage, hasten, run, stage, until

CREDIT = "01-customers-and-orders"
MIB = 1024 * 1024
SLOTS = 32
"""Deliveries that a sidecar has in hand at most, by default."""
GRACE = 15.0
"""Seconds between the two signals: half of a kubelet's, and more than a sidecar's own that has what it needs."""


def pid_of(member: ProcessMember) -> int:
    assert member.process is not None
    return member.process.pid


def memory(member: ProcessMember, kind: str) -> int:
    """Bytes. `VmHWM`: of all times the most that was resident; `VmSize`: of address space."""
    status = Path(f"/proc/{pid_of(member)}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{kind}:")]
    return int(line.split()[1]) * 1024


def descriptors(member: ProcessMember) -> int:
    return len(os.listdir(f"/proc/{pid_of(member)}/fd"))


def test_f53_a_backlog_does_not_fill_the_memory_of_the_one_that_works_it_off(full: bool, tmp_path: Path) -> None:
    """Whose service and sidecar were down while the others went on. The customer's credit covers a thousand."""
    count = 10_000 if full else 200
    note = "x" * 2000

    async def scenario() -> None:
        async with stage(CREDIT, tmp_path, ack_wait=None) as on:
            [customers] = on.sidecars["customers"]
            await on.start("first", total=1)
            await on.finished("first")
            await on.services["customers"].stop()
            await customers.stop()
            keys = [f"order-{n}" for n in range(count)]
            await on.start_many(keys, total=1, note=note)
            async with asyncio.timeout(600):
                while len(on.rows("orders", "SELECT id FROM orders")) <= count:
                    await asyncio.sleep(0.1)
            await on.services["customers"].start()
            await customers.start()
            before = memory(customers, "VmHWM")
            finishing = asyncio.create_task(on.finished(*keys, seconds=1200))
            most = 0.0
            while not finishing.done():
                most = max(most, await on.metric("in_flight", "customers"))
                await asyncio.sleep(0.02)
            states = list((await finishing).values())
            assert states.count("completed") == min(count, 999)
            # F53: A sidecar asks for no more deliveries than it has slots (32)
            assert 1 < most <= SLOTS
            # F53: so a backlog waits in the log, not in its memory
            assert memory(customers, "VmHWM") - before < 16 * MIB
            await on.check(*keys[:100], "first")

    run(scenario(), 2000 if full else 90)


async def starved(on: Stage, limit: int, room: int, *, by: int) -> None:
    """Let every sidecar have hardly more of something than it has now."""
    for member in on.members():
        now = descriptors(member) if limit == resource.RLIMIT_NOFILE else memory(member, "VmSize")
        _, most = resource.prlimit(pid_of(member), limit)
        resource.prlimit(pid_of(member), limit, (now + room * by, most))


async def renewed(member: ProcessMember) -> None:
    """SIGTERM, and SIGKILL after a while, as a kubelet sends them; the next one has no such limit.

    Who has no memory left may not even be able to stop.
    """
    assert member.process is not None
    if member.process.returncode is None and not member.restarts:
        member.process.terminate()
        try:
            async with asyncio.timeout(GRACE):
                await member.process.wait()
        except TimeoutError:
            member.process.kill()
            await member.process.wait()
    await member.revived()


@pytest.mark.parametrize("what", ["descriptors", "memory"])
@pytest.mark.of_its_kind
def test_f57_sidecars_that_run_out_of_something_lose_nothing(what: str, full: bool, tmp_path: Path) -> None:
    """Starts are taken or can be sent again, meanwhile; whoever dies of it comes back; and all that was taken ends."""
    limit, by, senders, note = {
        "descriptors": (resource.RLIMIT_NOFILE, 1, 1, ""),
        "memory": (resource.RLIMIT_AS, MIB, 40, "x" * 100_000),
    }[what]
    rounds = 10 if full else 1

    async def scenario() -> None:
        slow = {"orders": ("--slow", "0.1"), "customers": ("--slow", "0.4")}
        async with stage(CREDIT, tmp_path, ack_wait=None, services=slow) as on:
            await hasten(on, 1.0)
            keys = ["warm"]
            await on.start("warm", total=1)
            await on.finished("warm")
            for turn in range(rounds):
                marks = {member: member.log.stat().st_size for member in on.members()}
                for member in on.members():
                    member.restarts = 0
                await starved(on, limit, 1, by=by)
                wanted = [f"order-{turn}-{n}" for n in range(40)]
                told: list[int] = []
                placing = asyncio.gather(*(_send(on, wanted[n::senders], note, told) for n in range(senders)))
                if turn == 0:  # later on it has connections that it keeps, and may do without more
                    # F57: A sidecar without descriptors or memory says so in its log,
                    # answers starts with 503 or not at all, or dies and is started again
                    await until(lambda told=told, marks=marks: _felt(what, told, marks), 30)
                await asyncio.gather(*(renewed(member) for member in on.members()))
                await placing
                keys += wanted
                # F57: nothing that was taken is lost
                assert await on.finished(*keys) == dict.fromkeys(keys, "completed")
            await on.check(*keys)

    run(scenario(), 90 * rounds)


async def _send(on: Stage, keys: list[str], note: str, told: list[int]) -> None:
    """One after the other. `told`: gets what is answered, 0 where nothing is, as it comes."""
    for key in keys:
        await on.start(key, told, total=1, note=note)


def _felt(what: str, told: list[int], marks: dict[ProcessMember, int]) -> bool:
    """Whether a sidecar has come to its limit: it takes no start, says so in its log after its mark, or died of it."""
    words = (b"the app is away",) if what == "descriptors" else (b"MemoryError", b"no memory left")
    return not {0, 503}.isdisjoint(told) or any(
        member.restarts
        or (member.process is not None and member.process.returncode is not None)
        or any(word in member.log.read_bytes()[mark:] for word in words)
        for member, mark in marks.items()
    )
