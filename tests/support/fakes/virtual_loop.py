"""asyncio without a clock and without I/O: time passes when nobody has anything to do, and chance says who comes first.

One seed, one run, in no time. Whatever asks another clock than the loop's, or another chance, breaks that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 0, and jumps to the next timer. Of the callbacks that are ready, the order is drawn."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._passed = 0.0
        self._clock_resolution = 1e-9
        self._selector = self

    def time(self) -> float:
        return self._passed

    def select(self, timeout: float | None) -> list[object]:
        """What BaseEventLoop asks when it would wait for I/O, of which there is none."""
        if timeout is None:
            raise RuntimeError("nobody is ready, and nobody waits for a time: this would stand still for ever")
        self._passed += max(0.0, timeout)
        return []

    def _process_events(self, _: list[object]) -> None:
        if len(self._ready) > 1:
            ready = list(self._ready)
            self._chance.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)

    def _write_to_self(self) -> None:
        """There is no other thread to wake this one."""


def play(chance: Random, scenario: Coroutine[Any, Any, Result]) -> Result:
    """Run a scenario to its end, and cancel what it leaves behind."""
    loop = VirtualLoop(chance)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(scenario)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
