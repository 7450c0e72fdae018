"""What must hold when a schedule has come to rest, whatever happened on the way.

Told by what was really done and undone (`apps`), by the events and conditions that were drawn, and by the outcome and
the ending that the registers amount to; not by which register says so. Two kinds: `mistakes` are what must never be;
`gaps` are what must have come about, and has not.
"""

from __future__ import annotations

from collections.abc import Iterator

from sagamesh.language import graph
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    OUTCOME,
    Aborted,
    Cancelled,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    Name,
    Register,
    Satisfied,
    Started,
    Value,
)
from sagamesh.protocol.endings import ending, outcome
from sagamesh.simulation.world import World


def violations(world: World) -> list[str]:
    """Everything that is wrong with a finished schedule. Empty: all invariants hold.

    Where a guard failed open a delivery may have been acked too soon, so that its instance stands still until somebody
    sweeps the log; where somebody forged how the pivot began, until people have mended that. What must never be, holds
    all the same.
    """
    if world.broker.misled:
        return [*mistakes(world)]
    if world.forged_begin:
        return [*mistakes(world), *([] if world.lost else _silence(world))]
    return [*mistakes(world), *(_without(world) if world.lost else gaps(world))]


def mistakes(world: World) -> Iterator[str]:
    """What must not be, at any time and whatever happens."""
    yield from (*world.wrongs, *world.apps.wrongs)
    yield from _against_the_pivot(world)
    yield from _superfluous(world)
    match outcome(world.local, world.broker.registers):
        case Committed():
            yield from _wrong_in_committed(world)
        case Aborted():
            yield from _wrong_in_aborted(world)
        case _:
            yield from (f"undecided, but {name} was undone" for name in world.apps.undone)
    if (end := ending(world.local, world.broker.registers)) is not None:
        yield from _too_early(world, end)


def gaps(world: World) -> Iterator[str]:
    """What must be there in the end, and is not."""
    if world.restless:
        yield world.restless
    if any(map(world.must_settle, world.broker.deliveries)):
        yield "a delivery was left unsettled"
    match outcome(world.local, world.broker.registers):
        case Committed():
            yield from _missing_in_committed(world)
        case Aborted():
            yield from _missing_in_aborted(world)
        case _:
            yield "no outcome"
    if ending(world.local, world.broker.registers) is None:
        yield "it has not ended"


def _silence(world: World) -> Iterator[str]:
    """An instance that stands still by a forged register is told to people: a delivery of it is held."""
    on_its_way = [delivery for delivery in world.broker.deliveries if not delivery.acked]
    if ending(world.local, world.broker.registers) is None and not any(delivery.held for delivery in on_its_way):
        yield "it stands still by a forged register, and nobody says so"


def _against_the_pivot(world: World) -> Iterator[str]:
    """There is one outcome: where the pivot has run, or was cancelled, nothing else says one."""
    pivot = world.outline.saga.pivot
    if pivot is None or OUTCOME not in world.broker.registers:
        return
    if isinstance(_value(world, registers.begin(pivot.name)), Started | Cancelled):
        yield "an outcome beside the pivot's"


def _superfluous(world: World) -> Iterator[str]:
    """Nothing is written that follows from other registers."""
    local = world.local
    for name, register in world.broker.registers.items():
        if name == registers.compensation(name.step) and name.step not in world.outline.behind:
            yield f"{name.step} cannot be undone, but its compensation was written"
        if isinstance(register.value, Completed) and (local.pivot is None or len(local.sinks) < 2):
            yield "completed, though another register is the last"
        if isinstance(register.value, Compensated) and len(local.last) < 2:
            yield "compensated, though another register is the last"


def _wrong_in_committed(world: World) -> Iterator[str]:
    """Something is undone, has ended otherwise than the events say, or was done though it is not live."""
    apps, expected = world.apps, _expected(world)
    if ABORT in world.broker.registers and world.forged != ABORT:
        yield "committed, but there is a notice"
    yield from (f"committed, but {name} was undone" for name in apps.undone)
    for name in world.outline.steps:
        end = _value(world, registers.end(name))
        if end is not None and not isinstance(end, expected[name]):
            yield f"committed, but {name} ended as {end}, not {expected[name].__name__}"
        if name in apps.done and expected[name] is not Done:
            yield f"committed with {name} {expected[name].__name__}, but it was done"


