"""Documents of the language by the dozen: the fullest, the least, and tables of what is taken and what is refused.

The unit tests hold core's reader to them, those on Kubernetes the API server. Whole sagas are in `documents`.
"""

from __future__ import annotations

import datetime
from typing import Any

from sagamesh import api_group

FULL = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: checkout, namespace: shop, labels: {team: a}, annotations: {}, uid: "1"}
spec:
  start: {participant: orders, event: order.placed, key: event.data.orderId}
  parkAfter: 1h30m
  compensationOrder: parallel
  steps:
    - name: reserve-credit
      participant: customers
      after: [order.placed]
      join: any
      when: event.data.total > 0
      action:
        path: /credit/reserve
        body: '{"amount": event.data.total}'
        timeout: 1.5s
        within: 3m
        retry: {backoff: 100ms, maxBackoff: 1m}
      emits: [{event: credit.reserved, when: response.status == 200}, {event: credit.denied}]
      compensation: {path: /credit/release, body: '{"why": cause}', timeout: 700ms}
    - name: look
      participant: customers
      after: [credit.reserved]
      action: {path: /}
      readOnly: true
    - {name: charge, participant: payments, after: [look.done], pivot: true, action: {path: /charges}}
status: {anything: [1]}
"""


def document(**spec_fields: Any) -> dict[str, Any]:
    """The least document, with fields of `spec` set, or removed where they are `...`."""
    fields: dict[str, Any] = {"start": {"participant": "orders", "event": "order.placed"}, "steps": [step()]}
    fields = {name: value for name, value in {**fields, **spec_fields}.items() if value is not ...}
    return {"apiVersion": api_group.API_VERSION, "kind": "Saga", "metadata": {"name": "checkout"}, "spec": fields}


def step(**fields: Any) -> dict[str, Any]:
    least = {"name": "charge", "participant": "payments", "after": ["order.placed"], "action": {"path": "/charges"}}
    return {name: value for name, value in {**least, **fields}.items() if value is not ...}


def action(**fields: Any) -> dict[str, Any]:
    return document(steps=[step(action={"path": "/charges", **fields})])


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in a document, as keys from its top."""
    pairs: list[tuple[Any, object]] = []
    if isinstance(value, dict | list):
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


# -- what is taken, and what is refused

FRAMES: list[tuple[dict[str, Any], str, str]] = [
    ({"apiVersion": "sagamesh.dev/v1"}, "apiVersion", "must be 'sagamesh.dev/v1alpha1', and is 'sagamesh.dev/v1'"),
    ({"kind": "saga"}, "kind", "must be 'Saga', and is 'saga'"),
    ({"metadata": None}, "metadata", "must be a mapping, as in metadata: {name: checkout}, and is missing"),
    ({"metadata": {"name": "Check_out"}}, "metadata.name", "must be a DNS label"),
    ({"metadata": {"name": "a.b"}}, "metadata.name", "must be a DNS label"),
    ({"metadata": {"name": "a" * 64}}, "metadata.name", "at most 63"),
    ({"metadata": {}}, "metadata.name", "and is missing"),
    ({"spec": ["a"]}, "spec", "must be a mapping, as in spec: {start: {...}, steps: [...]}, and is a list"),
    ({"items": {}}, "items", "the fields here are apiVersion, kind, metadata, spec"),
]
"""What stands in the place of a field at the top, the path of the problem, and what is said of it."""

