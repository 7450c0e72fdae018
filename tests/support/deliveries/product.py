"""The product's part in it: the real modules, or what becomes of them by a few edits of their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sagamesh.protocol import endings
from sagamesh_sidecar.deliveries import availability, executor, parking, relay, retry_budget, subscriptions, tally
from support.fakes.edited import Edit, made_anew

MODULES = (endings, availability, parking, tally, retry_budget, executor, relay, subscriptions)
"""Each after those that it imports of these."""


class Parts(NamedTuple):
    """What a sidecar's deliveries are made of."""

    Availability: Any
    Executor: Any
    Parking: Any
    Relay: Any
    RetryBudget: Any
    Subscriptions: Any
    Tally: Any


def edited(edits: Sequence[Edit]) -> Parts:
    """The product with these edits; those that are in use stay as they are."""
    made = made_anew(MODULES, edits)
    named = {name: value for module in made.values() for name, value in vars(module).items()}
    return Parts(*(named[field] for field in Parts._fields))


REAL = Parts(
    availability.Availability,
    executor.Executor,
    parking.Parking,
    relay.Relay,
    retry_budget.RetryBudget,
    subscriptions.Subscriptions,
    tally.Tally,
)
