"""The simulation of distribution is strong enough: it catches every operator that is wrong in one sentence."""

from __future__ import annotations

import pytest

from simulation.distribution_mutants import MUTANTS, ProductMutant
from support.distribution.product import edited
from support.distribution.world import OUTLINES, World

ENOUGH = 200
"""Schedules that a mutant may survive."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: ProductMutant, report: list[str]) -> None:
    product = edited(mutant.edits)
    for seed in range(ENOUGH):
        if violations := World(OUTLINES[mutant.outline], seed, product, mutant.ending).run():
            report.append(f"{mutant.name:62} caught by seed {seed}: {violations[0]}")
            return
    pytest.fail(f"{mutant.name}: {ENOUGH} schedules have not shown it")


def test_no_edit_is_no_mutant() -> None:
    product = edited(())
    assert not any(World(OUTLINES["two operators"], seed, product).run() for seed in range(10))
