"""Where a schedule takes its chances from. Everything that could go one way or another here asks its one chooser.

A seeded one draws; another may replay what was drawn, or go through every choice in turn. It must be the only source:
then who knows its answers knows the schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")


class Chooser(Protocol):
    """Says which way it goes. `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 up to, but not including, 1: what happens at a rate happens where it is below that."""
        ...

    def randrange(self, stop: int, /) -> int:
        """One of 0 to `stop` - 1."""
        ...

    def choice(self, options: Sequence[T], /) -> T:
        """One of these."""
        ...


def seeded(seed: int) -> Chooser:
    """Draws, the same for the same seed. What a seed means changes with whatever asks it."""
    return Random(seed)
