"""One attempt, driven by hand: what it asks the log and the app, and what it takes their replies to prove."""

from __future__ import annotations

import pytest

from sagamesh.language.model import Saga
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    START,
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
    Name,
    Nothing,
    Notice,
    Register,
    Satisfied,
    Skipped,
    Started,
    Undone,
    Value,
    begin,
    compensation,
    end,
    marker,
)
from sagamesh.protocol.answers import Away
from sagamesh.protocol.attempt import (
    READS_UNTIL_PRESENT,
    WRITES_UNTIL_KNOWN,
    Fetch,
    Operation,
    Pause,
    Put,
    Reply,
    Result,
    TooLarge,
    WriteRefused,
    attempt,
    settle,
)
from sagamesh.protocol.effects import LEASE_LOST, Ack, Call, Delivery, Known, Nak, Tell
from support.builders import shapes
from support.builders.attempts import (
    CAUSE,
    INSTANCE,
    ME,
    OTHER,
    Driven,
    done,
    no,
    ok,
    register,
    rules_for,
    shape,
    start,
    started,
    step,
)

CHAIN = shapes.straight(3)
PIVOT = shapes.SHAPES["pivot in the middle"]
ROOTS = shapes.saga(shapes.step("a"), shapes.step("b"))
EXISTS, GUARD, UNKNOWN = WriteRefused.EXISTS, WriteRefused.GUARD, WriteRefused.UNKNOWN


class Attempt(Driven[Ack | Nak]):
    """An attempt at a delivery, and what it knows. `log` is what stands before it."""

    def __init__(
        self, saga: Saga, step: str, on: Register, *, delivered: int = 1, late: bool = False, app_away: bool = False
    ) -> None:
        rules = rules_for(saga, step)
        self.known = Known(attempt_id=ME, late=late, app_away=app_away)
        self.sequence = 10
        super().__init__(attempt(rules, self.known, Delivery(INSTANCE, on, delivered), rules.steps[step]))

    def store(self, *, lease_lost: bool = False) -> Operation | None:
        """The Put that it asks for is stored."""
        put = self.put()
        self.sequence += 1
        return self.send(register(put.name, put.value, self.sequence, ME), lease_lost=lease_lost)

    def find(self, *found: Register) -> Operation | None:
        """The Fetch that it asks for finds these."""
        assert isinstance(self.operation, Fetch), self.operation
        assert {r.name for r in found} <= set(self.operation.names)
        return self.send(found)

    def pause(self, turn: int) -> Operation | None:
        assert self.operation == Pause(turn)
        return self.send(None)

    def answer(self, answer: object, time: float = 1010.0, called: int = 1) -> Operation | None:
        assert isinstance(self.operation, Call), self.operation
        return self.send(Reply(answer, time, called))  # type: ignore[arg-type]

    def put(self) -> Put:
        assert isinstance(self.operation, Put), self.operation
        return self.operation

    def written(self, name: Name) -> Value:
        put = self.put()
        assert put.name == name
        return put.value


STARTED_IT = register(START, start({"n": 1}), 1)
FIRST_IS_DONE = register(end("s0"), done("s0.ok", {"n": 1}), 2)
BEGUN = started(end("s0"))


def at_root(**options: bool) -> Attempt:
    """The first step of a chain, which is open, on the start."""
    return Attempt(CHAIN, "s0", STARTED_IT, **options)


def at_step(**options: bool) -> Attempt:
    """The second step of a chain, on the end of the first."""
    return Attempt(CHAIN, "s1", FIRST_IS_DONE, **options)


def at_call() -> Attempt:
    driven = at_step()
    driven.store()
    return driven


def test_a_plain_step_begins_calls_ends_and_acks() -> None:
    driven = at_step()
    assert driven.operation == Put(begin("s1"), BEGUN)
    driven.store()
    assert driven.operation == Call("action", "/s1", b'{"n":1}', 5.0, "s0.ok", caused_by="run/s0")
    driven.answer(ok([7]))
    assert driven.operation == Put(end("s1"), done("s1.ok", [7]))
    driven.store()
    assert driven.result == Ack()


def test_an_open_step_calls_ends_and_acks() -> None:
    driven = at_root()
    assert driven.operation == Call("action", "/s0", b'{"n":1}', 5.0, "start", caused_by="e-1")
    driven.answer(ok([7]))
    assert driven.operation == Put(end("s0"), done("s0.ok", [7]))
    driven.store()
    assert driven.result == Ack()


