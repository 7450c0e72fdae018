"""The protocol: what a participant does about one delivery, for one of its own steps.

`decide` is a pure function over (rules, known, delivery, step). It returns effects; `attempt` executes them and asks
again with what it learned, until the step is settled by an ack or a nak. There is nobody else who decides: a saga comes
out right because every participant asks this function about every delivery. It rests on five things.

1. *Present is final, absent proves nothing.* What was read in a register stands there for ever, so `known` only grows,
   and every call starts at the top and runs down to the first thing that is not known yet. A read that finds nothing
   may be stale. It may spare work (`forward`, `act` and `commit` look before they write); nothing follows from it.

2. *Who needs "it is not there" writes something that the server refuses if it is there.* Mostly the register itself,
   since the one write that wins decides for all: a step's `begin` says whose it is, the pivot's `begin` is the latch
   that an abort must close first (`abort`). Where only the absence matters it is a marker (`are_certain`). So a join
   can wait with nobody there to count: an input that was absent when its sibling was handled is stored after that, and
   its own delivery finds the sibling there. It is enough that the last one acts (`runs_by_all`, `commit`, `finish`).

3. *A write that timed out is written again with the same attempt id; a refused one is read until it is there.* So
   after each `Write` it is known what stands, and by the attempt id who wrote it. Who has won `begin` knows that nobody
   has called the app before (`act`, `wait_for_app`).

4. *Acks are an optimisation.* Any delivery may come again, at any time, in any order, to any replica. So every rule
   asks first what stands, and what follows from an `end` is done by whoever sees it, not by whoever wrote it (`tail`):
   what one attempt left undone, the next carries on.

5. *The outcome is one write-once register.* That is enforced where a message is stored, but a guard is looked at where
   it is proposed, when another write may be on its way. So guards protect progress: a marker, or the write of somebody
   who comes `late`. The outcome is written without any, by whoever comes first (`conclude_abort`, `commit`).

The functions follow the two lists of rules in `docs/protocol.md`, in their order: forward 1 to 5, backward 1 to 5.
Neighbours: `situation` asks what is known, `answers` says what the app's answer means, `calls` what a call carries,
`attempt` makes operations of effects. Whoever carries these out owes them this, in this order:

1. *One attempt id for each generator*, never used before: in `Known`, and in every register that is written for it,
   however often that is tried. By it an attempt knows its own writes.
2. *Say how old the delivery is*, by the server's time: `Known.late` if it came before, or is older than a minute.
3. *One operation after the other*, and its result before the next: a register stands before what follows from it.
4. *A write that got no clear answer is UNKNOWN.* EXISTS and GUARD are the server's own words, and nothing else is.
5. *A log that does not answer is asked again*: a Fetch that finds nothing says that the log has said so.
6. *With each result say whether the lease may be lost*: as soon as it may be, and for good. No call begins then. One
   that runs is let finish, since the app has been asked.
7. *Tell the answer as it came*, and the server's time: who saw no response does not know what the app did.
8. *Ack last*, when every own step of the delivery is settled, as `settle` says: then all that it had to write stands.
   Else nak, but not with a lost lease, for the delivery is another's.

It may be dropped between any two operations, by a crash or an error: the delivery comes again, and another attempt goes
on. Whatever is not in this list may fail, come twice, or come long after.
"""

from __future__ import annotations

from sagamesh.errors import EvaluationError
from sagamesh.language.model import Retry
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    Aborted,
    Cancelled,
    Cause,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    FailureKind,
    Name,
    Nothing,
    Notice,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol import calls
from sagamesh.protocol.answers import Again, Answered, Away, Refusal, Success, judge_action, judge_compensation
from sagamesh.protocol.effects import Delivery, Effects, Known, Read, Tell, Write
from sagamesh.protocol.situation import (
    ACK,
    LEAVE_IT,
    NO,
    YES,
    Judged,
    Need,
    Situation,
    are_certain,
    are_there,
    come_back,
    is_material_known,
    looked_at,
    retry,
)
from sagamesh.protocol.variables import announced, needed
from sagamesh.rules.compiled import OwnStep, Rules

