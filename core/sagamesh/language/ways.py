"""In which ways can a step come to run? And which steps exclude one another?

A *way* is a set of (step, event) choices that together make a step run: those of its inputs, united for a join by
`all`, each for one by `any`. Two ways contradict where some step would have to end in two events; two steps exclude one
another where every way of the one contradicts every way of the other. This is exact, since steps choose freely.

Exact answers can take more than anybody has: what is done is counted, in steps that are the same on every machine, and
there is an end to it. Expects a saga in which every event has one producer and no step waits for itself. How ways are
held and compared is `choices`'; sentences for authors are made in `checks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, islice

from sagamesh.language import graph
from sagamesh.language.choices import Choices, Way
from sagamesh.language.model import Saga, Step

MOST_WAYS = 10_000
"""Of one step: 8,000 are found in 30 ms and compared in 0.2 s, and no author can follow as many."""
MOST_IN_ALL = 100_000
"""Of all steps of a saga together: bounds memory."""
MOST_WORK = 5_000_000
"""Ways that are looked at, for all questions about a saga: half a second, and two where the machine is slow."""


class TooManyWaysError(Exception):
    """The saga branches too much to be checked: `limit` says in which respect, at `step`."""

    def __init__(self, step: str, limit: str) -> None:
        super().__init__(step, limit)
        self.step = step
        self.limit = limit


class Ways:
    """The ways of every step of a saga. It, and every question to it, raises TooManyWaysError."""

    def __init__(self, saga: Saga) -> None:
        self.work = 0
        """Ways that were looked at until now."""
        self._at: str
        """The step that is looked at: who has too many ways."""
        self._producer = graph.producers(saga)
        events_of: dict[str, list[str]] = {}
        for event, step in self._producer.items():
            events_of.setdefault(step, []).append(event)
        self._choices = Choices(events_of.values(), self._spend)
        self._bit = self._choices.bits
        self._events = {step: sum(self._bit[event] for event in events) for step, events in events_of.items()}
        self._found = 0
        self._ways: dict[str, list[Way]] = {graph.START: [0]}
        steps = {step.name: step for step in saga.steps}
        for name in graph.order(saga):
            if name != graph.START:
                self._at = name
                self._ways[name] = self._of(steps[name])
                self._found += len(self._ways[name])

    def can_run(self, step: str) -> bool:
        return bool(self._ways[step])

    def race(self, step: Step) -> tuple[str, str] | None:
        """Two events that may both come, where one is enough for the step."""
        self._at = step.name
        pairs = combinations(dict.fromkeys(step.after), 2) if step.join == "any" else ()
        return next((pair for pair in pairs if not self.exclude(*pair)), None)

    def exclude(self, event: str, other: str) -> bool:
        """Whether two events never come in the same instance."""
        return self._choices.contradict(self._announced(event), self._announced(other))

    def only_after(self, step: str, first: str) -> bool:
        """Whether `step` runs in no way without the end of `first`."""
        return all(way & self._events[first] for way in self._look(step))

    def settled(self, step: str, before: str) -> bool:
        """Whether, in every way in which `before` can run, `step` has ended by then, or is excluded."""
        open_ways = [way for way in self._look(before) if not way & self._events[step]]
        return self._choices.contradict(self._ways[step], open_ways)

    def possible(self, event: str, before: str) -> bool:
        """Whether `event` comes before `before`, in at least one way."""
        return any(way & self._bit[event] for way in self._look(before))

    def _look(self, step: str) -> list[Way]:
        self._at = step
        self._spend(len(self._ways[step]))
        return self._ways[step]

    def _of(self, step: Step) -> list[Way]:
        if step.join == "any":
            return self._limited(way for event in step.after for way in self._announced(event))
        united = [0]
        for event in step.after:
            agreeing = self._choices.agreeing(united, self._announced(event))
            united = self._limited(one | other for one, other in agreeing)
        return united

    def _announced(self, event: str) -> list[Way]:
        """The ways in which an event comes. None, where its step would have to end in another one, too."""
        ways = self._ways[self._producer[event]]
        self._spend(len(ways))
        return [way | self._bit[event] for way in ways]

    def _limited(self, ways: Iterable[Way]) -> list[Way]:
        """Each once. They are counted before that: what says the same again and again takes time, too."""
        room = MOST_IN_ALL // self._choices.weight - self._found
        found = list(islice(ways, min(MOST_WAYS, room) + 1))
        self._spend(len(found))
        if len(found) > MOST_WAYS:
            raise TooManyWaysError(self._at, f"over {MOST_WAYS} to this step")
        if len(found) > room:
            raise TooManyWaysError(self._at, f"over {MOST_IN_ALL} to all steps up to this one")
        return list(dict.fromkeys(found))

    def _spend(self, ways: int) -> None:
        self.work += ways * self._choices.weight
        if self.work > MOST_WORK:
            raise TooManyWaysError(self._at, f"telling them apart takes over {MOST_WORK} comparisons")
