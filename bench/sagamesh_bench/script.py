"""What a saga costs: its operations, recorded from the real decision in memory, delivery by delivery.

The floor carries them out blindly, with the very bytes; so its writes, reads, deliveries, acks and calls are those of
the sidecars by construction, and a test counts them on both.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Raw, Struct, field

from sagamesh.log import codec
from sagamesh.log.registers import START, Instance, Origin, Start
from sagamesh.protocol.answers import Answered
from sagamesh.protocol.attempt import Fetch, Given, Operation, Put, Reply, Result, attempt
from sagamesh.protocol.effects import Call, Delivery, Known
from sagamesh.rules.compiled import prepare
from sagamesh.rules.projection import project
from sagamesh.simulation import seeded
from sagamesh.simulation.broker import Broker
from sagamesh.simulation.broker import PendingDelivery as Handed
from sagamesh.simulation.faults import NONE
from sagamesh_bench.sagas import REFUSE, Shape, data

ORIGIN = Origin("0123456789abcdef", 123456, 1234567890.123, "0123456789", "a-7c9f5d", "0123456789ab-1234")
BODY = b'{"reserved":true,"reference":"0123456789abcdef","amount":4200,"currency":"EUR","note":"a reference"}'
"""What the app answers."""
INSTANCE = Instance("bench", "saga", "0123456789")


class Op(Struct, omit_defaults=True):
    """One operation. `names`: registers, dotted; of a put the one that is written, and the one that must be absent."""

    kind: Literal["put", "read", "call"]
    names: list[str] = []
    path: str = ""
    headers: dict[str, str] = {}
    body: str = ""


class Script(Struct):
    """One participant's part: what it does at which register. `start`: what the API writes."""

    start: Op
    deliveries: dict[str, list[Op]] = field(default_factory=dict)


class Counts(NamedTuple):
    """What one saga takes."""

    writes: int
    reads: int
    deliveries: int
    calls: int


def record(shape: Shape) -> dict[str, Script]:
    """The part of each participant."""
    return _Recording(shape).scripts


def counts(scripts: dict[str, Script]) -> Counts:
    """Of all participants together; the start is one of the writes."""
    handled = [ops for script in scripts.values() for ops in script.deliveries.values()]
    kinds = [op.kind for ops in handled for op in ops]
    return Counts(1 + kinds.count("put"), kinds.count("read"), len(handled), kinds.count("call"))


class _Recording:
    """One instance, one delivery after the other."""

    def __init__(self, shape: Shape) -> None:
        self.late = shape.late
        self.rules = {name: prepare(local) for name, local in project(shape.saga).items()}
        self.broker = Broker(self.rules, seeded(0), NONE)
        begun = Start(shape.saga.start.event, INSTANCE.id, "/bench", "0" * 64, Raw(data(INSTANCE.id)), "")
        self.broker.put(Put(START, begun), "start", shape.saga.start.participant)
        start = _put(Put(START, begun), shape.saga.start.participant)
        self.scripts = {name: Script(start) for name, rules in self.rules.items()}
        while (delivery := self._next()) is not None:
            self._handle(delivery)
            delivery.acked = True

    def _next(self) -> Handed | None:
        waiting = [delivery for delivery in self.broker.deliveries if not delivery.acked]
        return min(waiting, key=lambda delivery: delivery.participant == self.late, default=None)

    def _handle(self, handed: Handed) -> None:
        participant, register = handed.participant, handed.register
        rules = self.rules[participant]
        ops = self.scripts[participant].deliveries.setdefault(".".join(register.name), [])
        for step in rules.concerned(register.name):
            known = Known(attempt_id=f"{register.sequence} {step.name}")
            generator = attempt(rules, known, Delivery(INSTANCE, register), step)
            result: Result[Given] | None = None
            while True:
                try:
                    operation = next(generator) if result is None else generator.send(result)
                except StopIteration:
                    break
                ops.append(_op(operation, participant))
                result = Result(self._execute(operation, known.attempt_id, participant))

    def _execute(self, operation: Operation, attempt: str, participant: str) -> Given:
        match operation:
            case Put():
                return self.broker.put(operation, attempt, participant)
            case Fetch(names=names):
                return self.broker.fetch(names)
            case Call(path=path):
                return Reply(Answered(422 if path == REFUSE else 200, {}, BODY), 0.0)
        raise AssertionError("without faults nothing pauses")


def _op(operation: Operation, participant: str) -> Op:
    match operation:
        case Put():
            return _put(operation, participant)
        case Fetch(names=names):
            return Op("read", [".".join(name) for name in names])
        case Call(path=path, body=body):
            return Op("call", path=path, headers=_call_headers(), body=body.decode())
    raise AssertionError("without faults nothing pauses")


def _put(put: Put, participant: str) -> Op:
    headers, body = codec.encode(put.name, put.value, ORIGIN, participant)
    names = [put.name] if put.absent is None else [put.name, put.absent]
    return Op("put", [".".join(name) for name in names], headers=headers, body=body.decode())


def _call_headers() -> dict[str, str]:
    """As many, and about as long, as those of the sidecar."""
    return {f"saga-header-{n:02}": "0123456789abcdef" for n in range(10)} | {"content-type": "application/json"}
