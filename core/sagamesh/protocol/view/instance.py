"""An instance as people see it: everything that its registers say, as the API answers with it.

Reads may be stale, so any register may be missing here while a later one is there: what is found counts, and nothing
is concluded from what is not. Nothing is decided here; that is `decision`. Its steps are next door, in `steps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

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
    Instance,
    Nothing,
    Notice,
    Register,
    Skipped,
    Undone,
    Value,
)
from sagamesh.protocol.endings import ending, ending_names, outcome, outcome_names
from sagamesh.protocol.view.standing import Trouble, is_parked, is_slow
from sagamesh.protocol.view.steps import (
    NO_CALLS,
    Calls,
    Facts,
    Outcome,
    Registers,
    StepView,
    at_work_since,
    to_be_undone,
    view_step,
)
from sagamesh.rules.local import LocalRules
from sagamesh.text import rfc3339

State = Literal["running", "aborting", "completed", "compensated"]


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
    end = _end(known, rules)
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
        cause=_cause(facts),
        started=timestamp(origin.start_time),
        finished=timestamp(end.time) if end else None,
        steps=tuple(
            view_step(facts, name, by, reasons.get(name), calls) for name, by in _outline(rules, timeline).items()
        ),
        timeline=tuple(map(_moment, timeline)),
    )


def finished(seen: View) -> bool:
    """Whether nothing will happen to the instance any more."""
    return seen.state in ("completed", "compensated")


def timestamp(time: float) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return rfc3339(datetime.fromtimestamp(time, UTC), "milliseconds")


def _is_silent(known: Registers, rules: LocalRules) -> bool:
    """Whether the register was not found that decides first. Else what follows from others is not believed alone."""
    return outcome_names(rules)[0] not in known


def _outcome(known: Registers, rules: LocalRules) -> Outcome | None:
    """The decision, as the registers say that make it; where they are missing, as any says that follows from it."""
    decided = outcome(rules, known)
    follow = [register.value for register in known.values()] if _is_silent(known, rules) else []
    for value in (decided,) if decided else follow:
        match value:
            case Committed() | Completed():
                return "committed"
            case Aborted() | Notice() | Cancelled() | Undone() | Nothing() | Compensated():
                return "aborted"
    return None


def _end(known: Registers, rules: LocalRules) -> Register | None:
    """The last register, as those say that decide; where they are missing, the finish, if the saga has one."""
    alone = FINISH in ending_names(rules) and _is_silent(known, rules)
    return ending(rules, known) or (known.get(FINISH) if alone else None)


def _cause(facts: Facts) -> Cause | None:
    """Why an instance was aborted: the register that decided knows, and others have it from there."""
    if facts.outcome != "aborted":
        return None
    values = (outcome(facts.rules, facts.known), *(register.value for register in facts.known.values()))
    return next((value.cause for value in values if isinstance(value, Aborted | Notice | Cancelled)), None)


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
    notice = facts.known.get(ABORT)
    for step in facts.rules.outline:
        if (since := at_work_since(facts, step)) is not None:
            yield since
        elif notice and to_be_undone(facts, step):
            yield notice.time


def _moment(register: Register) -> Moment:
    return Moment(
        time=timestamp(register.time),
        step=register.name.step,
        register=register.name.register,
        value=_word(register.value),
        by=register.participant,
    )


def _word(value: Value) -> str:
    """What it says. Of a `begin` why the step is not run, in the word that its `end` and its state have for that."""
    if isinstance(value, Skipped) and value.because == "dead":
        return value.because
    return str(value.__struct_config__.tag)
