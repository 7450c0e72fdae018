"""The sagas of a cluster as people see them: what their resources and Events mean, as lines and as documents. No I/O.

A deleted saga whose instances still run has no resource any more. What is left of it to see are the operator's Events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, to_builtins

from sagamesh.api_group import GROUP, KIND, OPERATOR, PREFIX
from sagamesh_cli.output import in_line, paint, table
from sagamesh_jetstream.client.ports import JsonObject

READY, RETIRING, RETIRED, UNKNOWN = "Ready", "Retiring", "Retired", "Unknown"
COLOURS = {"True": "green", "False": "red", UNKNOWN: "yellow", RETIRING: "yellow"}
"""Of what stands in the column READY."""
TITLES = ("NAME", "READY", "REVISION", "PARTICIPANTS", "SYNCED", "AGE")
WIDE = "REASON"
"""What `-o wide` adds: as the resource's own columns do for kubectl."""
RESOURCE = f"{KIND.lower()}.{GROUP}/"
"""Before a saga's name, where kubectl is to take it."""
UNSEEN = "the operator has not looked at its latest change yet"


class ParticipantRow(Struct, frozen=True):
    """How many live sidecars it has, and how many of them hold the rules."""

    name: str
    sidecars: int
    synced: int


class ConditionRow(Struct, frozen=True, rename="camel"):
    """As metav1.Condition."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str


class Shown(Struct, frozen=True, kw_only=True, rename="camel"):
    """A saga. `ready`: the status of that condition, or `Retiring`: it is deleted, and instances of it still run.

    `revision`: what its spec means; `active_revision`: what new instances take. `note`: what no column says.
    """

    namespace: str
    name: str
    ready: str
    created: str | None = None
    revision: str = ""
    active_revision: str = ""
    synced: str = ""
    participants: tuple[ParticipantRow, ...] = ()
    conditions: tuple[ConditionRow, ...] = ()
    note: str | None = None


def shown(documents: Iterable[JsonObject], events: Iterable[JsonObject]) -> list[Shown]:
    """The sagas of these resources, and those of which only Events are left, by namespace and name."""
    there = [_there(document) for document in documents]
    names = {(saga.namespace, saga.name) for saga in there}
    gone = [saga for saga in _retiring(events) if (saga.namespace, saga.name) not in names]
    return sorted(there + gone, key=lambda saga: (saga.namespace, saga.name))


def _there(document: JsonObject) -> Shown:
    metadata, status = document["metadata"], document.get("status") or {}
    conditions = tuple(
        ConditionRow(each["type"], each["status"], each["reason"], each["message"], each["lastTransitionTime"])
        for each in status.get("conditions", ())
    )
    is_seen = status.get("observedGeneration") == metadata["generation"]
    return Shown(
        namespace=metadata["namespace"],
        name=metadata["name"],
        ready=next((each.status for each in conditions if each.type == READY), UNKNOWN),
        created=metadata["creationTimestamp"],
        revision=status.get("revision", ""),
        active_revision=status.get("activeRevision", ""),
        synced=status.get("synced", ""),
        participants=tuple(
            ParticipantRow(each["name"], each["sidecars"], each["synced"]) for each in status.get("participants", ())
        ),
        conditions=conditions,
        note=None if is_seen else UNSEEN,
    )


def _retiring(events: Iterable[JsonObject]) -> Iterable[Shown]:
    """By the newest word about each: `Retiring` is said again and again, until `Retired`."""
    newest: dict[tuple[str, str], JsonObject] = {}
    for event in sorted(filter(_is_ours, events), key=_moment):
        about = event["regarding"]
        newest[about["namespace"], about["name"]] = event
    for (namespace, name), event in newest.items():
        if event["reason"] == RETIRING:
            yield Shown(namespace=namespace, name=name, ready=RETIRING, note=f"deleted; {event.get('note', '')}")


def _is_ours(event: JsonObject) -> bool:
    about = event.get("regarding") or {}
    is_about_a_saga = about.get("kind") == KIND and about.get("apiVersion", "").startswith(PREFIX)
    reporter = event.get("reportingController")
    return is_about_a_saga and reporter == OPERATOR and event.get("reason") in (RETIRING, RETIRED)


def _moment(event: JsonObject) -> datetime:
    return datetime.fromisoformat(event.get("eventTime") or event["metadata"]["creationTimestamp"])


# -- as documents


def document(saga: Shown) -> dict[str, Any]:
    """For programs, with names as in the resource's status."""
    fields: dict[str, Any] = to_builtins(saga)
    return fields


