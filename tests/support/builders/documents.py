"""Sagas that several tests read."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagamesh_jetstream.client.ports import JsonObject

DOCS = Path(__file__).parents[3] / "docs"


def in_language_page() -> str:
    """The saga that `docs/language.md` shows in full."""
    found = re.search(r"```yaml\n(apiVersion.*?)```", (DOCS / "language.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def put(whole: JsonObject, place: Sequence[str | int], value: object) -> JsonObject:
    """A copy with a value in a place; `...` leaves out what is there."""
    parent: Any = copy.deepcopy(whole)
    written = parent
    for key in place[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return written


CHECKOUT = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: checkout, namespace: shop}
spec:
  start: {participant: orders, event: order.placed, key: event.data.orderId}
  parkAfter: 10m
  compensationOrder: reverse
  steps:
    - name: reserve-credit
      participant: customers
      after: [order.placed]
      when: event.data.total > 0
      action:
        path: /credit/reserve
        body: '{"customer": event.data.customerId, "amount": event.data.total}'
        timeout: 5s
        within: 2m
        retry: {backoff: 200ms, maxBackoff: 10s}
      emits: [{event: credit.reserved}]
      compensation: {path: /credit/release}
    - name: reserve-stock
      participant: inventory
      after: [order.placed]
      action: {path: /stock/reserve}
      emits: [{event: stock.reserved}]
      compensation: {path: /stock/release}
    - name: charge-card
      participant: payments
      after: [credit.reserved, stock.reserved]
      pivot: true
      action: {path: /charges, body: '{"order": saga.id, "amount": events["order.placed"].data.total}'}
      emits: [{event: payment.charged}]
    - name: ship
      participant: shipping
      after: [payment.charged]
      action: {path: /shipments}
      emits: [{event: order.shipped}]
"""

_SMALL = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {{name: {name}, namespace: shop}}
spec:
  start: {{participant: {by}, event: {name}.asked, key: event.data.id}}
  steps:
    - name: first
      participant: {by}
      after: [{name}.asked]
      readOnly: true
      action: {{path: /first, timeout: 30s}}
    - name: second
      participant: {then}
      after: [first.done]
      readOnly: true
      action: {{path: {path}}}
"""


def small(path: str = "/second", name: str = "small", by: str = "solo", then: str = "") -> str:
    """A saga of two steps that `NAME.asked` starts. `path`: what the second one calls, at `then` if that is given."""
    return _SMALL.format(name=name, path=path, by=by, then=then or by)