def test_an_end_says_when_the_attempt_began_that_wrote_it() -> None:
    driven = at_root()
    driven.known.began = 1005.5
    driven.answer(ok())
    assert driven.written(end("s0")) == Done("s0.ok", begun=1005.5)


def test_no_call_begins_once_it_is_told_that_the_lease_is_lost() -> None:
    driven = at_step()
    driven.store(lease_lost=True)
    assert driven.result == Nak(0.2, LEASE_LOST, waits=True)


def test_the_lease_is_what_the_last_result_says_of_it() -> None:
    driven = at_step()
    driven.send(UNKNOWN, lease_lost=True)
    driven.send(None, lease_lost=False)  # the pause
    driven.store()
    assert isinstance(driven.operation, Call)


def test_a_result_that_says_nothing_of_the_lease_has_not_lost_it() -> None:
    """As of what is done for the API, which has none."""
    assert not Result(None).lease_lost


def test_a_call_that_runs_is_finished_though_the_lease_is_lost() -> None:
    driven = at_call()
    driven.send(Reply(ok([7]), 1010.0), lease_lost=True)
    assert driven.operation == Put(end("s1"), done("s1.ok", [7]))


@pytest.mark.parametrize("given", [(), (register(begin("s0"), started(START), 2, OTHER),)])
def test_the_lease_may_be_lost_while_registers_are_read(given: tuple[Register, ...]) -> None:
    driven = at_root(late=True)
    assert driven.operation == Fetch((begin("s0"), end("s0")))
    driven.send(given, lease_lost=True)
    assert driven.known.lease_lost


# -- writes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, WRITES_UNTIL_KNOWN - 1])
def test_an_unknown_write_is_written_again_as_it_was_however_often(times: int) -> None:
    driven = at_step()
    first = driven.put()
    for turn in range(times):
        driven.send(UNKNOWN)
        driven.pause(turn)
        assert driven.put() == first
    driven.store()
    assert isinstance(driven.operation, Call)


def test_a_refused_write_is_read_until_it_is_there() -> None:
    driven = at_step()
    driven.send(EXISTS)
    for turn in range(2):  # absent twice, which proves nothing
        assert driven.operation == Fetch((begin("s1"),))
        driven.find()
        driven.pause(turn)
    assert driven.operation == Fetch((begin("s1"),))
    driven.find(register(begin("s1"), Cancelled(CAUSE), 3))
    assert driven.result == Ack()


def test_what_came_before_something_that_stands_is_read_until_it_is_there() -> None:
    """The last of several sinks after the pivot: the pivot has begun, or it would not run."""
    two_sinks = shape("pivot with two retriable sinks")
    driven = Attempt(two_sinks, "b", register(end("p"), done("p.ok"), 5))
    driven.answer(ok())
    driven.store()
    assert driven.operation == Fetch((end("c"),))
    driven.find(register(end("c"), done("c.ok"), 6))
    for turn in range(2):
        assert driven.operation == Fetch((begin("p"),))
        driven.find()
        driven.pause(turn)
    driven.find(register(begin("p"), started(end("a")), 4))
    assert driven.written(FINISH) == Completed()
    driven.store()
    assert driven.result == Ack()


def test_of_several_that_must_be_there_each_is_read_until_it_is() -> None:
    joined = shapes.saga(step("a"), step("b"), step("x"), step("c", ["a.ok", "b.ok", "x.ok"]))
    driven = Attempt(joined, "c", NOTICED)
    driven.find(DECIDED, register(begin("c"), started(end("x")), 6), register(end("c"), done("c.ok"), 7))
    assert driven.operation == Fetch((end("a"), end("b"), end("x")))
    driven.find(register(end("x"), done("x.ok"), 5))
    assert driven.operation == Fetch((end("a"), end("b")))
    driven.find(register(end("a"), done("a.ok"), 3))
    driven.pause(0)
    assert driven.operation == Fetch((end("b"),))
    driven.find(register(end("b"), done("b.ok"), 4))
    assert isinstance(driven.operation, Call)


