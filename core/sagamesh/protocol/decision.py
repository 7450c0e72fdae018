"""The protocol: what a participant does about one delivery, for one of its own steps.

`decide` is a pure function over (rules, known, delivery, step). It returns effects; `attempt` executes them and asks
again with what it learned, until the step is settled by an ack or a nak. There is nobody else who decides: a saga comes
out right because every participant asks this function about every delivery. It rests on five things.

1. *Present is final, absent proves nothing.* What was read in a register stands there for ever, so `known` only grows,
   and every call starts at the top and runs down to the first thing that is not known yet. A read that finds nothing
   may be stale. It may spare work (`forward` looks before it writes); nothing follows from it.

2. *Who needs "it is not there" writes something that the server refuses if it is there.* Mostly the register itself,
   since the one write that wins decides for all: the `begin` of a latched step says whether it runs, that of the pivot
   is what an abort must close first (`abort`). Where only the absence matters it is a marker (`are_certain`). So a join
   can wait with nobody there to count: an input that was absent when its sibling was handled is stored after that, and
   its own delivery finds the sibling there. It is enough that the last one acts (`runs_now`, `commit`, `finish`).

3. *A write that timed out is written again with the same attempt id; a refused one is read until it is there.* So
   after each `Write` it is known what stands, and by the attempt id who wrote it. Who has won `begin` knows that nobody
   has called the app before (`carry_on`, `wait_for_app`).

4. *Acks are an optimisation.* Any delivery may come again, at any time, in any order, to any replica. So every rule
   asks first what stands, and what follows from an `end` is done by whoever sees it, not by whoever wrote it (`tail`):
   what one attempt left undone, the next carries on. What it has not done itself it believes only where the registers
   that come before say the same (`carry_on`, `backward`).

5. *The outcome is one write-once register, and what follows from others is not written again.* With a pivot it is the
   pivot's: its `begin` cancelled, or its `end`; else `_.outcome`. Write-once is enforced where a message is stored, but
   a guard is looked at where it is proposed, when another write may be on its way. So guards protect progress: a
   marker, or the write of somebody who comes `late`; the outcome is written without any.

The functions follow the two lists of rules in `docs/protocol.md`, in their order: forward 1 to 5, backward 1 to 5.
Neighbours: `situation` asks what is known, `endings` what that says of the instance, `answers` says what the app's
answer means, `calls` what a call carries, `attempt` makes operations of effects, and names the duties of whoever
carries them out.
"""

from __future__ import annotations

from typing import Literal

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
    Nothing,
    Notice,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol import calls
from sagamesh.protocol.answers import Again, Answer, Answered, Away, Refusal, Success, judge_action, judge_compensation
from sagamesh.protocol.effects import Call, Delivery, Effects, Known, Tell, Write
from sagamesh.protocol.endings import latch_of, outcome, outcome_names
from sagamesh.protocol.situation import (
    ACK,
    Need,
    Situation,
    are_certain,
    are_there,
    begin_fits,
    come_back,
    decided,
    is_at_rest,
    is_material_known,
    is_plausible,
    let_go,
    looked_at,
    may_commit,
    retry,
    runs_now,
    why_aborted,
)
from sagamesh.protocol.variables import needed
from sagamesh.rules.compiled import OwnStep, Rules

Because = Literal["dead", "when"]
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
    """Rule 1: whose is the step, and how far has it come?"""
    step, known = at.step, at.known
    if known.late and isinstance(looked := looked_at(at, step.begin, step.end), Need):
        return looked.effects  # begun or ended, most likely: an earlier attempt may have got further
    if step.rules.open:
        return take_up(at) if (ended := known.value(step.end)) is None else tail(at, ended)
    match at.begun:
        case Cancelled(cause=cause):
            return give_notice(known, cause) if step.rules.pivot else ACK
        case Started() | Skipped() as begun:
            return carry_on(at, begun)
    return take_up(at)


def carry_on(at: Situation, begun: Started | Skipped) -> Effects:
    """Rule 1, of a step that was begun. Who has not begun it himself believes nothing, unless it has ended."""
    step, known = at.step, at.known
    ended = known.value(step.end)
    if ended is None and not known.mine(step.begin) and isinstance(fits := begin_fits(at, begun), Need):
        return fits.effects
    if begun.delivery != at.delivery.subject:
        return ACK  # begun by another delivery: that one owns the step
    if ended is not None:
        return tail(at, ended)
    return act(at) if isinstance(begun, Started) else end_skipped(at, begun.because)


def take_up(at: Situation) -> Effects:
    """Rule 2: do the inputs make the step run, here and now, and is the saga not aborted?"""
    if isinstance(runs := runs_now(at), Need):
        return runs.effects
    if ABORT in at.known.registers and not at.step.rules.retriable:
        match why_aborted(at):
            case Need(effects=effects):
                return effects
            case Cause() as cause:
                return cancel_step(at, cause)
    return run(at) if runs.value else skip(at, "dead")


