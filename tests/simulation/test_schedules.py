"""Every shape, thousands of schedules, every invariant. Seeds are printed; `--seed N --schedules 1` replays one."""

from __future__ import annotations

from random import Random

import pytest

from sagamesh.language.checks import check
from sagamesh.language.model import Saga
from sagamesh.simulation import Outline, World, seeded, violations
from support.builders import shapes

LEAST = 2_000
LEAST_BIG = 200


def seeds(request: pytest.FixtureRequest, least: int) -> range:
    first = request.config.getoption("--seed") or 1
    return range(first, first + (request.config.getoption("--schedules") or least))


def replayed(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--seed"))


def run(name: str, saga: Saga, least: int, request: pytest.FixtureRequest, report: list[str]) -> None:
    outline = Outline(saga)
    outcomes: dict[str, int] = {}
    for seed in seeds(request, least):
        world = World(outline, seeded(seed)).run()
        assert not violations(world), f"{name}, seed {seed}: {violations(world)}"
        outcome = world.outcome
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    schedules = sum(outcomes.values())
    report.append(f"{name:62} up to seed {seed}  {schedules} schedules  {outcomes}")
    if not replayed(request):
        assert schedules >= least
        assert outcomes.keys() == {"Committed", "Aborted"}


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shape(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    run(name, shapes.SHAPES[name], LEAST, request, report)


@pytest.mark.parametrize("name", shapes.BIG)
def test_big_shape(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    run(name, shapes.BIG[name], LEAST_BIG, request, report)


def test_random_sagas(request: pytest.FixtureRequest, report: list[str]) -> None:
    """Sagas drawn at random, of those that the checks accept."""
    joins = schedules = 0
    for seed in seeds(request, LEAST):
        saga = shapes.draw(Random(seed), lambda candidate: not errors(candidate))
        world = World(Outline(saga), seeded(seed)).run()
        assert not violations(world), f"random saga, seed {seed}: {violations(world)}"
        joins += any(len(step.on) > 1 for step in saga.steps)
        schedules += 1
    report.append(f"{'random sagas':62} up to seed {seed}  {schedules} schedules, {joins} with joins")
    if not replayed(request):
        assert schedules >= LEAST
        assert joins > LEAST // 10


@pytest.mark.parametrize("name", [*shapes.SHAPES, *shapes.BIG])
def test_shapes_are_sagas_that_the_checks_accept(name: str) -> None:
    assert not errors({**shapes.SHAPES, **shapes.BIG}[name])


def errors(saga: Saga) -> list[str]:
    """What the checks say, but for expressions, which are only names here."""
    found = check(shapes.without_expressions(saga))
    return [str(finding) for finding in found if finding.level == "error"]