APP_AWAY = "the app is away"
ONLY_PEOPLE_CAN = "trying again will not help, only a change of the saga or of its data"
COMPENSATION_RETRY = Retry(max_backoff=60.0)
"""A compensation is called for ever, with delays that grow to a minute."""
FORWARD = frozenset({"start", "end"})


def decide(rules: Rules, known: Known, delivery: Delivery, step: OwnStep) -> Effects:
    """The next effects for `step`. The last effects are one Ack or one Nak; then the step is settled."""
    if known.gone:
        return ACK
    at = Situation(rules, known, delivery, step)
    return forward(at) if at.incoming.register in FORWARD else backward(at)


# -- forward: on the start, or on a predecessor's end --------------------------------------------------------------


def forward(at: Situation) -> Effects:
    """Rule 1: whose is the step?"""
    begun = at.known.value(at.step.begin)
    match begun:
        case None if at.known.late and at.step.begin not in at.known.unseen:
            return (Read((at.step.begin, at.step.end)),)  # begun already, most likely: spares a write that is refused
        case None:
            return open_step(at)
        case Cancelled(cause=cause):
            return conclude_abort(at.known, cause) if at.step.rules.pivot else ACK
        case Started(delivery=subject) | Skipped(delivery=subject) if subject != at.delivery.subject:
            return ACK  # begun by another delivery: that one owns the step
        case Skipped(because=because):
            return close_skipped(at, because)
        case _:
            return act(at)


def open_step(at: Situation) -> Effects:
    """Rule 2: do the inputs make the step run, here and now? Then write `begin`."""
    runs = runs_by_any(at) if at.step.rules.join == "any" else runs_by_all(at)
    if isinstance(runs, Need):
        return runs.effects
    if isinstance(notice := at.known.value(ABORT), Notice):
        return begin(at, Cancelled(notice.cause))
    if not runs.value:
        return begin(at, Skipped(at.delivery.subject, "dead"))
    if at.step.when is not None or at.step.rules.pivot:  # so that the pivot's latch waits for no read
        if isinstance(inputs := are_certain(at, *needed(at.step, at.incoming)), Need):
            return inputs.effects
        if not calls.holds(at.step, at.known, at.delivery):
            return begin(at, Skipped(at.delivery.subject, "when"))
    if at.known.app_away and not (at.step.rules.pivot and is_hopeless(at)):
        return come_back(at, APP_AWAY)
    return begin(at, Started(at.delivery.subject))


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
    register = at.known.registers[name]
    heard = announced(register)
    return heard is not None and heard[0] in at.step.heard[name.step]


def is_hopeless(at: Situation) -> bool:
    """Whether the step's call cannot be made, now or ever: then it may begin, and end, without its app."""
    return isinstance(calls.action(at.step, at.known, at.delivery), EvaluationError)


def begin(at: Situation, value: Value) -> Effects:
    return (Write(at.step.begin, value, guarded=at.known.late),)


def close_skipped(at: Situation, because: str) -> Effects:
    """The end of rule 2: a skipped step ends dead, or satisfied."""
    if (ended := at.known.value(at.step.end)) is not None:
        return tail(at, ended)
    last = at.step.emits[-1][0]
    return (Write(at.step.end, Dead() if because == "dead" else Satisfied(last)),)


