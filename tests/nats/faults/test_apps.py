"""Services that are slow, hang, fail for a while, answer nonsense, or choke on some orders for ever.

The services are the examples' own; what stands between a sidecar and its service makes the fault, so that the books
tell what was really done.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sagamesh.log.registers import Failed
from support.fakes.scripted_app import KEPT, Call, http
from support.processes.stage import Fates, Stage, impatient, run, stage, until
from support.processes.web import ask

MEALS = "02-create-order"
CREDIT = "01-customers-and-orders"
Passed = Callable[[], Awaitable[bytes]]
"""Lets the call through to the service, and gives its answer."""
NEVER = 1e9


def test_f18_a_call_that_takes_three_times_the_lease_is_made_once(full: bool, tmp_path: Path) -> None:
    lease = 10.0 if full else 0.4

    async def scenario() -> None:
        slow = {"customers": ("--slow", str(3 * lease))}
        change = partial(impatient, timeout=6 * lease, within=60 * lease, park_after=NEVER)
        async with stage(CREDIT, tmp_path, ack_wait=lease, replicas=2, services=slow, change=change) as on:
            keys = [f"slow-{n}" for n in range(6)]
            await on.start_many(keys)
            assert await on.finished(*keys, seconds=30 * lease) == dict.fromkeys(keys, "completed")
            done = [operation for replica in (1, 2) for _, operation in Fates(on, replica).operations("customers")]
            # F18: The lease is renewed while the app works: one call, whatever it takes up to `timeout`
            assert done.count("call reserve-credit action") == len(keys), "what was still in hand was handed out again"
            await on.check(*keys)

    run(scenario(), 60 + 60 * lease)


class Hanging:
    """Takes calls and never answers, until it is well. An order's key says where, and whether it was done before."""

    def __init__(self) -> None:
        self.well = asyncio.Event()
        self.hung: Counter[str] = Counter()

    async def meddle(self, call: Call, passed: Passed) -> bytes:
        how, _, path = call.instance.partition("-")
        if path != call.path.strip("/").replace("/", "-") or self.well.is_set():
            return await passed()
        if how == "after":
            await passed()
        self.hung[call.instance] += 1
        await self.well.wait()
        return b""


HANGING = ("before-tickets", "after-tickets")
PARKING = {
    "before-authorizations": ("accounting", "completed"),
    "after-authorizations": ("accounting", "completed"),
    "after-tickets-confirm": ("kitchen", "completed"),
    "before-tickets-cancel": ("kitchen", "compensated"),
    "after-tickets-cancel": ("kitchen", "compensated"),
}
"""Order -> whose service hangs on it from where on a saga can only wait, and how it must end."""


def test_f19_an_app_that_hangs_for_ever(full: bool, tmp_path: Path) -> None:
    """Before the pivot the step fails when its time is over, and is undone; else the saga is parked meanwhile."""
    within, timeout = (120.0, 5.0) if full else (1.0, 0.3)
    change = partial(impatient, timeout=timeout, within=within, park_after=within / 2)

    async def scenario() -> None:
        hanging = Hanging()
        between = {"kitchen": hanging.meddle, "accounting": hanging.meddle}
        async with stage(MEALS, tmp_path, between=between, change=change) as on:
            await asyncio.gather(*(on.start(key, **_declined_if_cancelled(key)) for key in (*HANGING, *PARKING)))
            fine = [f"fine-{n}" for n in range(10)]
            await on.start_many(fine)
            assert await on.finished(*fine, seconds=within + 20) == dict.fromkeys(fine, "completed")
            # F19: is undone
            assert await on.finished(*HANGING, seconds=within + 60) == dict.fromkeys(HANGING, "compensated")
            for key in HANGING:
                failed = (await on.registers(key))["create-ticket", "end"]
                begun = (await on.registers(key))["create-ticket", "begin"]
                assert isinstance(failed.value, Failed)
                # F19: before the pivot the step fails (`unknown`)
                assert failed.value.kind == "unknown"
                # F19: Each call ends at its `timeout`
                assert failed.value.reason.endswith(f": no answer within {timeout:g} s")
                # F19: when `within` is over
                assert failed.time - begun.time >= within
            for participant in ("kitchen", "accounting"):
                due = sum(who == participant for who, _ in PARKING.values())
                # F19: from the pivot on and in compensations the saga is parked
                await _parked(on, participant, due, within + 60)
            hanging.well.set()
            expected = {key: state for key, (_, state) in PARKING.items()}
            # F19: goes on when the app does
            assert await on.finished(*expected, seconds=30 + within) == expected, (
                "compensations wait for up to a minute"
            )
            assert set(hanging.hung) == {*HANGING, *PARKING}
            await on.check(*fine, *HANGING, *PARKING)

    run(scenario(), 60 + 4 * within)


