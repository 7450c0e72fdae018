"""What expressions and bodies are made of: the events that an attempt knows, as CEL variables and as JSON.

Only what a program names is decoded. The app's data stay raw bytes where no expression looks into them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Raw

from sagamesh.errors import UnreadableError
from sagamesh.log import registers
from sagamesh.log.payload import UNDECODABLE
from sagamesh.log.registers import NULL, SAGA, Done, Instance, Name, Register, Satisfied, Start
from sagamesh.protocol.answers import Answered
from sagamesh.protocol.effects import Known
from sagamesh.rules.compiled import OwnStep, Program

Variables = dict[str, object]


def announced(register: Register) -> tuple[str, Raw] | None:
    """The event that a start or an end announces, and its data; None for a step that announces nothing."""
    match register.value:
        case Start(event=event, data=data) | Done(event=event, data=data):
            return event, data
        case Satisfied(event=event):
            return event, NULL
        case _:
            return None


def announces(register: Register, events: Collection[str]) -> bool:
    """Whether a start or an end announces one of these events: those that a step listens to."""
    said = announced(register)
    return said is not None and said[0] in events


def event_id(register: Register) -> str:
    """The id of the event that a start or an end announces: what the start came with, or made from run and step."""
    value = register.value
    return value.id if isinstance(value, Start) else f"{register.origin.run}/{register.name.step}"


def inputs(step: OwnStep, incoming: Name) -> tuple[Name, ...]:
    """The registers whose events a step runs by. `incoming`: the one on whose behalf it runs."""
    return (incoming,) if step.single else tuple(registers.end(i) for i in step.heard)


def needed(step: OwnStep, incoming: Name) -> tuple[Name, ...]:
    """The registers that a step's request is made from: its inputs, and earlier events that its expressions name."""
    return (*inputs(step, incoming), *(registers.end(name) for name, _ in step.rules.needs))


def request(step: OwnStep, incoming: Name, known: Known, instance: Instance) -> bytes:
    """The body of a step's action. Raises EvaluationError. All that is `needed` must be known."""
    if step.body is not None:
        return msgspec.json.encode(step.body(variables(step, step.body, incoming, known, instance)))
    if step.single:
        heard = announced(known.registers[incoming])
        return bytes(heard[1] if heard else NULL)
    heard_by_event = [announced(known.registers[registers.end(i)]) for i in step.heard]
    return msgspec.json.encode(dict(event for event in heard_by_event if event))


def variables(step: OwnStep, program: Program, incoming: Name, known: Known, instance: Instance) -> Variables:
    """The variables that a program names, but for `response`, `request`, `result` and `cause`."""
    register = known.registers[incoming]
    given: Variables = {}
    for name in program.names:
        if name.startswith("event."):
            given[name] = _event(register)[name.removeprefix("event.")]
        elif name == "events":
            given[name] = _events(step, incoming, known)
    if any(name.startswith("saga.") for name in program.names):
        given |= _saga(register, instance)
    return given


def response(answer: Answered, data: Raw) -> Variables:
    """The variables of an answer, for `emits[].when`."""
    return {
        "response.status": answer.status,
        "response.headers": dict(answer.headers),
        "response.body": msgspec.json.decode(data),
    }


def decoded(data: bytes | Raw) -> object:
    """Data as they stand in the log. Raises UnreadableError for what no version of ours has written there."""
    try:
        return msgspec.json.decode(data)
    except UNDECODABLE as error:
        raise UnreadableError(f"the data of an event in the log are no JSON: {error}") from error


def _events(step: OwnStep, incoming: Name, known: Known) -> Mapping[str, object]:
    names = {*needed(step, incoming), *(registers.end(i) for i in step.heard)}
    present = [known.registers[name] for name in names if name in known.registers]
    events = [_event(register) for register in present if announced(register)]
    return {str(event["type"]): event for event in events}


def _event(register: Register) -> Mapping[str, object]:
    """An event as CEL sees it. Its time is the server's."""
    event, data = announced(register) or ("", NULL)
    time = datetime.fromtimestamp(register.time, UTC)
    return {"id": event_id(register), "type": event, "time": time, "data": decoded(data)}


def _saga(register: Register, instance: Instance) -> Variables:
    is_start = register.name.step == SAGA
    started = register.time if is_start else register.origin.start_time
    return {
        "saga.name": instance.saga,
        "saga.id": instance.id,
        "saga.run": register.origin.run,
        "saga.started": datetime.fromtimestamp(started, UTC),
    }