def test_what_must_be_there_and_cannot_be_read_gives_the_delivery_back() -> None:
    driven = Attempt(shape("pivot skipped, with one sink after it"), "b", register(end("p"), Dead(), 5))
    assert driven.written(end("b")) == Dead()
    driven.store()
    for turn in range(READS_UNTIL_PRESENT):
        assert driven.operation == Fetch((begin("p"),))
        driven.find()
        driven.pause(turn)
    assert driven.result == Nak(1.0, "the log neither takes a register nor shows it")


def test_a_write_that_stays_unknown_gives_the_delivery_back() -> None:
    driven = at_step()
    for turn in range(WRITES_UNTIL_KNOWN):
        driven.send(UNKNOWN)
        driven.pause(turn)
    assert driven.result == Nak(1.0, "the log neither takes a register nor shows it")


def test_a_log_that_gives_no_clear_answer_has_some_twenty_seconds() -> None:
    """Of the sidecar's pauses: another number is another time until a delivery is given back."""
    assert (READS_UNTIL_PRESENT, WRITES_UNTIL_KNOWN) == (30, 25)


def test_a_refused_write_that_cannot_be_read_gives_the_delivery_back() -> None:
    driven = at_step()
    driven.send(EXISTS)
    for turn in range(READS_UNTIL_PRESENT):
        driven.find()
        driven.pause(turn)
    assert driven.result == Nak(1.0, "the log neither takes a register nor shows it")


def test_a_lost_begin_is_won_by_the_attempt_whose_id_stands_in_it() -> None:
    driven = at_step()
    driven.send(UNKNOWN)  # stored, but the reply was lost
    driven.pause(0)
    driven.send(EXISTS)
    driven.find(register(begin("s1"), BEGUN, 3, ME))
    assert isinstance(driven.operation, Call), "no earlier attempt can have called"


def test_a_begin_of_another_attempt_at_this_delivery_looks_for_its_end() -> None:
    driven = at_step()
    driven.send(UNKNOWN)
    driven.pause(0)
    driven.send(EXISTS)
    driven.find(register(begin("s1"), BEGUN, 3, OTHER))
    assert driven.operation == Fetch((end("s1"),))
    driven.find()
    assert isinstance(driven.operation, Call)


def test_a_begin_of_another_delivery_is_left_to_it() -> None:
    merge = shape("choice and merge")
    driven = Attempt(merge, "d", register(end("b"), done("b.ok"), 3))
    driven.send(EXISTS)
    driven.find(register(begin("d"), started(end("c")), 5))
    assert driven.operation == Fetch((end("d"), end("c")))
    driven.find(register(end("c"), done("c.ok"), 4))
    assert driven.result == Ack()


def test_a_begun_step_whose_inputs_are_not_seen_is_looked_at_again() -> None:
    saga = shapes.saga(shapes.step("a"), shapes.step("b"), shapes.step("c", ["a.ok", "b.ok"]))
    driven = Attempt(saga, "c", register(end("b"), done("b.ok"), 3), late=True)
    driven.find(register(begin("c"), started(end("b")), 4))
    driven.find()
    assert driven.result == Nak(0.2, "c was begun, and not all of its inputs are to be seen", waits=True)


def test_a_begin_that_was_cancelled_meanwhile_ends_the_attempt() -> None:
    driven = at_step()
    driven.send(EXISTS)
    driven.find(register(begin("s1"), Cancelled(CAUSE), 3))
    assert driven.result == Ack()


def test_the_end_that_stands_is_carried_on_whatever_this_attempt_was_answered() -> None:
    driven = at_call()
    driven.answer(ok())
    driven.send(EXISTS)
    driven.find(register(end("s1"), Failed("refused", "no"), 5))
    assert driven.written(OUTCOME) == Aborted(Cause("refused", "no", "s1"))
    driven.store()
    assert driven.written(ABORT) == Notice(Cause("refused", "no", "s1"))
    driven.store()
    assert driven.result == Ack()


def test_an_outcome_lost_to_committed_is_held() -> None:
    driven = at_call()
    driven.answer(no(422))
    driven.store()
    driven.written(OUTCOME)
    driven.send(EXISTS)
    driven.find(register(OUTCOME, Committed(), 6))
    assert driven.result.implausible == "outcome"


def test_an_outcome_lost_to_aborted_is_carried_on_with_the_cause_that_stands() -> None:
    driven = at_call()
    driven.answer(no(422))
    driven.store()
    driven.send(EXISTS)
    driven.find(register(OUTCOME, Aborted(CAUSE), 6))
    assert driven.written(ABORT) == Notice(CAUSE)


