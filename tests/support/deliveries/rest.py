"""What must hold once nothing goes wrong any more: for each instance what core's simulation asks, and right metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sagamesh.log import codec
from sagamesh.log.registers import Name, Register
from sagamesh.protocol.endings import outcome
from sagamesh.simulation.invariants import violations
from sagamesh_sidecar.deliveries.parking import FORGET

if TYPE_CHECKING:
    from support.deliveries.world import World

PATIENCE = 400.0
"""Seconds until everything has ended: more than the longest delay of a retry, and what that waits for."""


async def reach(world: World) -> bool:
    """Wait until all has ended and is settled, and what is forgotten in time is. Whether it came to that."""
    until = world.now() + PATIENCE
    while world.unfinished or not world.server.idle(world.stream):
        if world.now() > until:
            world.witness.blame(f"unfinished: {world.unfinished}" if world.unfinished else "a delivery is not settled")
            return False
        await asyncio.sleep(0.5)
    await asyncio.sleep(FORGET + 2 * world.ack_wait)
    return True


def judge(world: World, instances: list[str]) -> None:
    """Blame whatever is wrong with instances that have ended."""
    for instance in instances:
        for wrong in violations(_seen(world, instance)):
            world.witness.blame(f"{instance}: {wrong}")


def known(world: World, instance: str) -> dict[Name, Register]:
    """Every register of an instance but its markers."""
    place = f".{instance}."
    stored = (codec.decode(m) for m in world.server.messages(world.stream) if place in m.subject)
    return {register.name: register for register in stored if ".absent" not in f".{register.name.register}"}


def _seen(world: World, instance: str) -> Any:
    """An instance as core's invariants look at it."""
    stored = known(world, instance)
    last = max(register.sequence for register in stored.values())
    return SimpleNamespace(
        outline=world.outline,
        local=world.local,
        lost="",
        forged=False,
        forged_begin=False,
        applied=world.ledgers.applied[instance],
        wrongs=[],
        restless="",
        must_settle=lambda delivery: not delivery.acked,
        apps=world.ledgers.of(instance),
        broker=SimpleNamespace(registers=stored, deliveries=[], sequence=last, misled=False),
        cancelled=instance in world.cancelled,
    )


def judge_counts(world: World) -> None:
    """Blame whatever was counted wrongly.

    An end is counted by who wrote it, once, unless it was killed or gave up before it did.
    """
    if world.unfinished:
        return  # which was told
    world.outcomes = [_outcome(world, instance) for instance in world.instances]
    ended = Counter(world.outcomes)
    for how in ("committed", "aborted"):
        counted = sum(pod.counts.of["finished", how] for pod in world.every)
        if counted > ended[how] or (world.gentle and counted < ended[how]):
            world.witness.blame(f"{counted} instances are counted as {how}, of {ended[how]}")
    for pod in world.pods:
        if pod.counts.parked_now or pod.relay.in_flight or pod.tally._counts or pod.relay.retry_budget._waiting:
            world.witness.blame(f"{pod.name} has not put everything away")
        made = sum(count for key, count in pod.counts.of.items() if key[0] == "called")
        if made != pod.app.calls:
            world.witness.blame(f"{pod.name} says that it made {made} calls of {pod.app.calls}")


def _outcome(world: World, instance: str) -> str:
    return type(outcome(world.local, known(world, instance))).__name__.lower()
