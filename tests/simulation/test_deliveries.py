"""Sidecars that deliver, call and write, in many runs: what must hold at each moment, and when all is at rest.

`--seed N --schedules 1` replays one.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from functools import partial

import pytest

from sagamesh_sidecar.json_logging import JsonFormatter
from support.builders.seeds import BASE, IN_CI, seeds
from support.builders.shapes import BIG, SHAPES
from support.deliveries.endings import ENDINGS, Ending, absence, busy, failing, missing_rules, trial
from support.deliveries.world import World, trace_of

FIXED = 1
"""Runs of each shape by the same seeds every time, and as many of the day: a tenth of a second each."""
FIXED_ENDINGS = 1
"""Runs of each ending, without a storm before it."""
AS_SHAPES = 50
"""Schedules of core's simulation for one of these, by `--schedules`."""


def run(name: str, worlds: dict[int, World], daily: range, report: list[str]) -> Counter[str]:
    """Every one of these; how often each outcome came out. Says which seed broke what."""
    outcomes: Counter[str] = Counter()
    for seed, world in worlds.items():
        if broken := world.run():
            told = f"{name}, seed {seed}: {broken}"
            assert seed in daily, told
            assert IN_CI, told
            report.append(f"BROKEN, by a seed of the day: {told}")
        else:
            outcomes.update(world.outcomes)
    return outcomes


@pytest.mark.parametrize("name", SHAPES)
def test_storm(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    fixed, daily = seeds(request, FIXED, of=AS_SHAPES)
    outcomes = run(name, {seed: World(SHAPES[name], seed) for seed in (*fixed, *daily)}, daily, report)
    told_daily = f", and {len(daily)} from {BASE}" if daily else ""
    report.append(f"{name:62} seeds up to {fixed[-1]}{told_daily}: {dict(sorted(outcomes.items()))}")
    assert outcomes


@pytest.mark.parametrize("ending", [*ENDINGS, trial], ids=lambda ending: ending.__name__)
def test_ending(ending: Ending, request: pytest.FixtureRequest, report: list[str]) -> None:
    fixed, daily = seeds(request, FIXED_ENDINGS, of=AS_SHAPES)
    saga = SHAPES["two steps of one participant"]
    worlds = {seed: World(saga, seed, ending=ending, stormy=False) for seed in (*fixed, *daily)}
    assert run(ending.__name__, worlds, daily, report)


def test_twenty_steps_side_by_side_are_not_held_up_by_an_app_that_is_busy_three_times() -> None:
    world = World(BIG["fan of 20"], 1, ending=busy, stormy=False)
    assert world.run() == []
    assert sum(world.witness.calls.values()) >= 80


def test_each_line_about_an_instance_says_which_run_step_and_trace() -> None:
    """Whoever logs it. A line without a step is of a whole delivery, whose rules are missing."""
    heard, wrong = Counter[str](), list[dict[str, object]]()

    def judge(world: World, record: logging.LogRecord) -> None:
        line = json.loads(JsonFormatter().format(record))
        if not (named := re.search(r"\bi-\d+", json.dumps(line))):
            return
        instance = named[0]
        heard[line["message"]] += 1
        told = [line.get(field) for field in ("saga", "instance", "run", "trace_id")]
        missing = re.fullmatch(r"revision \S+ is not here yet", line["reason"])
        right = told == [world.saga.name, instance, f"run-{instance}", trace_of(instance).split("-")[1]]
        if not right or line.get("step") not in ({None} if missing else world.outline.steps):
            wrong.append(line)

    names = ("diamond", "pivot behind a diamond", "two steps of one participant")
    for name, ending in zip(names, (absence, failing, missing_rules), strict=True):
        world = World(SHAPES[name], 5, ending=ending)
        world.heard = partial(judge, world)
        assert world.run() == []
    assert wrong == []
    assert heard.keys() >= {"again later", "parked"}


def test_a_seed_is_one_run() -> None:
    """What one seed has shown it shows again."""

    def called(seed: int) -> list[tuple[str, float]]:
        world = World(SHAPES["diamond"], seed)
        seen: list[tuple[str, float]] = []
        watched = world.witness.posts
        world.witness.posts = lambda handed, path, headers: (
            seen.append((path, world.now())),
            watched(handed, path, headers),
        )  # type: ignore[method-assign]
        world.run()
        return seen

    assert called(3) == called(3) != called(4)
