"""What the rules of `decision` are written in: one own step in the light of one delivery, and the ways to learn more.

Each way is a question, and its answer a `Judged`: it `Is` so or not, or there is a `Need` that comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from sagamesh.language.model import Retry
from sagamesh.log import registers
from sagamesh.log.registers import Aborted, Cancelled, Cause, Done, Failed, Name, Skipped, Started, Value
from sagamesh.protocol import calls
from sagamesh.protocol.answers import Answer, Away
from sagamesh.protocol.effects import LEASE_LOST, Ack, Delivery, Effects, Known, Nak, Prove, Read
from sagamesh.protocol.endings import Outcome, closed, implausible, outcome, outcome_names
from sagamesh.protocol.variables import announces, inputs, needed
from sagamesh.rules.compiled import OwnStep, Rules

ACK: Effects = (Ack(),)
MINUTE = 60.0
"""Seconds until what only a person can put right is looked at again."""


@dataclass(frozen=True, slots=True)
class Need:
    """Carry these effects out first, or instead. The question is asked again, if the step is not settled by them."""

    effects: Effects


@dataclass(frozen=True, slots=True)
class Is:
    """The answer."""

    value: bool


MANY = 16
"""Registers that are looked at together, where one may be enough to know."""
Judged = Need | Is
YES, NO = Is(True), Is(False)
LEAVE_IT = Need(ACK)
"""The delivery has nothing to do here."""


class Situation(Struct, frozen=True):
    """One own step, in the light of one delivery."""

    rules: Rules
    known: Known
    delivery: Delivery
    step: OwnStep

    @property
    def incoming(self) -> Name:
        """The register that the delivery hands over."""
        return self.delivery.register.name

    @property
    def begun(self) -> Value | None:
        """How the step began. Of a pivot that no event can have skipped, `skipped` says that it was cancelled."""
        begun = self.known.value(self.step.begin)
        cause = closed(self.rules.local, begun) if self.step.rules.pivot else None
        return begun if cause is None else Cancelled(cause)

    @property
    def behind(self) -> tuple[Name, ...]:
        """What must be there before the step is undone."""
        return tuple(map(registers.compensation, self.step.rules.behind if self.rules.local.order == "reverse" else ()))

    @property
    def answer(self) -> Answer | None:
        """What the app said; while it is away it need not be asked."""
        return self.known.answer or (Away() if self.known.app_away else None)


def decided(at: Situation) -> Outcome | None:
    """The outcome, as far as it is known here."""
    return outcome(at.rules.local, at.known.registers)


def why_aborted(at: Situation) -> Need | Cause | None:
    """Why the saga was aborted, as far as its outcome can be seen."""
    if isinstance(looked := looked_at(at, *outcome_names(at.rules.local)), Need):
        return looked
    return said.cause if isinstance(said := decided(at), Aborted) else None


def looked_at(at: Situation, *names: Name) -> Judged:
    """Whether each of `names` is known, or was looked for at least once."""
    known = at.known
    unread = [n for n in names if n not in known.registers and n not in known.absent and n not in known.unseen]
    return Need((Read(tuple(unread)),)) if unread else YES


def are_certain(at: Situation, *names: Name) -> Judged:
    """Whether of each of `names` one knows what stands there, or that it is absent."""
    if isinstance(unread := looked_at(at, *names), Need):
        return unread
    for name in names:
        if name not in at.known.registers and name not in at.known.absent:
            return Need((Prove(name),))
    return YES


def is_material_known(at: Situation, incoming: Name, *more: Name) -> Judged:
    """Whether all is known that the calls of a begun step are made of. `incoming`: on whose behalf it began.

    `begin=started` implies the inputs, and whoever asks knows what implies `more`: these are read until they are there,
    for no marker is needed, and one may stand by a guard that failed open. Other events may be absent for good.
    """
    implied = dict.fromkeys((*more, *inputs(at.step, incoming), incoming))
    events = needed(at.step, incoming)
    if isinstance(unread := looked_at(at, *dict.fromkeys((*implied, *events))), Need):
        return unread
    if unseen := tuple(name for name in implied if name not in at.known.registers):
        return Need((Read(unseen, present=True),))
    return are_certain(at, *events)


def are_there(at: Situation, *names: Name) -> Judged:
    """Whether all of `names` are there. One that is proven absent comes with a delivery that will find ours.

    So one that is absent is enough: of many, not all are read by each that might be the last. Those of later steps
    first, which are more likely to be still at work.
    """
    if any(name in at.known.absent for name in names):
        return LEAVE_IT
    for end in range(len(names), 0, -MANY):
        if isinstance(some := are_certain(at, *names[max(0, end - MANY) : end]), Need):
            return some
    return YES


def runs_now(at: Situation) -> Judged:
    """Whether the inputs make the step run, here and now."""
    return runs_by_any(at) if at.step.rules.join == "any" else runs_by_all(at)


def runs_by_all(at: Situation) -> Judged:
    """Whether every input brings a listened event."""
    names = tuple(registers.end(producer) for producer in at.step.heard)
    for name in names:
        if input_settles(at, name):
            return LEAVE_IT
    if isinstance(inputs := are_certain(at, *names), Need):
        return inputs
    return YES if all(brings(at, name) for name in names) else NO


def runs_by_any(at: Situation) -> Judged:
    """Whether an input brings a listened event."""
    if brings(at, at.incoming):
        return YES
    if isinstance(together := runs_by_all(at), Need):
        return together
    names = [registers.end(producer) for producer in at.step.heard]
    return LEAVE_IT if any(brings(at, name) for name in names) else NO


def input_settles(at: Situation, name: Name) -> bool:
    """Whether an input says that this delivery has nothing to do: stored later (its delivery owns the step), failed."""
    register = at.known.registers.get(name)
    if register is None:
        return name in at.known.absent
    return register.sequence > at.delivery.register.sequence or isinstance(register.value, Failed)


def brings(at: Situation, name: Name) -> bool:
    """Whether a known input announces an event that the step listens to."""
    return announces(at.known.registers[name], at.step.heard[name.step])


def begin_fits(at: Situation, begun: Started | Skipped) -> Judged:
    """Whether a `begin` that somebody else wrote is what its delivery must have made of the inputs; else it is held.

    They were there before it. Who does not see them comes back: nothing follows from that, nor is a marker written.
    """
    heard = {at.delivery.instance.subject(name): name for name in map(registers.end, at.step.heard)}
    if (owner := heard.get(begun.delivery)) is None:
        return misbegun(at)
    dead = isinstance(begun, Skipped) and begun.because == "dead"
    names = (owner,) if at.step.rules.join == "any" and not dead else tuple(heard.values())
    if isinstance(looked := looked_at(at, at.step.end, *names), Need):
        return looked
    if any(name not in at.known.registers for name in names):
        return Need(come_back(at, f"{at.step.name} was begun, and not all of its inputs are to be seen"))
    as_owner = replace(at, delivery=replace(at.delivery, register=at.known.registers[owner]))
    if runs_now(as_owner) != (NO if dead else YES):
        return misbegun(at)
    return YES if dead or owner != at.incoming else when_fits(at, begun)


def when_fits(at: Situation, begun: Started | Skipped) -> Judged:
    """Whether the step's `when` is such that it began, or was skipped."""
    if isinstance(events := are_certain(at, *needed(at.step, at.incoming)), Need):
        return events
    holds = calls.holds(at.step, at.known, at.delivery)
    return YES if holds == isinstance(begun, Started) else misbegun(at)


