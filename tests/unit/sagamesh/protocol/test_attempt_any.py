"""Whatever stands in a log, and whatever it answers, an attempt ends with an ack or a nak, and never raises.

Registers of every readable value in any combination, reads that miss what is there, guards that hold and that fail
open. What comes of it is the simulation's affair; here it is only that no log makes "a fault of the sidecar itself".
"""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh.errors import UnreadableError
from sagamesh.language.model import Saga
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    START,
    Aborted,
    Cancelled,
    Committed,
    Compensated,
    Completed,
    Dead,
    Failed,
    Name,
    Nothing,
    Notice,
    Register,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.protocol.attempt import (
    Fetch,
    Given,
    Operation,
    Put,
    Reply,
    Result,
    Steps,
    TooLarge,
    WriteRefused,
    attempt,
)
from sagamesh.protocol.effects import Ack, Call, Delivery, Known, Nak
from sagamesh.rules.compiled import Rules
from support.builders import shapes
from support.builders.attempts import CAUSE, INSTANCE, done, register, rules, start, step

WITH_EXPRESSIONS = shapes.saga(
    step("a", when="event.data.n > 1.0", undo='{"r": request.n, "was": result}'),
    step("b", emits={"b.big": "response.body.n > 1.0", "b.small": None}),
    step("c", ["a.ok", "b.big"], body='{"n": events["start"].data.n, "a": events["a.ok"].data}'),
    step("d", ["c.ok"], when='events["b.big"].data.n > 1.0', body='{"n": saga.run}'),
)
SAGAS: list[Saga] = [shapes.without_expressions(saga) for saga in shapes.SHAPES.values()] + [WITH_EXPRESSIONS]
ANSWERS: list[Answer] = [
    *(Answered(status, {}, b'{"n": 2}') for status in (200, 202, 206, 307, 404, 410, 422, 500, 503)),
    Answered(200, {"ce-type": "nobody.s"}, b""),
    Unanswered("reset"),
    Away(),
]


def values(rng: Random, saga: Saga) -> dict[Name, Value]:
    """A log of any readable values, some of which no protocol has ever written beside one another."""
    steps = [one.name for one in saga.steps]
    ends = [START, *map(registers.end, steps)]
    log: dict[Name, Value] = {
        START: start({"n": rng.choice((1, 2, "x", None))}, event=rng.choice(("start", "order.odd"))),
        OUTCOME: rng.choice((Committed(), Aborted(CAUSE))),
        ABORT: Notice(CAUSE),
        FINISH: rng.choice((Completed(), Compensated())),
    }
    for one in saga.steps:
        by = INSTANCE.subject(rng.choice([*ends, registers.begin("nobody"), OUTCOME]))
        event = rng.choice([emit.event for emit in one.emits] + ["order.odd"])
        log[registers.begin(one.name)] = rng.choice(
            (Started(by), Started(by), Skipped(by, "dead"), Skipped(by, "when"), Cancelled(CAUSE))
        )
        log[registers.end(one.name)] = rng.choice(
            (done(event, {"n": 2}), done(event), Satisfied(event), Dead(), Failed("refused", "no"))
        )
        log[registers.compensation(one.name)] = rng.choice((Undone(), Nothing()))
    return {name: value for name, value in log.items() if rng.random() < 0.7}


class Liar:
    """A log that holds anything, hides some of it, and says what it likes."""

    def __init__(self, rng: Random, stored: dict[Name, Register]) -> None:
        self.rng = rng
        self.stored = stored
        self.stale = rng.choice((0.0, 0.3, 0.9))

    def give(self, operation: Operation) -> Given:
        match operation:
            case Fetch(names=names):
                there = (self.stored[name] for name in names if name in self.stored)
                return tuple(found for found in there if self.rng.random() >= self.stale)
            case Put():
                return self._put(operation)
            case Call():
                return Reply(self.rng.choice(ANSWERS), self.rng.choice((0.0, 1e9)))
            case _:
                return None

    def _put(self, put: Put) -> Register | WriteRefused | TooLarge:
        if self.rng.random() < 0.1:
            return self.rng.choice((WriteRefused.UNKNOWN, TooLarge(9, 8)))
        if put.name in self.stored:
            return WriteRefused.EXISTS
        if put.while_started and START not in self.stored:
            return WriteRefused.GUARD
        if put.absent in self.stored and self.rng.random() < 0.5:
            return WriteRefused.GUARD
        made = register(put.name, put.value, len(self.stored) + 100, "me")
        if put.absent is None:
            self.stored[put.name] = made
        return made


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_an_attempt_ends_whatever_stands_in_the_log(seed: int) -> None:
    rng = Random(seed)
    saga = rng.choice(SAGAS)
    log = values(rng, saga)
    numbered = {name: register(name, value, rng.randrange(1, 99)) for name, value in log.items()}
    for own in rules(saga).values():
        for name in own.listeners:
            if name in numbered:
                settle(rng, own, dict(numbered), numbered[name])


def settle(rng: Random, own: Rules, stored: dict[Name, Register], on: Register) -> None:
    for one in own.concerned(on.name):
        known = Known(attempt_id="me", late=rng.random() < 0.5, app_away=rng.random() < 0.2)
        liar = Liar(rng, stored)
        ended = drive(attempt(own, known, Delivery(INSTANCE, on, rng.randrange(1, 3)), one), liar)
        assert ended is None or isinstance(ended, Ack | Nak)


def drive(generator: Steps[Ack | Nak], liar: Liar) -> Ack | Nak | None:
    """How it is settled; None for a register that cannot be read, which is said of it, and counted."""
    result: Result[Given] | None = None
    for _ in range(5_000):
        try:
            operation = next(generator) if result is None else generator.send(result)
        except StopIteration as stop:
            settled: Ack | Nak = stop.value
            return settled
        except UnreadableError:
            return None
        result = Result(liar.give(operation), lease_lost=liar.rng.random() < 0.02)
    raise AssertionError("it goes round in a circle")
