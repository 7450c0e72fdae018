"""From the saga to the rules of each participant (endpoint projection). Expects a saga that `checks` accepts.

The revision is the content hash of all of them together: the same spec gives the same revision, in any process.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sagamesh.language import graph
from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.model import Saga, Step
from sagamesh.rules import codec
from sagamesh.rules.local import Input, LocalRules, StepRules

EventsOf = Callable[[str, Place, bool], frozenset[str]]


def events_of(source: str, place: Place, single_event: bool) -> frozenset[str]:
    """The event types that a CEL expression names in `events[...]`."""
    return compile_expression(source, place, single_event=single_event).events


def project(saga: Saga, events_of: EventsOf = events_of) -> dict[str, LocalRules]:
    """The rules of every participant, by name, all with their common revision."""
    participants = dict.fromkeys((saga.start.participant, *(step.participant for step in saga.steps)))
    documents = {name: _local(saga, name, events_of) for name in participants}
    revision = codec.revision(documents)
    return {name: replace(rules, revision=revision) for name, rules in documents.items()}


def _local(saga: Saga, participant: str, events_of: EventsOf) -> LocalRules:
    after_pivot = graph.downstream(saga, saga.pivot.name) if saga.pivot else frozenset()
    return LocalRules(
        namespace=saga.namespace,
        saga=saga.name,
        participant=participant,
        start_participant=saga.start.participant,
        start_event=saga.start.event,
        key=saga.start.key,
        order=saga.compensation_order,
        park_after=saga.park_after,
        outline={step.name: step.participant for step in saga.steps},
        roots=graph.roots(saga),
        sinks=graph.sinks(saga),
        pivot=saga.pivot.name if saga.pivot else None,
        own=tuple(
            _step(saga, step, events_of, retriable=step.name in after_pivot)
            for step in saga.steps
            if step.participant == participant
        ),
    )


def _step(saga: Saga, step: Step, events_of: EventsOf, *, retriable: bool) -> StepRules:
    return StepRules(
        name=step.name,
        inputs=tuple(Input(step=p, events=events) for p, events in graph.inputs(saga, step).items()),
        join=step.join,
        when=step.when,
        action=step.action,
        emits=step.emits,
        compensation=step.compensation,
        successors=graph.successors(saga)[step.name],
        needs=_needs(saga, step, events_of),
        pivot=step.pivot,
        retriable=retriable,
    )


def _needs(saga: Saga, step: Step, events_of: EventsOf) -> tuple[tuple[str, str], ...]:
    """(step, event) of every `events[...]` that the step's expressions name."""
    single = graph.is_single(step)
    sources = [(step.when, Place.WHEN), (step.action.body, Place.BODY)]
    sources += [(emit.when, Place.EMIT) for emit in step.emits]
    if step.compensation:
        sources.append((step.compensation.body, Place.COMPENSATION_BODY))
    named = {event for source, place in sources if source for event in events_of(source, place, single)}
    producer = graph.producers(saga)
    return tuple(sorted((producer[event], event) for event in named))