@pytest.mark.parametrize(
    ("winner", "goes_on"), [(Started("x"), False), (Cancelled(CAUSE), True)], ids=["started", "cancelled"]
)
def test_a_latch_that_was_lost_goes_on_unless_the_pivot_has_started(winner: Value, goes_on: bool) -> None:
    driven = Attempt(shapes.straight(3, pivot=1), "s0", STARTED_IT)
    driven.answer(no(422))
    driven.store()
    assert driven.written(begin("s1")) == Cancelled(Cause("refused", "because", "s0"))
    driven.send(EXISTS)
    driven.find(register(begin("s1"), winner, 6))
    if goes_on:
        assert driven.written(ABORT) == Notice(CAUSE)
    else:
        assert driven.result.implausible == "begin"


def test_a_latch_that_was_lost_to_skipped_leaves_the_outcome_to_a_register_of_its_own() -> None:
    driven = Attempt(shape("pivot skipped"), "q", register(end("a"), done("a.small"), 2))
    driven.store()
    driven.answer(no(422))
    driven.store()
    driven.send(EXISTS)
    driven.find(register(begin("p"), Skipped(INSTANCE.subject(end("a")), "dead"), 6))
    assert driven.written(OUTCOME) == Aborted(Cause("refused", "because", "q"))


def test_people_are_told_of_what_failed() -> None:
    driven = Attempt(shapes.saga(step("a", body='{"x": event.data.missing}')), "a", register(START, start({})))
    told = driven.operation
    assert isinstance(told, Tell)
    driven.send(None, lease_lost=True)
    assert driven.known.lease_lost
    assert driven.written(end("a")) == Failed("expression", told.reason, 1, 0)


def test_a_pivot_that_cannot_be_evaluated_fails_only_where_it_has_begun() -> None:
    """Somebody who cancels may have been first."""
    driven = Attempt(shapes.saga(step("a", kind="pivot", body='{"x": event.data.no}')), "a", register(START, start({})))
    driven.send(EXISTS)
    driven.find(register(begin("a"), Cancelled(CAUSE), 2))
    assert driven.written(ABORT) == Notice(CAUSE)


@pytest.mark.parametrize("name", ["s0", "s1"], ids=["open", "latched"])
def test_a_late_delivery_writes_its_begin_only_while_the_start_stands(name: str) -> None:
    driven = at_root(late=True) if name == "s0" else at_step(late=True)
    assert driven.operation == Fetch((begin(name), end(name)))
    driven.find()
    assert driven.operation == Put(begin(name), started(START if name == "s0" else end("s0")), while_started=True)
    driven.send(GUARD)
    assert driven.known.gone
    assert driven.result == Ack()


def test_a_late_open_step_that_is_skipped_writes_its_end_only_while_the_start_stands() -> None:
    driven = Attempt(shapes.saga(step("a", when="false")), "a", STARTED_IT, late=True)
    driven.find()
    assert driven.operation == Put(end("a"), Satisfied("a.ok"), while_started=True)
    driven.send(GUARD)
    assert driven.result == Ack()


def test_a_late_delivery_of_an_instance_that_stands_goes_on() -> None:
    driven = at_root(late=True)
    driven.find()
    driven.store()
    driven.answer(ok())
    assert driven.operation == Put(end("s0"), Done("s0.ok")), "the first write alone is guarded"


def test_a_late_delivery_goes_on_where_it_stopped() -> None:
    driven = at_root(late=True)
    driven.find(register(begin("s0"), started(START), 2))
    assert isinstance(driven.operation, Call), "the end was looked for together with the begin"


def test_a_late_delivery_whose_step_has_ended_runs_the_tail_again() -> None:
    driven = Attempt(shapes.straight(1), "s0", STARTED_IT, late=True)
    driven.find(register(begin("s0"), started(START), 2), register(end("s0"), done("s0.ok"), 3))
    assert driven.written(OUTCOME) == Committed()


# -- absences --------------------------------------------------------------------------------------------------------


MARKER = marker("a", 1, end("b"))


def at_marker() -> Attempt:
    """A sink that has ended, and did not see the end of the other."""
    driven = Attempt(ROOTS, "a", STARTED_IT)
    driven.answer(ok())
    driven.store()
    assert driven.operation == Fetch((end("b"),))
    driven.find()
    assert driven.operation == Put(MARKER, Absent(INSTANCE.subject(START), INSTANCE.subject(end("b"))), absent=end("b"))
    return driven


