"""The language: a parsed document of kind `Saga` becomes the model, with defaults.

Every field of v1alpha1 is named here, once, with its form and its bounds. What is not named is refused, and so is what
the design names but this version does not carry out. Whether the saga makes sense is not asked here: see `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from sagamesh.api_group import API_VERSION, KIND
from sagamesh.errors import SpecError
from sagamesh.language.document import Form, Node, node
from sagamesh.language.model import Action, Compensation, Emit, Join, Order, Retry, Saga, StartSpec, Step
from sagamesh.text import LABEL, LONGEST_LABEL

MOST_STEPS = 500
"""Rules for as many take a second to make, and 200 KiB where one participant owns all: a message of NATS holds them."""
MOST_INPUTS = 100
"""Of one step. The API server asks for a bound of every list, and an attempt may prove the absence of each input."""
MOST_EMITS = 32
"""Of one step: another bound for the API server, far more than one answer can tell apart."""
LONGEST_CALL = "1h"
"""While a call lasts, its delivery stays in hand at one sidecar, whose restart begins the call anew."""
LONGEST_STEP = "720h"
"""Thirty days."""
LONGEST_DELAY = "1m"
"""A longer delay between calls would need timers, which are not built yet."""


def _label(example: str) -> Form:
    """A name in subjects, streams and Kubernetes. Two labels always fit in the name of a stream."""
    rule = f"a DNS label (lower case letters, digits and '-', at most {LONGEST_LABEL}), such as {example!r}"
    return Form(pattern=LABEL, longest=LONGEST_LABEL, rule=rule)


NAME = _label("checkout")
STEP = _label("reserve-credit")
PARTICIPANT = _label("payments")
EVENT = Form(
    pattern=re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"),
    longest=128,  # half of what a CloudEvents attribute may have (`binding.MAX_ATTRIBUTE`)
    rule="an event type (letters, digits, '.', '_' and '-', at most 128), such as 'order.placed'",
)
_LETTERS = "A-Za-z0-9_~-"
_LETTER = f"[{_LETTERS}]"
PATH = Form(
    pattern=re.compile(rf"(?:/(?:(?:\.?\.?{_LETTER}|\.\.\.)[.{_LETTERS}]*)?)+"),
    longest=257,  # the slash, and 256 characters
    rule="a path at the participant's app (letters, digits and '._~/-'; no host, query or '..'), such as '/charges'",
)
EXPRESSION = Form(
    pattern=re.compile(r"\s*\S.*", re.DOTALL),
    longest=2048,  # `expressions.MAX_LENGTH`
    rule="a CEL expression in quotes (at most 2048 characters), such as '{\"id\": event.data.orderId}'",
)


def read(document: object, *, namespace: str = "default") -> Saga:
    """The saga that a document defines. `namespace`: where it is, unless it says so itself.

    Raises SpecError: the first of its `problems`.
    """
    definition, wrongs = _read(document, namespace)
    if wrongs:
        raise wrongs[0]
    return definition


def problems(document: object, *, namespace: str = "default") -> tuple[SpecError, ...]:
    """Everything for which `read` would refuse a document."""
    return tuple(_read(document, namespace)[1])


def _read(document: object, namespace: str) -> tuple[Saga, list[SpecError]]:
    wrongs: list[SpecError] = []
    top = node(document, "", wrongs, "must be a mapping with apiVersion, kind, metadata and spec")
    return saga(top, namespace), wrongs


def saga(top: Node, namespace: str) -> Saga:
    """The whole language, asked of a node field by field. `schema` notes what is asked."""
    top.constant("apiVersion", API_VERSION)
    top.constant("kind", KIND)
    metadata = top.child("metadata", "metadata: {name: checkout}")  # what else it holds is the business of Kubernetes
    spec = top.child("spec", "spec: {start: {...}, steps: [...]}")
    top.close("status")
    parsed = Saga(
        namespace=metadata.text("namespace", NAME, default=namespace),
        name=metadata.text("name", NAME),
        start=_start(spec.child("start", "start: {participant: orders, event: order.placed}")),
        steps=_steps(spec),
        compensation_order=cast("Order", spec.choice("compensationOrder", ("reverse", "parallel"))),
        park_after=spec.seconds("parkAfter", default=600.0, most=LONGEST_STEP),
    )
    spec.not_built("deadline")
    spec.close("deadline")
    return parsed


def _start(start: Node) -> StartSpec:
    parsed = StartSpec(
        participant=_participant(start),
        event=start.text("event", EVENT),
        key=start.optional_text("key", EXPRESSION),
    )
    start.close()
    return parsed


def _steps(spec: Node) -> tuple[Step, ...]:
    example = "steps: [{name: charge, participant: payments, after: [order.placed], action: {path: /charges}}]"
    steps = spec.nodes("steps", MOST_STEPS, example)
    if spec.get("steps") == []:
        spec.refuse("steps", f"must have at least one step, as in {example}")
    return tuple(_step(step) for step in steps)


def _step(step: Node) -> Step:
    name = step.text("name", STEP)
    parsed = Step(
        name=name,
        participant=_participant(step),
        after=_after(step),
        join=cast("Join", step.choice("join", ("all", "any"))),
        when=step.optional_text("when", EXPRESSION),
        pivot=step.flag("pivot"),
        read_only=step.flag("readOnly"),
        action=_action(step.child("action", "action: {path: /charges}")),
        emits=_emits(step) or (Emit(event=f"{name}.done"),),
        compensation=_compensation(step.optional_child("compensation", "compensation: {path: /charges/refund}")),
    )
    step.close()
    return parsed


def _after(step: Node) -> tuple[str, ...]:
    example = "after: [order.placed]"
    why = f"is called `after` now, as in {example}: YAML 1.1 makes the boolean true of the word on"
    if step.renamed("on", "after", why):
        return ()
    return step.texts("after", EVENT, MOST_INPUTS, example)


def _participant(owner: Node) -> str:
    value = owner.get("participant")
    if isinstance(value, Mapping) or (isinstance(value, str) and not {"/", "."}.isdisjoint(value)):
        owner.refuse("participant", "must be of the saga's own namespace (v1alpha1 has no others): write its name only")
        return ""
    return owner.text("participant", PARTICIPANT)


def _action(action: Node) -> Action:
    parsed = Action(
        path=action.text("path", PATH),
        body=action.optional_text("body", EXPRESSION),
        timeout=action.seconds("timeout", default=5.0, most=LONGEST_CALL),
        within=action.seconds("within", default=120.0, most=LONGEST_STEP),
        retry=_retry(action.optional_child("retry", "retry: {backoff: 200ms, maxBackoff: 10s}")),
    )
    action.close()
    return parsed


def _retry(retry: Node | None) -> Retry:
    if retry is None:
        return Retry()
    parsed = Retry(
        backoff=retry.seconds("backoff", default=0.2, most=LONGEST_DELAY),
        max_backoff=retry.seconds("maxBackoff", default=10.0, most=LONGEST_DELAY),
    )
    retry.close()
    return parsed


def _emits(step: Node) -> tuple[Emit, ...]:
    """Without the field: the one event `<step>.done`."""
    example = "emits: [{event: order.shipped}]"
    if step.get("emits") == []:
        step.refuse("emits", f"must have at least one event, as in {example}; without the field it is '<step>.done'")
    return tuple(map(_emit, step.optional_nodes("emits", MOST_EMITS, example)))


def _emit(emit: Node) -> Emit:
    parsed = Emit(event=emit.text("event", EVENT), when=emit.optional_text("when", EXPRESSION))
    emit.close()
    return parsed


def _compensation(compensation: Node | None) -> Compensation | None:
    if compensation is None:
        return None
    parsed = Compensation(
        path=compensation.text("path", PATH),
        body=compensation.optional_text("body", EXPRESSION),
        timeout=compensation.seconds("timeout", default=5.0, most=LONGEST_CALL),
    )
    compensation.close()
    return parsed