def misbegun(at: Situation) -> Need:
    return Need(hold(at.step.begin, f"{at.step.name} was begun, and its inputs do not say so"))


def is_at_rest(at: Situation) -> Judged:
    """Whether the step has ended, or never will. Else its owner is at work, or the start will bring it to an end."""
    begun = None if at.step.rules.open else at.begun
    if at.step.end in at.known.registers or isinstance(begun, Cancelled | Skipped):
        return YES
    if isinstance(begun, Started) and isinstance(fits := begin_fits(at, begun), Need):
        return fits
    return Need(come_back(at))


def is_plausible(at: Situation) -> Judged:
    """Whether no register is known that contradicts the outcome; else the delivery is held."""
    if (wrong := implausible(at.rules.local, at.known.registers)) is None:
        return YES
    return Need(hold(wrong, f"{wrong.step}.{wrong.register} contradicts what has decided the saga"))


def may_commit(at: Situation, *others: Name) -> Judged:
    """Whether the saga is committed as far as a sink can tell: the others have ended, none failed, the pivot agrees."""
    if any(isinstance(at.known.value(name), Failed) for name in others):
        return LEAVE_IT
    if isinstance(ends := are_there(at, *others), Need):
        return ends
    return pivot_agrees(at)


def pivot_agrees(at: Situation) -> Judged:
    """Whether the pivot lets a sink go on. What it says stands before the sinks' ends: it is read until it is there.

    One that was started, and is not done, has the last word itself.
    """
    if (pivot := at.rules.local.pivot) is None:
        return YES
    if (name := registers.begin(pivot)) not in at.known.registers:
        return Need((Read((name,), present=True),))
    if not isinstance(at.known.value(name), Started):
        return YES
    if (name := registers.end(pivot)) not in at.known.registers:
        return Need((Read((name,), present=True),))
    return YES if isinstance(at.known.value(name), Done) else LEAVE_IT


def come_back(at: Situation, reason: str = "") -> Effects:
    """Nothing can be done just now, and no call was made: soon again, in 0.2 to 2 seconds."""
    return (Nak(min(2.0, 0.1 * 2 ** min(at.delivery.delivered, 5)), reason, waits=reason != ""),)


def let_go(at: Situation) -> Effects:
    """The lease is lost, and with it the right to call. If that happens each time, people must hear of it."""
    return come_back(at, LEASE_LOST)


def hold(wrong: Name, reason: str) -> Effects:
    """What nobody honest has written is not acted upon: again by the minute, for it takes a person."""
    return (Nak(MINUTE, reason, at_least=MINUTE, implausible=wrong.register),)


def retry(at: Situation, policy: Retry, reason: str, after: float = 0.0) -> Effects:
    """Call again, after a growing delay at most, and not before the app wants it: a Nak says how it is drawn."""
    doublings = min(at.known.failures, 16)  # even a millisecond is past the longest `max_backoff` by then
    return (Nak(min(policy.backoff * 2**doublings, policy.max_backoff), reason, at_least=after),)
