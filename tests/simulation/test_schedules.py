"""Every shape, hundreds of schedules, every invariant. Seeds are printed; `--seed N --schedules 1` replays one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from sagamesh.language.checks import check
from sagamesh.language.model import Saga
from sagamesh.simulation import Outline, World, seeded, violations
from support.builders import shapes
from support.builders.seeds import BASE, IN_CI, seeds

FIXED, FIXED_BIG = 300, 50
"""Schedules of each shape by the same seeds every time. On unchanged code the second run can find nothing, so more of
them are a tier of their own: `make test-simulation` runs 2,000."""
LOST, FORGED = "without a participant", "with a forged begin"
"""In the place of an outcome: somebody never came back, or forged how the pivot began, and there need be none."""


def replayed(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--seed"))


Play = Callable[[int], World]


def run(name: str, play: Play, count: int, request: pytest.FixtureRequest, report: list[str]) -> Counter[str]:
    """Every schedule of a shape; how often each outcome came out. Says which seed broke what.

    Where a guard failed open there may be no outcome: such schedules are counted by that.
    """
    fixed, daily = seeds(request, count)
    outcomes: Counter[str] = Counter()
    for seed in (*fixed, *daily):
        world = play(seed)
        outcomes[seen(world)] += 1
        if broken := violations(world):
            told = f"{name}, seed {seed}: {broken}"
            assert seed in daily, told
            assert IN_CI, told
            report.append(f"BROKEN, by a seed of the day: {told}")
    told_daily = f", and {len(daily)} from {BASE}" if daily else ""
    report.append(f"{name:62} seeds up to {fixed[-1]}{told_daily}: {dict(outcomes)}")
    if not replayed(request):
        assert outcomes.keys() - {"misled", LOST, FORGED} == {"Committed", "Aborted"}
    return outcomes


def seen(world: World) -> str:
    """What a schedule came to."""
    if world.broker.misled:
        return "misled"
    return LOST if world.lost else FORGED if world.forged_begin else world.outcome


def of(saga: Saga) -> Play:
    outline = Outline(saga)
    return lambda seed: World(outline, seeded(seed)).run()


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shape(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    run(name, of(shapes.SHAPES[name]), FIXED, request, report)


@pytest.mark.parametrize("name", shapes.BIG)
def test_big_shape(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    run(name, of(shapes.BIG[name]), FIXED_BIG, request, report)


def test_random_sagas(request: pytest.FixtureRequest, report: list[str]) -> None:
    """Sagas drawn at random, of those that the checks accept."""
    with_joins = 0

    def play(seed: int) -> World:
        nonlocal with_joins
        saga = shapes.draw(Random(seed), lambda candidate: not errors(candidate))
        with_joins += any(len(step.after) > 1 for step in saga.steps)
        return World(Outline(saga), seeded(seed)).run()

    outcomes = run("random sagas", play, FIXED, request, report)
    if not replayed(request):
        assert with_joins > outcomes.total() // 10


@pytest.mark.parametrize("name", [*shapes.SHAPES, *shapes.BIG])
def test_shapes_are_sagas_that_the_checks_accept(name: str) -> None:
    assert not errors({**shapes.SHAPES, **shapes.BIG}[name])


def errors(saga: Saga) -> list[str]:
    """What the checks say, but for expressions, which are only names here."""
    found = check(shapes.without_expressions(saga))
    return [str(finding) for finding in found if finding.level == "error"]
