"""Whatever is killed with -9, whenever: the saga finishes as it would have, and every effect is there exactly once."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from sagamesh.log.registers import START, Done, Failed, Started, Undone, begin, end, parse
from support.builders.orders import KINDS, MEALS, Kind, conclude, mixed, place
from support.processes.stage import DECLINED, Fates, Stage, run, seconds_since, stage, until

CREDIT = "01-customers-and-orders"
KILLED = -signal.SIGKILL
ACK_WAIT = 0.2
"""Seconds until the server hands out again what nobody has settled."""
SLACK = 0.01
"""Seconds by which the times of two messages of one server may be read wrong."""
REHEARSALS = 3
TRIES = 10


async def play(on: Stage, key: str, kind: Kind) -> None:
    """One order, to its expected end."""
    await on.start(key, **kind.order)
    assert await on.finished(key) == {key: kind.state}, key
    # F2: gets the first answer
    assert on.ledger(key) == kind.ledger, key


def recorded(on: Stage, key: str) -> int:
    """How many answers its services have kept of an instance: one for each idempotency key that they have seen."""
    counts = (on.rows(name, "SELECT count(*) FROM answers WHERE step LIKE ?", f"%/{key}/%") for name in on.services)
    return sum(count for [(count,)] in counts)


async def keys_due(on: Stage, key: str) -> int:
    """How many keys that takes: one for each step that ended, and for each that was done and undone."""
    values = {name: register.value for name, register in (await on.registers(key)).items()}
    ended = [name.step for name, value in values.items() if isinstance(value, Done | Failed)]
    undone = [name.step for name, value in values.items() if isinstance(value, Undone)]
    return len(ended) + sum(isinstance(values[end(step)], Done) for step in undone)


class Boundaries:
    """Every operation of every sidecar, taken from runs without faults: kill before it, kill after it."""

    def __init__(self, on: Stage) -> None:
        self.on = on
        self.fates = Fates(on)
        self.keys: list[str] = []
        self.unreached: dict[str, list[str]] = {participant: [] for participant in on.sidecars}

    async def rehearse(self) -> dict[str, list[tuple[str, str]]]:
        """participant -> (kind, operation) of everything that happens in each of several runs."""
        runs = [(name, f"{name}-rehearsal-{n}") for n in range(REHEARSALS) for name in KINDS]
        for name, key in runs:
            await play(self.on, key, KINDS[name])
        await self.on.idle()
        self.keys += [key for _, key in runs]
        found = {}
        for participant in self.on.sidecars:
            done = self.fates.operations(participant)
            of = {key: dict.fromkeys(op for instance, op in done if instance == key) for _, key in runs}
            found[participant] = [
                (name, op)
                for name in KINDS
                for op in of[f"{name}-rehearsal-0"]
                if op != "pause" and all(op in of[f"{name}-rehearsal-{n}"] for n in range(REHEARSALS))
            ]
        await self._check_complete(found)
        return found

    async def _check_complete(self, found: dict[str, list[tuple[str, str]]]) -> None:
        """Every register that is written, and every call, is among the operations."""
        for name in KINDS:
            operations = {op for of in found.values() for kind, op in of if kind == name}
            log = await self.on.registers(f"{name}-rehearsal-0")
            assert {f"put {step}.{register}" for step, register in log} <= operations
            called = [step for step, register in log if isinstance(log[step, register].value, Done | Failed)]
            assert {f"call {step} action" for step in called} <= operations

    async def kill_at_each(self, participant: str, boundaries: list[tuple[str, str]]) -> str:
        """One after the other, since two kills of one sidecar would disturb each other. A line for the report."""
        begun = time.monotonic()
        for number, (name, operation) in enumerate(boundaries):
            for when in ("before", "after"):
                await self._kill_at(f"{name}-{participant}-{number}-{when}", participant, when, operation, KINDS[name])
        due = 2 * len(boundaries) - len(self.unreached[participant])
        await until(lambda: len(self.fates.deaths(participant)) >= due)
        assert self.fates.deaths(participant) == [KILLED] * due, f"{participant} died of something else"
        return f"{participant}: killed {due} times at {len(boundaries)} operations, {seconds_since(begun)}"

    async def _kill_at(self, key: str, participant: str, when: str, operation: str, kind: Kind) -> None:
        for turn in range(TRIES):  # the order of concurrent deliveries is not the same in every run
            tried = f"{key}-{turn}"
            self.fates.plan(tried, participant, when, operation)
            await play(self.on, tried, kind)
            self.keys.append(tried)
            if await self._fulfilled(tried):
                await self._check_next_attempt(tried, participant, when, operation)
                return
        self.unreached[participant].append(f"{when} {operation}")

    async def _check_next_attempt(self, key: str, participant: str, when: str, operation: str) -> None:
        """What it does depends on how far the one that was killed has come."""
        what, _, register = operation.partition(" ")
        step, _, kind = register.partition(".")
        if (what, kind, when) == ("put", "begin", "before"):
            written = await self.on.registers(key)
            begun = written[begin(step)]
            if isinstance(begun.value, Started):
                trigger = written[parse(begun.value.delivery)[1]]
                # F1: The delivery comes again after `ack_wait`
                assert begun.time - trigger.time >= ACK_WAIT - SLACK
        if (what, kind, when) == ("put", "end", "after"):
            # F3: finds `end`, calls nobody
            assert self.fates.operations(participant).count((key, f"call {step} action")) == 1

    async def _fulfilled(self, key: str) -> bool:
        """The last acks may come after the finish."""
        try:
            await until(lambda: self.fates.fulfilled(key), 0.3)
        except TimeoutError:
            return False
        return True


def test_f1_f2_f3_f4_a_sidecar_killed_at_any_boundary(tmp_path: Path, report: list[str]) -> None:
    async def scenario() -> None:
        begun = time.monotonic()
        async with stage(MEALS, tmp_path, ack_wait=ACK_WAIT) as on:
            at = Boundaries(on)
            operations = await at.rehearse()
            lines = await asyncio.gather(*(at.kill_at_each(*one) for one in operations.items()))
            await on.check(*at.keys)
            assert not any(at.unreached.values()), at.unreached
            subjects = [subject for _, subject, _ in await on.everything()]
            # F1: the step begins once
            assert len({*subjects}) == len(subjects)
            for key in at.keys:
                # F1: the app sees the same idempotency key
                # F2: with the same key
                # F4: The compensation is called again with the same key
                assert recorded(on, key) == await keys_due(on, key), key
            report.extend(["kill -9 of a sidecar before and after everything that it does", *lines])
            report.append(f"{len(at.keys)} orders, balanced, {seconds_since(begun)}")

    run(scenario(), 180)


COMMITS = [
    (MEALS, "orders", 1, {}, "completed"),
    (MEALS, "orders", 2, {}, "completed"),
    (MEALS, "consumers", 1, {}, "completed"),
    (MEALS, "kitchen", 1, {}, "completed"),
    (MEALS, "kitchen", 2, {}, "completed"),
    (MEALS, "accounting", 1, {}, "completed"),
    (MEALS, "orders", 1, DECLINED, "compensated"),
    (MEALS, "kitchen", 1, DECLINED, "compensated"),
    (MEALS, "accounting", 1, DECLINED, "compensated"),  # what was committed is the refusal
    (MEALS, "consumers", 1, {"consumerId": "mallory"}, "compensated"),
    (CREDIT, "orders", 1, {}, "completed"),
    (CREDIT, "orders", 2, {}, "completed"),
    (CREDIT, "customers", 1, {}, "completed"),
    (CREDIT, "customers", 1, {"customerId": "mallory"}, "compensated"),
]


@pytest.mark.parametrize("example", [MEALS, CREDIT])
def test_f23_an_app_that_dies_between_its_commit_and_its_answer(example: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(example, tmp_path) as on:
            keys = []
            for name, participant, commits, order, state in COMMITS:
                if name != example:
                    continue
                key = f"{participant}-{commits}-{len(keys)}"
                app = on.services[participant]
                await app.stop()
                await app.start("--crash-after-commit", str(commits))
                await on.start(key, **order)
                assert app.process is not None
                assert await app.process.wait() == 1
                await app.start()
                assert await on.finished(key) == {key: state}
                # F23: Called again with the same key
                assert recorded(on, key) == await keys_due(on, key)
                if example == MEALS:
                    # F23: the recorded answer, one effect
                    assert on.ledger(key) == next(k.ledger for k in KINDS.values() if k.order == order)
                keys.append(key)
            await on.check(*keys)

    run(scenario())


def test_f24_every_app_is_killed_under_load(full: bool, tmp_path: Path) -> None:
    """It comes back with the disk that it had, and with nothing else."""
    rounds = 20 if full else 1

    async def scenario() -> None:
        orders = mixed("order", 40 * rounds)
        async with stage(MEALS, tmp_path) as on:
            for turn in range(rounds):
                some = dict(list(orders.items())[40 * turn : 40 * turn + 40])
                placing = asyncio.create_task(place(on, some))
                for name, app in on.services.items():
                    done = len(on.rows(name, "SELECT step FROM answers"))
                    await until(lambda name=name, done=done: len(on.rows(name, "SELECT step FROM answers")) > done)
                    assert await app.kill() == KILLED
                    await app.start()
                await placing
            # F24: nothing is counted as failed; with its disk back it answers from its table
            await conclude(on, orders, 60 + len(orders))

    run(scenario(), 600 if full else 60)


@pytest.mark.of_its_kind
def test_f6_the_server_is_killed_and_comes_back_with_its_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        orders = mixed("order", 30)
        early, late = dict(list(orders.items())[:20]), dict(list(orders.items())[20:])
        async with stage(MEALS, tmp_path, services={"consumers": ("--slow", "0.2")}) as on:
            await place(on, early)
            await until(lambda: len(on.rows("kitchen", "SELECT id FROM tickets")) > 1)
            found = await asyncio.gather(*map(on.registers, early))  # at once: they go on meanwhile
            taken = {key: one[START].origin.run for key, one in zip(early, found, strict=True)}
            on.server.kill()
            killed = on.log.now()
            placing = asyncio.create_task(place(on, late))
            while not await on.metric("writes_total", "orders", register="start", result="unknown"):
                await asyncio.sleep(0.02)
            on.server.start()
            await placing
            # F6: what was not confirmed is written again
            await conclude(on, orders, 60 + len(orders))
            # F6: no saga has to be started twice
            assert {key: (await on.registers(key))[START].origin.run for key in early} == taken
            ends = [await on.ended_at(key) for key in early]
            assert max(ends) > killed, "it was killed too late"

    run(scenario(), 90)


def test_f5_all_sidecars_are_killed_again_and_again(full: bool, tmp_path: Path) -> None:
    """Every two seconds for two minutes, at full length."""
    kills, every = (60, 2.0) if full else (3, 0.0)

    async def scenario() -> None:
        orders = mixed("order", 10 * kills)
        async with stage(MEALS, tmp_path) as on:
            placing = []
            for turn in range(kills):
                group = dict(list(orders.items())[10 * turn : 10 * turn + 10])
                placing.append(asyncio.create_task(place(on, group)))
                await asyncio.sleep(every)
                await until(lambda turn=turn: len(on.rows("orders", "SELECT id FROM orders")) >= 10 * turn + 5)
                for member in on.members():
                    member.restarts = 0  # else each comes back later than the last one
                assert await asyncio.gather(*(member.kill() for member in on.members())) == [KILLED] * 4
                await asyncio.gather(*(member.revived() for member in on.members()))
            await asyncio.gather(*placing)
            # F5: Every saga ends as it would have, with one effect each
            await conclude(on, orders, 60 + len(orders))

    run(scenario(), 900 if full else 60)