def test_a_marker_that_is_stored_proves_an_absence() -> None:
    driven = at_marker()
    driven.store()
    assert driven.known.absent == {end("b")}
    assert driven.result == Ack()


def test_a_marker_that_stands_already_proves_the_same() -> None:
    driven = at_marker()
    driven.send(EXISTS)
    assert driven.known.absent == {end("b")}
    assert driven.result == Ack()


def test_a_guard_that_is_refused_proves_a_presence_which_is_read_until_it_is_seen() -> None:
    driven = at_marker()
    driven.send(GUARD)
    for turn in range(3):
        assert driven.operation == Fetch((end("b"),))
        driven.find()
        driven.pause(turn)
    driven.find(register(end("b"), done("b.ok"), 4))
    assert driven.known.absent == set()
    assert driven.written(OUTCOME) == Committed()


def test_a_guarded_presence_that_cannot_be_read_gives_the_delivery_back() -> None:
    driven = at_marker()
    driven.send(GUARD)
    for turn in range(READS_UNTIL_PRESENT):
        driven.find()
        driven.pause(turn)
    assert isinstance(driven.result, Nak)


@pytest.mark.parametrize("times", [1, 3, WRITES_UNTIL_KNOWN - 1])
def test_an_unknown_marker_proves_nothing_and_is_written_again(times: int) -> None:
    driven = at_marker()
    put = driven.put()
    for turn in range(times):
        driven.send(UNKNOWN)
        assert driven.known.absent == set()
        driven.pause(turn)
        assert driven.put() == put
    driven.store()
    assert driven.known.absent == {end("b")}


def test_a_marker_is_of_this_delivery() -> None:
    """Another delivery must prove the absence again."""
    driven = Attempt(shapes.saga(shapes.step("a"), shapes.step("b", "a.ok"), shapes.step("c")), "b", at_seven())
    driven.store()
    driven.answer(ok())
    driven.store()
    driven.find()
    assert driven.put().name == marker("b", 7, end("c"))


def at_seven() -> Register:
    return register(end("a"), done("a.ok"), 7)


def test_the_reply_to_a_call_says_how_often_the_app_was_called() -> None:
    driven = at_call()
    driven.answer(no(422), called=3)
    assert driven.written(end("s1")) == Failed("refused", "because", called=3)


# -- calls and time --------------------------------------------------------------------------------------------------


WITHIN = [(0.0, False), (119.9, False), (120.0, True), (120.1, True), (1e6, True), (-5.0, False)]
"""Seconds from the beginning to the answer, and whether that is the end of a step."""


@pytest.mark.parametrize(("seconds", "ends"), WITHIN)
def test_within_counts_from_the_server_s_time_of_the_begin_to_that_of_the_answer(seconds: float, ends: bool) -> None:
    driven = at_step()
    driven.known.began = 4000.0
    driven.send(register(begin("s1"), BEGUN, 3, ME, time=5000.0))
    assert_within(driven, 5000.0 + seconds, ends)


@pytest.mark.parametrize(("seconds", "ends"), WITHIN)
def test_of_an_open_step_within_counts_from_the_attempt_s_own_begin(seconds: float, ends: bool) -> None:
    driven = at_root()
    driven.known.began = 5000.0
    assert_within(driven, 5000.0 + seconds, ends, 5000.0)


@pytest.mark.parametrize(("seconds", "ends"), WITHIN)
def test_of_an_open_step_that_an_earlier_attempt_began_within_counts_from_there(seconds: float, ends: bool) -> None:
    driven = at_root(late=True)
    driven.known.began = 6000.0
    driven.find(register(begin("s0"), started(START), 2, time=5000.0))
    assert_within(driven, 5000.0 + seconds, ends, 6000.0)


def assert_within(driven: Attempt, time: float, ends: bool, begun: float = 4000.0) -> None:
    name = driven.operation.path if isinstance(driven.operation, Call) else ""
    driven.answer(no(409), time)
    assert driven.known.within_passed is ends
    if ends:
        assert driven.put().value == Failed("refused", f"POST {name} answered 409: because", begun=begun)
    else:
        assert driven.result == Nak(0.2, f"POST {name} answered 409: because")


