"""Sagas, logs and questions to `decide`, in a few words each. Expressions are real CEL here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sagamesh.language.model import Compensation, Emit, Join, Saga, Step
from sagamesh.log.registers import Cause, Done, Instance, Name, Origin, Register, Start, Started, Value
from sagamesh.protocol.answers import Answered, Unanswered
from sagamesh.protocol.attempt import Given, Operation, Result, Steps
from sagamesh.protocol.decision import decide
from sagamesh.protocol.effects import Delivery, Effects, Known
from sagamesh.rules.compiled import Rules, prepare
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project
from support.builders import shapes

Settled = TypeVar("Settled")

INSTANCE = Instance("default", "simulated", "i")
ME = "me"
OTHER = "other"
CAUSE = Cause("refused", "sold out", "x")


def step(
    name: str,
    after: Collection[str] | str = "start",
    *,
    when: str | None = None,
    body: str | None = None,
    undo: str | None = None,
    emits: Mapping[str, str | None] | None = None,
    join: Join = "all",
    kind: str = "",
    at: str = "",
) -> Step:
    """As in `shapes`, with CEL: `when`, the action's `body`, the compensation's (`undo`), and that of `emits`."""
    plain = shapes.step(name, after, join=join, kind=kind, at=at)
    return replace(
        plain,
        when=when,
        action=replace(plain.action, body=body),
        emits=tuple(Emit(event=e, when=w) for e, w in emits.items()) if emits else plain.emits,
        compensation=None if kind else Compensation(path=f"/{name}/undo", body=undo),
    )


def shape(name: str) -> Saga:
    """A saga of `shapes`, whose expressions are all true."""
    return shapes.without_expressions(shapes.SHAPES[name])


@cache
def rules(saga: Saga) -> dict[str, Rules]:
    return {name: prepare(local) for name, local in project(saga).items()}


def rules_for(saga: Saga, name: str) -> Rules:
    """The rules of the participant that owns a step."""
    return next(found for found in rules(saga).values() if name in found.steps)


def local(saga: Saga, participant: str) -> LocalRules:
    return project(saga)[participant]


def json(data: object) -> Raw:
    return Raw(msgspec.json.encode(data))


def start(data: object = None, **fields: Any) -> Start:
    return Start(**{"event": "start", "id": "e-1", "source": "app", "digest": "d", "data": json(data), **fields})


def done(event: str, data: object = None, deliveries: int = 1) -> Done:
    return Done(event, json(data), deliveries)


def started(on: Name) -> Started:
    return Started(INSTANCE.subject(on))


def register(name: Name, value: Value, sequence: int = 1, attempt: str = OTHER, time: float | None = None) -> Register:
    origin = Origin("run", 1, 1001.0, "revision", "pod", attempt)
    return Register(name, value, sequence, 1000.0 + sequence if time is None else time, origin, "p")


def stored(log: Mapping[Name, Value], mine: Collection[Name] = ()) -> dict[Name, Register]:
    """The registers of a log, in its order: one second and one sequence each."""
    return {
        name: register(name, value, n, ME if name in mine else OTHER) for n, (name, value) in enumerate(log.items(), 1)
    }


def ask(
    saga: Saga,
    step: str,
    on: Name,
    log: Mapping[Name, Value],
    *,
    mine: Collection[Name] = (),
    absent: Collection[Name] = (),
    unseen: Collection[Name] = (),
    delivered: int = 1,
    **facts: Any,
) -> Effects:
    """What `decide` wants for a step, on the delivery of the register `on`, by an attempt that knows all of `log`."""
    rules = rules_for(saga, step)
    facts.setdefault("called", int(isinstance(facts.get("answer"), Answered | Unanswered)))
    known = Known(attempt_id=ME, registers=stored(log, mine), absent=set(absent), unseen=set(unseen), **facts)
    return decide(rules, known, Delivery(INSTANCE, known.registers[on], delivered), rules.steps[step])


def ok(data: object = None, status: int = 200, **headers: str) -> Answered:
    return Answered(status, {name.replace("_", "-"): value for name, value in headers.items()}, bytes(json(data)))


def no(status: int, detail: str = "because", **headers: str) -> Answered:
    return ok({"detail": detail}, status, **headers)


class Driven(Generic[Settled]):
    """A generator driven by hand: `operation` is what it asks for, None once `result` stands."""

    def __init__(self, generator: Steps[Settled]) -> None:
        self._generator = generator
        self.result: Settled | None = None
        self.operation: Operation | None = None
        self._go_on(lambda: next(generator))

    def send(self, given: Given, *, lease_lost: bool = False) -> Operation | None:
        """Tell what the last operation gave; returns the next one."""
        return self._go_on(lambda: self._generator.send(Result(given, lease_lost)))

    def _go_on(self, go_on: Callable[[], Operation]) -> Operation | None:
        try:
            self.operation = go_on()
        except StopIteration as stop:
            self.operation, self.result = None, stop.value
        return self.operation
