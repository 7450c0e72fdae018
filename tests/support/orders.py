"""Orders of example 02 of every kind: what they must come to, in the registers and in the books."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from support.stage import DECLINED, Stage

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


def mixed(prefix: str, count: int) -> Orders:
    """So many of all kinds, by key."""
    kinds = list(KINDS.items())
    return {f"{prefix}-{name}-{n}": kind for n in range(count) for name, kind in [kinds[n % len(kinds)]]}


async def place(on: Stage, orders: Orders) -> list[int]:
    """Send them all at once, each until it is taken: the statuses that came on the way."""
    answers = await asyncio.gather(*(on.start(key, **kind.order) for key, kind in orders.items()))
    return [status for statuses in answers for status in statuses]


async def conclude(on: Stage, orders: Orders, seconds: float = 30.0) -> None:
    """All of them end as they must, with one effect each, and the books balance."""
    states = await on.finished(*orders, seconds=seconds)
    for key, kind in orders.items():
        assert states[key] == kind.state, f"{key} is {states[key]}: {await on.registers(key)}"
        assert on.ledger(key) == kind.ledger, f"{key} has left {on.ledger(key)}"
    await on.check(*orders)