def run(at: Situation) -> Effects:
    """Rule 2, of a step that runs. Its call's parts are known before a latched one says so in `begin`."""
    if isinstance(parts := are_certain(at, *needed(at.step, at.incoming)), Need):
        return parts.effects
    if not calls.holds(at.step, at.known, at.delivery):
        return skip(at, "when")
    if at.step.rules.open:
        return act(at)
    if at.known.app_away and not calls.is_hopeless(at.step, at.known, at.delivery):
        return come_back(at, at.known.why_away)
    return begin(at, Started(at.delivery.subject))


def begin(at: Situation, value: Value) -> Effects:
    return (Write(at.step.begin, value, guarded=at.known.late),)


def cancel_step(at: Situation, cause: Cause) -> Effects:
    """Nobody may begin it any more. Of an open step an earlier attempt may have called: it ends, and is undone."""
    if at.step.rules.open:
        return end_failed(at, "unknown" if at.known.late else "refused", "the saga was aborted before it was called")
    return begin(at, Cancelled(cause))


def skip(at: Situation, because: Because) -> Effects:
    """The end of rule 2: a skipped step ends dead, or satisfied. A latched one says so in `begin` first."""
    return end_skipped(at, because) if at.step.rules.open else begin(at, Skipped(at.delivery.subject, because))


def end_skipped(at: Situation, because: Because) -> Effects:
    return end(at, Dead() if because == "dead" else Satisfied(at.step.emits[-1][0]))


def end(at: Situation, value: Value) -> Effects:
    """Of an open step it may be the first register: then it is what shows that the instance is still there."""
    return (Write(at.step.end, value, guarded=at.known.late and at.step.begin not in at.known.registers),)


def act(at: Situation) -> Effects:
    """Rule 3: call the action, write `end`."""
    if isinstance(material := is_material_known(at, at.incoming), Need):
        return material.effects
    return call_action(at) if (answer := at.known.answer) is None else hear(at, answer)


def call_action(at: Situation) -> Effects:
    """What cannot be evaluated needs neither the app nor the lease."""
    call = calls.action(at.step, at.known, at.delivery)
    if isinstance(call, EvaluationError):
        return give_up(at, call)
    if at.known.app_away:
        return wait_for_app(at)
    return let_go(at) if at.known.lease_lost else call_safely(at, call)


def call_safely(at: Situation, call: Call) -> Effects:
    """A late call of an open step may be one of an instance that was deleted: it needs a guard first."""
    if at.known.late and at.step.begin not in at.known.registers:
        return begin(at, Started(at.delivery.subject))
    return (call,)


def hear(at: Situation, answer: Answer) -> Effects:
    """The end of rule 3: what the app's answer means for the step."""
    step = at.step.rules
    match judge_action(answer, step.action.path):
        case Success() as success:
            assert isinstance(answer, Answered)
            return succeed(at, answer, success)
        case Away():
            return wait_for_app(at)
        case Refusal(reason=reason) if not step.retriable:
            return end_failed(at, "refused", reason)
        case Refusal() as refusal:
            return retry(at, step.action.retry, refusal.told)
        case Again(kind=kind, reason=reason) if at.known.within_passed and not at.step.must_succeed:
            return end_failed(at, kind, reason)
        case Again(reason=reason, after=after):
            return retry(at, step.action.retry, reason, after)


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
        return (*told, *end(at, Done(event, success.data, at.delivery.delivered, at.known.called, at.known.began)))
    unfit = calls.unfit(at.step, at.known, answer, success)
    return retry(at, at.step.rules.action.retry, unfit) if at.step.must_succeed else end_failed(at, "unknown", unfit)


def end_failed(at: Situation, kind: FailureKind, reason: str) -> Effects:
    return end(at, Failed(kind, reason, at.delivery.delivered, at.known.called, at.known.began))


def wait_for_app(at: Situation) -> Effects:
    """The app is away: an action ends failed if the saga is being aborted, else it waits on."""
    aborted = None if at.step.must_succeed else why_aborted(at)
    if isinstance(aborted, Need):
        return aborted.effects
    if aborted is None:
        return come_back(at, at.known.why_away)
    uncalled = not at.known.late if at.step.rules.open else at.known.mine(at.step.begin)
    return end_failed(at, "refused" if uncalled else "unknown", "the app was away while the saga was aborted")


