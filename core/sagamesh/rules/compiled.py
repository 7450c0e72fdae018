"""LocalRules made ready for decisions: expressions compiled, look-ups made once.

`prepare` takes the compiler as an argument, so that the simulation can put plain Python in the place of CEL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.log import registers
from sagamesh.log.registers import Name
from sagamesh.rules.local import LocalRules, StepRules


class Program(Protocol):
    """A compiled expression. `names` are the variables it uses; calling it may raise EvaluationError."""

    @property
    def names(self) -> frozenset[str]: ...

    def __call__(self, variables: Mapping[str, object], /) -> object: ...


Compiler = Callable[[str, Place, bool], Program]


def compile_cel(source: str, place: Place, single_event: bool) -> Program:
    return compile_expression(source, place, single_event=single_event)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStep:
    """One own step, as `decision` reads it.

    `heard`: producer -> the events of it that count. `single`: one event alone makes it run (`event` in CEL).
    `must_succeed`: the pivot or downstream of it, hence never given up.
    """

    rules: StepRules
    name: str
    heard: Mapping[str, frozenset[str]]
    single: bool
    must_succeed: bool
    when: Program | None
    body: Program | None
    emits: tuple[tuple[str, Program | None], ...]
    compensation_body: Program | None
    is_sink: bool
    undoable: bool
    begin: Name
    end: Name
    compensation: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one participant for one revision.

    `listeners`: register -> the own steps that it concerns.
    """

    local: LocalRules
    key: Program | None
    steps: Mapping[str, OwnStep]
    listeners: Mapping[Name, tuple[OwnStep, ...]]

    def concerned(self, name: Name) -> tuple[OwnStep, ...]:
        """The own steps that a delivery of this register must be settled for. None: it is acked."""
        return self.listeners.get(name, ())


def prepare(local: LocalRules, compiler: Compiler = compile_cel) -> Rules:
    """Compile and index. Raises ExpressionError where an expression is refused."""
    steps = {step.name: _own_step(local, step, compiler) for step in local.own}
    listeners: dict[Name, tuple[OwnStep, ...]] = {}
    for step in steps.values():
        for name in listens_to(local, step.rules):
            listeners[name] = (*listeners.get(name, ()), step)
    key = compiler(local.key, Place.KEY, True) if local.key else None
    return Rules(local=local, key=key, steps=steps, listeners=listeners)


def listens_to(local: LocalRules, step: StepRules) -> tuple[Name, ...]:
    """The registers whose deliveries concern a step: its inputs, the notice, and what it waits for on the way back."""
    inputs = tuple(registers.end(i.step) for i in step.inputs)
    if step.pivot or step.retriable:
        return inputs  # nobody undoes them, and nobody cancels them by the notice
    back = step.behind if local.order == "reverse" else ()
    return (*inputs, registers.ABORT, *map(registers.compensation, back))


def _own_step(local: LocalRules, step: StepRules, compiler: Compiler) -> OwnStep:
    single = step.join == "any" or sum(len(i.events) for i in step.inputs) == 1

    def compiled(source: str | None, place: Place) -> Program | None:
        return compiler(source, place, single) if source else None

    return OwnStep(
        rules=step,
        name=step.name,
        heard={i.step: frozenset(i.events) for i in step.inputs},
        single=single,
        must_succeed=step.pivot or step.retriable,
        when=compiled(step.when, Place.WHEN),
        body=compiled(step.action.body, Place.BODY),
        emits=tuple((emit.event, compiled(emit.when, Place.EMIT)) for emit in step.emits),
        compensation_body=compiled(step.compensation.body if step.compensation else None, Place.COMPENSATION_BODY),
        is_sink=step.name in local.sinks,
        undoable=step.name in local.undoable,
        begin=registers.begin(step.name),
        end=registers.end(step.name),
        compensation=registers.compensation(step.name),
    )