@pytest.mark.parametrize(("failures", "delay"), [(0, 0.2), (1, 0.4), (2, 0.8), (5, 6.4), (6, 10.0), (99, 10.0)])
def test_delays_grow_with_the_failures_and_are_capped(failures: int, delay: float) -> None:
    driven = at_call()
    driven.known.failures = failures
    driven.answer(no(500))
    assert driven.result == Nak(pytest.approx(delay), "POST /s1 answered 500: because")


@pytest.mark.parametrize(("header", "at_least"), [("3", 3.0), ("90", 60.0), ("soon", 0.0)])
def test_retry_after_is_the_least_delay(header: str, at_least: float) -> None:
    driven = at_call()
    driven.answer(no(429, retry_after=header))
    assert driven.result == Nak(0.2, "POST /s1 answered 429: because", at_least=at_least)


def test_no_step_begins_while_the_app_is_away() -> None:
    assert at_step(app_away=True).result == Nak(0.2, "the app is away", waits=True)


def test_a_begun_action_that_finds_the_app_away_and_the_saga_aborted_ends_failed() -> None:
    driven = at_call()
    driven.answer(no(503))
    driven.find(register(OUTCOME, Aborted(CAUSE), 9))
    assert driven.written(end("s1")) == Failed("refused", "the app was away while the saga was aborted")


def test_a_begun_action_that_finds_the_app_away_looks_for_the_outcome_and_waits_on() -> None:
    driven = at_call()
    driven.answer(no(503))
    assert driven.operation == Fetch((OUTCOME,))
    driven.find()
    assert driven.result == Nak(0.2, "POST /s1 answered 503: because", waits=True)


def test_of_a_call_that_finds_nobody_that_is_said_whatever_was_known_before() -> None:
    driven = at_call()
    driven.known.why_away = "POST /s1 answered 503"
    driven.answer(Away())
    driven.find()
    assert driven.result == Nak(0.2, "the app is away", waits=True)


# -- what the log will never take -------------------------------------------------------------------------------------

OVER = TooLarge(200_700, 65_536)
SAID = "the register would have 200700 bytes, and the log takes 65536"


def test_an_answer_that_cannot_be_stored_fails_its_step_at_once() -> None:
    driven = at_call()
    driven.answer(ok("x" * 200_000))
    driven.send(OVER)
    assert driven.written(end("s1")) == Failed("unknown", SAID)
    driven.store()
    assert driven.written(OUTCOME) == Aborted(Cause("unknown", SAID, "s1"))


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_the_pivot_and_a_retriable_step_wait_for_another_answer(name: str) -> None:
    before = {"s1": "s0", "s2": "s1"}[name]
    driven = Attempt(PIVOT, name, register(end(before), done(f"{before}.ok"), 1))
    if name == "s1":  # what follows needs no begin
        driven.store()
    driven.answer(ok("x" * 200_000))
    driven.send(OVER)
    assert driven.result == Nak(0.2, SAID)


def test_a_log_that_takes_nothing_is_asked_again_later() -> None:
    """Every register without data is small: somebody has set the log up so that nothing works."""
    driven = Attempt(PIVOT, "s1", register(end("s0"), done("s0.ok"), 1))
    driven.send(OVER)
    assert driven.result == Nak(1.0, SAID)


def test_a_marker_that_is_too_large_proves_nothing() -> None:
    driven = Attempt(shapes.SHAPES["diamond"], "d", register(end("b"), done("b.ok"), 5))
    driven.find()
    assert isinstance(driven.put().value, Absent)
    driven.send(OVER)
    assert driven.result == Nak(1.0, SAID)
    assert not driven.known.absent


# -- the way back ----------------------------------------------------------------------------------------------------


def test_a_step_is_undone_and_the_saga_finished() -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok"), step("z"))
    driven = Attempt(saga, "a", register(compensation("b"), Undone(), 12))
    assert driven.operation == Fetch((OUTCOME, end("a"), compensation("a")))
    driven.find(DECIDED, register(end("a"), done("a.ok"), 3))
    assert driven.operation == Fetch((START,))
    driven.find(STARTED_IT)
    assert isinstance(driven.operation, Call)
    assert driven.operation.kind == "compensation"
    driven.answer(ok(status=204))
    assert driven.written(compensation("a")) == Undone()
    driven.store()
    assert driven.operation == Fetch((compensation("z"),))
    driven.find(register(compensation("z"), Undone(), 13))
    assert driven.written(FINISH) == Compensated()
    driven.send(EXISTS)
    driven.find(register(FINISH, Compensated(), 20))
    assert driven.result == Ack()