def act(at: Situation) -> Effects:
    """Rule 3: call the action, write `end`."""
    step, known = at.step, at.known
    if (ended := known.value(step.end)) is not None:
        return tail(at, ended)
    if not known.mine(step.begin) and step.end not in known.unseen:
        return (Read((step.end,)),)  # an earlier attempt may have got further
    if isinstance(material := is_material_known(at, at.incoming), Need):
        return material.effects
    if (answer := known.answer) is None:
        return call_action(at)
    match judge_action(answer, step.rules.action.path):
        case Away():
            return wait_for_app(at)
        case Refusal(reason=reason) if not step.rules.retriable:
            return end_failed(at, "refused", reason)
        case Refusal(reason=reason):
            return retry(at, step.rules.action.retry, reason)
        case Again(kind=kind, reason=reason) if known.within_passed and not step.must_succeed:
            return end_failed(at, kind, reason)
        case Again(reason=reason, after=after):
            return retry(at, step.rules.action.retry, reason, after)
        case Success() as success:
            assert isinstance(answer, Answered)
            return succeed(at, answer, success)


def call_action(at: Situation) -> Effects:
    """What cannot be evaluated needs neither the app nor the lease."""
    call = calls.action(at.step, at.known, at.delivery)
    if isinstance(call, EvaluationError):
        return give_up(at, call)
    if at.known.app_away:
        return wait_for_app(at)
    return come_back(at) if at.known.lease_lost else (call,)


def give_up(at: Situation, error: EvaluationError) -> Effects:
    """The step ends, for the same data fail again, and so did before. A retriable one, which must succeed, parks."""
    told = Tell(error.place, str(error))
    if at.step.rules.retriable:
        return (told, *retry(at, at.step.rules.action.retry, f"{error.place}: {error}; {ONLY_PEOPLE_CAN}"))
    return (told, *end_failed(at, "expression", str(error)))


def succeed(at: Situation, answer: Answered, success: Success) -> Effects:
    """The app has acted: where it cannot be told which event fits, the last is announced, which fits every answer."""
    told: Effects = ()
    try:
        event = calls.choose(at.step, at.known, at.delivery, answer, success)
    except EvaluationError as error:
        event, told = at.step.emits[-1][0], (Tell(error.place, str(error)),)
    if event is not None:
        return (*told, Write(at.step.end, Done(event, success.data, at.delivery.delivered, at.known.called)))
    unfit = calls.unfit(at.known, success)
    return retry(at, at.step.rules.action.retry, unfit) if at.step.must_succeed else end_failed(at, "unknown", unfit)


def end_failed(at: Situation, kind: FailureKind, reason: str) -> Effects:
    return (Write(at.step.end, Failed(kind, reason, at.delivery.delivered, at.known.called)),)


def wait_for_app(at: Situation) -> Effects:
    """The app is away: a begun action ends failed if the saga is being aborted, else it waits on."""
    if at.step.must_succeed:
        return come_back(at, APP_AWAY)
    if isinstance(notice := looked_at(at, ABORT), Need):
        return notice.effects
    if ABORT not in at.known.registers:
        return come_back(at, APP_AWAY)
    kind: FailureKind = "refused" if at.known.mine(at.step.begin) else "unknown"
    return end_failed(at, kind, "the app was away while the saga was aborted")


def tail(at: Situation, ended: Value) -> Effects:
    """What follows from an `end`, whoever wrote it."""
    if isinstance(ended, Failed):
        cause = Cause(ended.kind, ended.reason, at.step.name)
        return conclude_abort(at.known, cause) if at.step.rules.pivot else abort(at.rules, at.known, cause)
    if at.step.rules.pivot and isinstance(ended, Done) and OUTCOME not in at.known.registers:
        return (Write(OUTCOME, Committed()),)
    return commit(at) if at.step.is_sink else ACK


def abort(rules: Rules, known: Known, cause: Cause) -> Effects:
    """Rule 4, for any step but the pivot, and for a cancel: close the pivot's latch, then conclude."""
    if rules.local.pivot is not None and ABORT not in known.registers:
        latch = registers.begin(rules.local.pivot)
        latched = known.value(latch)
        if latched is None:
            return (Write(latch, Cancelled(cause), guarded=known.late),)
        if isinstance(latched, Started):
            return ACK  # the pivot decides
    return conclude_abort(known, cause)


