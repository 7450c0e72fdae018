"""An instance as people see it: everything that its registers say, as the API answers with it.

Reads may be stale, so any register may be missing here while a later one is there: what is found counts, and nothing
is concluded from what is not. Nothing is decided here; that is `decision`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec import Struct

from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    SAGA,
    Aborted,
    Absent,
    Cancelled,
    Cause,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    Instance,
    Name,
    Notice,
    Register,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.effects import CallKind
from sagamesh.protocol.endings import ending, outcome
from sagamesh.protocol.view.standing import Trouble, is_parked, is_slow
from sagamesh.rules.local import LocalRules
from sagamesh.text import rfc3339

State = Literal["running", "aborting", "completed", "compensated"]
Outcome = Literal["committed", "aborted"]
StepState = Literal[
    "waiting", "started", "done", "skipped", "dead", "failed", "cancelled", "compensating", "compensated"
]
Registers = Mapping[Name, Register]
Calls = Mapping[tuple[str, CallKind], int]
"""Step and kind -> how often the app was called for it so far."""

NO_CALLS: Calls = MappingProxyType({})


class Facts(NamedTuple):
    """What is told of an instance: its registers, the rules, and what they amount to."""

    known: Registers
    rules: LocalRules
    outcome: Outcome | None


class StepView(Struct, frozen=True, kw_only=True):
    """One step.

    `event` is what it announced; `calls`: how often the app was called for it, action and compensation together;
    `reason`: why it failed, or what fails just now.
    """

    name: str
    participant: str
    state: StepState
    event: str | None = None
    calls: int = 0
    reason: str | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """One register of the timeline. `by` is the participant that wrote it."""

    time: str
    step: str
    register: str
    value: str
    by: str


class View(Struct, frozen=True, kw_only=True):
    """One instance. Times are RFC 3339 in UTC, of the server's clock. `parked`, `slow`: see `standing`."""

    saga: str
    id: str
    run: str
    revision: str
    state: State
    parked: bool
    slow: bool
    outcome: Outcome | None
    cause: Cause | None
    started: str
    finished: str | None
    steps: tuple[StepView, ...]
    timeline: tuple[Moment, ...]


def view(
    instance: Instance,
    stored: Sequence[Register],
    rules: LocalRules,
    now: float,
    *,
    troubles: Sequence[Trouble] = (),
    calls: Calls = NO_CALLS,
) -> View:
    """What is known of an instance, from at least one of its registers, at `now` (the server's time).

    `rules` are those of the instance's revision, or of another one where that is not at hand. What the registers do not
    tell is told by whoever looks: what fails just now, and the calls for what has not ended yet.
    """
    timeline = sorted((r for r in stored if not isinstance(r.value, Absent)), key=lambda r: r.sequence)
    known = {register.name: register for register in timeline}
    origin = timeline[0].origin
    facts = Facts(known, rules, _outcome(known, rules))
    end = ending(rules, known) or known.get(FINISH)
    reasons = {trouble.step: trouble.reason for trouble in troubles}
    return View(
        saga=instance.saga,
        id=instance.id,
        run=origin.run,
        revision=origin.revision,
        state=_state(facts.outcome, end),
        parked=end is None and any(map(is_parked, troubles)),
        slow=end is None and is_slow(_open_since(timeline, facts), now=now, park_after=rules.park_after),
        outcome=facts.outcome,
        cause=_cause(known, rules),
        started=timestamp(origin.start_time),
        finished=timestamp(end.time) if end else None,
        steps=tuple(_step(facts, name, by, reasons.get(name), calls) for name, by in _outline(rules, timeline).items()),
        timeline=tuple(_moment(register) for register in timeline),
    )


def finished(seen: View) -> bool:
    """Whether nothing will happen to the instance any more."""
    return seen.state in ("completed", "compensated")


def timestamp(time: float) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return rfc3339(datetime.fromtimestamp(time, UTC), "milliseconds")


def _value(known: Registers, name: Name) -> Value | None:
    register = known.get(name)
    return register.value if register else None


