"""The protocol, rule by rule: which effects `decide` wants, for what an attempt knows at a delivery.

A log is a dictionary from register to value here, in the order of their sequences; all of it is known to the attempt.
`on` is the delivery, `mine` what this very attempt wrote, `absent` what it proved, `unseen` what it looked for.
"""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from sagamesh.language.model import Retry, Saga
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    NULL,
    OUTCOME,
    START,
    Aborted,
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
    Satisfied,
    Skipped,
    Start,
    Undone,
    Value,
    begin,
    compensation,
    end,
)
from sagamesh.protocol import decision
from sagamesh.protocol.answers import APP_AWAY, Answer, Answered, Away, Unanswered
from sagamesh.protocol.attempt import Fetch, Put, Reply, attempt
from sagamesh.protocol.decision import ONLY_PEOPLE_CAN
from sagamesh.protocol.effects import LEASE_LOST, Ack, Call, Delivery, Effects, Known, Nak, Prove, Read, Tell, Write
from support.builders import shapes
from support.builders.attempts import (
    CAUSE,
    INSTANCE,
    ME,
    OTHER,
    Driven,
    ask,
    done,
    json,
    no,
    ok,
    register,
    rules_for,
    shape,
    start,
    started,
    step,
    stored,
)

Log = dict[Name, Value]

ACK: Effects = (Ack(),)
NOTICE = Notice(CAUSE)
ABORTED: Log = {OUTCOME: Aborted(CAUSE), ABORT: NOTICE}
"""What stands where a saga without a pivot is aborted."""
BEGUN: Log = {end("s0"): done("s0.ok"), begin("s1"): started(end("s0"))}
"""The middle step of a chain is at work, or the pivot."""
AWAY = "the app is away"

CHAIN = shapes.straight(3)  # s0, open - s1 - s2
PIVOT = shapes.straight(3, pivot=1)  # s0, open - s1, the pivot - s2, retriable, hence open
JOIN = shapes.saga(step("a"), step("b"), step("c", ["a.ok", "b.ok"]), step("d", "c.ok"))
CHOICE = shapes.saga(
    step("a", emits={"a.big": "response.body.big", "a.small": None}), step("b", "a.big"), step("c", "a.small")
)
MERGE = shape("choice and merge")  # a chooses b or c, d goes on after either of them
PIVOT_FIRST = shapes.saga(
    step("p", kind="pivot"), step("b", "p.ok", kind="retriable"), step("c", "p.ok", kind="retriable")
)


def write(name: Name, value: Value, *, guarded: bool = False) -> Effects:
    return (Write(name, value, guarded),)


def read(*names: Name) -> Effects:
    return (Read(names),)


def read_until(*names: Name) -> Effects:
    """Looked for until they are found: something that is known implies them."""
    return (Read(names, present=True),)


def prove(name: Name) -> Effects:
    return (Prove(name),)


def only(effects: Effects, kind: type[Any]) -> Any:
    """The one effect, which must be of a kind."""
    (effect,) = effects
    assert isinstance(effect, kind), effect
    return effect


def test_what_the_decision_rests_on_is_told_by_functions_that_are_there() -> None:
    essay = decision.__doc__ or ""
    told = {name for group in re.findall(r"\(((?:`\w+`(?:, | and )?)+)", essay) for name in re.findall(r"\w+", group)}
    assert {"abort", "tail", "runs_now", "carry_on"} <= told
    assert all(hasattr(decision, name) for name in told - {"and"})


# -- forward 1: whose is the step? -----------------------------------------------------------------------------------


def test_a_step_that_was_cancelled_is_settled() -> None:
    log: Log = {START: start(), end("s0"): done("s0.ok"), begin("s1"): Cancelled(CAUSE)}
    assert ask(CHAIN, "s1", end("s0"), log) == ACK


def test_a_cancelled_pivot_carries_the_abort_on() -> None:
    log: Log = {end("s0"): done("s0.ok"), begin("s1"): Cancelled(CAUSE)}
    assert ask(PIVOT, "s1", end("s0"), log) == write(ABORT, NOTICE)
    log[ABORT] = NOTICE
    assert ask(PIVOT, "s1", end("s0"), log) == ACK


def test_a_skipped_that_no_event_can_have_caused_reads_as_a_pivot_that_is_cancelled() -> None:
    log: Log = {end("s0"): done("s0.ok"), begin("s1"): Skipped(INSTANCE.subject(end("s0")), "dead")}
    cause = Cause("cancelled", "s1 was skipped, and no event can have caused that")
    assert ask(PIVOT, "s1", end("s0"), log) == write(ABORT, Notice(cause))
    skippable = shape("pivot skipped")
    log = {end("a"): done("a.small"), begin("p"): Skipped(INSTANCE.subject(end("a")), "dead")}
    assert ask(skippable, "p", end("a"), log, unseen=[end("p")]) == write(end("p"), Dead())


@pytest.mark.parametrize(
    "begun",
    [started(end("a")), Skipped(INSTANCE.subject(end("a")), "dead"), Skipped(INSTANCE.subject(end("a")), "when")],
)
def test_a_step_begun_by_another_delivery_belongs_to_that_one(begun: Value) -> None:
    """The one that was stored last: the inputs are looked at, since somebody else may have written `begin`."""
    dead = isinstance(begun, Skipped) and begun.because == "dead"
    log: Log = {end("b"): Dead() if dead else done("b.ok"), end("a"): done("a.ok"), begin("c"): begun}
    assert ask(JOIN, "c", end("b"), log, unseen=[end("c")]) == ACK
    without = {name: value for name, value in log.items() if name != end("a")}
    assert ask(JOIN, "c", end("b"), without) == read(end("c"), end("a"))


def test_a_step_that_has_ended_needs_no_look_at_its_inputs() -> None:
    log: Log = {end("b"): done("b.ok"), begin("c"): started(end("a")), end("c"): done("c.ok")}
    assert ask(JOIN, "c", end("b"), log) == ACK
    assert only(
        ask(JOIN, "c", end("b"), {**log, begin("c"): started(end("b")), end("c"): Failed("refused", "no")}), Write
    )


NOT_SEEN = Nak(0.2, "c was begun, and not all of its inputs are to be seen", waits=True)
HELD = Nak(60.0, "c was begun, and its inputs do not say so", at_least=60.0, implausible="begin")


@pytest.mark.parametrize("on", [end("a"), end("b")])
@pytest.mark.parametrize("begun", [started, lambda name: Skipped(INSTANCE.subject(name), "dead")])
@pytest.mark.parametrize("name", [START, end("c"), end("x"), ABORT])
def test_a_begin_on_behalf_of_what_is_no_input_is_held(on: Name, begun: Callable[[Name], Value], name: Name) -> None:
    log: Log = {end("a"): done("a.ok"), end("b"): done("b.ok"), begin("c"): begun(name)}
    assert ask(JOIN, "c", on, log) == (HELD,)


def test_a_join_that_another_input_began_than_the_one_stored_last_is_held_whoever_comes() -> None:
    log: Log = {end("a"): done("a.ok"), begin("c"): started(end("a")), end("b"): done("b.ok")}
    for on in (end("a"), end("b")):
        assert ask(JOIN, "c", on, log, unseen=[end("c")]) == (HELD,)
    log = {end("a"): done("a.ok"), end("b"): done("b.ok"), begin("c"): started(end("a"))}
    assert ask(JOIN, "c", end("b"), log, unseen=[end("c")]) == (HELD,)


def test_a_join_that_was_begun_while_an_input_is_not_seen_comes_back() -> None:
    log: Log = {end("a"): done("a.ok"), begin("c"): started(end("a"))}
    assert ask(JOIN, "c", end("a"), log, unseen=[end("c"), end("b")]) == (NOT_SEEN,)


def test_a_merge_is_left_to_the_delivery_that_began_it_if_that_one_brings_an_event() -> None:
    log: Log = {end("b"): done("b.ok"), begin("d"): started(end("c"))}
    assert ask(MERGE, "d", end("b"), log) == read(end("d"), end("c"))
    assert ask(MERGE, "d", end("b"), {**log, end("c"): done("c.ok")}, unseen=[end("d")]) == ACK
    held = only(ask(MERGE, "d", end("b"), {**log, end("c"): Dead()}, unseen=[end("d")]), Nak)
    assert held.implausible == "begin"


@pytest.mark.parametrize(
    ("saga", "name", "on", "log", "because"),
    [
        (CHOICE, "b", end("a"), {end("a"): done("a.big")}, "dead"),
        (CHOICE, "b", end("a"), {end("a"): done("a.big")}, "when"),
        (CHOICE, "b", end("a"), {end("a"): done("a.small")}, "when"),
        (JOIN, "c", end("b"), {end("a"): done("a.ok"), end("b"): done("b.ok")}, "dead"),
        (JOIN, "c", end("b"), {end("a"): Failed("refused", "no"), end("b"): Dead()}, "dead"),
        (MERGE, "d", end("c"), {end("b"): done("b.ok"), end("c"): Dead()}, "dead"),
        (MERGE, "d", end("c"), {end("b"): Dead(), end("c"): done("c.ok")}, "dead"),
    ],
    ids=range(7),
)
def test_a_skipped_that_the_inputs_contradict_is_held_but_for_one_s_own(
    saga: Saga, name: str, on: Name, log: Log, because: Any
) -> None:
    log = {**log, begin(name): Skipped(INSTANCE.subject(on), because)}
    assert only(ask(saga, name, on, log, unseen=[end(name)]), Nak).implausible == "begin"
    assert isinstance(ask(saga, name, on, log, mine=[begin(name)])[0], Write)


def test_what_a_when_names_is_read_before_a_begin_of_somebody_else_is_judged_by_it() -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", when='events["start"].data.go'))
    log: Log = {end("a"): done("a.ok"), begin("b"): Skipped(INSTANCE.subject(end("a")), "when")}
    assert ask(saga, "b", end("a"), log, unseen=[end("b")]) == read(START)
    assert ask(saga, "b", end("a"), log, unseen=[end("b"), START]) == prove(START)
    log = {START: start({"go": False}), **log}
    assert ask(saga, "b", end("a"), log, unseen=[end("b")]) == write(end("b"), Satisfied("b.ok"))


def test_a_merge_that_another_skipped_is_dead_only_where_nothing_was_heard() -> None:
    log: Log = {end("b"): Dead(), end("c"): Dead(), begin("d"): Skipped(INSTANCE.subject(end("c")), "dead")}
    assert ask(MERGE, "d", end("c"), log, unseen=[end("d")]) == write(end("d"), Dead())
    assert ask(MERGE, "d", end("b"), log, unseen=[end("d")]) == ACK


@pytest.mark.parametrize(("total", "fits", "other"), [(20, "started", "when"), (5, "when", "started")])
def test_a_begin_of_somebody_else_fits_the_when_of_the_step(total: int, fits: str, other: str) -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", when="event.data.total > 10"))
    began = {"started": started(end("a")), "when": Skipped(INSTANCE.subject(end("a")), "when")}
    log: Log = {end("a"): done("a.ok", {"total": total})}
    assert isinstance(ask(saga, "b", end("a"), {**log, begin("b"): began[fits]}, unseen=[end("b")])[0], Call | Write)
    held = only(ask(saga, "b", end("a"), {**log, begin("b"): began[other]}, unseen=[end("b")]), Nak)
    assert held.implausible == "begin"