def _declined_if_cancelled(key: str) -> dict[str, Any]:
    return {"card": "4000000000000002"} if key.endswith("-cancel") else {}


async def _parked(on: Stage, participant: str, count: int, seconds: float = 30.0) -> None:
    """Wait until so many instances are shown as parked at a participant's sidecar."""
    async with asyncio.timeout(seconds):
        while await on.metric("sagas_parked", participant) < count:
            await asyncio.sleep(0.05)


BROKEN = (500, 502, 504, 599)


@pytest.mark.of_its_kind
def test_f20_an_app_that_fails_for_a_while(full: bool, tmp_path: Path) -> None:
    """Half of what fails was done all the same. Nothing fails by that, nothing is done twice, and calls get rarer."""
    seconds = 60.0 if full else 1.5

    async def scenario() -> None:
        begun: dict[str, float] = {}
        failed: Counter[str] = Counter()
        keys_seen: defaultdict[str, set[str]] = defaultdict(set)
        now = asyncio.get_running_loop().time

        async def broken(call: Call, passed: Passed) -> bytes:
            key = call.instance
            if call.path != "/tickets" or now() - begun.setdefault(key, now()) >= seconds:
                return await passed()
            failed[key] += 1
            keys_seen[key].add(call.headers["idempotency-key"])
            if failed[key] % 2:
                await passed()
            return http(BROKEN[failed[key] % len(BROKEN)], b'{"detail": "out of order"}', KEPT)

        async with stage(MEALS, tmp_path, between={"kitchen": broken}) as on:
            keys = [f"order-{n}" for n in range(20)]
            await on.start_many(keys)
            await until(lambda: len(failed) == len(keys))
            shown = f"{on.urls['kitchen'][0].api}/v1/sagas/{on.saga.name}/{keys[0]}"
            # F20: the reason shows in the API
            while "out of order" not in (await ask("GET", shown)).text:
                await asyncio.sleep(0.01)
            # F20: nothing fails before `within` is over
            assert await on.finished(*keys, seconds=3 * seconds + 60) == dict.fromkeys(keys, "completed")
            # F20: Called again with growing delay
            assert failed.total() / len(keys) <= (40 if full else 7)  # some 5 in 1.5 s; 9 to 14, if they did not grow
            assert min(failed.values()) >= 1
            # F20: and the same key
            assert {len(seen) for seen in keys_seen.values()} == {1}
            await on.check(*keys)

    run(scenario(), 90 + 3 * seconds)


def test_f52_poisoned_orders_are_parked_and_hold_up_nobody(full: bool, tmp_path: Path) -> None:
    """Many of them, of the same saga, at the same sidecar, while others are placed.

    Retried at the pace that the saga asks for, they would take all slots and more: 500 calls a second, of 120 ms each.
    """
    count, slow, max_backoff = (5000, 0.0, 10.0) if full else (500, 0.12, 2.0)
    change = partial(impatient, timeout=5.0, within=3600.0, park_after=1.0, max_backoff=max_backoff)

    async def scenario() -> None:
        well = asyncio.Event()
        called: set[str] = set()

        async def choking(call: Call, passed: Passed) -> bytes:
            if not call.instance.startswith("poison") or well.is_set():
                return await passed()
            called.add(call.instance)
            await asyncio.sleep(slow)
            return http(500, b'{"detail": "I choke on it"}', KEPT)

        async with stage(CREDIT, tmp_path, ack_wait=None, between={"orders": choking}, change=change) as on:
            alone = await _slowest(on, "alone", 120)
            poisoned = [f"poison-{n}" for n in range(count)]
            await on.start_many(poisoned, customerId="mallory")
            await until(lambda: len(called) == count, 300)
            # F52: others are not held up
            assert await _slowest(on, "among", 120) < 3 + 5 * alone, "others held it up"
            # F52: metric
            await _parked(on, "orders", count if full else count // 4, 300)
            shown = await ask("GET", f"{on.urls['orders'][0].api}/v1/sagas/{on.saga.name}/poison-0")
            # F52: API show the parked ones with their reason
            assert "I choke on it" in shown.text
            told = [line for line in on.sidecars["orders"][0].log.read_text().splitlines() if '"parked"' in line]
            # F52: log
            assert any("I choke on it" in line for line in told)
            well.set()
            if full:
                expected = dict.fromkeys(poisoned, "compensated")
                assert await on.finished(*poisoned, seconds=900) == expected
                await on.check(*poisoned[:50])

    run(scenario(), 1500 if full else 200)


async def _slowest(on: Stage, prefix: str, patience: float) -> float:
    """Seconds that the slowest of some orders takes that are placed at once; all of them are fine."""
    keys = [f"{prefix}-{n}" for n in range(50)]
    await on.start_many(keys, total=1)
    assert await on.finished(*keys, seconds=patience) == dict.fromkeys(keys, "completed")
    return max([await on.took(key) for key in keys])
