"""Which seeds a simulation runs: the same every time, and some that nobody has tried before."""

from __future__ import annotations

import os
import time

import pytest

DAY = 86_400
BASE = (1 + int(time.time()) // DAY) * 100_000
"""The first of as many seeds that nobody has tried before: another one each day, and far from the fixed ones."""
IN_CI = bool(os.environ.get("CI"))
"""There the fixed seeds judge and the day's are reported, so that a change is not refused for what it did not do."""


def seeds(request: pytest.FixtureRequest, fixed: int, *, of: int | None = None) -> tuple[range, range]:
    """The fixed ones, and those of the day; of a replay only those that it asks for.

    `of`: so many schedules, by which the option `--schedules` measures, cost what `fixed` of these cost.
    """
    asked = request.config.getoption("--schedules")
    first = request.config.getoption("--seed")
    if first:
        return range(first, first + (asked or fixed)), range(0)
    every = asked * fixed // of if asked and of else asked
    return range(1, 1 + (every or fixed)), range(BASE, BASE + fixed)