def test_who_won_the_begin_calls_without_looking_for_an_end() -> None:
    assert only(ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")]), Call).path == "/s1"


def test_who_finds_the_step_begun_by_an_earlier_attempt_looks_for_its_end_before_calling() -> None:
    assert ask(CHAIN, "s1", end("s0"), BEGUN) == read(end("s1"))
    assert only(ask(CHAIN, "s1", end("s0"), BEGUN, unseen=[end("s1")]), Call).path == "/s1"


def test_a_begin_of_somebody_else_is_not_believed_before_all_inputs_are_read() -> None:
    log: Log = {end("b"): done("b.ok"), begin("c"): started(end("b"))}
    assert ask(JOIN, "c", end("b"), log) == read(end("c"), end("a"))
    assert ask(JOIN, "c", end("b"), log, unseen=[end("c"), end("a")]) == (NOT_SEEN,)
    log = {end("a"): done("a.ok"), **log}
    assert only(ask(JOIN, "c", end("b"), log, unseen=[end("c")]), Call).path == "/c"


@pytest.mark.parametrize("input_", [Dead(), Failed("refused", "no"), done("a.other")], ids=lambda v: type(v).__name__)
def test_a_begin_that_its_inputs_contradict_is_held_for_people(input_: Value) -> None:
    log: Log = {end("a"): input_, end("b"): done("b.ok"), begin("c"): started(end("b"))}
    assert ask(JOIN, "c", end("b"), log, unseen=[end("c")]) == (HELD,)


def test_a_merge_that_another_began_must_have_heard_what_its_delivery_brings() -> None:
    log: Log = {end("b"): done("b.ok"), begin("d"): started(end("b"))}
    assert ask(MERGE, "d", end("b"), log) == read(end("d"))
    assert only(ask(MERGE, "d", end("b"), log, unseen=[end("d")]), Call).path == "/d"
    log[end("b")] = Dead()
    assert only(ask(MERGE, "d", end("b"), log, unseen=[end("d")]), Nak).implausible == "begin"


@pytest.mark.parametrize(("name", "on", "cause"), [("s0", START, start()), ("s1", end("s0"), done("s0.ok"))])
def test_a_late_delivery_looks_first_how_far_the_step_has_come(name: str, on: Name, cause: Value) -> None:
    assert ask(CHAIN, name, on, {on: cause}, late=True) == read(begin(name), end(name))


def test_the_begin_of_a_late_delivery_is_guarded_by_the_start() -> None:
    looked = [begin("s1"), end("s1")]
    effects = ask(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok")}, late=True, unseen=looked)
    assert effects == write(begin("s1"), started(end("s0")), guarded=True)


@pytest.mark.parametrize(
    ("log", "value"),
    [
        ({end("a"): done("a.small")}, Skipped(INSTANCE.subject(end("a")), "dead")),
        ({end("a"): done("a.big"), **ABORTED}, Cancelled(CAUSE)),
    ],
    ids=["skipped", "cancelled"],
)
def test_every_late_begin_is_guarded(log: Log, value: Value) -> None:
    effects = ask(CHOICE, "b", end("a"), log, late=True, unseen=[begin("b"), end("b")])
    assert effects == write(begin("b"), value, guarded=True)


# -- forward 1: an open step, which nobody can keep from running -------------------------------------------------------


def test_an_open_step_is_called_at_once() -> None:
    assert only(ask(CHAIN, "s0", START, {START: start()}), Call).path == "/s0"
    assert only(ask(PIVOT, "s2", end("s1"), {end("s1"): done("s1.ok")}), Call).path == "/s2"


def test_a_late_call_of_an_open_step_is_guarded_by_its_begin() -> None:
    looked = [begin("s0"), end("s0")]
    log: Log = {START: start()}
    assert ask(CHAIN, "s0", START, log, late=True, unseen=looked) == write(begin("s0"), started(START), guarded=True)
    log[begin("s0")] = started(START)
    assert only(ask(CHAIN, "s0", START, log, late=True, unseen=looked), Call).path == "/s0"


def test_the_begin_of_an_open_step_says_nothing_of_who_owns_it() -> None:
    log: Log = {end("p"): done("p.ok"), begin("b"): started(end("x"))}
    assert only(ask(PIVOT_FIRST, "b", end("p"), log, late=True, unseen=[end("b")]), Call).path == "/b"


@pytest.mark.parametrize("late", [False, True])
def test_an_open_step_that_has_ended_runs_its_tail_whoever_ended_it(late: bool) -> None:
    log: Log = {START: start(), end("s0"): done("s0.ok")}
    assert ask(CHAIN, "s0", START, log, late=late, unseen=[begin("s0")]) == ACK
    log = {START: start(), end("s0"): Failed("refused", "no")}
    assert ask(CHAIN, "s0", START, log, late=late, unseen=[begin("s0")]) == write(
        OUTCOME, Aborted(Cause("refused", "no", "s0"))
    )


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("total", "aborted", "value"),
    [
        (1, False, Satisfied("a.ok")),
        ("much", False, Failed),
        (20, True, Failed),
    ],
    ids=["skipped", "not to be evaluated", "aborted"],
)
def test_an_open_step_that_ends_late_without_a_call_ends_guarded(
    total: object, aborted: bool, value: Any, late: bool
) -> None:
    log: Log = {START: start({"total": total}), **(ABORTED if aborted else {})}
    written = ask(WHEN, "a", START, log, late=late, unseen=[begin("a"), end("a")])[-1]
    assert isinstance(written, Write)
    assert (written.name, written.guarded) == (end("a"), late)
    assert written.value == value or isinstance(written.value, value)


def test_an_end_after_a_begin_needs_no_guard() -> None:
    log: Log = {START: start(), begin("s0"): started(START)}
    ended = only(ask(CHAIN, "s0", START, log, late=True, unseen=[end("s0")], answer=ok()), Write)
    assert (ended.name, ended.guarded) == (end("s0"), False)


@pytest.mark.parametrize("on", [START, ABORT, compensation("s1")], ids=lambda name: name.register)
def test_an_instance_that_is_gone_is_settled_whatever_is_known(on: Name) -> None:
    log: Log = {START: start(), ABORT: NOTICE, compensation("s1"): Nothing()}
    assert ask(CHAIN, "s0", on, log, gone=True) == ACK


# -- forward 2, join `all`: do the inputs make the step run? ---------------------------------------------------------


def test_a_root_runs_on_the_start() -> None:
    assert only(ask(CHAIN, "s0", START, {START: start()}), Call).event == "start"


def test_a_pivot_that_is_a_root_begins_first() -> None:
    assert ask(PIVOT_FIRST, "p", START, {START: start()}) == write(begin("p"), started(START))


def test_a_step_begins_on_the_event_that_it_listens_to() -> None:
    log: Log = {end("s0"): done("s0.ok")}
    assert ask(CHAIN, "s1", end("s0"), log) == write(begin("s1"), started(end("s0")))


def test_a_failed_predecessor_begins_nothing() -> None:
    assert ask(CHAIN, "s1", end("s0"), {end("s0"): Failed("refused", "no")}) == ACK


def test_a_join_looks_for_its_other_inputs() -> None:
    assert ask(JOIN, "c", end("a"), {end("a"): done("a.ok")}) == read(end("b"))


def test_a_join_proves_an_absence_that_it_only_read() -> None:
    assert ask(JOIN, "c", end("a"), {end("a"): done("a.ok")}, unseen=[end("b")]) == prove(end("b"))


def test_a_join_whose_other_input_is_proven_absent_leaves_the_step_to_that_one() -> None:
    assert ask(JOIN, "c", end("a"), {end("a"): done("a.ok")}, absent=[end("b")], unseen=[end("b")]) == ACK


def test_a_join_whose_other_input_was_stored_later_leaves_the_step_to_that_one() -> None:
    assert ask(JOIN, "c", end("a"), {end("a"): done("a.ok"), end("b"): done("b.ok")}) == ACK


def test_a_join_begins_on_the_last_of_its_inputs() -> None:
    log: Log = {end("a"): done("a.ok"), end("b"): done("b.ok")}
    assert ask(JOIN, "c", end("b"), log) == write(begin("c"), started(end("b")))


@pytest.mark.parametrize("failed_first", [True, False])
def test_a_join_does_not_begin_where_an_input_failed(failed_first: bool) -> None:
    ended: list[tuple[Name, Value]] = [(end("a"), Failed("unknown", "no")), (end("b"), done("b.ok"))]
    log = dict(ended if failed_first else reversed(ended))
    assert ask(JOIN, "c", end("b"), log) == ACK
    assert ask(JOIN, "c", end("a"), log) == ACK


@pytest.mark.parametrize("input_", [Dead(), done("b.other")], ids=["dead", "another event"])
def test_a_join_is_dead_when_an_input_is_dead_or_ended_in_another_event(input_: Value) -> None:
    log: Log = {end("b"): input_, end("a"): done("a.ok")}
    assert ask(JOIN, "c", end("a"), log) == write(begin("c"), Skipped(INSTANCE.subject(end("a")), "dead"))


def test_a_dead_join_waits_for_its_other_inputs_like_any_other() -> None:
    assert ask(JOIN, "c", end("a"), {end("a"): Dead()}) == read(end("b"))


def test_of_a_choice_one_branch_begins_and_the_other_is_dead() -> None:
    log: Log = {end("a"): done("a.small")}
    assert ask(CHOICE, "c", end("a"), log) == write(begin("c"), started(end("a")))
    assert ask(CHOICE, "b", end("a"), log) == write(begin("b"), Skipped(INSTANCE.subject(end("a")), "dead"))


def test_a_satisfied_step_counts_as_the_last_of_its_events() -> None:
    log: Log = {end("a"): Satisfied("a.small")}
    assert ask(CHOICE, "c", end("a"), log) == write(begin("c"), started(end("a")))
    assert ask(CHOICE, "b", end("a"), log) == write(begin("b"), Skipped(INSTANCE.subject(end("a")), "dead"))


def test_a_join_with_the_start_waits_for_both() -> None:
    saga = shape("join with the start")
    log: Log = {START: start(), end("a"): done("a.ok")}
    assert ask(saga, "b", START, {START: start()}) == read(end("a"))
    assert ask(saga, "b", START, log) == ACK
    assert ask(saga, "b", end("a"), log) == write(begin("b"), started(end("a")))


def test_a_step_begins_cancelled_where_the_saga_is_known_to_be_aborted() -> None:
    log: Log = {end("s0"): done("s0.ok"), ABORT: NOTICE}
    assert ask(CHAIN, "s1", end("s0"), log) == read(OUTCOME)
    log[OUTCOME] = Aborted(CAUSE)
    assert ask(CHAIN, "s1", end("s0"), log) == write(begin("s1"), Cancelled(CAUSE))


@pytest.mark.parametrize("outcome", [None, Committed()], ids=["undecided", "committed"])
def test_a_notice_that_the_outcome_does_not_bear_out_is_as_if_it_were_not_there(outcome: Value | None) -> None:
    log: Log = {end("s0"): done("s0.ok"), ABORT: NOTICE} | ({OUTCOME: outcome} if outcome else {})
    effects = ask(CHAIN, "s1", end("s0"), log, unseen=[OUTCOME])
    assert effects == write(begin("s1"), started(end("s0")))


def test_a_pivot_that_knows_of_the_notice_looks_at_its_own_begin() -> None:
    log: Log = {end("s0"): done("s0.ok"), ABORT: NOTICE}
    assert ask(PIVOT, "s1", end("s0"), log) == read(begin("s1"), end("s1"))
    effects = ask(PIVOT, "s1", end("s0"), log, unseen=[begin("s1"), end("s1")])
    assert effects == write(begin("s1"), started(end("s0")))


@pytest.mark.parametrize(("late", "kind"), [(False, "refused"), (True, "unknown")])
def test_an_open_root_that_knows_of_the_abort_fails_for_it_may_have_been_called_before(late: bool, kind: Any) -> None:
    log: Log = {START: start(), **ABORTED}
    failed = Failed(kind, "the saga was aborted before it was called", called=0)
    effects = ask(CHAIN, "s0", START, log, late=late, unseen=[begin("s0"), end("s0")])
    assert effects == write(end("s0"), failed, guarded=late)
    assert ask(CHAIN, "s0", START, {**log, end("s0"): failed}) == ACK


def test_downstream_of_the_pivot_nobody_looks_for_an_abort() -> None:
    log: Log = {end("s1"): done("s1.ok"), ABORT: NOTICE, begin("s1"): Cancelled(CAUSE)}
    assert only(ask(PIVOT, "s2", end("s1"), log), Call).path == "/s2"


def test_the_abort_comes_before_being_dead_and_before_when() -> None:
    log: Log = {end("a"): done("a.small"), **ABORTED}
    assert ask(CHOICE, "b", end("a"), log) == write(begin("b"), Cancelled(CAUSE))
    saga = shapes.saga(step("a"), step("b", "a.ok", when="false"))
    log = {end("a"): done("a.ok"), **ABORTED}
    assert ask(saga, "b", end("a"), log) == write(begin("b"), Cancelled(CAUSE))


def test_inputs_come_before_the_abort() -> None:
    """Whoever an event does not make run leaves the step to another delivery, or to the notice."""
    assert ask(JOIN, "c", end("a"), {end("a"): done("a.ok"), **ABORTED}, absent=[end("b")]) == ACK


def test_the_notice_is_not_looked_for() -> None:
    """Whether it is known makes a step begin or not, but the hot path has no reads."""
    assert not any(isinstance(effect, Read) for effect in ask(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok")}))


# -- forward 2, `when` -----------------------------------------------------------------------------------------------

WHEN = shapes.saga(step("a", when="event.data.total > 10.0"), step("b", "a.ok"))
WHEN_LATER = shapes.saga(step("a"), step("b", "a.ok", when="event.data.total > 10.0"))


@pytest.mark.parametrize("total", [11, 11.5, 1e30])
def test_a_step_whose_when_holds_begins(total: float) -> None:
    log: Log = {end("a"): done("a.ok", {"total": total})}
    assert ask(WHEN_LATER, "b", end("a"), log) == write(begin("b"), started(end("a")))
    assert only(ask(WHEN, "a", START, {START: start({"total": total})}), Call).path == "/a"


@pytest.mark.parametrize("total", [10, 0, -1.5])
def test_a_step_whose_when_does_not_hold_is_skipped(total: float) -> None:
    log: Log = {end("a"): done("a.ok", {"total": total})}
    assert ask(WHEN_LATER, "b", end("a"), log) == write(begin("b"), Skipped(INSTANCE.subject(end("a")), "when"))
    assert ask(WHEN, "a", START, {START: start({"total": total})}) == write(end("a"), Satisfied("a.ok"))


@pytest.mark.parametrize("data", [None, {}, {"total": "much"}, {"total": None}, [], 7], ids=repr)
def test_a_step_whose_when_cannot_be_evaluated_begins_and_fails_without_a_call(data: object) -> None:
    log: Log = {end("a"): done("a.ok", data)}
    assert ask(WHEN_LATER, "b", end("a"), log) == write(begin("b"), started(end("a")))
    log[begin("b")] = started(end("a"))
    assert_hopeless("b", ask(WHEN_LATER, "b", end("a"), log, mine=[begin("b")]))
    assert_hopeless("a", ask(WHEN, "a", START, {START: start(data)}))


def assert_hopeless(name: str, effects: Effects) -> None:
    told, failed = effects
    assert isinstance(told, Tell)
    assert told.place == "when"
    assert told.reason.startswith("event.data.total > 10.0: ")
    assert failed == Write(end(name), Failed("expression", told.reason, 1, 0))


def test_a_retriable_step_whose_when_cannot_be_evaluated_parks() -> None:
    saga = shapes.saga(step("p", kind="pivot"), step("b", "p.ok", kind="retriable", when="event.data.x"))
    told, nak = ask(saga, "b", end("p"), {end("p"): done("p.ok", {})}, failures=3)
    assert isinstance(told, Tell)
    assert nak == Nak(1.6, f"when: {told.reason}; {ONLY_PEOPLE_CAN}")


def test_a_when_is_not_evaluated_for_a_dead_step() -> None:
    saga = shapes.saga(
        step("a", emits={"a.big": "true", "a.small": None}), step("b", "a.big", when="event.data.missing")
    )
    log: Log = {end("a"): done("a.small", {})}
    assert ask(saga, "b", end("a"), log) == write(begin("b"), Skipped(INSTANCE.subject(end("a")), "dead"))


def test_a_when_over_an_ancestor_s_event_reads_it_first() -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", when='events["start"].data.go'))
    log: Log = {end("a"): done("a.ok")}
    assert ask(saga, "b", end("a"), log) == read(START)
    assert ask(saga, "b", end("a"), log, unseen=[START]) == prove(START)
    assert ask(saga, "b", end("a"), {START: start({"go": True}), **log}) == write(begin("b"), started(end("a")))
    assert ask(saga, "b", end("a"), {START: start({"go": False}), **log}) == write(
        begin("b"), Skipped(INSTANCE.subject(end("a")), "when")
    )


def test_a_when_sees_the_saga_and_the_event() -> None:
    when = (
        "event.type == 'start' && event.id == 'e-1' && saga.name == 'simulated' && saga.id == 'i' && saga.run == 'run'"
    )
    when += " && event.time == timestamp('1970-01-01T00:16:41Z') && saga.started == event.time"
    saga = shapes.saga(step("a", when=when))
    assert only(ask(saga, "a", START, {START: start()}), Call).path == "/a"


@pytest.mark.parametrize(("because", "value"), [("dead", Dead()), ("when", Satisfied("b.small"))])
def test_a_skipped_step_ends_dead_or_satisfied(because: Any, value: Value) -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", when="false", emits={"b.big": "true", "b.small": None}))
    log: Log = {end("a"): Dead() if because == "dead" else done("a.ok")}
    log[begin("b")] = Skipped(INSTANCE.subject(end("a")), because)
    assert ask(saga, "b", end("a"), log) == read(end("b"))
    assert ask(saga, "b", end("a"), log, unseen=[end("b")]) == write(end("b"), value)
    assert ask(saga, "b", end("a"), log, mine=[begin("b")]) == write(end("b"), value)


def test_an_open_step_that_is_dead_has_no_begin() -> None:
    """Its pivot has chosen another event."""
    saga = shape("pivot that chooses")
    assert ask(saga, "c", end("p"), {end("p"): done("p.big")}) == write(end("c"), Dead())


@pytest.mark.parametrize("ended", [Dead(), Satisfied("s1.ok")])
def test_a_skipped_step_that_has_ended_is_settled(ended: Value) -> None:
    log: Log = {end("s0"): Dead(), begin("s1"): Skipped(INSTANCE.subject(end("s0")), "when"), end("s1"): ended}
    assert ask(CHAIN, "s1", end("s0"), log) == ACK


# -- forward 2, join `any` -------------------------------------------------------------------------------------------


def test_a_merge_begins_at_once_on_an_event_that_it_listens_to() -> None:
    assert ask(MERGE, "d", end("b"), {end("b"): done("b.ok")}) == write(begin("d"), started(end("b")))
    assert ask(MERGE, "d", end("c"), {end("c"): done("c.ok")}) == write(begin("d"), started(end("c")))


def test_a_merge_looks_at_the_others_where_its_delivery_brings_nothing() -> None:
    log: Log = {end("b"): Dead()}
    assert ask(MERGE, "d", end("b"), log) == read(end("c"))
    assert ask(MERGE, "d", end("b"), log, unseen=[end("c")]) == prove(end("c"))
    assert ask(MERGE, "d", end("b"), log, absent=[end("c")]) == ACK


@pytest.mark.parametrize("other", [done("c.ok"), Dead(), Failed("refused", "no")], ids=lambda v: type(v).__name__)
def test_a_merge_leaves_the_step_to_an_input_that_came_later(other: Value) -> None:
    assert ask(MERGE, "d", end("b"), {end("b"): Dead(), end("c"): other}) == ACK


@pytest.mark.parametrize("other", [done("b.ok"), Failed("refused", "no")], ids=lambda v: type(v).__name__)
def test_a_merge_leaves_the_step_to_an_earlier_input_that_brings_an_event_or_failed(other: Value) -> None:
    assert ask(MERGE, "d", end("c"), {end("b"): other, end("c"): Dead()}) == ACK


def test_a_merge_is_dead_when_all_inputs_have_ended_and_none_brings_an_event() -> None:
    log: Log = {end("b"): Dead(), end("c"): Dead()}
    assert ask(MERGE, "d", end("c"), log) == write(begin("d"), Skipped(INSTANCE.subject(end("c")), "dead"))


@pytest.mark.parametrize("event", ["a.big", "a.small"])
def test_a_merge_of_two_events_of_one_step_begins_on_either(event: str) -> None:
    saga = shape("merge of two events of one step")
    assert ask(saga, "b", end("a"), {end("a"): done(event)}) == write(begin("b"), started(end("a")))


# -- an app that is away ---------------------------------------------------------------------------------------------


def test_no_step_begins_while_the_app_is_away() -> None:
    nak = only(ask(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok")}, app_away=True), Nak)
    assert nak.reason == AWAY


def test_who_waits_for_the_app_says_how_that_was_seen() -> None:
    busy: dict[str, Any] = {"app_away": True, "why_away": "POST /s1 answered 503"}
    waits = (Nak(0.2, "POST /s1 answered 503", waits=True),)
    assert ask(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok")}, **busy) == waits
    assert ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], unseen=[OUTCOME], **busy) == waits
    assert ask(PIVOT, "s1", end("s0"), BEGUN, mine=[begin("s1")], **busy) == waits
    assert undoing(**busy) == waits


@pytest.mark.parametrize(
    ("saga", "name", "log", "name_", "value"),
    [
        (CHOICE, "b", {end("a"): done("a.small")}, begin("b"), Skipped(INSTANCE.subject(end("a")), "dead")),
        (WHEN, "a", {START: start({"total": 1})}, end("a"), Satisfied("a.ok")),
        (CHAIN, "s1", {end("s0"): done("s0.ok"), **ABORTED}, begin("s1"), Cancelled(CAUSE)),
    ],
    ids=["dead", "when", "cancelled"],
)
def test_what_needs_no_app_goes_on_while_it_is_away(saga: Saga, name: str, log: Log, name_: Name, value: Value) -> None:
    on = next(iter(log))
    assert ask(saga, name, on, log, app_away=True) == write(name_, value)


def test_ends_and_outcomes_are_written_while_the_app_is_away() -> None:
    log: Log = {end("s0"): Dead(), begin("s1"): Skipped(INSTANCE.subject(end("s0")), "dead")}
    assert ask(CHAIN, "s1", end("s0"), log, app_away=True, mine=[begin("s1")]) == write(end("s1"), Dead())
    log = {end("s1"): done("s1.ok"), begin("s2"): started(end("s1")), end("s2"): done("s2.ok")}
    assert ask(CHAIN, "s2", end("s1"), log, app_away=True) == write(OUTCOME, Committed())


WAYS_TO_BE_AWAY: list[dict[str, Any]] = [{"app_away": True}, {"answer": Away()}, {"answer": no(503)}]


@pytest.mark.parametrize("away", WAYS_TO_BE_AWAY, ids=["known before", "refused", "503"])
def test_a_begun_action_looks_for_the_outcome_and_waits_on(away: Mapping[str, Any]) -> None:
    assert ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], **away) == read(OUTCOME)
    nak = only(ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], unseen=[OUTCOME], **away), Nak)
    assert nak.reason == AWAY
    assert ask(PIVOT, "s0", START, {START: start()}, **away) == read(begin("s1"), end("s1"))


