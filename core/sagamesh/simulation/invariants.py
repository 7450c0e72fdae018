"""What must hold when a schedule has come to rest, whatever happened on the way.

Two kinds: `mistakes` are what must never be; `gaps` are what must have come about, and has not.
"""

from __future__ import annotations

from collections.abc import Callable

from sagamesh.language import graph
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    Aborted,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    Name,
    Satisfied,
    Value,
)
from sagamesh.simulation.world import World


def violations(world: World) -> list[str]:
    """Everything that is wrong with a finished schedule. Empty: all invariants hold.

    Where a guard failed open a delivery may have been acked too soon, so that its instance stands still until somebody
    sweeps the log. What must never be, holds all the same.
    """
    return mistakes(world) if world.broker.misled else [*mistakes(world), *gaps(world)]


def mistakes(world: World) -> list[str]:
    """What must not be, at any time and whatever happens."""
    wrongs = [*world.wrongs, *world.apps.wrongs]
    match _value(world, OUTCOME):
        case Committed():
            return [*wrongs, *_wrong_in_committed(world)]
        case Aborted():
            return [*wrongs, *_wrong_in_aborted(world)]
        case _:
            return [*wrongs, *(f"undecided, but {name} was undone" for name in world.apps.undone)]


def gaps(world: World) -> list[str]:
    """What must be there in the end, and is not."""
    missing = [world.restless] if world.restless else []
    if any(not delivery.acked for delivery in world.broker.deliveries):
        missing.append("a delivery was left unsettled")
    match _value(world, OUTCOME):
        case Committed():
            return [*missing, *_missing_in_committed(world)]
        case Aborted():
            return [*missing, *_missing_in_aborted(world)]
        case _:
            return [*missing, "no outcome"]


def _wrong_in_committed(world: World) -> list[str]:
    """Something is undone, has ended otherwise than the events say, or was done though it is not live."""
    apps, expected = world.apps, _expected(world)
    wrongs = [f"committed, but {name} was undone" for name in apps.undone]
    for name in world.outline.steps:
        end = _value(world, registers.end(name))
        if end is not None and not isinstance(end, expected[name]):
            wrongs.append(f"committed, but {name} ended as {end}, not {expected[name].__name__}")
        if name in apps.done and expected[name] is not Done:
            wrongs.append(f"committed with {name} {expected[name].__name__}, but it was done")
    if world.outline.saga.pivot is None and FINISH in world.broker.registers:
        wrongs.append("committed without a pivot, but there is a finish")
    return [*wrongs, *_unfinished(world, registers.end)]


def _missing_in_committed(world: World) -> list[str]:
    """A step has not ended, was not done though it is live, or nobody has said that the saga is finished."""
    expected = _expected(world)
    missing = []
    for name in world.outline.steps:
        if registers.end(name) not in world.broker.registers:
            missing.append(f"committed, but {name} has not ended")
        if name not in world.apps.done and expected[name] is Done:
            missing.append(f"committed with {name} Done, but it was not done")
    if world.outline.saga.pivot is not None and not isinstance(_value(world, FINISH), Completed):
        missing.append("committed, but not finished")
    return missing


def _wrong_in_aborted(world: World) -> list[str]:
    """Something that cannot be undone is done, there was no reason, or it is called finished while something stands."""
    outline = world.outline
    wrongs = [
        f"aborted after {name}, which cannot be undone"
        for name in outline.must_succeed
        if isinstance(_value(world, registers.end(name)), Done)
    ]
    failed = [name for name in outline.steps if isinstance(_value(world, registers.end(name)), Failed)]
    if not failed and not world.cancelled:
        wrongs.append("aborted without a reason")
    if isinstance(_value(world, FINISH), Compensated):
        wrongs += [f"compensated, but {name} stands" for name in world.apps.standing]
    return [*wrongs, *_unfinished(world, registers.compensation)]


def _missing_in_aborted(world: World) -> list[str]:
    """Something stands, a step is not settled, or nobody has said that the saga is finished."""
    missing = [f"aborted, but {name} stands" for name in world.apps.standing]
    for name in world.outline.steps:
        if registers.compensation(name) not in world.broker.registers:
            missing.append(f"aborted, but {name} was not settled")
    if not isinstance(_value(world, FINISH), Compensated):
        missing.append("aborted, but not finished")
    if ABORT not in world.broker.registers:
        missing.append("aborted without a notice")
    return missing


def _unfinished(world: World, settled: Callable[[str], Name]) -> list[str]:
    """Steps that were settled only after the saga called itself finished."""
    stored = world.broker.registers
    end = stored[FINISH].sequence if FINISH in stored else world.broker.sequence
    sequences = {name: stored[settled(name)].sequence for name in world.outline.steps if settled(name) in stored}
    return [f"finished before {name} was settled" for name, sequence in sequences.items() if sequence > end]


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