def _missing_in_committed(world: World) -> Iterator[str]:
    """A step has not ended, or was not done though it is live."""
    for name, kind in _expected(world).items():
        if registers.end(name) not in world.broker.registers:
            yield f"committed, but {name} has not ended"
        if kind is Done and name not in world.apps.done:
            yield f"committed with {name} Done, but it was not done"


def _wrong_in_aborted(world: World) -> Iterator[str]:
    """Something that cannot be undone is done or has run, or there was no reason."""
    outline, stored = world.outline, world.broker.registers
    for name in outline.must_succeed:
        if isinstance(_value(world, registers.end(name)), Done):
            yield f"aborted after {name}, which cannot be undone"
    for name in outline.retriable:
        if registers.begin(name) in stored or not isinstance(_value(world, registers.end(name)), Dead | None):
            yield f"aborted, but {name} ran after the pivot"
    failed = any(isinstance(register.value, Failed) for register in stored.values())
    if not (failed or world.cancelled or world.forged_begin):
        yield "aborted without a reason"


def _missing_in_aborted(world: World) -> Iterator[str]:
    """Something stands, a step is not settled, or nobody was told."""
    outline, stored = world.outline, world.broker.registers
    yield from (f"aborted, but {name} stands" for name in world.apps.standing)
    yield from (
        f"aborted, but {name} was not settled" for name in outline.behind if registers.compensation(name) not in stored
    )
    for name in outline.steps:
        if isinstance(_value(world, registers.begin(name)), Started) and registers.end(name) not in stored:
            yield f"aborted, but {name} has not ended"
    if ABORT not in stored:
        yield "aborted without a notice"


def _without(world: World) -> Iterator[str]:
    """Where a participant never comes back, what does not depend on it is undone all the same."""
    stored, outline = world.broker.registers, world.outline
    match outcome(world.local, stored):
        case Committed():
            yield from (f"committed, but {name} was undone" for name in world.apps.undone)
        case Aborted() if ABORT in stored:  # else the one is lost who would have told it
            blocked: set[str] = set()
            for name in reversed(outline.in_order):
                ran = not isinstance(_value(world, registers.begin(name)), Cancelled)
                waits = ran and world.local.order == "reverse" and not blocked.isdisjoint(outline.behind.get(name, ()))
                if registers.compensation(name) in stored:
                    continue
                if waits or outline.steps[name].participant == world.lost:
                    blocked.add(name)
                elif name in outline.behind:
                    yield f"aborted without {world.lost}, but {name} was not settled"


def _too_early(world: World, end: Register) -> Iterator[str]:
    """What was done or undone only after the saga had ended; of an aborted one what only reads is no part."""
    aborted = isinstance(outcome(world.local, world.broker.registers), Aborted)
    for (name, kind), stood in world.applied.items():
        if stood >= end.sequence and not (aborted and world.outline.steps[name].read_only):
            yield f"ended before {name} was {kind}"
    if aborted:
        yield from (f"ended, but {name} stands" for name in world.apps.standing)


def _expected(world: World) -> dict[str, type[Value]]:
    """How each step of a committed saga must have ended, by the events and conditions that were drawn."""
    outline, apps = world.outline, world.apps
    expected: dict[str, type[Value]] = {}
    announced = {graph.START: outline.saga.start.event}
    for name in outline.in_order:
        step = outline.steps[name]
        heard = [announced.get(producer) in events for producer, events in outline.inputs[name].items()]
        if not (any(heard) if step.join == "any" else all(heard)):
            expected[name] = Dead
        elif step.when is not None and outline.drawn[step.when] is False:
            expected[name] = Satisfied
            announced[name] = step.emits[-1].event
        else:
            expected[name] = Done
            announced[name] = apps.event[name]
    return expected


def _value(world: World, name: Name) -> Value | None:
    register = world.broker.registers.get(name)
    return None if register is None else register.value