@pytest.mark.parametrize("away", WAYS_TO_BE_AWAY, ids=["known before", "refused", "503"])
def test_an_action_ends_failed_where_the_saga_is_aborted(away: Mapping[str, Any]) -> None:
    called = int(away.get("answer") == no(503))  # it was called, and said so itself
    failed = Failed("refused", "the app was away while the saga was aborted", called=called)
    log: Log = {**BEGUN, OUTCOME: Aborted(CAUSE)}
    assert ask(CHAIN, "s1", end("s0"), log, mine=[begin("s1")], **away) == write(end("s1"), failed)
    assert ask(CHAIN, "s0", START, {START: start(), OUTCOME: Aborted(CAUSE)}, **away) == write(end("s0"), failed)


@pytest.mark.parametrize("away", WAYS_TO_BE_AWAY, ids=["known before", "refused", "503"])
def test_an_action_waits_on_where_the_saga_is_committed_or_its_pivot_at_work(away: Mapping[str, Any]) -> None:
    log: Log = {**BEGUN, OUTCOME: Committed()}
    assert only(ask(CHAIN, "s1", end("s0"), log, mine=[begin("s1")], **away), Nak).reason == AWAY
    log = {START: start(), begin("s1"): started(end("s0"))}
    assert only(ask(PIVOT, "s0", START, log, unseen=[end("s1")], **away), Nak).reason == AWAY


def test_an_action_that_an_earlier_attempt_may_have_called_ends_unknown() -> None:
    failed = Failed("unknown", "the app was away while the saga was aborted", 3, 0)
    log: Log = {**BEGUN, OUTCOME: Aborted(CAUSE)}
    facts: dict[str, Any] = {"app_away": True, "delivered": 3, "late": True}
    assert ask(CHAIN, "s1", end("s0"), log, unseen=[end("s1")], **facts) == write(end("s1"), failed)
    log = {START: start(), OUTCOME: Aborted(CAUSE)}
    effects = ask(CHAIN, "s0", START, log, unseen=[begin("s0"), end("s0")], **facts)
    assert effects == write(end("s0"), failed, guarded=True)


@pytest.mark.parametrize("away", WAYS_TO_BE_AWAY, ids=["known before", "refused", "503"])
@pytest.mark.parametrize(("name", "on"), [("s1", end("s0")), ("s2", end("s1"))], ids=["pivot", "retriable"])
def test_the_pivot_and_retriable_steps_wait_without_looking(name: str, on: Name, away: Mapping[str, Any]) -> None:
    log: Log = {on: done(f"{on.step}.ok"), begin(name): started(on)}
    assert only(ask(PIVOT, name, on, log, mine=[begin(name)], **away), Nak).reason == AWAY


def test_within_is_not_looked_at_while_the_app_is_away() -> None:
    facts: dict[str, Any] = {"unseen": [OUTCOME], "answer": Away(), "within_passed": True}
    effects = ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], **facts)
    assert only(effects, Nak).reason == AWAY


def test_an_answer_counts_even_where_the_app_was_said_to_be_away() -> None:
    effects = ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], app_away=True, answer=ok())
    assert effects == write(end("s1"), Done("s1.ok", NULL))


# -- forward 3: the call ---------------------------------------------------------------------------------------------


def call_of(saga: Saga, name: str, on: Name, log: Log) -> Call:
    log = {**log, begin(name): started(on)}
    call = only(ask(saga, name, on, log, mine=[begin(name)]), Call)
    assert call.kind == "action"
    assert call.end is None
    return call


