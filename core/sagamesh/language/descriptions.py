"""What each field of a Saga means, by its path: the text of `kubectl explain` and of `docs/saga-reference.md`."""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.api_group import PARTICIPANT

FIELDS: Mapping[str, str] = {
    "spec": "A long-lived transaction over several services: who starts it, which step listens to which events, and "
    "how each step is undone. A changed spec is a new revision: new instances take it, running ones keep theirs for "
    "life.",
    "spec.start": "Where instances come from.",
    "spec.start.participant": "The participant whose app may start the saga, by sending the event to its sidecar.",
    "spec.start.event": "The type of the event that starts an instance, such as order.placed.",
    "spec.start.key": "CEL to a string: the instance's id, as in event.data.orderId. The same key again starts "
    "nothing. An id matches ^[A-Za-z0-9_-]{1,64}$; any other key becomes h- and 26 characters of its SHA-256. Without "
    "it: the event's id.",
    "spec.parkAfter": "How long something may fail, or wait for its app, before the saga counts as parked: visible, "
    "alarmed, still retried. It ends nothing.",
    "spec.compensationOrder": "reverse: a step is undone when all that depends on it is undone. parallel: all at once.",
    "spec.steps": "The saga's local transactions. Their order here means nothing; who listens to whom decides.",
    "spec.steps.name": "The step's name: a DNS label, unique in the saga.",
    "spec.steps.participant": "The service that owns the step: a DNS label, in the saga's own namespace. Its pods "
    f"carry the label {PARTICIPANT} with this value.",
    "spec.steps.after": "The events that the step listens to: the starting one, or what other steps emit. With "
    "several, see join.",
    "spec.steps.join": "all: the step runs when every event has come. any: when the first has come, which is only "
    "allowed where the events exclude one another.",
    "spec.steps.when": "CEL to a bool. False: the step is skipped and counts as satisfied, with null data.",
    "spec.steps.action": "The call to the participant's app that carries out the step.",
    "spec.steps.action.path": "Where the app takes the call (POST), such as /credit/reserve.",
    "spec.steps.action.body": "CEL to a map: the body of the call. Without it: the data of the event that the step "
    "listens to; of a join by all, a map from event type to data.",
    "spec.steps.action.timeout": "Of one call. A call that takes longer has an unknown result, and is made again.",
    "spec.steps.action.within": "Of the whole step, from its begin to its end, all calls together. It is looked at "
    "after each answer, so never while the app is away. Then the step has failed; the pivot and what follows it are "
    "retried for ever instead.",
    "spec.steps.action.retry": "The delays between calls.",
    "spec.steps.action.retry.backoff": "The first delay. It doubles each time, with full jitter.",
    "spec.steps.action.retry.maxBackoff": "The longest delay.",
    "spec.steps.emits": "The events that the step may announce when it is done: the first whose `when` holds. Without "
    "it: the one event <name>.done.",
    "spec.steps.emits.event": "The event's type, unique in the saga.",
    "spec.steps.emits.when": "CEL to a bool over response (status, headers, body) and what the body may name. The last "
    "event has none.",
    "spec.steps.compensation": "The call that undoes the step when the saga is aborted. It may come for an action that "
    "was refused or never arrived.",
    "spec.steps.compensation.path": "Where the app takes the call (POST), such as /credit/release.",
    "spec.steps.compensation.body": "CEL to a map. Without it: the action's request, its result, and the cause of the "
    "abort.",
    "spec.steps.compensation.timeout": "Of one call. It is retried until it succeeds.",
    "spec.steps.pivot": "After this step's success the saga can no longer be undone; what follows is retried until it "
    "succeeds. At most one step, without `when` and without compensation.",
    "spec.steps.readOnly": "The step changes nothing, so there is nothing to undo.",
}