# -- as lines


def names(sagas: Iterable[Shown]) -> list[str]:
    """As `kubectl get -o name` gives them, for other commands; without those that have no resource any more."""
    return [f"{RESOURCE}{in_line(saga.name)}" for saga in sagas if saga.ready != RETIRING]


def lines(sagas: Sequence[Shown], now: datetime, *, with_namespace: bool, wide: bool = False) -> list[str]:
    """The table, and below it what no column says."""
    first, last = 0 if with_namespace else 1, None if wide else -1
    head, *body = table([("NAMESPACE", *TITLES, WIDE)[first:last], *(_row(saga, now)[first:last] for saga in sagas)])
    notes = [f"{_name(saga, with_namespace=with_namespace)}: {in_line(saga.note)}" for saga in sagas if saga.note]
    painted = (paint(line, COLOURS.get(saga.ready)) for saga, line in zip(sagas, body, strict=True))
    return [paint(head, dim=True), *painted, *([""] if notes else []), *notes]


def details(saga: Shown, *, wide: bool = False) -> list[str]:
    """Everything about one; `wide`: also since when each condition is as it is."""
    name = paint(_name(saga, with_namespace=True), bold=True)
    head = f"{name} {paint(_headline(saga), COLOURS.get(saga.ready), bold=True)}"
    facts = [
        ("created", saga.created),
        ("revision", saga.revision),
        ("active", saga.active_revision),
        ("note", saga.note),
    ]
    told = table([(key, in_line(value)) for key, value in facts if value])
    since = ("SINCE",) if wide else ()
    conditions = [
        (each.type, each.status, each.reason, *((each.last_transition_time,) if wide else ()), in_line(each.message))
        for each in saga.conditions
    ]
    participants = [(each.name, str(each.sidecars), str(each.synced)) for each in saga.participants]
    return [
        head,
        *(f"  {line}" for line in told),
        *_section(("CONDITION", "STATUS", "REASON", *since, "MESSAGE"), conditions),
        *_section(("PARTICIPANT", "SIDECARS", "SYNCED"), participants),
    ]


def age(created: str | None, now: datetime) -> str:
    """How long ago that was, about as `kubectl` says it: in the unit that fits."""
    if created is None:
        return "-"
    seconds = max(0, int((now - datetime.fromisoformat(created)).total_seconds()))
    for size, unit, least in ((86_400, "d", 2), (3600, "h", 3), (60, "m", 2)):
        if seconds >= least * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _row(saga: Shown, now: datetime) -> tuple[str, ...]:
    count = str(len(saga.participants)) if saga.participants else "-"
    cells = (saga.namespace, saga.name, saga.ready, saga.active_revision or "-", count, saga.synced or "-")
    reason = next((each.reason for each in saga.conditions if each.type == READY), "-")
    return (*map(in_line, cells), age(saga.created, now), in_line(reason))


def _headline(saga: Shown) -> str:
    return {"True": "ready", "False": "not ready", RETIRING: "retiring"}.get(saga.ready, "not known yet")


def _name(saga: Shown, *, with_namespace: bool) -> str:
    return in_line(f"{saga.namespace}/{saga.name}" if with_namespace else saga.name)


def _section(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    head, *body = table([titles, *rows])
    return ["", paint(head, dim=True), *body]