def test_a_call_says_what_the_saga_says() -> None:
    call = call_of(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok", {"n": 1})})
    assert call == Call("action", "/s1", b'{"n":1}', 5.0, "s0.ok", caused_by="run/s0")


@pytest.mark.parametrize(
    "data", [b'{ "b": 1.50,\n "a":1e3 }', b"12345678901234567890123", b'"\\u00e9"', b"null"], ids=repr
)
def test_the_default_body_is_the_event_s_data_byte_by_byte(data: bytes) -> None:
    assert call_of(CHAIN, "s0", START, {START: start() if data == b"null" else replace_data(data)}).body == data
    assert call_of(CHAIN, "s1", end("s0"), {end("s0"): Done("s0.ok", Raw(data))}).body == data


def replace_data(data: bytes) -> Start:
    return replace(start(), data=Raw(data))


def test_the_default_body_after_a_satisfied_step_is_null() -> None:
    assert call_of(CHAIN, "s1", end("s0"), {end("s0"): Satisfied("s0.ok")}).body == b"null"


def test_the_default_body_of_a_merge_is_the_data_of_the_event_that_came() -> None:
    call = call_of(MERGE, "d", end("c"), {end("b"): Dead(), end("c"): done("c.ok", [2])})
    assert (call.body, call.event) == (b"[2]", "c.ok")


def test_the_default_body_of_a_join_is_a_map_from_event_to_data() -> None:
    data = Raw(b'{ "x":1.50 }')
    call = call_of(JOIN, "c", end("b"), {end("a"): Done("a.ok", data), end("b"): Satisfied("b.ok")})
    assert (call.body, call.event) == (b'{"a.ok":{ "x":1.50 },"b.ok":null}', "b.ok")


def test_the_default_body_of_a_join_is_the_same_whichever_input_came_last() -> None:
    ends: list[tuple[Name, Value]] = [(end("a"), done("a.ok", 1)), (end("b"), done("b.ok", 2))]
    assert (
        call_of(JOIN, "c", end("b"), dict(ends)).body
        == call_of(JOIN, "c", end("a"), dict(reversed(ends))).body
        == b'{"a.ok":1,"b.ok":2}'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"amount": event.data.total}', {"amount": 42}),
        ('{"amount": event.data.total * 2.0}', {"amount": 84}),
        ('{"half": event.data.total / 4.0}', {"half": 10.5}),
        ('{"order": saga.id, "saga": saga.name, "run": saga.run}', {"order": "i", "saga": "simulated", "run": "run"}),
        ('{"type": event.type, "id": event.id}', {"type": "a.ok", "id": "run/a"}),
        ('{"from": events["start"].data.name}', {"from": "Ada"}),
        ('{"at": event.time, "since": saga.started}', {"at": "1970-01-01T00:16:42Z", "since": "1970-01-01T00:16:41Z"}),
        ('{"all": event.data}', {"all": {"total": 42}}),
        ("{}", {}),
    ],
)
def test_a_body_of_its_own_is_evaluated(body: str, expected: object) -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", body=body))
    call = call_of(saga, "b", end("a"), {START: start({"name": "Ada"}), end("a"): done("a.ok", {"total": 42})})
    assert plain_json.loads(call.body) == expected


def test_a_body_over_an_ancestor_s_event_reads_it_first() -> None:
    saga = shapes.saga(step("a"), step("b", "a.ok", body='{"from": events["start"].data}'))
    log: Log = {end("a"): done("a.ok"), begin("b"): started(end("a"))}
    assert ask(saga, "b", end("a"), log, mine=[begin("b")]) == read(START)
    assert ask(saga, "b", end("a"), log, mine=[begin("b")], unseen=[START]) == prove(START)


def test_an_event_that_an_expression_only_names_for_the_answer_is_read_before_the_call() -> None:
    saga = shapes.saga(
        step("a"), step("b", "a.ok", emits={"b.big": 'response.body.n > events["start"].data.n', "b.small": None})
    )
    log: Log = {end("a"): done("a.ok"), begin("b"): started(end("a"))}
    assert ask(saga, "b", end("a"), log, mine=[begin("b")]) == read(START)


@pytest.mark.parametrize("body", ['{"x": event.data.missing}', '{"x": 1 / (1 - 1)}'])
def test_a_plain_step_whose_body_cannot_be_evaluated_fails_without_a_call(body: str) -> None:
    saga = shapes.saga(step("a", body=body))
    log: Log = {START: start({}), begin("a"): started(START)}
    assert_fails("a", ask(saga, "a", START, log, mine=[begin("a")]), body)


def assert_fails(name: str, effects: Effects, body: str) -> None:
    told, written = effects
    assert isinstance(told, Tell)
    assert told.place == "action.body"
    assert told.reason.startswith(f"{body}: ")
    assert written == Write(end(name), Failed("expression", told.reason, 1, 0))


MISSING = '{"x": event.data.missing}'
HOPELESS = shapes.saga(step("p", kind="pivot", body=MISSING), step("b", "p.ok", kind="retriable", body=MISSING))
WITHOUT = [{}, {"app_away": True}, {"lease_lost": True}]


@pytest.mark.parametrize("without", WITHOUT, ids=["all there", "app away", "lease lost"])
def test_a_pivot_whose_body_cannot_be_evaluated_begins_and_fails_without_a_call(without: Mapping[str, Any]) -> None:
    """Nothing is needed for that, neither the app nor the lease."""
    log: Log = {START: start({})}
    assert ask(HOPELESS, "p", START, log, **without) == write(begin("p"), started(START))
    log[begin("p")] = started(START)
    assert_fails("p", ask(HOPELESS, "p", START, log, mine=[begin("p")], **without), MISSING)


def test_a_pivot_that_an_earlier_attempt_began_fails_as_it_would_have() -> None:
    log: Log = {START: start({}), begin("p"): started(START)}
    assert ask(HOPELESS, "p", START, log) == read(end("p"))
    assert_fails("p", ask(HOPELESS, "p", START, log, unseen=[end("p")]), MISSING)


def test_a_pivot_whose_body_can_be_evaluated_does_not_begin_while_the_app_is_away() -> None:
    assert only(ask(HOPELESS, "p", START, {START: start({"missing": 1})}, app_away=True), Nak).reason == APP_AWAY


def test_what_a_pivot_s_body_is_made_of_is_read_before_it_begins() -> None:
    """Between the two, whoever cancels must wait: so only writes stand there."""
    saga = shapes.saga(step("a"), step("p", "a.ok", kind="pivot", body='{"x": events["start"].data}'))
    log: Log = {end("a"): done("a.ok")}
    assert ask(saga, "p", end("a"), log) == read(START)
    assert ask(saga, "p", end("a"), {START: start(), **log}) == write(begin("p"), started(end("a")))


@pytest.mark.parametrize("without", WITHOUT, ids=["all there", "app away", "lease lost"])
def test_a_plain_step_that_can_never_be_called_begins_and_fails_without_its_app(without: Mapping[str, Any]) -> None:
    body = '{"x": events["start"].data.missing}'
    saga = shapes.saga(step("a"), step("b", "a.ok", body=body))
    log: Log = {START: start({}), end("a"): done("a.ok")}
    assert ask(saga, "b", end("a"), log, **without) == write(begin("b"), started(end("a")))
    log[begin("b")] = started(end("a"))
    assert_fails(
        "b", ask(saga, "b", end("a"), log, mine=[begin("b")], **without), '{"x": events["start"].data.missing}'
    )


OPTIONAL = shapes.saga(
    step("a", emits={"a.big": "response.body.big", "a.small": None}),
    step("b", "a.big"),
    step("c", "a.small"),
    step("d", ["b.ok", "c.ok"], join="any", body='{"x": has(events["b.ok"].data)}'),
)
"""The last step names an event that comes on one of two ways."""


def test_an_event_that_an_expression_names_and_that_never_comes_is_proven_absent_before_the_step_begins() -> None:
    log: Log = {end("c"): done("c.ok")}
    assert ask(OPTIONAL, "d", end("c"), log) == read(end("b"))
    assert ask(OPTIONAL, "d", end("c"), log, unseen=[end("b")]) == prove(end("b"))
    assert ask(OPTIONAL, "d", end("c"), log, absent=[end("b")]) == write(begin("d"), started(end("c")))
    log[begin("d")] = started(end("c"))
    effects = ask(OPTIONAL, "d", end("c"), log, mine=[begin("d")], absent=[end("b")])
    assert isinstance(effects[-1], Call | Write)


@pytest.mark.parametrize("without", WITHOUT, ids=["all there", "app away", "lease lost"])
@pytest.mark.parametrize("mine", [True, False])
def test_a_retriable_step_whose_body_cannot_be_evaluated_parks(*, mine: bool, without: Mapping[str, Any]) -> None:
    log: Log = {end("p"): done("p.ok", {}), begin("b"): started(end("p"))}
    told, nak = ask(HOPELESS, "b", end("p"), log, mine=[begin("b")] * mine, unseen=[end("b")], failures=1, **without)
    assert isinstance(told, Tell)
    assert nak == Nak(0.4, f"action.body: {told.reason}; {ONLY_PEOPLE_CAN}")


def test_a_begun_action_that_cannot_be_evaluated_fails_though_its_app_is_away() -> None:
    saga = shapes.saga(step("a", body=MISSING))
    log: Log = {START: start({}), begin("a"): started(START)}
    assert_fails("a", ask(saga, "a", START, log, mine=[begin("a")], app_away=True), MISSING)


LET_GO = (Nak(0.2, LEASE_LOST, waits=True),)
"""Told, for it may be so each time: then people must see to it."""


def test_who_lost_the_lease_starts_no_call() -> None:
    assert ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], lease_lost=True) == LET_GO
    assert ask(CHAIN, "s0", START, {START: start()}, lease_lost=True) == LET_GO
    late = ask(CHAIN, "s0", START, {START: start()}, lease_lost=True, late=True, unseen=[begin("s0"), end("s0")])
    assert late == LET_GO


def test_who_lost_the_lease_finishes_what_runs() -> None:
    effects = ask(CHAIN, "s1", end("s0"), BEGUN, mine=[begin("s1")], lease_lost=True, answer=ok())
    assert effects == write(end("s1"), Done("s1.ok", NULL))


def test_who_lost_the_lease_still_begins_and_ends_what_needs_no_call() -> None:
    log: Log = {end("s0"): done("s0.ok")}
    assert ask(CHAIN, "s1", end("s0"), log, lease_lost=True) == write(begin("s1"), started(end("s0")))
    log = {end("a"): done("a.small"), begin("b"): Skipped(INSTANCE.subject(end("a")), "dead")}
    assert ask(CHOICE, "b", end("a"), log, lease_lost=True, mine=[begin("b")]) == write(end("b"), Dead())


# -- forward 3: the answer -------------------------------------------------------------------------------------------

KINDS = {"plain": "s0", "pivot": "s1", "retriable": "s2"}
RETRIED = ["pivot", "retriable"]


def answered(kind: str, answer: Answer, **facts: Any) -> Effects:
    """What becomes of an answer, at the plain step, the pivot or the retriable step of a chain."""
    name = KINDS[kind]
    on = START if kind == "plain" else end("s0" if kind == "pivot" else "s1")
    cause: Value = start() if kind == "plain" else done(f"{on.step}.ok")
    return ask(PIVOT, name, on, {on: cause, begin(name): started(on)}, mine=[begin(name)], answer=answer, **facts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_ends_the_step_with_the_answer_s_data(kind: str, status: int) -> None:
    name = KINDS[kind]
    assert answered(kind, ok({"n": 1}, status)) == write(end(name), Done(f"{name}.ok", json({"n": 1})))


@pytest.mark.parametrize("kind", KINDS)
def test_a_success_counts_after_within_too(kind: str) -> None:
    assert answered(kind, ok(), within_passed=True) == write(end(KINDS[kind]), Done(f"{KINDS[kind]}.ok", NULL))


@pytest.mark.parametrize("status", [400, 403, 410, 422])
@pytest.mark.parametrize("kind", ["plain", "pivot"])
def test_a_refusal_fails_a_plain_step_and_the_pivot(kind: str, status: int) -> None:
    assert answered(kind, no(status, "sold out")) == write(end(KINDS[kind]), Failed("refused", "sold out"))


@pytest.mark.parametrize("status", [400, 403, 410, 422])
@pytest.mark.parametrize("within_passed", [False, True])
def test_a_retriable_step_is_never_refused(status: int, within_passed: bool) -> None:
    nak = only(answered("retriable", no(status, "sold out"), within_passed=within_passed), Nak)
    assert nak == Nak(0.2, f"POST /s2 answered {status}: sold out")


AGAIN = [
    (no(307), "refused"),
    (no(401), "refused"),
    (no(404), "refused"),
    (no(408), "refused"),
    (no(409), "refused"),
    (no(425), "refused"),
    (no(429), "refused"),
    (no(500), "unknown"),
    (no(502), "unknown"),
    (no(504), "unknown"),
    (Unanswered("because"), "unknown"),
]


def told(answer: Answer, path: str) -> str:
    """The reason of an answer whose words are `because`."""
    if not isinstance(answer, Answered):
        return f"POST {path}: because"
    return f"POST {path} answered {answer.status}: {'is the path right? It says: ' * (answer.status == 404)}because"


def name_of(value: object) -> str | None:
    return str(value.status) if isinstance(value, Answered) else None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("answer", "_kind"), AGAIN, ids=name_of)
