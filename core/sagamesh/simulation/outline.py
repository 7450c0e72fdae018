"""What stays the same over all schedules of one saga: its rules, and who comes before whom."""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.errors import EvaluationError
from sagamesh.language import graph
from sagamesh.language.expressions import Place
from sagamesh.language.model import Saga
from sagamesh.rules.compiled import Program, Rules, prepare
from sagamesh.rules.projection import project


class Choice:
    """A program that gives what the schedule drew for it, in the place of CEL. None: it cannot be evaluated."""

    names: frozenset[str] = frozenset()

    def __init__(self, source: str, drawn: Mapping[str, bool | None]) -> None:
        self.source = source
        self.drawn = drawn

    def __call__(self, _variables: Mapping[str, object], /) -> object:
        chosen = self.drawn[self.source]
        if chosen is None:
            raise EvaluationError(f"{self.source} cannot be evaluated")
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
        self.must_succeed = {saga.pivot.name, *self.after[saga.pivot.name]} if saga.pivot else set()
        self.in_order = graph.order(saga)[1:]

    def _compile(self, source: str, _place: Place, _single: bool) -> Program:
        return Choice(source, self.drawn)
