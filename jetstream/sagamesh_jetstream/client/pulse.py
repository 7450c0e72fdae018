"""Whether this process has stood still: a laptop that was shut, a stopped process, a machine that was moved.

Everybody else's time has passed meanwhile. What to do about that is for `connection` to decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Of Linux's clocks that are never set, the one that also counts while the whole machine is suspended. There
CLOCK_MONOTONIC, by which `time.monotonic` and every timer go, stands still; elsewhere (macOS) it counts that, too. To a
virtual machine that is moved no clock may tell how long that took."""


def elapsed() -> float:
    """Seconds since some moment in the past, however many of them this machine slept through."""
    return time.clock_gettime(_CLOCK)


class Pulse:
    """Beats more often than every `longest` seconds, as long as this process runs."""

    def __init__(self, longest: float, clock: Callable[[], float] = elapsed) -> None:
        self._longest = longest
        self._clock = clock
        self._last = clock()

    def beat(self) -> float:
        """For how many seconds it stood still since the last beat, where that is too long; else 0."""
        now = self._clock()
        still, self._last = now - self._last, now
        return still if still > self._longest else 0.0