def test_what_may_succeed_later_is_called_again(kind: str, answer: Answer, _kind: str) -> None:
    assert answered(kind, answer) == (Nak(0.2, told(answer, f"/{KINDS[kind]}")),)


@pytest.mark.parametrize(("answer", "failure"), AGAIN, ids=name_of)
def test_a_plain_step_fails_once_within_has_passed(answer: Answer, failure: Any) -> None:
    assert answered("plain", answer, within_passed=True) == write(end("s0"), Failed(failure, told(answer, "/s0")))


@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize(("answer", "_kind"), AGAIN, ids=name_of)
def test_within_does_not_end_the_pivot_and_retriable_steps(kind: str, answer: Answer, _kind: str) -> None:
    assert answered(kind, answer, within_passed=True) == (Nak(0.2, told(answer, f"/{KINDS[kind]}")),)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [ok(status=202), Answered(200, {}, b"<html>")], ids=["202", "not JSON"])
def test_an_answer_that_cannot_be_used_is_unknown(kind: str, answer: Answer) -> None:
    only(answered(kind, answer), Nak)
    passed = only(answered(kind, answer, within_passed=True), Write if kind == "plain" else Nak)
    if kind == "plain":
        assert passed.value.kind == "unknown"


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_the_log_will_never_take_fails_a_plain_step_at_once(kind: str) -> None:
    effects = answered(kind, ok("x"), unstorable="too large")
    assert effects == (
        write(end("s0"), Failed("unknown", "too large")) if kind == "plain" else (Nak(0.2, "too large"),)
    )


@pytest.mark.parametrize("delivered", [1, 2, 7])
def test_an_end_counts_the_deliveries(delivered: int) -> None:
    assert only(answered("plain", ok(), delivered=delivered), Write).value.deliveries == delivered
    assert only(answered("plain", no(422), delivered=delivered), Write).value.deliveries == delivered


@pytest.mark.parametrize("called", [1, 2, 7])
def test_an_end_counts_the_calls(called: int) -> None:
    assert only(answered("plain", ok(), called=called), Write).value.called == called
    assert only(answered("plain", no(422), called=called), Write).value.called == called


@pytest.mark.parametrize("began", [0.0, 1234.5])
def test_an_end_says_when_its_attempt_began(began: float) -> None:
    assert only(answered("plain", ok(), began=began), Write).value.begun == began
    assert only(answered("plain", no(422), began=began), Write).value.begun == began


@pytest.mark.parametrize("called", [0, 3])
def test_an_end_without_an_answer_counts_the_calls_of_before(called: int) -> None:
    log: Log = {START: start(), OUTCOME: Aborted(CAUSE)}
    facts: dict[str, Any] = {"app_away": True, "delivered": 29, "called": called}
    away = only(ask(CHAIN, "s0", START, log, **facts), Write)
    assert (away.value.deliveries, away.value.called) == (29, called)


@pytest.mark.parametrize(
    ("failures", "delay"),
    [(0, 0.2), (1, 0.4), (2, 0.8), (3, 1.6), (4, 3.2), (5, 6.4), (6, 10.0), (7, 10.0), (999, 10.0), (10**9, 10.0)],
)
def test_delays_double_up_to_the_longest(failures: int, delay: float) -> None:
    assert only(answered("plain", no(409), failures=failures), Nak).delay == pytest.approx(delay)


def test_waiting_does_not_count_as_failing() -> None:
    assert only(answered("plain", no(409), delivered=50), Nak).delay == pytest.approx(0.2)


def test_delays_are_the_saga_s_own() -> None:
    a = step("a")
    saga = shapes.saga(replace(a, action=replace(a.action, retry=Retry(backoff=1.0, max_backoff=3.0))))
    log: Log = {START: start(), begin("a"): started(START)}

    def delay(failures: int) -> float:
        effects = ask(saga, "a", START, log, mine=[begin("a")], answer=no(500), failures=failures)
        return float(only(effects, Nak).delay)

    assert [delay(n) for n in (0, 1, 2, 3)] == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [429, 500])
def test_an_app_is_not_called_before_it_wants_to_be(kind: str, status: int) -> None:
    reason = f"POST /{KINDS[kind]} answered {status}: because"
    assert answered(kind, no(status, retry_after="7")) == (Nak(0.2, reason, at_least=7.0),)


