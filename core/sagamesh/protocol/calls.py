"""The calls to the app: what they carry, and which event an answer announces.

`decision` says when a call is due, `variables` what its parts are made of, `answers` what the app's answer means.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

from sagamesh.errors import EvaluationError
from sagamesh.log import registers
from sagamesh.log.registers import NULL, SAGA, START, Cause, Done, Failed, Instance, Name, Register, Started, Value
from sagamesh.protocol.answers import Answered, Success
from sagamesh.protocol.binding import escaped
from sagamesh.protocol.effects import Call, CallKind, Delivery, Effects, Known, Tell
from sagamesh.protocol.variables import announced, decoded, event_id, request, response, variables
from sagamesh.rules.compiled import OwnStep


def action(step: OwnStep, known: Known, delivery: Delivery) -> Call | EvaluationError:
    """The call of a begun action; or why there will be none: its body, or `when`, can never be evaluated."""
    incoming = delivery.register.name
    try:
        body = _asked(step, incoming, known, delivery.instance)
    except EvaluationError as error:
        return error
    spec = step.rules.action
    heard = known.registers[incoming]
    return Call("action", spec.path, body, spec.timeout, _event_type(heard), caused_by=event_id(heard))


def is_hopeless(step: OwnStep, known: Known, delivery: Delivery) -> bool:
    """Whether a step's call cannot be made, now or ever: then it may begin, and end, without its app."""
    return isinstance(action(step, known, delivery), EvaluationError)


def holds(step: OwnStep, known: Known, delivery: Delivery) -> bool:
    """Whether a step's `when` lets it run. One that cannot be evaluated does: the step begins, so that it can fail."""
    if step.when is None:
        return True
    try:
        return bool(step.when(variables(step, step.when, delivery.register.name, known, delivery.instance)))
    except EvaluationError:
        return True


def choose(step: OwnStep, known: Known, delivery: Delivery, answer: Answered, success: Success) -> str | None:
    """The event that a success announces: the app's own choice (`ce-type`), else the first whose `when` holds.

    None where none fits, or where the log has no room for the answer. Raises EvaluationError where a `when` fails.
    """
    if known.unstorable:
        return None
    if success.event is not None:
        return success.event if success.event in {event for event, _ in step.emits} else None
    for event, when in step.emits:
        if when is None:
            return event
        given = variables(step, when, delivery.register.name, known, delivery.instance)
        if when(given | response(answer, success.data)):
            return event
    return None


def unfit(step: OwnStep, known: Known, answer: Answered, success: Success) -> str:
    """Why there is no event to be announced, for people."""
    if known.unstorable:
        return known.unstorable
    about = f"POST {step.rules.action.path} answered {answer.status}"
    return f"{about}: no `emits` fits {'the answer' if success.event is None else repr(success.event)}"


def idempotency_key(instance: Instance, run: str, step: str, kind: CallKind) -> str:
    """What an app knows a call by: the same for every try of it, another for any other call, for ever.

    The run is in it, since an instance's id may be used again once the instance was deleted.
    """
    return f"{instance.namespace}/{instance.saga}/{instance.id}/{run}/{step}/{kind}"


def headers(call: Call, instance: Instance, run: str, step: str, *, delivered: int, trace: str = "") -> dict[str, str]:
    """What every call carries: a CloudEvent in binary mode, the idempotency key, and the saga's own.

    All calls of a run are correlated by it; with the causes they are a tree, whose root is the event that started it.
    `delivered`: how often the delivery was handed out that the call is made for, a hint for logs. `trace`: the
    `traceparent` that the call belongs to, if there is one.
    """
    key = idempotency_key(instance, run, step, call.kind)
    carried = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": f"{run}/{step}/{call.kind}",
        "ce-source": f"/sagamesh/{instance.namespace}/{instance.saga}",
        "ce-type": escaped(call.event),  # a type of ours has nothing to be encoded; the id of a start may have
        "ce-correlationid": run,
        "idempotency-key": f'"{key}"',  # a structured field: a string of it has quotes
        "saga-name": instance.saga,
        "saga-id": instance.id,
        "saga-run": run,
        "saga-step": step,
        "saga-attempt": str(delivered),
    }
    if call.caused_by:  # no start has an empty id that came by the API
        carried["ce-causationid"] = escaped(call.caused_by)
    if call.end is not None:
        carried["saga-end"] = call.end
    if trace:
        carried["traceparent"] = trace
    return carried


def compensation(
    step: OwnStep, known: Known, delivery: Delivery, begun: Value | None, ended: Done | Failed, cause: Cause
) -> Effects:
    """The call that undoes an action. Where the saga's own `body` fails it has the default one, and that is told.

    `begun`, `ended`: what stands in the step's registers. `cause`: why the saga is undone.
    """
    spec = step.rules.compensation
    assert spec is not None
    ran_for = incoming(begun)
    try:
        asked = Raw(_asked(step, ran_for, known, delivery.instance))
    except EvaluationError:
        asked = NULL  # then the action was never called
    result = ended.data if isinstance(ended, Done) else NULL
    body: object = {"request": asked, "result": result, "cause": cause}
    told: Effects = ()
    if step.compensation_body is not None:
        given = variables(step, step.compensation_body, ran_for, known, delivery.instance)
        given |= {"request": decoded(asked), "result": decoded(result), "cause": cause.reason}
        try:
            body = step.compensation_body(given)
        except EvaluationError as error:
            told = (Tell(error.place, str(error)),)
    end: Literal["done", "failed"] = "done" if isinstance(ended, Done) else "failed"
    event = _event_type(known.registers[ran_for])
    failed = f"{delivery.register.origin.run}/{cause.step or SAGA}"  # of a cancel, the saga as a whole
    asks = Call("compensation", spec.path, msgspec.json.encode(body), spec.timeout, event, end, failed)
    return (asks, *told)


def incoming(begun: Value | None) -> Name:
    """The register on whose behalf a step ran; an open one that can be undone has listened to the start alone."""
    return registers.parse(begun.delivery)[1] if isinstance(begun, Started) else START


def _asked(step: OwnStep, incoming: Name, known: Known, instance: Instance) -> bytes:
    """The body of the action. Raises EvaluationError, also where `when` cannot be evaluated."""
    if step.when is not None:
        step.when(variables(step, step.when, incoming, known, instance))
    return request(step, incoming, known, instance)


def _event_type(register: Register) -> str:
    heard = announced(register)
    return heard[0] if heard else ""
