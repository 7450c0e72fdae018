"""The simulation of deliveries is strong enough: it catches every sidecar that is wrong in one sentence."""

from __future__ import annotations

import pytest

from simulation.deliveries_mutants import MUTANTS, DeliveryMutant
from support.builders.shapes import BIG, SHAPES
from support.deliveries.product import edited
from support.deliveries.world import World

ENOUGH = 60
"""Runs that a mutant may survive."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: DeliveryMutant, report: list[str]) -> None:
    product = edited(mutant.edits)
    for seed in range(ENOUGH):
        world = World({**SHAPES, **BIG}[mutant.shape], seed, product, mutant.ending, stormy=mutant.ending is None)
        if violations := world.run():
            report.append(f"{mutant.name:62} caught by seed {seed}: {violations[0]}")
            return
    pytest.fail(f"{mutant.name}: {ENOUGH} runs have not shown it")


def test_no_edit_is_no_mutant() -> None:
    product = edited(())
    assert not any(World(SHAPES["diamond"], seed, product).run() for seed in range(4))