@pytest.mark.parametrize(("delivered", "delay"), [(1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (5, 2.0), (99, 2.0)])
def test_who_waits_without_calling_comes_back_within_two_seconds(delivered: int, delay: float) -> None:
    nak = only(ask(CHAIN, "s1", end("s0"), {end("s0"): done("s0.ok")}, app_away=True, delivered=delivered), Nak)
    assert nak == Nak(pytest.approx(delay), AWAY, waits=True)


# -- forward 3: which event? -----------------------------------------------------------------------------------------

CHOOSER = shapes.saga(
    step(
        "a",
        emits={
            "a.status": "response.status == 201",
            "a.header": "'x-size' in response.headers && response.headers['x-size'] == 'big'",
            "a.body": "response.body != null && has(response.body.big) && response.body.big",
            "a.event": "event.data.big",
            "a.else": None,
        },
    )
)


@pytest.mark.parametrize(
    ("answer", "data", "event"),
    [
        (ok({"big": True}, 201, x_size="big"), {"big": True}, "a.status"),
        (ok({"big": True}, 200, x_size="big"), {"big": True}, "a.header"),
        (ok({"big": True}, 200, x_size="small"), {"big": True}, "a.body"),
        (ok({"big": False}), {"big": True}, "a.event"),
        (Answered(204, {}, b""), {"big": False}, "a.else"),
        (ok({"big": True}, 201, ce_type="a.else"), {"big": True}, "a.else"),
        (ok({"big": True}, 201, ce_type="a.body"), {"big": True}, "a.body"),
    ],
    ids=lambda value: None if isinstance(value, Answered | dict) else value,
)
def test_the_first_event_whose_when_holds_is_announced_unless_the_app_chose(
    answer: Answer, data: object, event: str
) -> None:
    log: Log = {START: start(data), begin("a"): started(START)}
    written = only(ask(CHOOSER, "a", START, log, mine=[begin("a")], answer=answer), Write)
    assert isinstance(written.value, Done)
    assert written.value.event == event


UNFIT = {
    "the app chose none of its events": ({"x.ok": None}, ok(ce_type="y.ok")),
    "no when holds": ({"x.ok": "response.status == 201"}, ok()),
    "no when holds, not even the last": ({"x.ok": "false", "x.no": "false"}, ok()),
}


@pytest.mark.parametrize(("emits", "answer"), UNFIT.values(), ids=UNFIT)
def test_a_plain_step_fails_unknown_where_no_event_fits(emits: dict[str, str | None], answer: Answer) -> None:
    saga = shapes.saga(step("x", emits=emits))
    log: Log = {START: start(), begin("x"): started(START)}
    written = only(ask(saga, "x", START, log, mine=[begin("x")], answer=answer), Write)
    assert written.name == end("x")
    assert isinstance(written.value, Failed)
    assert written.value.kind == "unknown"
    what = "'y.ok'" if "ce-type" in answer.headers else "the answer"
    assert written.value.reason == f"POST /x answered 200: no `emits` fits {what}"


def emitting(kind: str, emits: dict[str, str | None], answer: Answer) -> Effects:
    """What a step of a kind does about an answer."""
    x = step("x", "p.ok" if kind == "retriable" else "start", kind=kind, emits=emits)
    saga = shapes.saga(step("p", kind="pivot"), x) if kind == "retriable" else shapes.saga(x)
    on, value = (end("p"), done("p.ok")) if kind == "retriable" else (START, start())
    log: Log = {on: value, begin("x"): started(on)}
    return ask(saga, "x", on, log, mine=[begin("x")], answer=answer)


@pytest.mark.parametrize(("emits", "answer"), UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize("kind", RETRIED)
def test_the_pivot_and_retriable_steps_park_where_no_event_fits(
    kind: str, emits: dict[str, str | None], answer: Answer
) -> None:
    assert only(emitting(kind, emits, answer), Nak).reason.startswith("POST /x answered 200: no `emits` fits ")


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_event_is_announced_where_a_when_cannot_be_evaluated(kind: str) -> None:
    """Whatever a later `when` gives. The app has acted, and would answer the same again."""
    when = "response.body.missing"
    told, written = emitting(kind, {"x.big": when, "x.small": "true", "x.ok": None}, ok({}))
    assert isinstance(told, Tell)
    assert told.place == "emits.when"
    assert told.reason.startswith(f"{when}: ")
    assert written == Write(end("x"), Done("x.ok", Raw(b"{}")))


def test_a_when_after_the_one_that_holds_is_not_evaluated() -> None:
    written = only(
        emitting("plain", {"x.big": "true", "x.small": "response.body.missing", "x.ok": None}, ok({})), Write
    )
    assert written == Write(end("x"), Done("x.big", Raw(b"{}")))


# -- forward 3: whoever loses the end --------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [done("s1.ok"), Satisfied("s1.ok"), Dead()], ids=lambda v: type(v).__name__)
def test_an_end_that_stands_is_settled_whatever_the_answer(ended: Value) -> None:
    log: Log = {**BEGUN, end("s1"): ended}
    assert ask(CHAIN, "s1", end("s0"), log, mine=[begin("s1")], answer=no(422)) == ACK


def test_the_tail_is_that_of_the_end_that_stands() -> None:
    log: Log = {**BEGUN, end("s1"): Failed("unknown", "reset")}
    effects = ask(CHAIN, "s1", end("s0"), log, mine=[begin("s1")], answer=ok())
    assert effects == write(OUTCOME, Aborted(Cause("unknown", "reset", "s1")))


# -- forward 4: abort -------------------------------------------------------------------------------------------------


FAILED_FIRST: Log = {START: start(), end("s0"): Failed("refused", "sold out")}
"""The first step of a chain has failed."""


def test_a_failed_step_aborts_a_saga_without_a_pivot() -> None:
    cause = Cause("refused", "sold out", "s0")
    log: Log = {**FAILED_FIRST}
    assert ask(CHAIN, "s0", START, log) == write(OUTCOME, Aborted(cause))
    log[OUTCOME] = Aborted(cause)
    assert ask(CHAIN, "s0", START, log) == write(ABORT, Notice(cause))
    log[ABORT] = Notice(cause)
    assert ask(CHAIN, "s0", START, log) == ACK


def test_a_failed_step_closes_the_pivot_s_latch_which_is_the_outcome() -> None:
    cause = Cause("refused", "sold out", "s0")
    log: Log = {**FAILED_FIRST}
    assert ask(PIVOT, "s0", START, log) == write(begin("s1"), Cancelled(cause))
    log[begin("s1")] = Cancelled(cause)
    assert ask(PIVOT, "s0", START, log) == write(ABORT, Notice(cause))
    log[ABORT] = Notice(cause)
    assert ask(PIVOT, "s0", START, log) == ACK


def test_a_latch_that_is_skipped_makes_the_outcome_a_register_of_its_own() -> None:
    saga = shape("pivot skipped")
    failed = Failed("refused", "sold out")
    cause = Cause("refused", "sold out", "q")
    log: Log = {end("a"): done("a.small"), begin("q"): started(end("a")), end("q"): failed}
    assert ask(saga, "q", end("a"), log) == write(begin("p"), Cancelled(cause))
    log[begin("p")] = Skipped(INSTANCE.subject(end("a")), "dead")
    assert ask(saga, "q", end("a"), log) == write(OUTCOME, Aborted(cause))
    log[OUTCOME] = Aborted(CAUSE)
    assert ask(saga, "q", end("a"), log) == write(ABORT, NOTICE)
    log[OUTCOME] = Committed()
    assert only(ask(saga, "q", end("a"), log), Nak).implausible == "outcome"


def test_a_latch_that_nothing_can_have_skipped_is_closed() -> None:
    log: Log = {**FAILED_FIRST, begin("s1"): Skipped(INSTANCE.subject(end("s0")), "dead")}
    assert only(ask(PIVOT, "s0", START, log), Write).name == ABORT


@pytest.mark.parametrize("ended", [{}, {end("s1"): done("s1.ok")}])
def test_a_pivot_that_has_started_decides_alone(ended: Log) -> None:
    """Who cancels stops there."""
    known = Known(attempt_id=ME, registers=stored({begin("s1"): started(end("s0")), **ended}))
    assert decision.abort(rules_for(PIVOT, "s0"), known, CAUSE) == ACK


@pytest.mark.parametrize("ended", [{}, {end("s1"): done("s1.ok")}])
def test_a_step_that_failed_before_a_pivot_that_was_begun_is_held(ended: Log) -> None:
    log: Log = {**FAILED_FIRST, begin("s1"): started(end("s0")), **ended}
    held = Nak(60.0, "s1.begin contradicts what has decided the saga", at_least=60.0, implausible="begin")
    assert ask(PIVOT, "s0", START, log) == (held,)


def test_the_latch_of_a_late_delivery_is_guarded() -> None:
    assert only(ask(PIVOT, "s0", START, FAILED_FIRST, late=True, unseen=[begin("s0")]), Write).guarded
    assert not only(ask(PIVOT, "s0", START, FAILED_FIRST), Write).guarded


def test_a_failed_step_of_a_saga_that_is_said_to_be_committed_is_held() -> None:
    held = Nak(60.0, "_.outcome contradicts what has decided the saga", at_least=60.0, implausible="outcome")
    assert ask(CHAIN, "s0", START, {**FAILED_FIRST, OUTCOME: Committed()}) == (held,)


def test_a_cancel_stops_at_a_saga_that_is_committed() -> None:
    known = Known(attempt_id=ME, registers=stored({OUTCOME: Committed()}))
    assert decision.abort(rules_for(CHAIN, "s0"), known, CAUSE) == ACK


@pytest.mark.parametrize(
    ("saga", "decided"),
    [(CHAIN, {OUTCOME: Aborted(CAUSE)}), (PIVOT, {begin("s1"): Cancelled(CAUSE)})],
    ids=["without a pivot", "with one"],
)
def test_the_notice_tells_the_cause_that_the_outcome_says(saga: Saga, decided: Log) -> None:
    assert ask(saga, "s0", START, {**FAILED_FIRST, **decided}) == write(ABORT, NOTICE)


def test_a_failed_pivot_needs_only_the_notice() -> None:
    log: Log = {**BEGUN, end("s1"): Failed("refused", "no")}
    assert ask(PIVOT, "s1", end("s0"), log) == write(ABORT, Notice(Cause("refused", "no", "s1")))
    log[ABORT] = NOTICE
    assert ask(PIVOT, "s1", end("s0"), log) == ACK


def test_a_pivot_that_is_done_writes_nothing_more() -> None:
    assert ask(PIVOT, "s1", end("s0"), {**BEGUN, end("s1"): done("s1.ok")}) == ACK
    log: Log = {end("s1"): done("s1.ok"), begin("s2"): started(end("s1")), end("s2"): done("s2.ok")}
    assert ask(shape("pivot last"), "s2", end("s1"), log) == ACK


def test_a_pivot_that_is_dead_and_no_sink_commits_nothing() -> None:
    log: Log = {
        end("a"): done("a.small"),
        begin("p"): Skipped(INSTANCE.subject(end("a")), "dead"),
        end("p"): Dead(),
    }
    assert ask(shape("pivot skipped, with one sink after it"), "p", end("a"), log) == ACK


# -- forward 5: the last sink commits --------------------------------------------------------------------------------


def ended_at(name: str, value: Value, on: Name, before: Mapping[Name, Value] | None = None) -> Log:
    begun = started(on) if isinstance(value, Done) else Skipped(INSTANCE.subject(on), "dead")
    return {on: done("s1.ok") if on.step != "_" else start(), **(before or {}), begin(name): begun, end(name): value}


@pytest.mark.parametrize("value", [done("s2.ok"), Satisfied("s2.ok"), Dead()], ids=lambda v: type(v).__name__)
def test_a_sink_that_is_done_satisfied_or_dead_commits(value: Value) -> None:
    log = ended_at("s2", value, end("s1"))
    assert ask(CHAIN, "s2", end("s1"), log) == write(OUTCOME, Committed())
    assert ask(CHAIN, "s2", end("s1"), {**log, OUTCOME: Committed()}) == ACK


def test_a_step_that_is_no_sink_commits_nothing() -> None:
    assert ask(CHAIN, "s0", START, ended_at("s0", done("s0.ok"), START)) == ACK


def test_a_sink_that_finds_the_saga_aborted_tells_everybody() -> None:
    log = {**ended_at("s2", done("s2.ok"), end("s1")), OUTCOME: Aborted(CAUSE)}
    assert ask(CHAIN, "s2", end("s1"), log) == write(ABORT, NOTICE)
    assert ask(CHAIN, "s2", end("s1"), {**log, ABORT: NOTICE}) == ACK


ROOTS = shape("two roots")  # both are sinks


def test_a_sink_waits_for_the_others() -> None:
    log = ended_at("a", done("a.ok"), START)
    assert ask(ROOTS, "a", START, log) == read(end("b"))
    assert ask(ROOTS, "a", START, log, unseen=[end("b")]) == prove(end("b"))
    assert ask(ROOTS, "a", START, log, absent=[end("b")]) == ACK


@pytest.mark.parametrize("other", [done("b.ok"), Satisfied("b.ok"), Dead()], ids=lambda v: type(v).__name__)
def test_the_last_sink_commits_whenever_the_others_ended(other: Value) -> None:
    log = ended_at("a", done("a.ok"), START)
    assert ask(ROOTS, "a", START, {**log, end("b"): other}) == write(OUTCOME, Committed())
    assert ask(ROOTS, "a", START, ended_at("a", done("a.ok"), START, {end("b"): other})) == write(OUTCOME, Committed())


def test_a_failed_sink_is_never_outvoted() -> None:
    log = ended_at("a", done("a.ok"), START, {end("b"): Failed("refused", "no")})
    assert ask(ROOTS, "a", START, log) == ACK


def test_every_input_of_a_merge_is_a_sink() -> None:
    log: Log = {end("a"): done("a.big"), begin("b"): started(end("a")), end("b"): done("b.ok")}
    assert ask(MERGE, "b", end("a"), log) == read(end("c"), end("d"))
    log |= {end("c"): Dead(), end("d"): done("d.ok")}
    assert ask(MERGE, "b", end("a"), log) == write(OUTCOME, Committed())


def test_of_many_sinks_the_later_ones_are_read_first_and_one_that_is_absent_is_enough() -> None:
    names = [f"s{n}" for n in range(40)]
    wide = shapes.saga(*(step(name) for name in names))
    log: Log = {START: start(), end("s39"): done("s39.ok")}
    assert ask(wide, "s39", START, log) == read(*map(end, names[23:39]))
    log |= {end(name): done(f"{name}.ok") for name in names[24:]}
    assert ask(wide, "s39", START, log) == read(end("s23"))
    looked = [end("s23")]
    assert ask(wide, "s39", START, log, unseen=looked) == prove(end("s23"))
    assert ask(wide, "s39", START, log, unseen=looked, absent=looked) == ACK
    log |= {end("s23"): done("s23.ok")}
    assert ask(wide, "s39", START, log) == read(*map(end, names[7:23]))
    log |= {end(name): done(f"{name}.ok") for name in names}
    assert ask(wide, "s39", START, log) == write(OUTCOME, Committed())


@pytest.mark.parametrize("ended", [done("s2.ok"), Satisfied("s2.ok")], ids=lambda v: type(v).__name__)
def test_the_only_sink_after_the_pivot_has_nothing_to_say(ended: Value) -> None:
    assert ask(PIVOT, "s2", end("s1"), {end("s1"): done("s1.ok"), end("s2"): ended}) == ACK


SKIPPED_PIVOT: Log = {
    end("a"): done("a.small"),
    begin("p"): Skipped(INSTANCE.subject(end("a")), "dead"),
    end("p"): Dead(),
}


def test_a_sink_of_a_pivot_that_was_skipped_commits() -> None:
    alone = shape("pivot skipped, and the only sink")
    assert ask(alone, "p", end("a"), SKIPPED_PIVOT) == write(OUTCOME, Committed())
    assert ask(alone, "p", end("a"), {**SKIPPED_PIVOT, OUTCOME: Committed()}) == ACK
    after = shape("pivot skipped, with one sink after it")
    log: Log = {end("p"): Dead(), end("b"): Dead()}
    assert ask(after, "b", end("p"), log) == read_until(begin("p"))
    log[begin("p")] = SKIPPED_PIVOT[begin("p")]
    assert ask(after, "b", end("p"), log) == write(OUTCOME, Committed())


def test_of_a_skipped_pivot_s_saga_the_finish_is_written_where_there_are_several_sinks() -> None:
    saga = shape("pivot on one branch")  # sinks: b, after the pivot, and c
    log: Log = {**SKIPPED_PIVOT, end("b"): Dead(), begin("c"): started(end("a")), end("c"): done("c.ok")}
    assert ask(saga, "c", end("a"), log) == write(OUTCOME, Committed())
    assert ask(saga, "c", end("a"), {**log, OUTCOME: Committed()}) == write(FINISH, Completed())
    assert ask(saga, "c", end("a"), {**log, OUTCOME: Committed(), FINISH: Completed()}) == ACK
    assert ask(saga, "c", end("a"), {**log, OUTCOME: Aborted(CAUSE)}) == write(ABORT, NOTICE)


TWO_SINKS: Log = {end("p"): done("p.ok"), end("b"): done("b.ok"), end("c"): done("c.ok")}


def test_the_last_of_several_sinks_reads_what_the_pivot_says_and_finishes_the_saga() -> None:
    log = {**TWO_SINKS}
    assert ask(PIVOT_FIRST, "b", end("p"), log) == read_until(begin("p"))
    log[begin("p")] = started(START)
    assert ask(PIVOT_FIRST, "b", end("p"), log) == write(FINISH, Completed())
    log[FINISH] = Completed()
    assert ask(PIVOT_FIRST, "b", end("p"), log) == ACK


@pytest.mark.parametrize("other", [Satisfied("c.ok"), Dead()], ids=lambda v: type(v).__name__)
def test_of_several_sinks_none_need_have_run(other: Value) -> None:
    log: Log = {**TWO_SINKS, end("c"): other, begin("p"): started(START)}
    assert ask(PIVOT_FIRST, "b", end("p"), log) == write(FINISH, Completed())


PIVOT_BESIDE = shape("pivot on one branch")  # sinks: b, after the pivot, and c, which excludes it


def test_a_sink_waits_for_the_end_of_a_pivot_that_has_started() -> None:
    log: Log = {end("a"): done("a.big"), end("b"): done("b.ok"), begin("p"): started(end("a")), end("c"): Dead()}
    log[begin("c")] = Skipped(INSTANCE.subject(end("a")), "dead")
    assert ask(PIVOT_BESIDE, "c", end("a"), log) == read_until(end("p"))
    assert ask(PIVOT_BESIDE, "c", end("a"), {**log, end("p"): done("p.ok")}) == write(FINISH, Completed())


@pytest.mark.parametrize("ended", [Failed("refused", "no"), Dead()], ids=lambda v: type(v).__name__)
def test_a_sink_stops_where_the_pivot_has_started_and_is_not_done(ended: Value) -> None:
    log: Log = {**TWO_SINKS, begin("p"): started(START), end("p"): ended}
    assert ask(PIVOT_FIRST, "b", end("p"), log) == ACK


def test_a_sink_that_finds_the_pivot_cancelled_tells_everybody() -> None:
    log: Log = {end("a"): done("a.small"), begin("c"): started(end("a")), end("c"): done("c.ok"), end("b"): Dead()}
    log[begin("p")] = Cancelled(CAUSE)
    assert ask(PIVOT_BESIDE, "c", end("a"), log) == write(ABORT, NOTICE)
    assert ask(PIVOT_BESIDE, "c", end("a"), {**log, ABORT: NOTICE}) == ACK


def test_a_committed_saga_is_not_finished_before_its_last_sink() -> None:
    log: Log = {begin("p"): started(START), end("p"): done("p.ok"), end("b"): done("b.ok")}
    assert ask(PIVOT_FIRST, "b", end("p"), log) == read(end("c"))
    assert ask(PIVOT_FIRST, "b", end("p"), log, unseen=[end("c")]) == prove(end("c"))
    assert ask(PIVOT_FIRST, "b", end("p"), log, absent=[end("c")]) == ACK


# -- backward 1: is the saga aborted, and the step at rest? -----------------------------------------------------------

LOOKED = [OUTCOME, begin("s1"), end("s1"), compensation("s1"), compensation("s2")]
DECIDED: Log = {OUTCOME: Aborted(CAUSE)}


def test_on_the_notice_everything_is_read_at_once() -> None:
    assert ask(CHAIN, "s1", ABORT, {ABORT: NOTICE}) == read(*LOOKED)


def test_an_open_step_looks_at_no_begin() -> None:
    assert ask(CHAIN, "s0", ABORT, {ABORT: NOTICE}) == read(OUTCOME, end("s0"), compensation("s0"), compensation("s1"))


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("pivot in the middle", [begin("s1"), end("s1")]),
        ("pivot skipped, and the only sink", [begin("p"), end("p"), OUTCOME]),
    ],
)
def test_the_outcome_is_read_where_the_saga_s_shape_leaves_it(name: str, outcome: list[Name]) -> None:
    root = shape(name).steps[0].name
    effects = ask(shape(name), root, ABORT, {ABORT: NOTICE})
    assert effects == read(*outcome, end(root), compensation(root))