def tail(at: Situation, ended: Value) -> Effects:
    """What follows from an `end`, whoever wrote it. That of a pivot is the outcome."""
    if not isinstance(ended, Failed):
        return commit(at, ended) if at.step.is_sink else ACK
    if isinstance(plausible := is_plausible(at), Need):
        return plausible.effects
    cause = Cause(ended.kind, ended.reason, at.step.name)
    return give_notice(at.known, cause) if at.step.rules.pivot else abort(at.rules, at.known, cause)


def abort(rules: Rules, known: Known, cause: Cause) -> Effects:
    """Rule 4, for any step but the pivot, and for a cancel: close the pivot's latch, or write the outcome."""
    if (latch := latch_of(rules.local)) is not None and latch not in known.registers:
        return (Write(latch, Cancelled(cause), guarded=known.late),)
    match outcome(rules.local, known.registers):
        case Aborted(cause=said):
            return give_notice(known, said)
        case None if latch is None or isinstance(known.value(latch), Skipped):
            return (Write(OUTCOME, Aborted(cause)),)
    return ACK  # committed, or the pivot decides


def give_notice(known: Known, cause: Cause) -> Effects:
    """The end of rule 4: tell everybody what the outcome says."""
    return ACK if ABORT in known.registers else (Write(ABORT, Notice(cause)),)


def commit(at: Situation, ended: Value) -> Effects:
    """Rule 5: a sink that is done, skipped or dead commits the saga, if it is the last of them."""
    local, known = at.rules.local, at.known
    others = tuple(registers.end(sink) for sink in local.sinks if sink != at.step.name)
    if not others and at.step.must_succeed and not isinstance(ended, Dead):
        return ACK  # it follows from the pivot's end
    if isinstance(committed := may_commit(at, *others), Need):
        return committed.effects
    match decided(at):
        case None:
            return (Write(OUTCOME, Committed()),)
        case Aborted(cause=cause):
            return give_notice(known, cause)
    return ACK if local.pivot is None or not others or FINISH in known.registers else (Write(FINISH, Completed()),)


# -- backward: on the notice, or on the compensation of a step behind ----------------------------------------------


def backward(at: Situation) -> Effects:
    """Rule 1: is the saga aborted, and the step at rest? The notice is not believed alone."""
    step, latch = at.step, () if at.step.rules.open else (at.step.begin,)
    back = (step.compensation, *at.behind) if step.undoable else ()
    if isinstance(looked := looked_at(at, *outcome_names(at.rules.local), *latch, step.end, *back), Need):
        return looked.effects
    if isinstance(plausible := is_plausible(at), Need):
        return plausible.effects
    if not isinstance(aborted := decided(at), Aborted):
        return come_back(at)
    if not step.rules.open and step.begin not in at.known.registers:
        return begin(at, Cancelled(aborted.cause))
    if isinstance(rest := is_at_rest(at), Need):
        return rest.effects
    return undo(at, aborted.cause) if step.undoable else ACK


def undo(at: Situation, cause: Cause) -> Effects:
    """Rules 2 and 3: once everything behind it is undone, so is the step; what never ran waits for nobody."""
    step, known = at.step, at.known
    if step.compensation in known.registers:
        return finish(at)
    nothing: Effects = (Write(step.compensation, Nothing()),)
    if isinstance(known.value(step.begin), Cancelled):
        return nothing  # nor did anything run that depends on it
    if isinstance(undone := are_there(at, *at.behind), Need):
        return undone.effects
    ended = known.value(step.end)
    return compensate(at, ended, cause) if isinstance(ended, Done | Failed) else nothing


def compensate(at: Situation, ended: Done | Failed, cause: Cause) -> Effects:
    """Rule 4: call the compensation, write that it is done.

    Also after a refusal: it is no proof that nothing happened, since another attempt may have been answered otherwise.
    """
    step, known, begun = at.step, at.known, at.begun
    if isinstance(material := is_material_known(at, calls.incoming(begun)), Need):
        return material.effects
    if (answer := at.answer) is None:
        return let_go(at) if known.lease_lost else calls.compensation(step, known, at.delivery, begun, ended, cause)
    assert step.rules.compensation is not None  # since it can be undone
    match judge_compensation(answer, step.rules.compensation.path):
        case Success():
            return (Write(step.compensation, Undone(at.delivery.delivered, known.called)),)
        case Again(reason=reason, after=after):
            return retry(at, COMPENSATION_RETRY, reason, after)
        case _:
            return come_back(at, at.known.why_away)


def finish(at: Situation) -> Effects:
    """Rule 5: of several steps that may be undone last, the one that is finishes the saga."""
    last = at.rules.local.last
    if at.step.name not in last or len(last) == 1 or FINISH in at.known.registers:
        return ACK
    others = (registers.compensation(name) for name in last if name != at.step.name)
    if isinstance(undone := are_there(at, *others), Need):
        return undone.effects
    return (Write(FINISH, Compensated()),)
