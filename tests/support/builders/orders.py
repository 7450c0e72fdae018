"""Orders of example 02 of every kind: what they must come to, in the registers and in the books."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from support.processes.stage import DECLINED, Stage, until

MEALS = "02-create-order"


class Kind(NamedTuple):
    """An order, how its saga ends, and what it leaves in the books: `Stage.ledger`."""

    order: dict[str, Any]
    state: str
    ledger: tuple[Any, ...]


KINDS = {
    "fine": Kind({}, "completed", ("APPROVED", ["CONFIRMED"], 1)),
    "declined": Kind(DECLINED, "compensated", ("REJECTED", ["CANCELLED"], 0)),
    "unknown": Kind({"consumerId": "mallory"}, "compensated", ("REJECTED", [], 0)),
}
Orders = dict[str, Kind]


def slow_kitchen(full: bool) -> dict[str, Any]:
    """Options of a stage for faults in the midst of orders: in short form what is gone is noticed sooner."""
    pace = {"ack_wait": None} if full else {"ack_wait": 1.0, "haste": 4.0}
    return {"services": {"kitchen": ("--slow", "0.2")}, **pace}


def mixed(prefix: str, count: int) -> Orders:
    """So many of all kinds, by key."""
    kinds = list(KINDS.items())
    return {f"{prefix}-{name}-{n}": kind for n in range(count) for name, kind in [kinds[n % len(kinds)]]}


async def place(on: Stage, orders: Orders) -> list[int]:
    """Send them all at once, each until it is taken: the statuses that came on the way."""
    answers = await asyncio.gather(*(on.start(key, **kind.order) for key, kind in orders.items()))
    return [status for statuses in answers for status in statuses]


async def under_way(on: Stage, prefix: str, count: int = 12) -> Orders:
    """Orders of all kinds, that have come as far as the kitchen."""
    orders = mixed(prefix, count)
    await place(on, orders)
    await until(lambda: on.rows("kitchen", "SELECT id FROM tickets WHERE order_id LIKE ?", f"{prefix}-%"))
    return orders


async def unknown(on: Stage) -> float:
    """How many writes of all sidecars have had no answer, or one that says nothing."""
    return sum([await on.metric("writes_total", one, result="unknown") for one in on.sidecars])


async def conclude(on: Stage, orders: Orders, seconds: float = 30.0) -> None:
    """All of them end as they must, with one effect each, and the books balance."""
    states = await on.finished(*orders, seconds=seconds)
    for key, kind in orders.items():
        assert states[key] == kind.state, f"{key} is {states[key]}: {await on.registers(key)}"
        assert on.ledger(key) == kind.ledger, f"{key} has left {on.ledger(key)}"
    await on.check(*orders)
