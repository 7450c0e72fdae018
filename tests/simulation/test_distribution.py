"""Operators that distribute and retire, in many schedules: what must hold at each moment, and when all is at rest.

`--seed N --schedules 1` replays one.
"""

from __future__ import annotations

from collections import Counter

import pytest

from support.builders.seeds import BASE, IN_CI, seeds
from support.distribution.endings import ENDINGS
from support.distribution.world import OUTLINES, World

FIXED = 35
"""Schedules of each outline by the same seeds every time, and as many of the day: a tenth of a second each."""
AS_SHAPES = 300
"""Schedules of a shape that cost as much."""


@pytest.mark.parametrize("name", OUTLINES)
def test_outline(name: str, request: pytest.FixtureRequest, report: list[str]) -> None:
    fixed, daily = seeds(request, FIXED, of=AS_SHAPES)
    endings: Counter[str] = Counter()
    for seed in (*fixed, *daily):
        world = World(OUTLINES[name], seed)
        if broken := world.run():
            told = f"{name}, seed {seed}: {broken}"
            assert seed in daily, told
            assert IN_CI, told
            report.append(f"BROKEN, by a seed of the day: {told}")
        endings[world.ending.__name__] += 1
    told_daily = f", and {len(daily)} from {BASE}" if daily else ""
    report.append(f"{name:62} seeds up to {fixed[-1]}{told_daily}: {dict(sorted(endings.items()))}")
    if not request.config.getoption("--seed"):
        assert endings.keys() == {ending.__name__ for ending in ENDINGS}


def test_a_seed_is_one_schedule() -> None:
    """What one seed has shown it shows again."""

    def written(seed: int) -> list[tuple[str, float]]:
        world = World(OUTLINES["two operators and a meddler"], seed)
        seen: list[tuple[str, float]] = []
        watched, at = world.witness.writes, world.now
        world.witness.writes = lambda who, verb, body: (seen.append((f"{who} {verb}", at())), watched(who, verb, body))  # type: ignore[method-assign]
        world.run()
        return seen

    assert written(3) == written(3) != written(4)
