"""What registers say of an instance as a whole: which way it goes, and with which register it has ended.

What follows from other registers is not written again. So the outcome is the pivot's to say, and only where there is
none, or it was skipped, there is a register `_.outcome`; and an instance has ended with the last register that the
saga's shape leaves to be written. Decisions, views and counts ask here; what follows from the answer is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    Aborted,
    Cancelled,
    Cause,
    Committed,
    Done,
    Failed,
    Name,
    Register,
    Satisfied,
    Skipped,
    Started,
    Value,
)
from sagamesh.protocol.effects import Known
from sagamesh.rules.compiled import OwnStep, Rules
from sagamesh.rules.local import LocalRules

Registers = Mapping[Name, Register]
Outcome = Committed | Aborted


class Ended(NamedTuple):
    """How an instance ended, and with which register."""

    outcome: Literal["committed", "aborted"]
    register: Register


def latch_of(rules: LocalRules) -> Name | None:
    """The register by which a pivot begins, or an abort keeps it from that."""
    return None if rules.pivot is None else registers.begin(rules.pivot)


def outcome_names(rules: LocalRules) -> tuple[Name, ...]:
    """The registers that say the outcome; together they are there before anything that follows from it."""
    if rules.pivot is None:
        return (OUTCOME,)
    pivot = (registers.begin(rules.pivot), registers.end(rules.pivot))
    return (*pivot, OUTCOME) if rules.pivot_skippable else pivot


def closed(rules: LocalRules, begun: Value | None) -> Cause | None:
    """Why the pivot never runs, by what its `begin` says. A `skipped` that no event can have caused is a cancel."""
    if isinstance(begun, Cancelled):
        return begun.cause
    if isinstance(begun, Skipped) and not rules.pivot_skippable:
        return Cause("cancelled", f"{rules.pivot} was skipped, and no event can have caused that")
    return None


def outcome(rules: LocalRules, known: Registers) -> Outcome | None:
    """The decision, as far as these registers tell. The cause stands in the one that decided."""
    if rules.pivot is not None:
        begun = _begun(rules.pivot, known)
        if (cause := closed(rules, begun)) is not None:
            return Aborted(cause)
        match _value(known, registers.end(rules.pivot)):
            case Done():
                return Committed()
            case Failed(kind=kind, reason=reason):
                return Aborted(Cause(kind, reason, rules.pivot))
        if not isinstance(begun, Skipped):
            return None
    said = _value(known, OUTCOME)
    return said if isinstance(said, Committed | Aborted) else None


def implausible(rules: LocalRules, known: Registers) -> Name | None:
    """A register that says something else than those that it has to follow: nobody honest has written it."""
    begun = None if rules.pivot is None else _begun(rules.pivot, known)
    if rules.pivot is not None and OUTCOME in known and not isinstance(begun, Skipped | None):
        return OUTCOME
    said = outcome(rules, known)
    committed = isinstance(said, Committed)
    if (committed or (said is None and isinstance(begun, Started))) and _has_failed(rules, known):
        return OUTCOME if OUTCOME in known else latch_of(rules)
    undoing = (name for name in known if name == ABORT or name.register == "compensation")
    return next(undoing, None) if committed else None


def ending(rules: LocalRules, known: Registers) -> Register | None:
    """The register with which an instance has ended; None: it goes on, as far as these registers tell."""
    match outcome(rules, known):
        case Committed():
            return known.get(_committed(rules, known))
        case Aborted():
            return known.get(_undone(rules))
    return None


def ended_by(rules: Rules, known: Known, step: OwnStep | None = None) -> Ended | None:
    """How an instance ended, and with which register, where this attempt wrote that one; else None.

    `step`: the own step that it was an attempt for. The end of the only sink after the pivot says how: it follows from
    the pivot's, which nobody has to read for that.
    """
    local = rules.local
    only = step if step is not None and step.must_succeed and local.sinks == (step.name,) else None
    if only and known.mine(only.end) and isinstance(known.value(only.end), Done | Satisfied):
        return Ended("committed", known.registers[only.end])
    last = ending(local, known.registers)
    if last is None or not known.mine(last.name):
        return None
    return Ended("committed" if isinstance(outcome(local, known.registers), Committed) else "aborted", last)


def ending_names(rules: LocalRules) -> tuple[Name, ...]:
    """The registers of which one is an instance's last."""
    if rules.pivot is None:
        committed: tuple[Name, ...] = (OUTCOME,)
    elif len(rules.sinks) > 1:
        committed = (FINISH,)
    else:
        committed = (registers.end(rules.sinks[0]), *((OUTCOME,) if rules.pivot_skippable else ()))
    return tuple(dict.fromkeys((*committed, _undone(rules))))


def _committed(rules: LocalRules, known: Registers) -> Name:
    if rules.pivot is None:
        return OUTCOME
    if len(rules.sinks) > 1:
        return FINISH
    skipped = isinstance(_begun(rules.pivot, known), Skipped)
    return OUTCOME if skipped else registers.end(rules.sinks[0])


def _undone(rules: LocalRules) -> Name:
    match rules.last:
        case []:
            return ABORT
        case [only]:
            return registers.compensation(only)
    return FINISH


def _has_failed(rules: LocalRules, known: Registers) -> bool:
    """Whether a step has failed that ends before the saga can be decided otherwise: any but the pivot."""
    return any(isinstance(register.value, Failed) and name.step != rules.pivot for name, register in known.items())


def _begun(pivot: str, known: Registers) -> Value | None:
    return _value(known, registers.begin(pivot))


def _value(known: Registers, name: Name) -> Value | None:
    register = known.get(name)
    return register.value if register else None
