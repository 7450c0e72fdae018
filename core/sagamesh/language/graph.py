"""Who listens to whom in a saga. Questions about the definition only; nothing about instances.

The starting event is produced by the pseudo step `_`. All functions expect that every event has one producer and that
steps do not wait for one another in a circle, except where they say otherwise: `checks` asks those questions first.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from graphlib import TopologicalSorter

from sagamesh.language.model import Saga, Step

START = "_"


def producers(saga: Saga) -> dict[str, str]:
    """Event -> the step that announces it (`_` for the starting event). Of several producers the first."""
    producer = {saga.start.event: START}
    for step in saga.steps:
        for emit in step.emits:
            producer.setdefault(emit.event, step.name)
    return producer


def inputs(saga: Saga, step: Step) -> dict[str, tuple[str, ...]]:
    """Producer -> the events of it that `step` listens to, in the order of `after`. Unknown events are left out."""
    return _heard(step, producers(saga))


def all_inputs(saga: Saga) -> dict[str, dict[str, tuple[str, ...]]]:
    """Step -> its `inputs`."""
    producer = producers(saga)
    return {step.name: _heard(step, producer) for step in saga.steps}


def _heard(step: Step, producer: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    heard: dict[str, tuple[str, ...]] = {}
    for event in step.after:
        if event in producer:
            heard[producer[event]] = (*heard.get(producer[event], ()), event)
    return heard


def is_single(step: Step) -> bool:
    """Whether one event alone makes a step run, so that its expressions may name `event`."""
    return step.join == "any" or len(step.after) == 1


def successors(saga: Saga) -> dict[str, tuple[str, ...]]:
    """Step (and `_`) -> the steps that listen to an event of it."""
    listening: dict[str, list[str]] = {name: [] for name in (START, *(step.name for step in saga.steps))}
    for name, heard in all_inputs(saga).items():
        for producer in heard:
            listening[producer].append(name)
    return {name: tuple(listeners) for name, listeners in listening.items()}


def order(saga: Saga) -> tuple[str, ...]:
    """`_` and every step, each after those that it listens to. Raises graphlib.CycleError, which names a circle."""
    return tuple(TopologicalSorter({START: (), **all_inputs(saga)}).static_order())


def sinks(saga: Saga) -> tuple[str, ...]:
    """The steps whose ends decide that a saga is done: the leaves, and every input of a join by `any`.

    An any-join goes on at its first input, so nobody downstream vouches for the others.
    """
    after = successors(saga)
    listens = all_inputs(saga)
    merged = {name for step in saga.steps if step.join == "any" for name in listens[step.name]}
    return tuple(step.name for step in saga.steps if not after[step.name] or step.name in merged)


def open_steps(saga: Saga) -> tuple[str, ...]:
    """The steps that nobody can keep from running: downstream of the pivot, or, but for it, after the start alone."""
    forward, listens = _after_pivot(saga), all_inputs(saga)
    return tuple(s.name for s in saga.steps if s.name in forward or (not s.pivot and [*listens[s.name]] == [START]))


def behind(saga: Saga) -> dict[str, tuple[str, ...]]:
    """Undoable step (neither readOnly, nor the pivot, nor downstream of it) -> the nearest undoable ones downstream.

    Those are undone before it. Steps between them that only read are looked through.
    """
    forward, after = _after_pivot(saga), successors(saga)
    undoable = {s.name for s in saga.steps if not (s.read_only or s.pivot or s.name in forward)}
    return {step.name: _nearest(step.name, after, undoable) for step in saga.steps if step.name in undoable}


def undone_last(behind: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The undoable steps with no undoable one upstream, in the order of the saga."""
    upstream = {step for steps in behind.values() for step in steps}
    return tuple(name for name in behind if name not in upstream)


def may_be_skipped(saga: Saga) -> bool:
    """Whether events may come such that the pivot is dead: said so wherever a step before it chooses its event."""
    before = upstream(saga, saga.pivot.name) if saga.pivot else frozenset()
    return any(len(step.emits) > 1 and step.name in before for step in saga.steps)


def _after_pivot(saga: Saga) -> frozenset[str]:
    return downstream(saga, saga.pivot.name) if saga.pivot else frozenset()


def _nearest(name: str, after: Mapping[str, tuple[str, ...]], wanted: Container[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    seen, ahead = {name}, list(after[name])
    while ahead:
        step = ahead.pop()
        if step in wanted:
            found[step] = None
        elif step not in seen:
            seen.add(step)
            ahead.extend(after[step])
    return tuple(step for step in after if step in found)


def downstream(saga: Saga, name: str) -> frozenset[str]:
    """Every step that can only run after `name`'s end, directly or through others. Works on circles, too."""
    return _reached(successors(saga), name)


def upstream(saga: Saga, name: str) -> frozenset[str]:
    """Every step (and `_`) whose end `name` waits for, directly or through others. Works on circles, too."""
    return _reached(all_inputs(saga), name)


def _reached(next_of: Mapping[str, Iterable[str]], name: str) -> frozenset[str]:
    reached: set[str] = set()
    ahead = list(next_of[name])
    while ahead:
        step = ahead.pop()
        if step not in reached:
            reached.add(step)
            ahead.extend(next_of.get(step, ()))
    return frozenset(reached)
