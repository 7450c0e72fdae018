"""What is to be looked at next: each key at most once, and never by two workers at a time.

Whoever adds a key that is under way gets another turn for it afterwards, for what was seen may be old by then. Keys
have no contents: a worker looks at what is true when its turn comes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

FIRST_DELAY, MAX_DELAY = 1.0, 30.0
"""Seconds between turns that do not suffice: most faults pass in a few, and what lasts is tried twice a minute."""

K = TypeVar("K", bound=Hashable)


def backoff(failures: int) -> float:
    """Seconds until the next turn, after so many in a row that did not suffice: doubling, with jitter."""
    doublings = min(failures - 1, 10)  # long since at the longest, and no number is too large for a float
    return random.uniform(0.5, 1.0) * min(MAX_DELAY, FIRST_DELAY * 2.0**doublings)


class Workqueue(Generic[K]):
    """First come, first served. Of several delays of one key the shortest counts."""

    def __init__(self) -> None:
        self._ready: dict[K, None] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for their turn now, or have it."""
        return len(self._ready) + len(self._working)

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Give a key its turn, in so many seconds."""
        if after > 0:
            self._delay(key, after)
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        else:
            self._ready[key] = None
            self._some.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[K]:
        """Wait for a key, and keep it from the others meanwhile."""
        while not self._ready:
            self._some.clear()
            await self._some.wait()
        key = next(iter(self._ready))
        del self._ready[key]
        self._working.add(key)
        try:
            yield key
        finally:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _delay(self, key: K, after: float) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + after:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(after, self.add, key)
