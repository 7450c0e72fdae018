"""What stays the same over all schedules of one saga: its rules, and who comes before whom."""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.errors import EvaluationError
from sagamesh.language import graph
from sagamesh.language.cel.expressions import Place
from sagamesh.language.model import Saga
from sagamesh.rules.compiled import Program, Rules, prepare
from sagamesh.rules.projection import project
from sagamesh.simulation.chooser import Chooser


class Choice:
    """A program that gives what the schedule drew for it, in the place of CEL. None: it cannot be evaluated."""

    names: frozenset[str] = frozenset()

    def __init__(self, source: str, place: Place, drawn: Mapping[str, bool | None]) -> None:
        self.source = source
        self.place = place
        self.drawn = drawn

    def __call__(self, _variables: Mapping[str, object], /) -> object:
        chosen = self.drawn[self.source]
        if chosen is None:
            raise EvaluationError(f"{self.source} cannot be evaluated", self.place.field)
        return chosen


class Outline:
    """A saga in outline, ready to be simulated.

    Expressions are only names here: `drawn` holds what each gives in this schedule.
    """

    def __init__(self, saga: Saga) -> None:
        self.saga = saga
        self.drawn: dict[str, bool | None] = {}
        documents = project(saga, events_of=lambda _source, _place, _single: frozenset())
        self.rules: dict[str, Rules] = {name: prepare(rules, self._compile) for name, rules in documents.items()}
        self.steps = {step.name: step for step in saga.steps}
        self.inputs = {step.name: graph.inputs(saga, step) for step in saga.steps}
        self.after = {name: graph.downstream(saga, name) for name in self.steps}
        self.retriable = self.after[saga.pivot.name] if saga.pivot else frozenset()
        self.open = frozenset(graph.open_steps(saga))
        self.behind = graph.behind(saga)
        self.must_succeed = {saga.pivot.name, *self.after[saga.pivot.name]} if saga.pivot else set()
        self.in_order = graph.order(saga)[1:]

    def draw(self, chooser: Chooser) -> None:
        """What each expression gives in the next schedule."""
        drawn, choice = self.drawn, chooser.choice
        for step in self.saga.steps:
            if step.when is not None:
                drawn[step.when] = choice((True, True, False, False, None))
            if step.action.body is not None:
                drawn[step.action.body] = choice((True, True, True, None))
            for emit in step.emits:
                if emit.when is not None:
                    drawn[emit.when] = choice((True, False, None))
            if step.compensation is not None and step.compensation.body is not None:
                drawn[step.compensation.body] = choice((True, None))

    def mend(self) -> None:
        """From now on the expressions can be evaluated for which retriable steps wait."""
        for name in self.retriable:
            for source in self._asked_for(name):
                if self.drawn[source] is None:
                    self.drawn[source] = True

    def is_hopeless(self, name: str) -> bool:
        """Whether a step's call cannot be made."""
        return any(self.drawn[source] is None for source in self._asked_for(name))

    def _asked_for(self, name: str) -> list[str]:
        """The expressions that a step's call is made from."""
        step = self.steps[name]
        return [source for source in (step.when, step.action.body) if source is not None]

    def announced(self, name: str) -> str:
        """The event that a success of a step announces, where its app does not choose."""
        for emit in self.steps[name].emits:
            holds = self.drawn[emit.when] if emit.when is not None else True
            if holds is None:
                break
            if holds:
                return emit.event
        return self.steps[name].emits[-1].event

    def _compile(self, source: str, place: Place, _single: bool) -> Program:
        return Choice(source, place, self.drawn)
