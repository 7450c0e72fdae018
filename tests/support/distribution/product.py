"""The product's part in it: the real modules, or what becomes of them by a few edits of their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sagamesh.distribution import plan
from sagamesh_jetstream.upkeep import distribute, fleet, lookups, retire
from sagamesh_operator.sagas import reconciler, record, standing
from support.fakes.edited import Edit, made_anew

MODULES = (plan, lookups, distribute, fleet, retire, standing, record, reconciler)
"""Each after those that it imports of these."""


class Product(NamedTuple):
    """What the world is made of: the operator's loop, and what it takes for left over."""

    Reconciler: Any
    left_over: Any


REAL = Product(reconciler.Reconciler, retire.left_over)


def edited(edits: Sequence[Edit]) -> Product:
    """The product with these edits; those that are in use stay as they are."""
    made = made_anew(MODULES, edits)
    return Product(made[reconciler.__name__].Reconciler, made[retire.__name__].left_over)
