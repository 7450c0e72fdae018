"""The simulation is strong enough: it catches every protocol that is wrong in one sentence."""

from __future__ import annotations

import pytest

from sagamesh.language import graph
from sagamesh.log.registers import FINISH
from sagamesh.protocol import endings
from sagamesh.simulation import HANDLERS, Handlers, Outline, World, seeded, violations
from sagamesh.simulation.broker import PendingDelivery
from simulation.mutants import MUTANTS, Mutant, mutate
from support.builders import shapes

ENOUGH = 2_000
"""Schedules of each shape that a mutant may survive."""


def caught(shape: str, handlers: Handlers, kind: type[World] = World) -> bool:
    outline = Outline(shapes.SHAPES[shape])
    return any(violations(kind(outline, seeded(seed), handlers).run()) for seed in range(ENOUGH))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: Mutant) -> None:
    handlers = mutate(mutant)
    assert any(caught(shape, handlers) for shape in mutant.shapes)


def test_no_mutation_is_no_mutant() -> None:
    handlers = mutate(Mutant("none", (), ()))
    outline = Outline(shapes.SHAPES["diamond"])
    assert not any(violations(World(outline, seeded(seed), handlers).run()) for seed in range(200))


class AcksFirst(World):
    """A relay that acks a delivery before anything was written."""

    def _deliver(self, delivery: PendingDelivery) -> None:
        super()._deliver(delivery)
        delivery.acked = True


def test_ack_before_write_is_caught() -> None:
    assert caught("straight 2", HANDLERS, AcksFirst)


def test_leaves_alone_as_sinks_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(saga):
        return tuple(step.name for step in saga.steps if not graph.successors(saga)[step.name])

    monkeypatch.setattr(graph, "sinks", leaves)
    assert caught("choice and merge beside a root that only one branch waits for", HANDLERS)


def test_what_only_reads_between_two_undoable_steps_must_be_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def nearest(name, after, wanted):
        return tuple(step for step in after[name] if step in wanted)

    monkeypatch.setattr(graph, "_nearest", nearest)
    assert caught("readOnly in every place", HANDLERS)


def test_a_pivot_without_a_begin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    original = graph.open_steps
    monkeypatch.setattr(graph, "open_steps", lambda saga: (*original(saga), saga.pivot.name))
    assert caught("pivot in the middle", HANDLERS)


def test_a_finish_that_is_expected_where_one_register_is_the_last_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_undone", lambda _rules: FINISH)
    assert caught("straight 2", HANDLERS)