NOTICED = register(ABORT, Notice(CAUSE), 9)
DECIDED = register(OUTCOME, Aborted(CAUSE), 8)


def test_a_step_that_begins_just_before_it_is_cancelled_is_waited_for() -> None:
    driven = Attempt(CHAIN, "s1", NOTICED)
    driven.find(DECIDED)
    assert driven.written(begin("s1")) == Cancelled(CAUSE)
    driven.send(EXISTS)
    driven.find(register(begin("s1"), BEGUN, 8))
    driven.find(register(end("s0"), done("s0.ok"), 7))
    assert driven.result == Nak(0.2)


def test_a_notice_that_nothing_bears_out_comes_back() -> None:
    driven = Attempt(CHAIN, "s1", NOTICED)
    driven.find()
    assert driven.result == Nak(0.2)


def test_a_step_that_is_cancelled_has_nothing_to_undo() -> None:
    driven = Attempt(CHAIN, "s2", NOTICED)
    driven.find(DECIDED)
    driven.store()
    assert driven.written(compensation("s2")) == Nothing()
    driven.store()
    assert driven.result == Ack()


def test_a_dead_step_has_nothing_to_undo() -> None:
    driven = Attempt(CHAIN, "s2", NOTICED)
    driven.find(DECIDED, register(begin("s2"), Skipped("x", "dead"), 5), register(end("s2"), Dead(), 6))
    assert driven.written(compensation("s2")) == Nothing()


# -- settle ----------------------------------------------------------------------------------------------------------

SOON, LATER, LEAST = Nak(0.1, "soon"), Nak(2.0, "later"), Nak(0.1, "least", at_least=30.0)


@pytest.mark.parametrize(
    ("results", "steps", "settled"),
    [
        ([], 0, Ack()),
        ([], 1, None),
        ([Ack()], 1, Ack()),
        ([LATER], 1, LATER),
        ([Ack()], 2, None),
        ([SOON], 2, None),
        ([Ack(), Ack()], 2, Ack()),
        ([Ack(), LATER], 2, LATER),
        ([LATER, Ack()], 2, LATER),
        ([LATER, SOON], 2, SOON),
        ([SOON, LATER], 2, SOON),
        ([LEAST, LATER], 2, LATER),
        ([LATER, LEAST], 2, LATER),
        ([LEAST, Ack()], 2, LEAST),
        ([Ack(), LATER, SOON, LEAST], 4, SOON),
    ],
)
def test_a_delivery_is_acked_when_all_its_steps_are_and_comes_back_with_the_soonest_of_them(
    results: list[Ack | Nak], steps: int, settled: Ack | Nak | None
) -> None:
    assert settle(results, steps) == settled


# -- what is implied -------------------------------------------------------------------------------------------------


def test_what_a_begun_step_implies_is_read_until_it_is_there() -> None:
    a, b = (register(end(name), done(f"{name}.ok"), n) for n, name in enumerate("ab", 2))
    saga = shapes.saga(shapes.step("a"), shapes.step("b"), shapes.step("c", ["a.ok", "b.ok"]))
    driven = Attempt(saga, "c", NOTICED)
    driven.find(DECIDED, register(begin("c"), started(end("b")), 4), register(end("c"), done("c.ok"), 5))
    driven.find(b)
    for turn in range(2):
        assert driven.operation == Fetch((end("a"),))
        driven.find()
        driven.pause(turn)
    driven.find(a)
    assert isinstance(driven.operation, Call)
    assert not driven.known.absent


def test_who_cannot_read_what_is_implied_comes_back_and_is_told() -> None:
    saga = shapes.saga(shapes.step("a"), shapes.step("b"), shapes.step("c", ["a.ok", "b.ok"]))
    driven = Attempt(saga, "c", NOTICED)
    driven.find(DECIDED, register(begin("c"), started(end("b")), 4), register(end("c"), done("c.ok"), 5))
    driven.find(register(end("b"), done("b.ok"), 3))
    for turn in range(READS_UNTIL_PRESENT):
        driven.find()
        driven.pause(turn)
    assert driven.result == Nak(1.0, "the log neither takes a register nor shows it")
