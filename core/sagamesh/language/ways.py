"""In which ways can a step come to run? And which steps exclude one another?

A *way* is a set of (step, event) choices that together make a step run: those of its inputs, united for a join by
`all`, each for one by `any`. Two ways contradict where some step would have to end in two events; two steps exclude one
another where every way of the one contradicts every way of the other. This is exact, since steps choose freely.

A way is held as an integer with one bit for each event, so that uniting and comparing are single operations. Expects a
saga in which every event has one producer and no step waits for itself. Sentences for authors are made in `checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import product
from operator import or_

from sagamesh.language import graph
from sagamesh.language.model import Saga, Step

MOST_WAYS = 10_000
"""Of one step: 8,000 are found in 30 ms and compared in 0.2 s, and no author can follow as many."""
MOST_IN_ALL = 100_000
"""Of all steps of a saga together: bounds time and memory."""

Way = int


class TooManyWaysError(Exception):
    """The saga branches too much to be checked. Counted up to `step`."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class Ways:
    """The ways of every step of a saga. Raises TooManyWaysError."""

    def __init__(self, saga: Saga) -> None:
        self._producer = graph.producers(saga)
        self._bit = {event: 1 << i for i, event in enumerate(self._producer)}
        self._events: dict[str, int] = {}
        for event, step in self._producer.items():
            self._events[step] = self._events.get(step, 0) | self._bit[event]
        self._choices = tuple(events for events in self._events.values() if events.bit_count() > 1)
        self._ways: dict[str, list[Way]] = {graph.START: [0]}
        steps = {step.name: step for step in saga.steps}
        for name in graph.order(saga):
            if name != graph.START:
                self._ways[name] = self._of(steps[name])

    def can_run(self, step: str) -> bool:
        return bool(self._ways[step])

    def exclude(self, event: str, other: str) -> bool:
        """Whether two events never come in the same instance."""
        return self._contradict(self._announced(event), self._announced(other))

    def only_after(self, step: str, first: str) -> bool:
        """Whether `step` runs in no way without the end of `first`."""
        return all(way & self._events[first] for way in self._ways[step])

    def settled(self, step: str, before: str) -> bool:
        """Whether, in every way in which `before` can run, `step` has ended by then, or is excluded."""
        open_ways = [way for way in self._ways[before] if not way & self._events[step]]
        return self._contradict(self._ways[step], open_ways)

    def possible(self, event: str, before: str) -> bool:
        """Whether `event` comes before `before`, in at least one way."""
        return any(way & self._bit[event] for way in self._ways[before])

    def _of(self, step: Step) -> list[Way]:
        if step.join == "any":
            return self._limited(step, (way for event in step.after for way in self._announced(event)))
        united = [0]
        for event in step.after:
            agreeing = _agreeing(united, self._announced(event), self._choices)
            united = self._limited(step, (one | other for one, other in agreeing))
        return united

    def _announced(self, event: str) -> list[Way]:
        """The ways in which an event comes. None, where its step would have to end in another one, too."""
        return [way | self._bit[event] for way in self._ways[self._producer[event]]]

    def _contradict(self, ways: list[Way], others: list[Way]) -> bool:
        return not any(True for _ in _agreeing(ways, others, self._choices))

    def _limited(self, step: Step, ways: Iterable[Way]) -> list[Way]:
        room = min(MOST_WAYS, MOST_IN_ALL - sum(map(len, self._ways.values())))
        kept: dict[Way, None] = {}
        for count, way in enumerate(ways):
            if count >= room:
                raise TooManyWaysError(step.name)
            kept[way] = None
        return list(kept)


def _agreeing(ways: list[Way], others: list[Way], choices: Iterable[int]) -> Iterator[tuple[Way, Way]]:
    """Every pair that does not contradict. `choices`: for each step of several events, the bits of them.

    Comparing all pairs would take minutes. Instead both sides are split by what they choose at one step, only groups
    that choose alike (or not at all) meet, and the next step is looked at, until no step tells them apart.
    """
    ahead = [(ways, others)]
    while ahead:
        left, right = ahead.pop()
        chosen, chosen_too = reduce(or_, left, 0), reduce(or_, right, 0)
        apart = next((events for events in choices if _may_differ(chosen & events, chosen_too & events)), None)
        if apart is None:
            yield from product(left, right)
            continue
        lefts, rights = _split(left, apart), _split(right, apart)
        ahead += [(lefts[x], rights[y]) for x in lefts for y in rights if x == y or not (x and y)]


def _may_differ(left: int, right: int) -> bool:
    return bool(left and right and (left | right).bit_count() > 1)


def _split(ways: list[Way], events: int) -> dict[int, list[Way]]:
    """By the event that is chosen among `events`; 0: none."""
    groups: dict[int, list[Way]] = {}
    for way in ways:
        groups.setdefault(way & events, []).append(way)
    return groups
