"""The custom resource `sagas.sagamesh.dev`, made of core's schema: what the API server knows of a Saga.

What it can judge, it judges at `kubectl apply`, by the rules in CEL below; each is also a check of core, whose code it
names. All that follows from the saga as a whole is judged by the operator, and said in the status. Its file is made by
`sagamesh_tools`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sagamesh.api_group import API_VERSION, CRD, GROUP, KIND, PLURAL, VERSION
from sagamesh.distribution.buckets import HEARTBEAT_TTL
from sagamesh.language import schema
from sagamesh.language.schema import Schema, is_duration, rule
from sagamesh.language.spec import NAME

LABELS = {
    "app.kubernetes.io/name": "sagamesh",
    "app.kubernetes.io/part-of": "sagamesh",
    "app.kubernetes.io/component": "resource",
}

LIST_TYPES: Mapping[str, Schema] = {
    "steps": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},  # SM001
    "steps.after": {"x-kubernetes-list-type": "set"},  # SM006
    "steps.emits": {"x-kubernetes-list-type": "atomic"},  # their order counts
}


def _no_longer(one: str, other: str) -> str:
    return f"!({is_duration(one)} && {is_duration(other)}) || duration({one}) <= duration({other})"


RULES: Mapping[str, tuple[Schema, ...]] = {
    "": (
        rule(
            "self.steps.filter(s, s.pivot).size() <= 1",
            "SM011: at most one step may be the pivot, the one that cannot be undone once it succeeded",
        ),
        rule(
            "self.steps.exists(s, s.pivot) || self.steps.all(s, s.readOnly || has(s.compensation))",
            "SM007: in a saga without a pivot every step needs a `compensation`, or `readOnly: true` if it changes "
            "nothing",
        ),
        rule(
            "self.steps.all(s, !has(s.emits) || s.emits.all(e, e.event != self.start.event))",
            "SM002: no step may emit the event that starts the saga",
        ),
    ),
    "steps": (
        rule("!self.pivot || !has(self.when)", "SM012: the pivot may not have a `when`, for it may not be skipped"),
        rule(
            "!self.pivot || !has(self.compensation)",
            "SM009: the pivot may not have a `compensation`: after its success nothing is undone",
        ),
        rule(
            "!self.readOnly || !has(self.compensation)",
            "SM008: a step that is `readOnly` may not have a `compensation`: there is nothing to undo",
        ),
        rule(
            "!has(self.emits) || !has(self.emits[size(self.emits) - 1].when)",
            "SM017: the last event of `emits` may not have a `when`: some event must fit every answer",
        ),
    ),
    "steps.action": (
        rule(
            _no_longer("self.timeout", "self.within"),
            "SM022: `timeout`, of one call, must not be longer than `within`, of the whole step",
        ),
    ),
    "steps.action.retry": (
        rule(
            _no_longer("self.backoff", "self.maxBackoff"),
            "SM023: `backoff`, the first delay, must not be longer than `maxBackoff`",
        ),
    ),
}
"""Rules between fields, by the path of the object that they are about (of a list: of each of its items)."""

COLUMNS = (
    ("READY", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether every sidecar holds the rules."),
    ("REVISION", "string", ".status.activeRevision", "The revision that new instances take."),
    ("PARTICIPANTS", "integer", ".status.participantCount", "How many services take part."),
    ("SYNCED", "string", ".status.synced", "Sidecars that hold the revision, of all that live."),
    ("AGE", "date", ".metadata.creationTimestamp", "How long ago it was created."),
)
WIDE = (("REASON", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready, or not."),)


def resource() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD, "labels": dict(LABELS)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "saga",
                "shortNames": ["sm"],
                "categories": ["sagamesh"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [*_columns(COLUMNS, 0), *_columns(WIDE, 1)],
                }
            ],
        },
    }


def _schema() -> Schema:
    name = f"self.metadata.name.matches(r'^{NAME.pattern.pattern}$') && size(self.metadata.name) <= {NAME.longest}"
    spec = schema.of_spec()
    for path in LIST_TYPES.keys() | RULES.keys():
        field = _at(spec, path)
        field.update(LIST_TYPES.get(path, {}))
        ruled = field.get("items", field)  # a rule about a list is about each of its items
        if path in RULES:
            ruled["x-kubernetes-validations"] = [*ruled.get("x-kubernetes-validations", ()), *RULES[path]]
    return {
        "description": "A saga over several services, carried out by the services themselves.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"{API_VERSION}.", "type": "string"},
            "kind": {"description": f"{KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": STATUS,
        },
        "x-kubernetes-validations": [rule(name, f"metadata.name must be {NAME.rule}")],
    }


def _at(field: Schema, path: str) -> Schema:
    """The schema of a field, by its path below the spec."""
    for name in filter(None, path.split(".")):
        field = field.get("items", field)["properties"][name]
    return field


def _columns(columns: Iterable[tuple[str, str, str, str]], priority: int) -> Iterable[Schema]:
    for name, kind, path, description in columns:
        yield {"name": name, "type": kind, "jsonPath": path, "description": description, "priority": priority}


def _fields(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _field(kind: str, description: str, **more: Any) -> Schema:
    return {"description": description, "type": kind, **more}


# Lengths as in metav1.Condition, but that of `type`, of which there are four.
CONDITION = {
    **_fields(
        type=_field("string", "Accepted, Distributed, Ready or Stalled.", maxLength=64),
        status=_field("string", "True, False or Unknown.", enum=["True", "False", "Unknown"]),
        observedGeneration=_field("integer", "The generation of the spec that this is about.", format="int64"),
        lastTransitionTime=_field("string", "When the status became what it is.", format="date-time"),
        reason=_field(
            "string", "Why, as one word: a code of a check, or a reason of docs/operator.md.", maxLength=1024
        ),
        message=_field("string", "Why, as a sentence for people.", maxLength=32768),
    ),
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
}

PARTICIPANT = {
    **_fields(
        name=_field("string", "The participant."),
        sidecars=_field(
            "integer", f"Its sidecars that have told of themselves in the last {HEARTBEAT_TTL} seconds.", format="int32"
        ),
        synced=_field("integer", "Those of them that hold this revision.", format="int32"),
    ),
    "required": ["name", "sidecars", "synced"],
}

STATUS = {
    "description": "What the operator has made of the spec. It never says anything about instances.",
    **_fields(
        observedGeneration=_field("integer", "The generation of the spec that this is about.", format="int64"),
        revision=_field("string", "The content hash of the rules that this spec means."),
        activeRevision=_field("string", "The revision that new instances take. An instance keeps its own for life."),
        steps=_field("integer", "How many steps the saga has.", format="int32"),
        participantCount=_field("integer", "How many services take part.", format="int32"),
        synced=_field("string", "Sidecars that hold the revision, of all that live, as in 5/6."),
        replicas=_field("integer", "On how many NATS servers each entry of the saga's log is.", format="int32"),
        participants=_field(
            "array",
            "Who takes part, and whether their sidecars hold the rules.",
            items=PARTICIPANT,
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
        conditions=_field(
            "array",
            "Accepted: the checks found no error. Distributed: log and rules stand in NATS. Ready: every sidecar holds "
            "the rules. Stalled: it will not go on unless somebody changes something.",
            items=CONDITION,
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ),
}