def _outcome(known: Registers, rules: LocalRules) -> Outcome | None:
    """The decision, as the registers that make it say, or whatever follows from it."""
    for value in (outcome(rules, known), _value(known, ABORT), _value(known, FINISH)):
        match value:
            case Committed() | Completed():
                return "committed"
            case Aborted() | Notice() | Compensated():
                return "aborted"
    return None


def _cause(known: Registers, rules: LocalRules) -> Cause | None:
    for value in (outcome(rules, known), _value(known, ABORT)):
        if isinstance(value, Aborted | Notice):
            return value.cause
    return None


def _state(outcome: Outcome | None, end: Register | None) -> State:
    if outcome == "aborted":
        return "compensated" if end else "aborting"
    return "completed" if end else "running"


def _outline(rules: LocalRules, timeline: Sequence[Register]) -> dict[str, str]:
    """Step -> participant: those of the rules, and whatever else the log tells of (another revision's)."""
    seen = {register.name.step: register.participant for register in timeline if register.name.step != SAGA}
    return rules.outline | {step: by for step, by in seen.items() if step not in rules.outline}


def _open_since(timeline: Sequence[Register], facts: Facts) -> Iterator[float]:
    """Since when something is open in an instance that has not ended: each step at work, and the instance as a whole.

    An action is at work from its begin on, or since its inputs are there; a way back from the notice on. And where
    nothing at all was written lately, something must be due that has not even begun.
    """
    yield timeline[-1].time
    known, rules, outcome = facts
    notice = known.get(ABORT)
    for step in rules.outline:
        if (since := _at_work_since(facts, step)) is not None:
            yield since
        elif outcome == "aborted" and notice and step in rules.undoable and registers.compensation(step) not in known:
            yield notice.time


def _at_work_since(facts: Facts, step: str) -> float | None:
    """When a step began that has not ended; of one that needs no begin: since the youngest of its inputs is there."""
    known = facts.known
    if registers.end(step) in known:
        return None
    begun = known.get(registers.begin(step))
    if begun is not None:
        return begun.time if isinstance(begun.value, Started) else None
    ends = [known.get(registers.end(producer)) for producer in facts.rules.open.get(step, ())]
    return max((end.time for end in ends if end), default=None) if all(ends) else None


def _step(facts: Facts, name: str, participant: str, trouble: str | None, calls: Calls) -> StepView:
    end = _value(facts.known, registers.end(name))
    return StepView(
        name=name,
        participant=participant,
        state=_step_state(facts, name),
        event=end.event if isinstance(end, Done | Satisfied) else None,
        calls=_calls(facts.known, name, calls),
        reason=trouble or (end.reason if isinstance(end, Failed) else None),
    )


def _calls(known: Registers, name: str, so_far: Calls) -> int:
    """Of what has ended its register knows; of the rest whoever is at it."""
    total = 0
    ways: tuple[tuple[CallKind, Name], ...] = (
        ("action", registers.end(name)),
        ("compensation", registers.compensation(name)),
    )
    for kind, name_of_end in ways:
        match _value(known, name_of_end):
            case Done(called=called) | Failed(called=called) | Undone(called=called):
                total += called
            case None:
                total += so_far.get((name, kind), 0)
    return total


def _step_state(facts: Facts, name: str) -> StepState:
    """How far a step has come. A step with nothing to undo keeps the state that it had before."""
    known, rules, outcome = facts
    end, back = _value(known, registers.end(name)), _value(known, registers.compensation(name))
    if isinstance(back, Undone):
        return "compensated"
    if isinstance(end, Done | Failed) and outcome == "aborted" and back is None and name in rules.undoable:
        return "compensating"
    match end or _value(known, registers.begin(name)):
        case None if _at_work_since(facts, name) is None:
            return "cancelled" if outcome == "aborted" else "waiting"
        case Done():
            return "done"
        case Failed():
            return "failed"
        case Dead() | Skipped(because="dead"):
            return "dead"
        case Cancelled():
            return "cancelled"
        case Satisfied() | Skipped():
            return "skipped"
    return "started"


def _moment(register: Register) -> Moment:
    return Moment(
        time=timestamp(register.time),
        step=register.name.step,
        register=register.name.register,
        value=str(register.value.__struct_config__.tag),
        by=register.participant,
    )
