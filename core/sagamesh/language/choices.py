"""Which ways contradict one another? A way is one integer, with a bit for each event that comes.

The events of a step stand side by side, and above those of a step that has several stands a *fence*, a bit that no way
has. So a few operations on whole integers say at which steps ways differ, of however many steps a saga is. What is
looked at is told to `spend`, who may put an end to it: the worst saga has more pairs of ways than there is time for.
Which ways there are, and what follows from it, is asked by `ways`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import product
from operator import or_

Way = int

VISIT = 16
"""What it costs to look at two groups of ways, however small: as much as to look at so many ways."""
WIDE = 4096
"""Bits of a way that are handled nearly as fast as one."""


class Choices:
    """The bits of events. `events_of`: the events of each step. `spend`: is told how many ways are looked at."""

    def __init__(self, events_of: Iterable[Iterable[str]], spend: Callable[[int], None]) -> None:
        self.bits: Mapping[str, int]
        self._spend = spend
        self._lowest = self._fences = 0
        self._events: dict[int, int] = {}
        """Fence -> the bits of its step."""
        bits: dict[str, int] = {}
        at = 0
        for events in events_of:
            first = at
            for event in events:
                bits[event] = 1 << at
                at += 1
            if at - first > 1:
                self._events[1 << at] = (1 << at) - (1 << first)
                self._lowest |= 1 << first
                self._fences |= 1 << at
                at += 1
        self.bits = bits
        self._several = reduce(or_, self._events.values(), 0)
        self.weight = 1 + at // WIDE
        """What one way costs, in time and in memory, beside a narrow one."""

    def contradict(self, ways: list[Way], others: list[Way]) -> bool:
        """Whether every one of these contradicts every one of the others."""
        return not any(True for _ in self.agreeing(ways, others))

    def agreeing(self, ways: list[Way], others: list[Way]) -> Iterator[tuple[Way, Way]]:
        """Every pair that does not contradict.

        Comparing all pairs would take minutes. Instead both sides are split by what they choose at one step, only
        groups that choose alike (or not at all) meet, and the next step is looked at, until none tells them apart.
        """
        ahead = [(ways, others)]
        while ahead:
            left, right = ahead.pop()
            self._spend(VISIT + len(left) + len(right))
            fence = self._apart(reduce(or_, left, 0), reduce(or_, right, 0))
            if fence:
                ahead += _meeting(_split(left, self._events[fence]), _split(right, self._events[fence]))
            else:
                yield from product(left, right)

    def _apart(self, left: Way, right: Way) -> int:
        """The fence of a step at which two groups of ways may differ, each given as one; 0: there is none."""
        fences = self._chosen(left) & self._chosen(right) & self._chosen(self._beside_lowest(left | right))
        return fences & -fences

    def _chosen(self, way: Way) -> int:
        """The fences of the steps of which it has an event: where it has none, taking one away takes the fence."""
        return ((way | self._fences) - self._lowest) & self._fences

    def _beside_lowest(self, way: Way) -> int:
        """It without the lowest event of each step: at steps of which it has two, there is one left."""
        return way & ((way | self._fences) - self._lowest) & self._several


def _split(ways: list[Way], events: int) -> dict[int, list[Way]]:
    """By the event that is chosen among `events`; 0: none."""
    groups: dict[int, list[Way]] = {}
    for way in ways:
        groups.setdefault(way & events, []).append(way)
    return groups


def _meeting(lefts: dict[int, list[Way]], rights: dict[int, list[Way]]) -> Iterator[tuple[list[Way], list[Way]]]:
    """Groups that choose alike, or of which one does not choose."""
    for choice, left in lefts.items():
        for other in (choice, 0) if choice else rights:
            if other in rights:
                yield left, rights[other]
