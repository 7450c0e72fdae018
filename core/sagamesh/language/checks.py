"""Does a saga make sense? Small questions about the model, each with its code; the same at `apply` and offline.

Names and wiring are asked first: what only follows from a wrong name is not reported. What depends on the ways in which
steps can run is counted in `ways`; expressions are asked by `expression_checks`; whether single fields can be read was
settled by `spec`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from graphlib import CycleError

from sagamesh.language import graph
from sagamesh.language.expression_checks import expressions
from sagamesh.language.findings import CODES, EventNames, Finding, Findings, finding, in_order, with_paths
from sagamesh.language.model import Saga, Step
from sagamesh.language.ways import TooManyWaysError, Ways

__all__ = ["CODES", "Finding", "check"]


def check(saga: Saga) -> tuple[Finding, ...]:
    """Everything that is wrong with a saga, in the order of the document. Without an error it can be projected."""
    wiring = [found for ask in WIRING for found in ask(saga)]
    unsure = _unsure(saga, wiring)
    found = [*wiring, *undoable(saga, unsure), *never_undone(saga, unsure)]
    found += [found for ask in MEANING for found in ask(saga)]
    if wiring:
        return in_order([*found, *expressions(saga, None)])
    try:
        return in_order([*found, *_of_branches(saga, Ways(saga))])
    except TooManyWaysError as error:
        return in_order([*found, *too_many_ways(saga, error), *expressions(saga, None)])


def _of_branches(saga: Saga, ways: Ways) -> Findings:
    for ask in BRANCHES:
        yield from ask(saga, ways)
    yield from expressions(saga, ways)


def _unsure(saga: Saga, wiring: Iterable[Finding]) -> frozenset[str]:
    """The steps of which nobody knows whether they follow the pivot: those wired wrongly, and whoever hears of them.

    But for those that the pivot waits for.
    """
    if saga.pivot is None:
        return frozenset()
    wrong = {f"{found.path.partition(']')[0]}]" for found in wiring}
    listening: dict[str, list[Step]] = {}
    for step in saga.steps:
        for event in step.after:
            listening.setdefault(event, []).append(step)
    reached: set[str] = set()
    ahead = [step for path, step in with_paths(saga) if path in wrong]
    while ahead:
        step = ahead.pop()
        if step.name not in reached:
            reached.add(step.name)
            ahead += [listener for emit in step.emits for listener in listening.get(emit.event, ())]
    return frozenset(reached - graph.upstream(saga, saga.pivot.name))


def _path(saga: Saga, name: str) -> str:
    return next(path for path, step in with_paths(saga) if step.name == name)


# -- wiring: names, and who listens to whom ------------------------------------------------------------------------


def unique_names(saga: Saga) -> Findings:
    """Registers, rules and timelines name a step by its name alone."""
    seen: dict[str, str] = {}
    for path, step in with_paths(saga):
        if (first := seen.setdefault(step.name, path)) != path:
            yield finding("SM001", f"{path}.name", f"{first} has the name {step.name!r}, too", "rename one of the two")


def one_producer(saga: Saga) -> Findings:
    """Who hears an event must know whose end to read."""
    seen = {saga.start.event: "spec.start.event"}
    for at, step in with_paths(saga):
        for index, emit in enumerate(step.emits):
            path = f"{at}.emits[{index}].event"
            if (first := seen.setdefault(emit.event, path)) != path:
                fix = f"rename one of the two, such as to '{step.name}.done', and let who needs either listen to both"
                yield finding("SM002", path, f"{emit.event!r} is announced at {first}, too", fix)


def known_inputs(saga: Saga) -> Findings:
    names = EventNames(saga)
    for path, step in with_paths(saga):
        for index, event in enumerate(step.after):
            if event not in names.producers:
                yield finding("SM003", f"{path}.after[{index}]", f"nobody announces {event!r}", names.meant(event))


def no_circle(saga: Saga) -> Findings:
    """A step that waits for itself never runs."""
    try:
        graph.order(saga)
    except CycleError as error:
        circle = error.args[1]
        message = f"these steps wait for one another: {' -> '.join(circle)}"
        path = _path(saga, min(circle, key=[step.name for step in saga.steps].index))
        yield finding("SM004", f"{path}.after", message, "let one of them listen to an event from outside the circle")


def reachable(saga: Saga) -> Findings:
    """With known inputs and no circle, every step that listens to anything leads back to the start."""
    for path, step in with_paths(saga):
        if not step.after:
            fix = f"let it listen to the start, {saga.start.event!r}, or to an event of another step"
            yield finding("SM005", f"{path}.after", f"nothing leads from the start to {step.name!r}", fix)


def inputs_once(saga: Saga) -> Findings:
    for path, step in with_paths(saga):
        for event, count in Counter(step.after).items():
            if count > 1:
                yield finding("SM006", f"{path}.after", f"{event!r} stands here {count} times", "name it once")


# -- meaning: what steps say about undoing, events and time --------------------------------------------------------


def undoable(saga: Saga, unsure: frozenset[str]) -> Findings:
    """What may be aborted must say how it is undone."""
    forward = _after_pivot(saga) | unsure
    for path, step in with_paths(saga):
        if not (step.compensation or step.read_only or step.pivot or step.name in forward):
            message = f"nobody knows how {step.name!r} is undone when the saga is aborted"
            yield finding("SM007", path, message, "give it a `compensation`; or `readOnly: true` if it changes nothing")


def nothing_to_undo(saga: Saga) -> Findings:
    for path, step in with_paths(saga):
        if step.read_only and step.compensation:
            message = f"{step.name!r} is `readOnly`, so there is nothing to compensate"
            yield finding("SM008", f"{path}.readOnly", message, "remove `readOnly` or `compensation`")


def never_undone(saga: Saga, unsure: frozenset[str]) -> Findings:
    """From the pivot on, a saga only goes forward."""
    forward = _after_pivot(saga) - unsure
    for path, step in with_paths(saga):
        what = "the pivot" if step.pivot else "downstream of the pivot"
        if (step.pivot or step.name in forward) and step.compensation:
            message = f"{step.name!r} is {what}, so its compensation would never be called"
            fix = "remove the `compensation`, or move the step before the pivot"
            yield finding("SM009", f"{path}.compensation", message, fix)
        if (step.pivot or step.name in forward) and step.read_only:
            message = f"{step.name!r} is {what}, so it is never undone anyway"
            yield finding("SM010", f"{path}.readOnly", message, "remove `readOnly`")


def _after_pivot(saga: Saga) -> frozenset[str]:
    return graph.downstream(saga, saga.pivot.name) if saga.pivot else frozenset()


def one_pivot(saga: Saga) -> Findings:
    """There is one outcome, hence one step that decides it."""
    for path, step in with_paths(saga):
        if step.pivot and saga.pivot and step is not saga.pivot:
            message = f"{saga.pivot.name!r} is the pivot already"
            fix = "keep `pivot: true` at the one step that cannot be undone once it succeeded"
            yield finding("SM011", f"{path}.pivot", message, fix)


def pivot_without_when(saga: Saga) -> Findings:
    """A pivot that is skipped would leave the steps after it with nothing decided."""
    for path, step in with_paths(saga):
        if step.pivot and step.when:
            fix = "decide in a step before it that has several `emits`, and let the pivot listen to one of them"
            yield finding("SM012", f"{path}.when", f"{step.name!r} is the pivot and may not be skipped", fix)


def last_emit(saga: Saga) -> Findings:
    """Some event must fit every answer; and after one that always fits, only the app itself chooses another."""
    for at, step in with_paths(saga):
        for index, emit in enumerate(step.emits):
            path, is_last = f"{at}.emits[{index}]", index == len(step.emits) - 1
            if is_last and emit.when:
                message = f"where this does not hold either, {step.name!r} announces nothing and fails"
                yield finding("SM017", f"{path}.when", message, "remove this `when`, or add a last event without one")
            if not is_last and not emit.when:
                message = f"{step.emits[index + 1].event!r} comes only where an answer's `ce-type` asks for it"
                fix = f"give {emit.event!r}, which fits every answer, a `when`, or move it to the end"
                yield finding("SM018", f"{at}.emits[{index + 1}]", message, fix)


def times(saga: Saga) -> Findings:
    for path, step in with_paths(saga):
        action, retry = step.action, step.action.retry
        if action.timeout > action.within:
            message = f"one call may take {action.timeout:g}s, and the whole step only {action.within:g}s"
            fix = f"lower `timeout`, or raise `within` to {action.timeout:g}s or more"
            yield finding("SM022", f"{path}.action.timeout", message, fix)
        if retry.backoff > retry.max_backoff:
            message = f"the first delay is {retry.backoff:g}s, and the longest only {retry.max_backoff:g}s"
            fix = f"lower `backoff`, or raise `maxBackoff` to {retry.backoff:g}s or more"
            yield finding("SM023", f"{path}.action.retry.backoff", message, fix)


# -- branches: what depends on the ways in which steps can run -----------------------------------------------------


def too_many_ways(saga: Saga, error: TooManyWaysError) -> Findings:
    """Whatever else was found of branches is not told: how much that is would say nothing about the saga."""
    message = f"too many ways lead to {error.step!r} ({error.limit}), so the branches of this saga are not checked"
    fix = "let fewer steps have several `emits`, or merge their branches into fewer, or split the saga in two"
    yield finding("SM016", f"{_path(saga, error.step)}.after", message, fix)


def settled_before_pivot(saga: Saga, ways: Ways) -> Findings:
    """What is open when the pivot starts could still fail, or would have to be undone, when it is too late."""
    pivot = saga.pivot
    for path, step in with_paths(saga):
        if pivot is None or step.pivot or ways.only_after(step.name, pivot.name) or ways.settled(step.name, pivot.name):
            continue
        message = f"{step.name!r} may not have ended when the pivot, {pivot.name!r}, starts"
        fix = (
            f"let {pivot.name!r} wait for it (`after: [..., {step.emits[-1].event}]`), or let it listen only to events "
            f"of {pivot.name!r} and the steps after it, or to an event that never comes together with the pivot"
        )
        yield finding("SM013", path, message, fix)


def any_excludes(saga: Saga, ways: Ways) -> Findings:
    """Where both came, which one the step saw would be chance."""
    for path, step in with_paths(saga):
        if race := ways.race(step):
            message = f"{race[0]!r} and {race[1]!r} may both come, and {step.name!r} would run for whichever is first"
            fix = "use `join: all`, or let the branches begin at different `emits` of one step"
            yield finding("SM014", f"{path}.after", message, fix)


def can_run(saga: Saga, ways: Ways) -> Findings:
    listens = graph.all_inputs(saga)
    for path, step in with_paths(saga):
        if not ways.can_run(step.name) and all(ways.can_run(producer) for producer in listens[step.name]):
            message = f"{step.name!r} waits for all of {', '.join(step.after)}, which never come together"
            fix = "use `join: any` if one of them is enough, else name events that come together"
            yield finding("SM015", f"{path}.after", message, fix)


WIRING: tuple[Callable[[Saga], Findings], ...] = (
    unique_names,
    one_producer,
    known_inputs,
    no_circle,
    reachable,
    inputs_once,
)
MEANING: tuple[Callable[[Saga], Findings], ...] = (
    nothing_to_undo,
    one_pivot,
    pivot_without_when,
    last_emit,
    times,
)
BRANCHES: tuple[Callable[[Saga, Ways], Findings], ...] = (settled_before_pivot, any_excludes, can_run)
