"""From the saga to the rules of each participant (endpoint projection). Expects a saga that `checks` accepts.

The revision is the content hash of all of them together: the same spec gives the same revision, in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from sagamesh.language import graph
from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.model import Saga, Step
from sagamesh.rules import codec
from sagamesh.rules.local import Input, LocalRules, OpenStep, StepRules

EventsOf = Callable[[str, Place, bool], frozenset[str]]


def events_of(source: str, place: Place, single_event: bool) -> frozenset[str]:
    """The event types that a CEL expression names in `events[...]`."""
    return compile_expression(source, place, single_event=single_event).events


class _Wiring(NamedTuple):
    """What is the same for every participant: asked once, since it takes a look at the whole saga each time."""

    producers: Mapping[str, str]
    inputs: Mapping[str, Mapping[str, tuple[str, ...]]]
    sinks: tuple[str, ...]
    after_pivot: frozenset[str]
    open: tuple[str, ...]
    behind: dict[str, tuple[str, ...]]
    outline: dict[str, str]


def project(saga: Saga, events_of: EventsOf = events_of) -> dict[str, LocalRules]:
    """The rules of every participant, by name, all with their common revision."""
    wiring = _wiring(saga)
    own: dict[str, list[StepRules]] = {saga.start.participant: []}
    for step in saga.steps:
        own.setdefault(step.participant, []).append(_step(wiring, step, events_of))
    documents = {name: _local(saga, wiring, name, tuple(steps)) for name, steps in own.items()}
    revision = codec.revision(documents)
    return {name: replace(rules, revision=revision) for name, rules in documents.items()}


def _wiring(saga: Saga) -> _Wiring:
    return _Wiring(
        producers=graph.producers(saga),
        inputs=graph.all_inputs(saga),
        sinks=graph.sinks(saga),
        after_pivot=graph.downstream(saga, saga.pivot.name) if saga.pivot else frozenset(),
        open=graph.open_steps(saga),
        behind=graph.behind(saga),
        outline={step.name: step.participant for step in saga.steps},
    )


def _local(saga: Saga, wiring: _Wiring, participant: str, own: tuple[StepRules, ...]) -> LocalRules:
    return LocalRules(
        namespace=saga.namespace,
        saga=saga.name,
        participant=participant,
        start_participant=saga.start.participant,
        start_event=saga.start.event,
        key=saga.start.key,
        order=saga.compensation_order,
        park_after=saga.park_after,
        outline=wiring.outline,
        open={step.name: OpenStep(_inputs(wiring, step), step.join) for step in saga.steps if step.name in wiring.open},
        undoable=tuple(wiring.behind),
        last=tuple(wiring.behind) if saga.compensation_order == "parallel" else graph.undone_last(wiring.behind),
        sinks=wiring.sinks,
        pivot=saga.pivot.name if saga.pivot else None,
        pivot_skippable=graph.may_be_skipped(saga),
        own=own,
    )


def _step(wiring: _Wiring, step: Step, events_of: EventsOf) -> StepRules:
    return StepRules(
        name=step.name,
        inputs=_inputs(wiring, step),
        join=step.join,
        when=step.when,
        action=step.action,
        emits=step.emits,
        compensation=step.compensation,
        needs=_needs(wiring, step, events_of),
        pivot=step.pivot,
        retriable=step.name in wiring.after_pivot,
        open=step.name in wiring.open,
        behind=wiring.behind.get(step.name, ()),
    )


def _inputs(wiring: _Wiring, step: Step) -> tuple[Input, ...]:
    return tuple(Input(step=producer, events=events) for producer, events in wiring.inputs[step.name].items())


def _needs(wiring: _Wiring, step: Step, events_of: EventsOf) -> tuple[tuple[str, str], ...]:
    """(step, event) of every `events[...]` that the step's expressions name."""
    single = graph.is_single(step)
    sources = [(step.when, Place.WHEN), (step.action.body, Place.BODY)]
    sources += [(emit.when, Place.EMIT) for emit in step.emits]
    if step.compensation:
        sources.append((step.compensation.body, Place.COMPENSATION_BODY))
    named = {event for source, place in sources if source for event in events_of(source, place, single)}
    return tuple(sorted((wiring.producers[event], event) for event in named))
