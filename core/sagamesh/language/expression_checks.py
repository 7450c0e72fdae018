"""Do the expressions of a saga make sense? Each compiles, asks before it looks, and names only events that are there.

`checks` asks this with all else. What an expression may be, whatever the saga is, is said in `cel`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sagamesh.errors import ExpressionError
from sagamesh.language import graph
from sagamesh.language.cel.cost import EXAMPLE_EVENT
from sagamesh.language.cel.expressions import CelProgram, Place, compile_expression
from sagamesh.language.cel.guards.facts import NOTHING, WRITTEN, Facts, Heard
from sagamesh.language.cel.guards.headers import odd_headers
from sagamesh.language.cel.guards.judging import required, unguarded
from sagamesh.language.findings import EventNames, Findings, finding, with_paths
from sagamesh.language.model import Saga, Step
from sagamesh.language.ways import Ways
from sagamesh.text import series

MOST_EXPRESSED = 128 << 10
"""Characters of all expressions of a saga: they compile in half a second, and 500 steps have 260 each."""
MISTAKE = 4 << 10
"""What an expression counts that does not compile: finding out takes up to 40 ms, and 32 mistakes are read first."""

ANYTHING = "may be of any type"
OFTEN_MISSING = {
    WRITTEN: "may be a value that is written here, and has none",
    "result": "is null after a refusal, an answer without a body, or none",
    "request": "is null where the action had no data to send, or was not called",
    "response.body": "may be null, a text, a number, a list, or a map without that field",
    "response.headers": "may lack it",
}


def expressions(saga: Saga, ways: Ways | None) -> Findings:
    """Every expression compiles and, as far as the ways are known, names only what is certainly there or not."""
    left, names = MOST_EXPRESSED, EventNames(saga)
    skipped = {} if ways is None else _skipped(saga)
    known: dict[str, Facts] = {}  # where a step runs, since its `when`, which comes first, lets it
    for path, step, source, place in _written(saga):
        if left < 0:
            message = f"this and what follows is not checked: a saga may have about {MOST_EXPRESSED >> 10} KiB of CEL"
            fix = "correct the other expressions first, then make them shorter, or split the saga in two"
            yield finding("SM025", path, message, fix)
            return
        try:
            program = compile_expression(source, place, single_event=step is None or graph.is_single(step))
        except ExpressionError as error:
            left -= MISTAKE
            own = step.after[0] if step and step.after else saga.start.event
            message = str(error).replace(f'"{EXAMPLE_EVENT}"', f'"{own}"')
            yield finding("SM019", path, message, "correct the expression; the numbers are its line and column")
            continue
        left -= len(source) + program.pattern_weight // 4
        name = step.name if step else graph.START
        heard = Heard(skipped, tuple(step.after) if step and graph.is_single(step) else ())
        yield from _not_asked_for(path, program, place, heard, known.get(name, NOTHING))
        if place is Place.WHEN:
            known[name] = required(program.tree, heard)
        yield from _no_such_header(path, program)
        if step is not None and ways is not None:
            for event in sorted(program.events):
                if event not in names.producers:
                    yield finding("SM020", path, f"nobody announces {event!r}", names.meant(event))
                else:
                    yield from _named_event(ways, path, step, event, names.producers[event])


def _not_asked_for(path: str, program: CelProgram, place: Place, heard: Heard, known: Facts) -> Findings:
    """What is often not there would fail each time that it is not: then a default is taken, which nobody wanted."""
    for found in unguarded(program.tree, place, heard, known):
        variable, steps = found.variable, heard.steps(found.variable)
        where = "" if found.text == variable else f"{found.text} fails, for "
        why = OFTEN_MISSING.get(variable, ANYTHING)
        why = f"is null where {series(map(repr, steps), 'or')} is skipped" if steps else why
        if variable == WRITTEN:
            fix = "ask first, and look into it only where it is what you mean"
        elif not found.guard:
            fix = "name what you mean by a literal, and ask before whether it is there"
        elif place in (Place.EMIT, Place.WHEN):
            fix = f"ask before, as in `{found.guard} && ...`"
        else:
            fix = f'ask before, as in `{found.guard} ? {found.text} : ""`'
        message = f"{found.position}: {where}{variable or 'what stands before it'} {why}"
        yield finding("SM024", path, message, fix)


def _no_such_header(path: str, program: CelProgram) -> Findings:
    """It is never there, whatever the app answers."""
    for found in odd_headers(program.tree):
        message = f"{found.position}: no header is called {found.name!r} here: their names are in lower case"
        yield finding("SM028", path, message, f"write {found.name.lower()!r}")


def _named_event(ways: Ways, path: str, step: Step, event: str, producer: str) -> Findings:
    if not ways.possible(event, step.name) and ways.can_run(step.name):
        fix = f"name the starting event or an event that {step.name!r} waits for, directly or through other steps"
        yield finding("SM020", path, f"{event!r} never comes before {step.name!r}", fix)
    elif not ways.settled(producer, step.name):
        message = f"{event!r} may or may not have happened when {step.name!r} runs, so its retries could differ"
        fix = f"let {step.name!r} wait for it, or name an event that comes before it in every branch"
        yield finding("SM021", path, message, fix)


def _skipped(saga: Saga) -> dict[str, str]:
    """The events that come without data where their step is skipped, and that step."""
    return {step.emits[-1].event: step.name for step in saga.steps if step.when}


def _written(saga: Saga) -> Iterator[tuple[str, Step | None, str, Place]]:
    if saga.start.key:
        yield "spec.start.key", None, saga.start.key, Place.KEY
    for path, step in with_paths(saga):
        undo = step.compensation.body if step.compensation else None
        sources = [
            (f"{path}.when", step.when, Place.WHEN),
            (f"{path}.action.body", step.action.body, Place.BODY),
            *((f"{path}.emits[{i}].when", emit.when, Place.EMIT) for i, emit in enumerate(step.emits)),
            (f"{path}.compensation.body", undo, Place.COMPENSATION_BODY),
        ]
        for where, source, place in sources:
            if source:
                yield where, step, source, place