FIELDS: list[tuple[dict[str, Any], str, str]] = [
    (document(deadline="15m"), "spec.deadline", "is not built yet"),
    (document(stesp=[]), "spec.stesp", "did you mean 'steps'?"),
    (document(start=...), "spec.start", "as in start: {participant: orders, event: order.placed}, and is missing"),
    (document(steps=...), "spec.steps", "must be a list, as in steps: [{name: charge,"),
    (document(steps=[]), "spec.steps", "must have at least one step"),
    (document(steps={"name": "a"}), "spec.steps", "and is a mapping"),
    (document(steps=[step()] * 501), "spec.steps", "has 501 entries, and at most 500 are allowed"),
    (document(steps=[step(emit=[])]), "spec.steps[0].emit", "did you mean 'emits'?"),
    (document(steps=[step(readonly=True)]), "spec.steps[0].readonly", "did you mean 'readOnly'?"),
    (document(steps=[step(pivot="yes")]), "spec.steps[0].pivot", "true or false, without quotes, and is 'yes'"),
    (document(steps=[step(readOnly=1)]), "spec.steps[0].readOnly", "and is the number 1"),
    (document(steps=[step(name="_")]), "spec.steps[0].name", "must be a DNS label"),
    (document(steps=[step(name="a.b")]), "spec.steps[0].name", "must be a DNS label"),
    (document(steps=[step(name="a\n")]), "spec.steps[0].name", "must be a DNS label"),
    (document(steps=[step(join="one")]), "spec.steps[0].join", "must be 'all' or 'any', and is 'one'"),
    (document(steps=[step(join=["all"])]), "spec.steps[0].join", "and is a list"),
    (
        document(steps=[step(after="order.placed")]),
        "spec.steps[0].after",
        "as in after: [order.placed], and is 'order.p",
    ),
    (document(steps=[step(after=...)]), "spec.steps[0].after", "and is missing"),
    (document(steps=[step(after=[["a"]])]), "spec.steps[0].after[0]", "must be an event type"),
    (document(steps=[step(after=["order placed"])]), "spec.steps[0].after[0]", "must be an event type"),
    (document(steps=[step(after=["a."])]), "spec.steps[0].after[0]", "must be an event type"),
    (document(steps=[step(after=["a" * 129])]), "spec.steps[0].after[0]", "at most 128"),
    (document(steps=[step(after=["a"] * 101)]), "spec.steps[0].after", "at most 100"),
    (document(steps=[step(when=True)]), "spec.steps[0].when", "must be a CEL expression in quotes"),
    (document(steps=[step(when="  \n")]), "spec.steps[0].when", "must be a CEL expression"),
    (document(steps=[step(when="x" * 2049)]), "spec.steps[0].when", "at most 2048"),
    (document(steps=[step(emits="order.shipped")]), "spec.steps[0].emits", "as in emits: [{event: order.shipped}]"),
    (document(steps=[step(emits=["a"])]), "spec.steps[0].emits[0]", "as in emits: [{event: order.shipped}], and i"),
    (document(steps=[step(emits=[])]), "spec.steps[0].emits", "without the field it is '<step>.done'"),
    (document(steps=[step(emits=[{"event": "a"}] * 33)]), "spec.steps[0].emits", "at most 32"),
    (document(steps=[step(emits=[{}])]), "spec.steps[0].emits[0].event", "and is missing"),
    (document(steps=[step(emits=[{"event": "a", "after": 1}])]), "spec.steps[0].emits[0].after", "are event, when"),
    (document(steps=[step(action="/a")]), "spec.steps[0].action", "as in action: {path: /charges}, and is '/a'"),
    (document(steps=[step(compensation="/a")]), "spec.steps[0].compensation", "must be a mapping, as in compens"),
    (document(steps=[step(compensation={"path": "/a", "within": "1m"})]), "spec.steps[0].compensation.within", ""),
    (document(steps=[step(compensation={})]), "spec.steps[0].compensation.path", "and is missing"),
    (document(steps=[step(participant="pay.shop")]), "spec.steps[0].participant", "v1alpha1 has no others"),
    (document(steps=[step(participant="shop/pay")]), "spec.steps[0].participant", "v1alpha1 has no others"),
    (document(steps=[step(participant={"name": "a"})]), "spec.steps[0].participant", "v1alpha1 has no others"),
    (document(steps=[step(participant=...)]), "spec.steps[0].participant", "and is missing"),
    (action(body={"a": "b"}), "spec.steps[0].action.body", "must be a CEL expression in quotes"),
    (action(retry="1s"), "spec.steps[0].action.retry", "as in retry: {backoff: 200ms, maxBackoff: 10s}"),
    (action(retry={"backof": "1s"}), "spec.steps[0].action.retry.backof", "did you mean 'backoff'?"),
    (action(timeout=datetime.date(2026, 1, 1)), "spec.steps[0].action.timeout", "and is a date"),
]
"""A document, the path of its one problem, and what is said of it."""

PATHS: list[str] = ["/", "/a", "/a/b-c_d.e~f/", "/v1/..a/b..", "/.well-known/a"]
"""Paths of calls."""

REFUSED_PATHS: list[str] = [
    *("", "a", "/a?b=c", "/a#b", "/..", "/.", "/a/../b", "/a/..", "/../a", "/a/./b", "/%2e", "/a b", "/ä", "/a\n"),
    *("http://elsewhere/a", "/" + "a" * 257),
]
"""What is no path of a call."""

EVENTS: list[str] = ["a", "order.placed", "OrderPlaced", "com.example.order-placed_v1", "1"]
"""Types of events."""

DURATIONS: list[tuple[str, float]] = [
    ("200ms", 0.2),
    ("700ms", 0.7),
    ("5s", 5.0),
    ("2m", 120.0),
    ("1h", 3600.0),
    ("1m30s", 90.0),
    ("1.5s", 1.5),
]
"""A duration as it is written, and its seconds."""

REFUSED_DURATIONS: list[Any] = [
    *("", "5", "0s", "-5s", "1d", "1w", "5 s", "5S", "1us", "s", "1e3s", "1.0001s", "٣s", "2h", "9" * 31 + "h"),
    *(5, 0.5, []),
]
"""What is no duration, or none of a call."""

BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"within": "721h"}, "spec.steps[0].action.within"),
    ({"retry": {"backoff": "61s"}}, "spec.steps[0].action.retry.backoff"),
    ({"retry": {"maxBackoff": "2m"}}, "spec.steps[0].action.retry.maxBackoff"),
]
"""Fields of an action, and the path of the one that is out of bounds."""
