"""What comes last in a run: one thing, at rest, which must go as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from support.deliveries import rest

if TYPE_CHECKING:
    from support.deliveries.pods import DeliveringPod
    from support.deliveries.world import World

MOST_TRIALS = 70
"""Calls in 20 seconds to an app that says 503 to each after 0.2: 45 if one asks at a time, and some before that."""

Ending = Callable[["World"], Awaitable[None]]


def first(world: World) -> tuple[str, list[DeliveringPod]]:
    """A step that listens to the start, and the pods of its participant."""
    step = next(step for step in world.saga.steps if step.after == (world.saga.start.event,))
    return step.name, world.of(step.participant)


def latched(world: World) -> tuple[str, list[DeliveringPod]]:
    """A step that begins by a register, and the pods of its participant; where there is none, the first."""
    outline = world.outline
    found = next((name for name in outline.in_order if name not in outline.open), None)
    return first(world) if found is None else (found, world.of(outline.steps[found].participant))


async def nothing(world: World) -> None:
    """It goes right through."""
    world.start()
    await ended(world, 30.0)


async def ended(world: World, seconds: float) -> None:
    """Everything ends within so much time."""
    until = world.now() + seconds
    while world.unfinished:
        if world.now() > until:
            world.witness.blame(f"after {seconds:g} s these have not ended: {world.unfinished}")
            return
        await asyncio.sleep(0.5)


async def busy(world: World) -> None:
    """Each call is answered 503 three times, and may come again at once: steps beside each other hold nobody up."""
    busy = {path: 3 for name in world.outline.steps for path in (f"/{name}", f"/{name}/undo")}
    for pod in world.pods:
        pod.app.busy = busy
    depth = {world.saga.start.event: 0}
    for name in world.outline.in_order:
        depth[name] = 1 + max(depth.get(before, 0) for before in world.outline.inputs[name])
    world.start()
    await ended(world, 10.0 + 14.0 * max(depth.values()))


async def overloaded(world: World) -> None:
    """An app says 503 to everything: of all who wait one asks again, now and then."""
    _, pods = first(world)
    for pod in pods:
        pod.app.mood, pod.app.takes = "busy", 0.2
    world.start()
    await asyncio.sleep(1.0)
    for _ in range(10):
        world.start()
    await asyncio.sleep(20.0)
    for pod in pods:
        if pod.app.calls > MOST_TRIALS:
            world.witness.blame(f"an app that said 503 was called {pod.app.calls} times in 20 s")
        pod.app.mood, pod.app.takes = "well", 0.0
    await ended(world, 60.0)


async def one_path_closed(world: World) -> None:
    """One path of an app says 503 for long: that holds up nobody who calls another."""
    closed, _ = first(world)
    beside = {step.name for step in world.saga.steps if step.after == (world.saga.start.event,)} - {closed}
    for pod in world.pods:
        pod.app.busy = {f"/{closed}": 1_000_000}
    world.start()
    await asyncio.sleep(1.0)
    names = [world.start() for _ in range(10)]
    await asyncio.sleep(1.5)
    if held_up := [name for name in names if not {each.step for each in rest.known(world, name)} >= beside]:
        world.witness.blame(f"nothing is written for {beside} of {held_up}, while /{closed} says 503")
    for pod in world.pods:
        pod.app.busy = {}
    await ended(world, 60.0)


async def trial(world: World) -> None:
    """A compensation is answered 503 three times, while others wait beside it who ask nothing yet.

    Of a saga of several steps beside each other.
    """
    step, _ = first(world)
    paths = {f"/{name}" for name in world.outline.steps}
    for pod in world.pods:
        pod.app.broken = paths - {f"/{step}"}
    undone = world.start()
    await asyncio.sleep(2.0)
    for pod in world.pods:
        pod.app.broken, pod.app.busy = paths, {f"/{step}/undo": 3}
    waiting = [world.start() for _ in range(12)]
    await asyncio.sleep(2.0)
    for name in (*waiting, undone):
        world.cancel(name)
    await asyncio.sleep(8.0)
    if step in world.ledgers.of(undone).done and step not in world.ledgers.of(undone).undone:
        world.witness.blame(f"/{step}/undo is held up by those who do not call it")
    for pod in world.pods:
        pod.app.broken = set()
    await ended(world, 120.0)


async def standing_still(world: World) -> None:
    """While the log takes a `begin`, who writes it stands still: for so long that another begins."""
    _, pods = latched(world)
    for pod in pods:
        pod.line.put_takes = world.ack_wait / 4
    world.start()
    await asyncio.sleep(world.ack_wait / 8)
    for pod in pods:
        pod.freeze()
        pod.line.put_takes = 0.0
    await asyncio.sleep(1.2 * world.ack_wait)
    for pod in pods:
        pod.thaw()
    await ended(world, 60.0)


async def interrupted(world: World) -> None:
    """In the midst of a call, who makes it stands still: for so long that another has the delivery."""
    _, pods = first(world)
    for pod in pods:
        pod.app.takes = 4.5
    world.start()
    await asyncio.sleep(0.5)
    for pod in pods:
        pod.freeze()
        pod.app.takes = 0.0
    await asyncio.sleep(1.2 * world.ack_wait)
    for pod in pods:
        pod.thaw()
    await ended(world, 60.0)


async def pausing(world: World) -> None:
    """All stand still for less time than a lease lasts, and then all goes on at once."""
    for _ in range(10):
        world.start()
    await asyncio.sleep(world.chance.uniform(0.0, 0.05))
    for pod in world.pods:
        pod.freeze()
    await asyncio.sleep(0.6 * world.ack_wait)
    for pod in world.pods:
        pod.thaw()
    await ended(world, 60.0)


async def leaving_late(world: World) -> None:
    """A pod is told to end that stood still, so that another has what it has in hand."""
    _, pods = first(world)
    for pod in pods:
        await world.dismiss(pod)
    leaving = world.begin_pod(pods[0].participant, grace=0.0)
    await asyncio.sleep(1.0)
    leaving.app.mood = "hangs"
    world.start()
    await asyncio.sleep(0.5)
    world.begin_pod(leaving.participant)
    leaving.freeze()
    await asyncio.sleep(1.2 * world.ack_wait)
    await world.dismiss(leaving)
    await ended(world, 60.0)


async def late_word(world: World) -> None:
    """The log takes long for a `begin`, and for the word that the lease goes on."""
    _, pods = latched(world)
    for pod in pods:
        pod.line.put_takes, pod.line.in_progress_takes = 1.5 * world.ack_wait, 0.9 * world.ack_wait
    world.start()
    await asyncio.sleep(0.1)
    for pod in pods:
        pod.line.put_takes = 0.0
    await asyncio.sleep(3 * world.ack_wait)
    for pod in pods:
        pod.line.in_progress_takes = 0.0
    await ended(world, 60.0)


async def long_call(world: World) -> None:
    """A call takes nearly as long as it may, and longer than a lease lasts. It is made once."""
    step, pods = first(world)
    for pod in pods:
        pod.app.takes = 4.5
    name = world.start()
    await asyncio.sleep(20.0)
    if world.witness.calls[name, f"/{step}"] != 1:
        world.witness.blame(f"/{step} is called {world.witness.calls[name, f'/{step}']} times, and answers each time")
    for pod in pods:
        pod.app.takes = 0.0
    await ended(world, 120.0)


async def missing_rules(world: World) -> None:
    """Nobody who is asked has the rules: that parks, and ends when they come."""
    _, pods = first(world)
    for pod in pods:
        pod.shelf.lacks = True
    world.start()
    await asyncio.sleep(world.saga.park_after - 5.0)
    if parked(pods):
        world.witness.blame("it is parked too soon")
    await asyncio.sleep(10.0)
    if not parked(pods):
        world.witness.blame("rules are missing for long, and it is not parked")
    for pod in pods:
        pod.shelf.lacks = False
    await ended(world, 60.0)


def parked(pods: list[DeliveringPod]) -> int:
    return sum(pod.counts.parked_now for pod in pods)


async def nobody(world: World) -> None:
    """When somebody comes who takes deliveries, they are old."""
    _, pods = first(world)
    for pod in pods:
        await world.dismiss(pod)
    world.start()
    await asyncio.sleep(70.0)
    world.begin_pod(pods[0].participant)
    await ended(world, 60.0)


async def failing(world: World) -> None:
    """Calls fail for a minute: ever less often, whoever has made the last one."""
    step, pods = first(world)
    for pod in pods:
        pod.app.mood = "breaks"
    name = world.start()
    await asyncio.sleep(60.0)
    for pod in pods:
        pod.app.mood = "well"
    if not 4 <= world.witness.calls[name, f"/{step}"] <= 45:
        world.witness.blame(f"/{step} is called {world.witness.calls[name, f'/{step}']} times in a minute of failures")
    await ended(world, 120.0)


async def absence(world: World) -> None:
    """The app is away for long, which parks; then it is there, and its first calls fail."""
    _, pods = first(world)
    for pod in pods:
        pod.app.mood = "away"
    world.start()
    await asyncio.sleep(world.saga.park_after + 5.0)
    if not parked(pods):
        world.witness.blame("the app is away for long, and it is not parked")
    for pod in pods:
        pod.app.mood = "breaks"
    await asyncio.sleep(3.0)
    for pod in pods:
        pod.app.mood = "well"
    await ended(world, 60.0)


async def giving_back(world: World) -> None:
    """A pod ends amidst of its work, at once: what it had in hand goes on elsewhere, at once."""
    step, pods = first(world)
    for pod in pods:
        await world.dismiss(pod)
    leaving = world.begin_pod(pods[0].participant, grace=0.0)
    await asyncio.sleep(1.0)
    leaving.app.mood = world.chance.choice(("hangs", "well"))
    names = [world.start() for _ in range(10)]
    await asyncio.sleep(world.chance.uniform(0.0, 0.06))
    other = world.begin_pod(leaving.participant)
    await asyncio.sleep(0.1 if leaving.app.mood == "hangs" else 0.001)
    going = world.dismiss(leaving)
    await asyncio.sleep(1.0)
    untouched = [
        n for n in names if n in world.unfinished and not other.app.called_for[n] and leaving.app.called_for[n]
    ]
    if leaving.app.mood == "hangs" and untouched:
        world.witness.blame(f"{untouched} were given back, and nobody calls /{step} for them")
    await going
    await ended(world, 120.0)


ENDINGS: tuple[Ending, ...] = (
    nothing,
    busy,
    overloaded,
    one_path_closed,
    standing_still,
    interrupted,
    pausing,
    leaving_late,
    late_word,
    long_call,
    missing_rules,
    nobody,
    failing,
    absence,
    giving_back,
)
