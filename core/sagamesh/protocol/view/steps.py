"""The steps of an instance as people see them: how far each has come, and since when it is at work.

Not every step writes that it begins, and what lies downstream of the pivot writes nothing at all of a saga that is
undone: of those the registers of others tell. How an instance looks as a whole is next door, in `instance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec import Struct

from sagamesh.log import registers
from sagamesh.log.registers import (
    Dead,
    Done,
    Failed,
    Name,
    Register,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.effects import CallKind
from sagamesh.protocol.variables import announces
from sagamesh.rules.local import LocalRules

Outcome = Literal["committed", "aborted"]
StepState = Literal[
    "waiting", "started", "done", "skipped", "dead", "failed", "cancelled", "compensating", "compensated"
]
Registers = Mapping[Name, Register]
Calls = Mapping[tuple[str, CallKind], int]
"""Step and kind -> how often the app was called for it so far."""

NO_CALLS: Calls = MappingProxyType({})


class Facts(NamedTuple):
    """What is told of an instance: its registers, the rules, and the outcome that they amount to."""

    known: Registers
    rules: LocalRules
    outcome: Outcome | None

    def value(self, name: Name) -> Value | None:
        register = self.known.get(name)
        return register.value if register else None


class StepView(Struct, frozen=True, kw_only=True):
    """One step.

    `event` is what it announced; `calls`: how often the app was called for it, action and compensation together;
    `reason`: why it failed, or what fails just now.
    """

    name: str
    participant: str
    state: StepState
    event: str | None
    calls: int
    reason: str | None


def view_step(facts: Facts, name: str, participant: str, trouble: str | None, so_far: Calls) -> StepView:
    """One step. `trouble`: what fails just now; `so_far`: the calls for what has not ended yet, of any step."""
    end = facts.value(registers.end(name))
    return StepView(
        name=name,
        participant=participant,
        state=_state(facts, name),
        event=end.event if isinstance(end, Done | Satisfied) else None,
        calls=_calls(facts, name, so_far),
        reason=trouble or (end.reason if isinstance(end, Failed) else None),
    )


def at_work_since(facts: Facts, step: str) -> float | None:
    """Since when a step runs that has not ended, in seconds since the epoch; None: it does not.

    From its begin on; one that needs none runs since its inputs bring what it listens to.
    """
    known = facts.known
    if registers.end(step) in known or registers.compensation(step) in known:
        return None
    if (begun := known.get(registers.begin(step))) is not None:
        return begun.time if isinstance(begun.value, Started) else None
    if (own := facts.rules.open.get(step)) is None:
        return None
    ends = [(known.get(registers.end(one.step)), one.events) for one in own.inputs]
    since = [end.time for end, events in ends if end and announces(end, events)]
    if own.join == "any":
        return min(since, default=None)
    return max(since) if len(since) == len(ends) else None


def to_be_undone(facts: Facts, step: str) -> bool:
    """Whether a step may have something to undo, and has not said yet that it has not."""
    return (
        facts.outcome == "aborted" and step in facts.rules.undoable and registers.compensation(step) not in facts.known
    )


def _state(facts: Facts, name: str) -> StepState:
    """How far a step has come. A step with nothing to undo keeps the state that it had before."""
    end = facts.value(registers.end(name))
    if isinstance(facts.value(registers.compensation(name)), Undone):
        return "compensated"
    if isinstance(end, Done | Failed) and to_be_undone(facts, name):
        return "compensating"
    match end or facts.value(registers.begin(name)):
        case Done():
            return "done"
        case Failed():
            return "failed"
        case Dead() | Skipped(because="dead"):
            return "dead"
        case Satisfied() | Skipped():
            return "skipped"
    if at_work_since(facts, name) is not None:
        return "started"
    return "cancelled" if facts.outcome == "aborted" else "waiting"


def _calls(facts: Facts, name: str, so_far: Calls) -> int:
    """Of what has ended its register knows; of the rest whoever is at it."""
    ways: tuple[tuple[CallKind, Name], ...] = (
        ("action", registers.end(name)),
        ("compensation", registers.compensation(name)),
    )
    total = 0
    for kind, last in ways:
        match facts.value(last):
            case Done(called=called) | Failed(called=called) | Undone(called=called):
                total += called
            case None:
                total += so_far.get((name, kind), 0)
    return total
