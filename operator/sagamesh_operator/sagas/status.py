"""What is said of a Saga: its status and conditions from what is known, and the Event where that is news. No I/O.

Conditions follow kstatus: `Ready` sums up, `Stalled` is abnormal while true. Reasons are words for machines, each of
them in `docs/operator.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sagamesh.text import counted, listed, rfc3339, shortened
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.resource import Note, Resource
from sagamesh_operator.sagas.acceptance import Acceptance
from sagamesh_operator.sagas.standing import NATS_UNAVAILABLE, Standing

LONGEST = 4000
"""Characters of a message: some forty findings, and four conditions of that length are small beside what etcd takes."""

ACCEPTED, DISTRIBUTED, READY, STALLED = "Accepted", "Distributed", "Ready", "Stalled"
NOT_ACCEPTED, NOT_DISTRIBUTED = "NotAccepted", "NotDistributed"
SIDECARS_MISSING, SIDECARS_BEHIND = "SidecarsMissing", "SidecarsBehind"
PROGRESSING = "Progressing"


class Condition(NamedTuple):
    kind: str
    status: str
    reason: str
    message: str


def status(resource: Resource, acceptance: Acceptance, standing: Standing, now: float) -> JsonObject:
    """The whole status. `now` in seconds since the epoch."""
    every = conditions(acceptance, standing)
    sidecars = sum(participant.sidecars for participant in standing.participants)
    synced = sum(participant.synced for participant in standing.participants)
    return {
        "observedGeneration": resource.generation,
        "revision": acceptance.revision,
        "activeRevision": standing.active,
        "steps": acceptance.steps,
        "participantCount": len(standing.participants),
        "synced": f"{synced}/{sidecars}",
        "replicas": standing.replicas,
        "participants": [participant._asdict() for participant in standing.participants],
        "conditions": _dated(every, resource, now),
    }


def conditions(acceptance: Acceptance, standing: Standing) -> tuple[Condition, ...]:
    """All four, always."""
    accepted = _accepted(acceptance)
    distributed = _distributed(acceptance, standing)
    ready = _ready(distributed, standing)
    return accepted, distributed, ready, _stalled(accepted, ready, standing)


def _accepted(acceptance: Acceptance) -> Condition:
    if not acceptance.documents:
        return Condition(ACCEPTED, "False", acceptance.reason, acceptance.message)
    many = f"{counted(acceptance.steps, 'step')} of {counted(len(acceptance.documents), 'participant')}"
    return Condition(ACCEPTED, "True", acceptance.reason, "; ".join(filter(None, [many, acceptance.message])))


def _distributed(acceptance: Acceptance, standing: Standing) -> Condition:
    if not acceptance.documents:
        stays = f"; revision {standing.active} stays active" if standing.active else ""
        return Condition(DISTRIBUTED, "False", NOT_ACCEPTED, f"the checks refuse this spec{stays}")
    if problem := standing.problem:
        known = "Unknown" if problem.reason == NATS_UNAVAILABLE else "False"
        return Condition(DISTRIBUTED, known, problem.reason, problem.message)
    copies = "; its log is on one server only: NATS has no three" if standing.replicas == 1 else ""
    return Condition(DISTRIBUTED, "True", DISTRIBUTED, f"new instances take revision {standing.active}{copies}")


def _ready(distributed: Condition, standing: Standing) -> Condition:
    if distributed.status != "True":
        reason = distributed.reason if distributed.reason in (NOT_ACCEPTED, NATS_UNAVAILABLE) else NOT_DISTRIBUTED
        return Condition(READY, distributed.status, reason, distributed.message)
    if missing := [each.name for each in standing.participants if not each.sidecars]:
        return Condition(READY, "False", SIDECARS_MISSING, f"no sidecar tells of itself at {listed(missing)}")
    if behind := [each.name for each in standing.participants if each.synced < each.sidecars]:
        message = f"revision {standing.active} is not held yet by every sidecar of {listed(behind)}"
        return Condition(READY, "False", SIDECARS_BEHIND, message)
    return Condition(READY, "True", READY, f"every sidecar holds revision {standing.active}")


def _stalled(accepted: Condition, ready: Condition, standing: Standing) -> Condition:
    if accepted.status != "True":
        return Condition(STALLED, "True", NOT_ACCEPTED, accepted.message)
    if standing.problem and standing.problem.lasting:
        return Condition(STALLED, "True", standing.problem.reason, standing.problem.message)
    return Condition(STALLED, "False", READY if ready.status == "True" else PROGRESSING, "nothing is in the way")


def _dated(every: Iterable[Condition], resource: Resource, now: float) -> list[JsonObject]:
    """As metav1.Condition. The time of the last transition stays where the status does."""
    before = {each["type"]: each for each in resource.status.get("conditions", ())}
    moment = rfc3339(datetime.fromtimestamp(now, UTC), "seconds")
    return [
        {
            "type": each.kind,
            "status": each.status,
            "observedGeneration": resource.generation,
            "lastTransitionTime": _since(before.get(each.kind, {}), each, moment),
            "reason": each.reason,
            "message": shortened(each.message, LONGEST),
        }
        for each in every
    ]


def _since(before: Mapping[str, Any], condition: Condition, moment: str) -> str:
    stays = before.get("status") == condition.status
    return str(before["lastTransitionTime"]) if stays else moment


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Note | None:
    """The one Event that a change deserves: about the first condition that is new, `Stalled` aside."""
    old = {each["type"]: (each["status"], each["reason"]) for each in before.get("conditions", ())}
    changed = {
        each["type"]: each for each in after["conditions"] if old.get(each["type"]) != (each["status"], each["reason"])
    }
    wrong = [changed[kind] for kind in (ACCEPTED, DISTRIBUTED, READY) if kind in changed and _is_bad(changed[kind])]
    if wrong:
        return Note("Warning", _word(wrong[0]), wrong[0]["message"])
    if READY in changed and changed[READY]["status"] == "True":
        return Note("Normal", READY, changed[READY]["message"])
    if after["activeRevision"] and after["activeRevision"] != before.get("activeRevision"):
        return Note("Normal", DISTRIBUTED, f"new instances take revision {after['activeRevision']}")
    return None


def _is_bad(condition: Mapping[str, Any]) -> bool:
    """While a new saga waits for its first sidecars, that is no warning."""
    return bool(condition["status"] != "True" and condition["reason"] != SIDECARS_BEHIND)


def _word(condition: Mapping[str, Any]) -> str:
    return "Refused" if condition["type"] == ACCEPTED else str(condition["reason"])
