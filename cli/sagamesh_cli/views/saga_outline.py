"""What the pictures of a saga share: the kind of each step, their order, and the way back. Pure.

`saga_picture` and `flowchart` draw it; for a program it is a document.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from sagamesh.language.graph import all_inputs, downstream, successors
from sagamesh.language.model import Saga, Step
from sagamesh_cli.views import drawing
from sagamesh_cli.views.drawing import Box

KINDS = {
    "pivot": ("◆", "no way back after it"),
    "compensable": ("↩", "can be undone"),
    "readOnly": ("○", "nothing to undo"),
    "retriable": ("↻", "retried until it succeeds"),
    "unguarded": ("!", "cannot be undone, which `sagamesh check` refuses"),
}
CONDITION = ("?", "only if its condition holds")


class Undo(NamedTuple):
    """A step of the way back. `turn` counts from 1; `after` names the steps that must have been undone before."""

    turn: int
    step: Step
    path: str
    after: tuple[str, ...]


def kinds(saga: Saga) -> dict[str, str]:
    """How each step relates to the way back: step -> a key of KINDS."""
    forward = downstream(saga, saga.pivot.name) if saga.pivot else frozenset()
    return {step.name: "retriable" if step.name in forward else _kind(step) for step in saga.steps}


def _kind(step: Step) -> str:
    if step.pivot:
        return "pivot"
    if step.compensation:
        return "compensable"
    return "readOnly" if step.read_only else "unguarded"


def way_back(saga: Saga) -> tuple[Undo, ...]:
    """What is undone when all of it was done, and in which order."""
    steps, kind = in_order(saga), kinds(saga)
    undone = {step.name for step in steps if kind[step.name] == "compensable"}
    followers = successors(saga)
    awaited: dict[str, tuple[str, ...]] = {}
    undos: dict[str, Undo] = {}
    for step in reversed(steps):
        nearest = [[name] if name in undone else awaited[name] for name in followers[step.name]]
        awaited[step.name] = tuple(dict.fromkeys(chain.from_iterable(nearest)))
        if step.compensation and step.name in undone:
            after = awaited[step.name] if saga.compensation_order == "reverse" else ()
            turn = 1 + max((undos[name].turn for name in after), default=0)
            undos[step.name] = Undo(turn, step, step.compensation.path, after)
    return tuple(sorted((undos[step.name] for step in saga.steps if step.name in undos), key=lambda undo: undo.turn))


def in_order(saga: Saga) -> list[Step]:
    """The steps, none before one that it listens to. Raises graphlib.CycleError."""
    heard = all_inputs(saga)
    boxes = [Box(outs={saga.start.event: ""})]
    boxes += [
        Box(ins=[*chain(*heard[step.name].values())], outs={emit.event: "" for emit in step.emits})
        for step in saga.steps
    ]
    _, *levels = drawing.levels(boxes)
    return [saga.steps[index] for index in sorted(range(len(levels)), key=lambda index: levels[index])]


def titles(saga: Saga) -> dict[str, str]:
    """What each step is called in pictures: its mark and its name."""
    kind = kinds(saga)
    return {s.name: f"{KINDS[kind[s.name]][0]} {s.name}" + (f" {CONDITION[0]}" if s.when else "") for s in saga.steps}


def announced(step: Step) -> dict[str, str]:
    """The events of a step, as pictures show them: with a mark where they depend on a condition."""
    return {emit.event: f"{emit.event} {CONDITION[0]}" if emit.when else emit.event for emit in step.emits}


def outline(saga: Saga) -> dict[str, Any]:
    """The same for a program."""
    kind, heard = kinds(saga), all_inputs(saga)
    return {
        "namespace": saga.namespace,
        "saga": saga.name,
        "start": {"participant": saga.start.participant, "event": saga.start.event},
        "steps": [
            {
                "name": step.name,
                "participant": step.participant,
                "kind": kind[step.name],
                "after": list(step.after),
                "join": step.join,
                "predecessors": list(heard[step.name]),
                "emits": [emit.event for emit in step.emits],
            }
            for step in saga.steps
        ],
        "wayBack": [
            {"turn": undo.turn, "step": undo.step.name, "path": undo.path, "after": list(undo.after)}
            for undo in way_back(saga)
        ],
    }
