"""One thing more, after all has come to rest: it must have its effect at once, not at the next look at everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import Note
from support.distribution import meddler, rest

if TYPE_CHECKING:
    from support.distribution.world import World

Ending = Callable[["World"], Awaitable[None]]

SOON = 8.0
"""Seconds: some requests, the next try after a first failure, and the way of a heartbeat."""
NAME = "b"


async def _standing(world: World) -> None:
    """A saga that is there, with who starts it and who carries it out."""
    world.apply(NAME, 0)
    for participant in ("orders", "payments"):
        world.begin_pod(participant).starting = False
    await asyncio.sleep(SOON)
    await rest.check(world, "a saga that was applied", quiet=False)


async def change(world: World) -> None:
    """Another revision, and another who starts it; the older one may be forgotten."""
    await _standing(world)
    if world.meddled:
        meddler.purge(world.streams, NAME)
    world.apply(NAME, world.chance.choice((1, 2, 3, 4)))
    await asyncio.sleep(SOON)
    await rest.check(world, "a saga that was changed", quiet=False)


async def delete(world: World) -> None:
    """What says which revision is active may be gone."""
    await _standing(world)
    if world.meddled:
        meddler.purge(world.streams, NAME, only_active=True)
    world.cluster.delete(NAME)
    await asyncio.sleep(SOON)
    await rest.check(world, "a saga that was deleted", quiet=False)


async def reconnect(world: World) -> None:
    """What was done while nobody had a connection is seen when there is one."""
    await _standing(world)
    for operator in world.living:
        operator.nats.cut()
    await asyncio.sleep(1.0)
    for operator in world.living:
        operator.nats.notice()
    await asyncio.sleep(world.chance.uniform(5, 100))
    meddler.delete_consumer(world.chance, world.streams, world.witness)
    world.begin_pod("orders").starting = False
    await asyncio.sleep(1.0)
    for operator in world.living:
        operator.nats.connect()
    await asyncio.sleep(SOON)
    await rest.check(world, "after a new connection", quiet=False)


async def goodbye(world: World) -> None:
    """Whoever may still start a deleted saga is waited for, and no longer than that."""
    await _standing(world)
    _blind(world)
    world.cluster.delete(NAME)
    await asyncio.sleep(world.chance.uniform(5, 100))
    await _gone_with_the_last(world)


async def relief(world: World) -> None:
    """As before, but nobody who saw it deleted is there any more."""
    await _standing(world)
    _blind(world)
    for operator in world.living:
        operator.crash()
    world.cluster.delete(NAME)
    await asyncio.sleep(world.chance.uniform(20, 30))
    _replace_operators(world)
    await asyncio.sleep(world.chance.uniform(5, 100))
    await _gone_with_the_last(world)


async def cut_off(world: World) -> None:
    """A sidecar came while nobody had a connection, and the saga was deleted as the next one was made."""
    await _standing(world)
    for pod in [pod for pod in world.pods if pod.participant == "orders"]:
        await world.end_pod(pod, goodbye=True)
    await asyncio.sleep(1.0)
    for operator in world.living:
        operator.nats.cut()
        operator.nats.notice()
    world.begin_pod("orders").starting = False
    await asyncio.sleep(world.chance.uniform(17, 30))
    _blind(world)
    world.cluster.delete(NAME)
    await asyncio.sleep(world.chance.uniform(0, 0.1))
    for operator in world.living:
        operator.nats.connect()
    await asyncio.sleep(world.chance.uniform(5, 100))
    await _gone_with_the_last(world)


async def early(world: World) -> None:
    """It is deleted when its operators have just come, and know nobody yet."""
    await _standing(world)
    _blind(world)
    await asyncio.sleep(10.0)
    _replace_operators(world)
    world.weather.slow = 0.3
    await asyncio.sleep(world.chance.uniform(0.5, 2.0))
    world.cluster.delete(NAME)
    await asyncio.sleep(30.0)
    world.weather.calm()
    await _gone_with_the_last(world)


async def bucketless(world: World) -> None:
    """Nobody saw it deleted, and of what told of it only the log is there."""
    await _standing(world)
    for pod in tuple(world.pods):
        await world.end_pod(pod, goodbye=True)
    for operator in world.living:
        operator.crash()
    world.cluster.delete(NAME)
    meddler.purge(world.streams, NAME)
    _replace_operators(world)
    await asyncio.sleep(SOON)
    await rest.check(world, "a log without rules", quiet=False)


async def rush(world: World) -> None:
    """It is deleted while many instances of it begin: some are under way when its log is counted."""
    await _standing(world)
    world.begin_pod("orders")
    for pod in world.pods:
        pod.starting, pod.pause = True, 0.1
    world.longest = 0.1
    world.weather_of_pods.slow, world.weather_of_pods.slowest = 0.5, 4.0
    await asyncio.sleep(world.chance.uniform(0.5, 1.0))
    world.cluster.delete(NAME)
    await asyncio.sleep(10.0)
    await world.calm()
    await asyncio.sleep(60.0)
    await rest.check(world, "a saga that was deleted in a rush", quiet=False)


async def amnesia(world: World) -> None:
    """While instances run it is deleted, and somebody removes its rules: nobody knows any more how they end.

    It stays, until it is applied again as it was: then they are known to have ended.
    """
    await _standing(world)
    was = world.cluster.objects[SagaKey("shop", NAME)]["spec"]
    for pod in world.pods:
        pod.starting, pod.pause = True, 0.5
    await asyncio.sleep(2.0)
    world.cluster.delete(NAME)
    await asyncio.sleep(1.0)
    meddler.purge(world.streams, NAME)
    await world.calm()
    await asyncio.sleep(60.0)
    await rest.check(world, "a saga without rules", quiet=False)
    if world.log_of(NAME) is None:
        return  # none had begun
    world.cluster.apply(NAME, **was)
    await asyncio.sleep(SOON)
    world.cluster.delete(NAME)
    await asyncio.sleep(SOON)
    await rest.check(world, "a saga whose rules came back", quiet=False)


async def back_and_forth(world: World) -> None:
    """Changed, deleted, created again: while the news of that are on their way, late or by another way."""
    world.resync = 0.5
    _replace_operators(world)
    await asyncio.sleep(SOON)
    world.weather_of_kubernetes.slow = 0.5
    deletions = world.chance.choice((0.0, 0.5))
    for _ in range(12):
        if world.chance.random() < deletions and world.is_there(NAME):
            world.cluster.delete(NAME)
        else:
            world.apply(NAME, world.chance.randrange(5))
        await asyncio.sleep(world.chance.choice((0.1, 1.0, 4.0)) * world.chance.random())
    await world.calm()
    await asyncio.sleep(60.0)
    await rest.check(world, "a saga that came and went", quiet=False)


async def again(world: World) -> None:
    """It is created again as its end is told."""
    await _standing(world)
    _blind(world)
    world.cluster.delete(NAME)
    await asyncio.sleep(SOON)

    def create_again(note: Note) -> None:
        if note.reason == "Retired" and not world.is_there(NAME):
            asyncio.get_running_loop().call_soon(world.apply, NAME, 0)

    world.witness.noted = create_again
    for pod in tuple(world.pods):
        await world.end_pod(pod, goodbye=True)
    await asyncio.sleep(4.0 if world.crowd == 1 else 2 * SOON)
    await rest.check(world, "a saga that was created again", quiet=False)


def _replace_operators(world: World) -> None:
    for operator in world.living:
        operator.crash()
    for _ in range(world.crowd):
        world.recruit()


def _blind(world: World) -> None:
    for pod in world.pods:
        pod.log.blind = True


async def _gone_with_the_last(world: World) -> None:
    if world.log_of(NAME) is None:
        world.witness.blame(f"the log of {NAME} is gone, while a sidecar says that it starts it")
    for pod in tuple(world.pods):
        await world.end_pod(pod, goodbye=True)
    await asyncio.sleep(SOON)
    await rest.check(world, "after the last goodbye", quiet=False)


ENDINGS: tuple[Ending, ...] = (
    change,
    delete,
    reconnect,
    goodbye,
    relief,
    early,
    cut_off,
    bucketless,
    rush,
    amnesia,
    back_and_forth,
    again,
)