def test_what_only_reads_looks_at_no_compensation() -> None:
    assert ask(shape("readOnly"), "b", ABORT, {ABORT: NOTICE}) == read(OUTCOME, begin("b"), end("b"))


@pytest.mark.parametrize(
    ("saga", "log"),
    [
        (CHAIN, {}),
        (PIVOT, {begin("s1"): started(end("s0"))}),
        (PIVOT, {OUTCOME: Aborted(CAUSE)}),
        (shape("pivot skipped, with one sink after it"), {begin("p"): Skipped("x", "dead"), end("p"): Dead()}),
        (shape("pivot skipped, with one sink after it"), {end("p"): Dead(), OUTCOME: Aborted(CAUSE)}),
    ],
    ids=["undecided", "the pivot is at work", "an outcome that nobody reads", "skipped", "latch unseen"],
)
@pytest.mark.parametrize(("delivered", "delay"), [(1, 0.2), (3, 0.8), (50, 2.0)])
def test_the_notice_is_not_believed_alone(saga: Saga, log: Log, delivered: int, delay: float) -> None:
    root = saga.steps[0].name
    everything = [OUTCOME, *(of(s.name) for s in saga.steps for of in (begin, end, compensation))]
    log = {ABORT: NOTICE, **log}
    nak = only(ask(saga, root, ABORT, log, unseen=everything, delivered=delivered), Nak)
    assert nak == Nak(pytest.approx(delay))


@pytest.mark.parametrize(
    ("saga", "log", "register"),
    [
        (CHAIN, {OUTCOME: Committed()}, "abort"),
        (PIVOT, {begin("s1"): started(end("s0")), end("s1"): done("s1.ok")}, "abort"),
        (shape("pivot skipped, and the only sink"), {begin("p"): Cancelled(CAUSE), OUTCOME: Committed()}, "outcome"),
    ],
    ids=["committed", "committed by the pivot", "an outcome beside the pivot's"],
)
def test_what_contradicts_the_outcome_is_held_for_people(saga: Saga, log: Log, register: str) -> None:
    root = saga.steps[0].name
    everything = [OUTCOME, *(of(s.name) for s in saga.steps for of in (begin, end, compensation))]
    log = {ABORT: NOTICE, **log}
    reason = f"_.{register} contradicts what has decided the saga"
    held = Nak(60.0, reason, at_least=60.0, implausible=register)
    assert ask(saga, root, ABORT, log, unseen=everything) == (held,)


def test_on_a_compensation_the_outcome_is_read_and_not_the_notice() -> None:
    log: Log = {compensation("s2"): Nothing()}
    assert ask(CHAIN, "s1", compensation("s2"), log) == read(OUTCOME, begin("s1"), end("s1"), compensation("s1"))


@pytest.mark.parametrize("on", [ABORT, compensation("s2")], ids=lambda name: name.register)
def test_a_step_that_has_not_begun_is_cancelled(on: Name) -> None:
    log: Log = {on: NOTICE if on == ABORT else Nothing(), **DECIDED}
    assert ask(CHAIN, "s1", on, log, unseen=LOOKED) == write(begin("s1"), Cancelled(CAUSE))


def test_what_only_reads_is_cancelled_too_and_then_left_alone() -> None:
    log: Log = {ABORT: NOTICE, **DECIDED}
    saga = shape("readOnly")
    assert ask(saga, "b", ABORT, log, unseen=[begin("b"), end("b")]) == write(begin("b"), Cancelled(CAUSE))
    assert ask(saga, "b", ABORT, {**log, begin("b"): Cancelled(CAUSE)}, unseen=[end("b")]) == ACK


def test_the_cause_of_a_cancelled_step_is_the_outcome_s() -> None:
    """Whatever the notice says, which anybody may write."""
    log: Log = {ABORT: Notice(Cause("cancelled", "forged")), **DECIDED}
    assert ask(CHAIN, "s1", ABORT, log, unseen=LOOKED) == write(begin("s1"), Cancelled(CAUSE))


def test_a_step_is_cancelled_while_the_app_is_away_or_the_lease_is_lost() -> None:
    log: Log = {ABORT: NOTICE, **DECIDED}
    effects = ask(CHAIN, "s1", ABORT, log, unseen=LOOKED, app_away=True, lease_lost=True)
    assert effects == write(begin("s1"), Cancelled(CAUSE))


def test_a_late_cancellation_is_guarded() -> None:
    effects = ask(CHAIN, "s1", ABORT, {ABORT: NOTICE, **DECIDED}, unseen=LOOKED, late=True)
    assert effects == write(begin("s1"), Cancelled(CAUSE), guarded=True)


def test_a_late_compensation_of_a_deleted_instance_cancels_nothing() -> None:
    log: Log = {compensation("s2"): Nothing()}
    only(ask(CHAIN, "s1", compensation("s2"), log, unseen=LOOKED, late=True), Nak)


@pytest.mark.parametrize(("delivered", "delay"), [(1, 0.2), (3, 0.8), (50, 2.0)])
def test_a_step_that_is_still_at_work_is_waited_for(delivered: int, delay: float) -> None:
    log: Log = {begin("s1"): started(end("s0")), ABORT: NOTICE, **DECIDED}
    assert ask(CHAIN, "s1", ABORT, log, unseen=LOOKED, delivered=delivered) == read(end("s0"))
    log = {end("s0"): done("s0.ok"), **log}
    nak = only(ask(CHAIN, "s1", ABORT, log, unseen=LOOKED, delivered=delivered), Nak)
    assert nak == Nak(pytest.approx(delay))


@pytest.mark.parametrize(("owner", "input_"), [(START, done("s0.ok")), (end("s0"), Failed("refused", "no"))])
def test_a_step_that_only_a_forged_begin_says_to_be_at_work_is_held(owner: Name, input_: Value) -> None:
    log: Log = {end("s0"): input_, begin("s1"): started(owner), ABORT: NOTICE, **DECIDED}
    held = only(ask(CHAIN, "s1", ABORT, log, unseen=LOOKED), Nak)
    assert (held.implausible, held.at_least) == ("begin", 60.0)


@pytest.mark.parametrize("kind", ["", "readOnly"], ids=["undoable", "readOnly"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_open_step_that_has_not_ended_is_waited_for_for_the_start_will_end_it(kind: str, begun: bool) -> None:
    saga = shapes.saga(step("a", kind=kind), step("b", "a.ok"))
    log: Log = {ABORT: NOTICE, **DECIDED} | ({begin("a"): started(START)} if begun else {})
    unseen = [begin("a"), end("a"), compensation("a"), compensation("b")]
    assert ask(saga, "a", ABORT, log, unseen=unseen) == (Nak(0.2),)


def test_what_only_reads_and_has_ended_is_left_alone() -> None:
    log: Log = {begin("b"): started(end("a")), end("b"): done("b.ok"), ABORT: NOTICE, **DECIDED}
    assert ask(shape("readOnly"), "b", ABORT, log) == ACK


# -- backward 2 and 3: is everything behind it undone? ----------------------------------------------------------------


def aborted(name: str, on: Name, ended: Value, **more: Value) -> Log:
    """A step that ran and ended, in a saga without a pivot that is aborted. `more`: compensations of other steps."""
    begun = started(on) if isinstance(ended, Done | Failed) else Skipped(INSTANCE.subject(on), "dead")
    cause: Value = start({"n": 1}) if on == START else done(f"{on.step}.ok", {"n": 2})
    begins = {} if on == START else {begin(name): begun}
    compensations = {compensation(other): value for other, value in more.items()}
    return {on: cause, **begins, end(name): ended, **ABORTED, **compensations}


def test_a_step_waits_for_the_compensation_of_what_is_behind_it() -> None:
    log = aborted("s1", end("s0"), done("s1.ok"))
    unseen = [compensation("s1"), compensation("s2")]
    assert ask(CHAIN, "s1", ABORT, log, unseen=unseen) == prove(compensation("s2"))
    assert ask(CHAIN, "s1", ABORT, log, unseen=unseen, absent=[compensation("s2")]) == ACK


def test_a_step_waits_for_each_of_those_behind_it() -> None:
    diamond = shapes.diamond()
    log = aborted("a", START, done("a.ok"), b=Undone())
    unseen = [compensation("a"), compensation("c")]
    assert ask(diamond, "a", ABORT, log, unseen=unseen) == prove(compensation("c"))
    log = aborted("a", START, done("a.ok"), b=Undone(), c=Nothing())
    assert only(ask(diamond, "a", compensation("c"), log, unseen=unseen), Call).path == "/a/undo"


def test_what_only_reads_is_looked_through() -> None:
    saga = shape("readOnly")  # a - b, which only reads - c
    log = aborted("a", START, done("a.ok"))
    assert ask(saga, "a", ABORT, log, unseen=[compensation("a")]) == read(compensation("c"))


def test_nobody_waits_for_the_pivot_and_what_comes_after_it() -> None:
    log: Log = {START: start(), end("s0"): done("s0.ok"), begin("s1"): Cancelled(CAUSE), ABORT: NOTICE}
    assert only(ask(PIVOT, "s0", ABORT, log, unseen=[end("s1"), compensation("s0")]), Call).path == "/s0/undo"


def test_a_step_that_never_ran_waits_for_nobody() -> None:
    log: Log = {begin("s1"): Cancelled(CAUSE), **ABORTED}
    effects = ask(CHAIN, "s1", ABORT, log, unseen=[end("s1"), compensation("s1"), compensation("s2")])
    assert effects == write(compensation("s1"), Nothing())


@pytest.mark.parametrize("ended", [{}, {end("s1"): Dead()}], ids=["not ended", "ended"])
def test_a_step_that_was_skipped_waits_for_what_is_behind_it(ended: Log) -> None:
    log: Log = {begin("s1"): Skipped(INSTANCE.subject(end("s0")), "dead"), **ABORTED, **ended}
    looked = [end("s1"), compensation("s1"), compensation("s2")]
    assert ask(CHAIN, "s1", ABORT, log, unseen=looked) == prove(compensation("s2"))


def test_in_parallel_order_no_step_waits_for_another() -> None:
    saga = shape("parallel order")
    log = aborted("a", START, done("a.ok"))
    assert only(ask(saga, "a", ABORT, log, unseen=[compensation("a")]), Call).path == "/a/undo"
    assert ask(saga, "a", ABORT, {ABORT: NOTICE}) == read(OUTCOME, end("a"), compensation("a"))


# -- backward 4: undo ------------------------------------------------------------------------------------------------


UNDO_ME = done("s2.ok", {"id": 7})


def undoing(ended: Value = UNDO_ME, **facts: Any) -> Effects:
    """At the last step of a chain, which was called for `s1.ok` with {"n": 2}."""
    return ask(CHAIN, "s2", ABORT, aborted("s2", end("s1"), ended), unseen=[compensation("s2")], **facts)


def test_a_done_action_is_undone_with_its_request_its_result_and_the_cause() -> None:
    call = only(undoing(), Call)
    body = b'{"request":{"n":2},"result":{"id":7},"cause":{"kind":"refused","reason":"sold out","step":"x"}}'
    assert call == Call("compensation", "/s2/undo", body, 5.0, "s1.ok", "done", "run/x")


def test_a_failed_action_is_undone_too() -> None:
    call = only(undoing(ended=Failed("refused", "no")), Call)
    assert call.end == "failed"
    assert plain_json.loads(call.body)["result"] is None


def test_request_and_result_are_passed_on_byte_by_byte() -> None:
    log = aborted("s2", end("s1"), Done("s2.ok", Raw(b'{ "b":1.50, "a":123456789012345678901 }')))
    log[end("s1")] = Done("s1.ok", Raw(b'[ 1e3 , "\\u00e9" ]'))
    body = only(ask(CHAIN, "s2", ABORT, log, unseen=[compensation("s2")]), Call).body
    assert b'"request":[ 1e3 , "\\u00e9" ],' in body
    assert b'"result":{ "b":1.50, "a":123456789012345678901 },' in body


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        (Skipped(INSTANCE.subject(end("s1")), "dead"), Dead()),
        (Skipped(INSTANCE.subject(end("s1")), "when"), Satisfied("s2.ok")),
        (Skipped(INSTANCE.subject(end("s1")), "dead"), None),
        (Cancelled(CAUSE), None),
    ],
    ids=["dead", "satisfied", "skipped without an end", "cancelled"],
)
@pytest.mark.parametrize("away", [False, True])
def test_what_never_ran_has_nothing_to_undo(begun: Value, ended: Value | None, away: bool) -> None:
    log: Log = {begin("s2"): begun, **ABORTED} | ({end("s2"): ended} if ended else {})
    effects = ask(CHAIN, "s2", ABORT, log, unseen=[end("s2"), compensation("s2")], app_away=away)
    assert effects == write(compensation("s2"), Nothing())


