"""The simulation is strong enough: it catches every protocol that is wrong in one sentence."""

from __future__ import annotations

import pytest

from sagamesh.language import graph
from sagamesh.protocol import attempt
from sagamesh.simulation import HANDLERS, Handlers, Outline, World, seeded, violations
from sagamesh.simulation.broker import PendingDelivery
from simulation.mutants import MUTANTS, Mutant, mutate
from support.builders import shapes

ENOUGH = 2_000
"""Schedules of each shape that a mutant may survive."""


SLIPS = ("NameError", "UnboundLocalError", "AttributeError", "TypeError")
"""What a mutant raises that does not do what its name says."""


def caught(shape: str, handlers: Handlers, kind: type[World] = World) -> tuple[int, str] | None:
    """By which seed, and what is wrong then."""
    outline = Outline(shapes.SHAPES[shape])
    for seed in range(ENOUGH):
        if broken := violations(kind(outline, seeded(seed), handlers).run()):
            slips = [told for told in broken if any(f" raised {slip}(" in told for slip in SLIPS)]
            assert not slips, f"an edit that is no program: {slips}"
            return seed, broken[0]
    return None


@pytest.mark.parametrize(("mutant", "shape"), [(m, shape) for m in MUTANTS for shape in m.shapes], ids=str)
def test_mutant_is_caught_by_each_of_its_shapes(mutant: Mutant, shape: str, report: list[str]) -> None:
    found = caught(shape, mutate(mutant))
    assert found, f"{ENOUGH} schedules have not shown it"
    report.append(f"{mutant!s:84} {shape:40} seed {found[0]:4}: {found[1]}")


def test_a_mutant_that_is_no_program_is_not_caught() -> None:
    mutant = Mutant("a slip", (), ((attempt, "for turn in range(READS_UNTIL_PRESENT):", "for turn in range(READS):"),))
    with pytest.raises(AssertionError, match="READS"):
        caught("diamond", mutate(mutant))


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
    """In short: shortbehind."""

    def nearest(name, after, wanted):
        return tuple(step for step in after[name] if step in wanted)

    monkeypatch.setattr(graph, "_nearest", nearest)
    assert caught("readOnly in every place", HANDLERS)


def test_a_pivot_without_a_begin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """In short: pivotopen."""
    original = graph.open_steps
    monkeypatch.setattr(graph, "open_steps", lambda saga: (*original(saga), saga.pivot.name))
    assert caught("pivot in the middle", HANDLERS)