def conclude_abort(known: Known, cause: Cause) -> Effects:
    """The end of rule 4: write the outcome, then the notice that tells everybody."""
    outcome = known.value(OUTCOME)
    if outcome is None:
        return (Write(OUTCOME, Aborted(cause)),)
    if isinstance(outcome, Aborted) and ABORT not in known.registers:
        return (Write(ABORT, Notice(outcome.cause)),)
    return ACK


def commit(at: Situation) -> Effects:
    """Rule 5: a sink that is done, skipped or dead commits the saga, if it is the last of them."""
    others = tuple(registers.end(sink) for sink in at.rules.local.sinks if sink != at.step.name)
    if any(isinstance(at.known.value(name), Failed) for name in others):
        return ACK
    if isinstance(ends := are_there(at, *others), Need):
        return ends.effects
    outcome = at.known.value(OUTCOME)
    if outcome is None:
        if at.step.rules.retriable and OUTCOME not in at.known.unseen:
            return (Read((OUTCOME,)),)  # written by the pivot, most likely: spares a write that is refused
        return (Write(OUTCOME, Committed()),)
    if isinstance(outcome, Aborted):
        return conclude_abort(at.known, outcome.cause)
    if at.rules.local.pivot is not None and FINISH not in at.known.registers:
        return (Write(FINISH, Completed()),)
    return ACK


# -- backward: on the notice, or on a successor's compensation -----------------------------------------------------


def backward(at: Situation) -> Effects:
    """Rules 1 to 3: is the step at rest, and is everything after it undone?"""
    step, known = at.step, at.known
    successors = step.rules.successors if at.rules.local.order == "reverse" else ()
    behind = tuple(registers.compensation(successor) for successor in successors)
    if isinstance(all_of_it := looked_at(at, ABORT, step.begin, step.end, step.compensation, *behind), Need):
        return all_of_it.effects
    if (begun := known.value(step.begin)) is None:
        return cancel_step(at)
    if isinstance(begun, Started) and step.end not in known.registers:
        return come_back(at)  # its owner is still at work
    if step.compensation in known.registers:
        return finish(at)
    if isinstance(undone := are_there(at, *behind), Need):
        return undone.effects
    return undo(at, begun)


def cancel_step(at: Situation) -> Effects:
    """Rule 1: nobody may begin it any more."""
    if isinstance(certain := are_certain(at, ABORT), Need):
        return certain.effects
    notice = at.known.value(ABORT)
    if not isinstance(notice, Notice):
        return ACK  # a late delivery of an instance that was deleted
    return begin(at, Cancelled(notice.cause))


def undo(at: Situation, begun: Value) -> Effects:
    """Rule 4: call the compensation where there may be something to undo, write `compensation`.

    Also after a refusal: it is no proof that nothing happened, since another attempt may have been answered otherwise.
    """
    step, ended = at.step, at.known.value(at.step.end)
    if step.rules.compensation is None or not isinstance(begun, Started) or not isinstance(ended, Done | Failed):
        return (Write(step.compensation, Nothing()),)
    if isinstance(material := is_material_known(at, calls.begun_by(begun), ABORT), Need):
        return material.effects
    if (answer := at.answer) is None:
        if at.known.lease_lost:
            return come_back(at)
        return calls.compensation(step, at.known, at.delivery, begun, ended)
    match judge_compensation(answer, step.rules.compensation.path):
        case Success():
            return (Write(step.compensation, Undone(at.delivery.delivered, at.known.called)),)
        case Again(reason=reason, after=after):
            return retry(at, COMPENSATION_RETRY, reason, after)
        case _:
            return come_back(at, APP_AWAY)


def finish(at: Situation) -> Effects:
    """Rule 5: the last of the roots (for `parallel`, of all steps) finishes the saga."""
    last = at.rules.last
    if at.step.name not in last or FINISH in at.known.registers:
        return ACK
    others = (registers.compensation(name) for name in last if name != at.step.name)
    if isinstance(undone := are_there(at, *others), Need):
        return undone.effects
    return (Write(FINISH, Compensated()),)