def test_an_open_root_that_was_skipped_has_nothing_to_undo() -> None:
    log = aborted("a", START, Satisfied("a.ok"), b=Nothing())
    assert ask(WHEN, "a", ABORT, log, unseen=[compensation("a")]) == write(compensation("a"), Nothing())


def test_the_request_is_made_again_from_what_the_step_began_with() -> None:
    """On the notice the inputs are not known yet."""
    log: Log = {begin("s1"): started(end("s0")), end("s1"): done("s1.ok"), **ABORTED, compensation("s2"): Undone()}
    assert ask(CHAIN, "s1", ABORT, log, unseen=[compensation("s1")]) == read(end("s0"))
    assert ask(CHAIN, "s1", ABORT, log, unseen=[compensation("s1"), end("s0")]) == read_until(end("s0"))


@pytest.mark.parametrize("marked", [False, True])
def test_what_a_begun_step_implies_is_read_until_it_is_there_whatever_a_marker_says(marked: bool) -> None:
    """The ends of its inputs, also on the way back. A guard that failed open proves nothing."""
    a, b = end("a"), end("b")
    log: Log = {b: done("b.ok"), begin("c"): started(b)}
    absent = [a] if marked else []
    assert ask(JOIN, "c", b, log, mine=[begin("c")], unseen=[a], absent=absent) == read_until(a)
    before, undone = end("s0"), compensation("s2")
    log = {begin("s1"): started(before), end("s1"): done("s1.ok"), **ABORTED, undone: Undone()}
    looked, absent = [before, compensation("s1")], [before] if marked else []
    assert ask(CHAIN, "s1", undone, log, unseen=looked, absent=absent) == read_until(before)


def test_the_request_of_an_open_step_is_made_again_from_the_start() -> None:
    log: Log = {end("s0"): done("s0.ok"), **ABORTED, compensation("s1"): Undone()}
    assert ask(CHAIN, "s0", ABORT, log, unseen=[compensation("s0")]) == read(START)


def test_the_request_of_a_join_is_made_again_from_all_its_inputs() -> None:
    log: Log = {begin("c"): started(end("b")), end("c"): done("c.ok"), **ABORTED, compensation("d"): Undone()}
    assert ask(JOIN, "c", ABORT, log, unseen=[compensation("c")]) == read(end("a"), end("b"))
    log |= {end("a"): done("a.ok", 1), end("b"): done("b.ok", 2)}
    body = only(ask(JOIN, "c", ABORT, log, unseen=[compensation("c")]), Call).body
    assert plain_json.loads(body)["request"] == {"a.ok": 1, "b.ok": 2}


def test_the_request_of_a_merge_is_made_again_from_the_input_that_came() -> None:
    log: Log = {begin("d"): started(end("c")), end("d"): done("d.ok"), **ABORTED}
    assert ask(MERGE, "d", ABORT, log, unseen=[compensation("d")]) == read(end("c"))


def test_the_request_of_an_action_with_a_body_is_what_was_sent() -> None:
    saga = shapes.saga(step("a", body='{"twice": event.data.n * 2.0}'))
    body = only(ask(saga, "a", ABORT, aborted("a", START, done("a.ok")), unseen=[compensation("a")]), Call).body
    assert plain_json.loads(body)["request"] == {"twice": 2}


def test_an_action_that_was_never_called_for_its_body_had_no_request() -> None:
    saga = shapes.saga(step("a", body='{"x": event.data.missing}'))
    log = aborted("a", START, Failed("expression", "no such key"))
    body = only(ask(saga, "a", ABORT, log, unseen=[compensation("a")]), Call).body
    assert plain_json.loads(body)["request"] is None


UNDO = """{
    "of": request.n, "id": result.id, "why": cause,
    "saga": saga.id, "first": events["start"].data.n, "by": event.type
}"""


def test_a_compensation_s_own_body_is_evaluated() -> None:
    saga = shapes.saga(step("a", undo=UNDO))
    log = aborted("a", START, done("a.ok", {"id": 7}))
    call = only(ask(saga, "a", ABORT, log, unseen=[compensation("a")]), Call)
    assert plain_json.loads(call.body) == {
        "of": 1,
        "id": 7,
        "why": "sold out",
        "saga": "i",
        "first": 1,
        "by": "start",
    }


@pytest.mark.parametrize(
    "ended", [Failed("refused", "no"), done("a.ok"), done("a.ok", {})], ids=["refused", "empty", "without the field"]
)
@pytest.mark.parametrize("body", [None, MISSING], ids=["called", "never called"])
def test_a_compensation_whose_body_cannot_be_evaluated_is_called_with_the_default_one(
    ended: Value, body: str | None
) -> None:
    log = aborted("a", START, ended)
    call, told = undone_by('{"id": result.id}', body, log)
    assert isinstance(told, Tell)
    assert told.place == "compensation.body"
    assert told.reason.startswith('{"id": result.id}: ')
    assert (call,) == undone_by(None, body, log)


def undone_by(undo: str | None, body: str | None, log: Log) -> Effects:
    saga = shapes.saga(step("a", undo=undo, body=body))
    return ask(saga, "a", ABORT, log, unseen=[compensation("a")])


def test_who_lost_the_lease_tells_nothing_of_a_compensation_s_body() -> None:
    saga = shapes.saga(step("a", undo='{"id": result.id}'))
    log = aborted("a", START, Failed("refused", "no"))
    assert only(ask(saga, "a", ABORT, log, unseen=[compensation("a")], lease_lost=True), Nak).reason == LEASE_LOST


@pytest.mark.parametrize("status", [200, 201, 204, 206, 410])
@pytest.mark.parametrize("delivered", [1, 4])
def test_an_undone_action_is_written_down(status: int, delivered: int) -> None:
    effects = undoing(answer=no(status), delivered=delivered, called=3)
    assert effects == write(compensation("s2"), Undone(delivered, 3))


@pytest.mark.parametrize(
    "answer", [no(302), no(400), no(404), no(409), no(422), no(429), no(500), Unanswered("because")], ids=name_of
)
@pytest.mark.parametrize("within_passed", [False, True])
def test_a_compensation_is_called_for_ever(answer: Answer, within_passed: bool) -> None:
    assert undoing(answer=answer, within_passed=within_passed) == (Nak(0.2, told(answer, "/s2/undo")),)


def test_a_compensation_that_is_under_way_is_asked_again() -> None:
    assert undoing(answer=no(202)) == (Nak(0.2, "POST /s2/undo answered 202: not undone yet"),)


@pytest.mark.parametrize(("failures", "delay"), [(0, 0.2), (1, 0.4), (7, 25.6), (8, 51.2), (9, 60.0), (10**6, 60.0)])
def test_a_compensation_s_delays_grow_to_a_minute(failures: int, delay: float) -> None:
    assert only(undoing(answer=no(500), failures=failures), Nak).delay == pytest.approx(delay)


def test_a_compensation_is_not_called_before_the_app_wants_it() -> None:
    late = Nak(0.2, "POST /s2/undo answered 429: because", at_least=9.0)
    assert undoing(answer=no(429, retry_after="9")) == (late,)


@pytest.mark.parametrize("away", WAYS_TO_BE_AWAY, ids=["known before", "refused", "503"])
def test_a_compensation_waits_for_an_app_that_is_away(away: Mapping[str, Any]) -> None:
    assert undoing(**away) == (Nak(0.2, AWAY, waits=True),)


def test_who_lost_the_lease_starts_no_compensation_but_writes_what_was_undone() -> None:
    assert undoing(lease_lost=True) == LET_GO
    assert undoing(lease_lost=True, answer=ok()) == write(compensation("s2"), Undone())


# -- backward 5: the last of several finishes -------------------------------------------------------------------------


def test_the_only_step_that_is_undone_last_writes_nothing_more() -> None:
    log = aborted("s0", START, done("s0.ok"), s1=Undone(), s0=Undone())
    assert ask(CHAIN, "s0", compensation("s1"), log) == ACK


def test_a_step_with_an_undoable_one_before_it_finishes_nothing() -> None:
    log = aborted("s1", end("s0"), done("s1.ok"), s2=Undone(), s1=Undone())
    assert ask(CHAIN, "s1", compensation("s2"), log) == ACK
    log = aborted("c", end("b"), done("c.ok"), a=Undone(), b=Undone(), c=Undone(), d=Undone())
    assert ask(JOIN, "c", compensation("d"), log) == ACK


def test_a_step_whose_compensation_stands_needs_neither_app_nor_lease() -> None:
    log = aborted("a", START, done("a.ok"), a=Undone(), b=Undone())
    effects = ask(ROOTS, "a", ABORT, log, app_away=True, lease_lost=True)
    assert effects == write(FINISH, Compensated())


def test_the_last_of_several_that_are_undone_last_finishes_the_saga() -> None:
    log = aborted("a", START, done("a.ok"), a=Undone())
    assert ask(ROOTS, "a", ABORT, log) == read(compensation("b"))
    assert ask(ROOTS, "a", ABORT, log, unseen=[compensation("b")]) == prove(compensation("b"))
    assert ask(ROOTS, "a", ABORT, log, absent=[compensation("b")]) == ACK
    log[compensation("b")] = Nothing()
    assert ask(ROOTS, "a", ABORT, log) == write(FINISH, Compensated())
    assert ask(ROOTS, "a", ABORT, {**log, FINISH: Compensated()}) == ACK


def test_in_parallel_order_the_last_of_all_steps_finishes_the_saga() -> None:
    saga = shape("parallel order")
    log = aborted("d", end("b"), Dead(), d=Nothing())
    assert ask(saga, "d", ABORT, log) == read(compensation("a"), compensation("b"), compensation("c"))
    log = aborted("d", end("b"), Dead(), d=Nothing(), a=Undone(), b=Undone(), c=Undone())
    assert ask(saga, "d", ABORT, log) == write(FINISH, Compensated())


# -- the hot path ----------------------------------------------------------------------------------------------------


HOT = {
    "a root": (CHAIN, "s0", ["s0.end"]),
    "in the middle": (CHAIN, "s1", ["s1.begin", "s1.end"]),
    "the only sink": (CHAIN, "s2", ["s2.begin", "s2.end", "_.outcome"]),
    "before the pivot": (PIVOT, "s0", ["s0.end"]),
    "the pivot": (PIVOT, "s1", ["s1.begin", "s1.end"]),
    "a pivot that is a root": (PIVOT_FIRST, "p", ["p.begin", "p.end"]),
    "after the pivot": (PIVOT, "s2", ["s2.end"]),
    "one sink of several after the pivot": (PIVOT_FIRST, "b", ["b.end"]),
    "alone": (shapes.straight(1), "s0", ["s0.end", "_.outcome"]),
    "before a fan-out": (shape("fan-out"), "a", ["a.end"]),
    "one sink of several": (shape("fan-out"), "b", ["b.begin", "b.end"]),
    "a merge": (MERGE, "d", ["d.begin", "d.end"]),
    "with a when": (WHEN_LATER, "b", ["b.begin", "b.end", "_.outcome"]),
}


@pytest.mark.parametrize(("saga", "name", "writes"), HOT.values(), ids=HOT)
def test_there_are_no_reads_on_the_hot_path_of_a_plain_step(saga: Saga, name: str, writes: list[str]) -> None:
    """Where a sink is not the only one it does look for the others, after its own end."""
    rules = rules_for(saga, name)
    own = rules.steps[name]
    on = next(reversed([end(producer) for producer in own.heard]))
    value: Value = start() if on == START else done(next(iter(own.heard[on.step])), {"total": 20})
    known = Known(attempt_id=ME)
    driven = Driven(attempt(rules, known, Delivery(INSTANCE, register(on, value)), own))
    written: list[str] = []
    while driven.operation is not None:
        match driven.operation:
            case Put(name=put_name, value=put_value):
                written.append(".".join(put_name))
                driven.send(register(put_name, put_value, 2 + len(written), ME))
            case Call():
                driven.send(Reply(ok(), 1003.0))
            case Fetch() if own.is_sink and len(rules.local.sinks) > 1 and end(name) in known.registers:
                break
            case other:
                pytest.fail(f"the hot path asks for {other}")
    assert written == writes
    if driven.operation is None:
        assert driven.result == Ack()


def test_decisions_are_the_same_whoever_wrote_what_is_not_one_s_own_begin() -> None:
    """But for the begin, an attempt id decides nothing."""
    log: Log = {**FAILED_FIRST, OUTCOME: Aborted(CAUSE)}
    assert {r.origin.attempt_id for r in stored(log).values()} == {OTHER}
    assert ask(CHAIN, "s0", START, log) == ask(CHAIN, "s0", START, log, mine=list(log))
