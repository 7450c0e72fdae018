"""What must hold when a schedule has come to rest, whatever happened on the way."""

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
    """Everything that is wrong with a finished schedule. Empty: all invariants hold."""
    wrongs = [*world.wrongs, *world.apps.wrongs]
    if any(not delivery.acked for delivery in world.broker.deliveries):
        wrongs.append("a delivery was left unsettled")
    match _value(world, OUTCOME):
        case Committed():
            return [*wrongs, *_committed(world)]
        case Aborted():
            return [*wrongs, *_aborted(world)]
        case _:
            return [*wrongs, "no outcome"]


def _committed(world: World) -> list[str]:
    """Every live step is done, everything else ended as the events say, nothing is undone."""
    outline, apps = world.outline, world.apps
    wrongs = [f"committed, but {name} was undone" for name in apps.undone]
    expected = _expected(world)
    for name in outline.steps:
        end = _value(world, registers.end(name))
        if not isinstance(end, expected[name]):
            wrongs.append(f"committed, but {name} ended as {end}, not {expected[name].__name__}")
        if (name in apps.done) is not (expected[name] is Done):
            wrongs.append(f"committed with {name} {expected[name].__name__}, but done is {name in apps.done}")
    finish = _value(world, FINISH)
    if isinstance(finish, Completed) is not (outline.saga.pivot is not None):
        wrongs.append(f"committed, but finish is {finish}")
    return [*wrongs, *_unfinished(world, registers.end)]


def _aborted(world: World) -> list[str]:
    """Nothing stands, every step is settled, and there was a reason."""
    outline = world.outline
    wrongs = [f"aborted, but {name} stands" for name in world.apps.standing]
    for name in outline.steps:
        if registers.compensation(name) not in world.broker.registers:
            wrongs.append(f"aborted, but {name} was not settled")
        if name in outline.must_succeed and isinstance(_value(world, registers.end(name)), Done):
            wrongs.append(f"aborted after {name}, which cannot be undone")
    if not isinstance(_value(world, FINISH), Compensated):
        wrongs.append("aborted, but not finished")
    if ABORT not in world.broker.registers:
        wrongs.append("aborted without a notice")
    failed = [name for name in outline.steps if isinstance(_value(world, registers.end(name)), Failed)]
    if not failed and not world.cancelled:
        wrongs.append("aborted without a reason")
    return [*wrongs, *_unfinished(world, registers.compensation)]


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
