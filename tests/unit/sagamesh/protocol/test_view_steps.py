"""The steps of an instance as people see them, also those that write no begin, and those of a saga that is undone."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from sagamesh.log.registers import (
    ABORT,
    OUTCOME,
    Cancelled,
    Committed,
    Dead,
    Done,
    Failed,
    Nothing,
    Notice,
    Satisfied,
    Skipped,
    Undone,
)
from sagamesh.protocol.view.instance import view
from sagamesh.protocol.view.steps import Calls, Facts, at_work_since
from sagamesh.rules.local import Input, OpenStep
from support.builders.views import (
    BEGAN,
    BEGUN,
    NOTICED,
    PLACE,
    REFUSED,
    Written,
    at,
    back,
    begin,
    end,
    rules,
    seen,
)

A_DONE, B_DONE = end("a", Done("x")), end("b", Done("y"))
B_FAILED = [begin("b"), end("b", Failed("refused", "no"))]
LATCHED = [begin("b", Cancelled(REFUSED)), (ABORT, Notice(REFUSED))]


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ([], "waiting"),
        ([begin("b")], "started"),
        ([B_DONE], "done"),  # a stale read that misses the begin
        (B_FAILED, "failed"),
        ([begin("b", Skipped("s", "dead"))], "dead"),
        ([begin("b", Skipped("s", "when"))], "skipped"),
        ([begin("b", Skipped("s", "dead")), end("b", Dead())], "dead"),
        ([begin("b", Skipped("s", "when")), end("b", Satisfied("x"))], "skipped"),
        (NOTICED, "cancelled"),  # as it will be
        ([begin("b", Cancelled(REFUSED)), *NOTICED], "cancelled"),
        ([begin("b"), *NOTICED], "started"),
        ([begin("b"), B_DONE, *NOTICED], "compensating"),
        ([*B_FAILED, *NOTICED], "compensating"),
        ([begin("b"), B_DONE, *NOTICED, back("b", Undone())], "compensated"),
        ([*NOTICED, back("b", Undone())], "compensated"),  # a stale read that misses the end
        ([begin("b"), B_DONE, *NOTICED, back("b", Nothing())], "done"),
        ([*B_FAILED, *NOTICED, back("b", Nothing())], "failed"),
        ([begin("b", Cancelled(REFUSED)), *NOTICED, back("b", Nothing())], "cancelled"),
    ],
)
def test_the_state_of_a_step_that_writes_its_begin(written: list[Written], state: str) -> None:
    assert seen(BEGAN, *written).steps[1].state == state


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ([BEGAN], "started"),
        ([BEGAN, begin("a")], "started"),
        ([begin("a")], "started"),
        ([A_DONE], "done"),
        ([B_DONE], "waiting"),  # a stale read that misses the start, and its end: nothing is concluded
        ([BEGAN, *NOTICED], "started"),  # it will come to its end, and be undone
        ([BEGAN, *NOTICED, end("a", Failed("refused", "aborted"))], "compensating"),
        ([BEGAN, *NOTICED, end("a", Dead())], "dead"),
        ([BEGAN, *NOTICED, back("a", Nothing())], "cancelled"),  # a stale read that misses the end
    ],
)
def test_a_root_is_started_by_the_start_alone(written: list[Written], state: str) -> None:
    assert seen(*written).steps[0].state == state


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ([A_DONE, begin("b")], "waiting"),
        ([A_DONE, begin("b"), B_DONE], "started"),
        ([A_DONE, begin("b"), B_DONE, begin("c")], "started"),
        ([begin("c")], "started"),  # a stale read that misses the pivot
        ([A_DONE, begin("b"), B_DONE, end("c", Done("z"))], "done"),
        ([A_DONE, begin("b"), B_DONE, end("c", Satisfied("z"))], "skipped"),
        ([A_DONE, begin("b", Skipped("s", "dead")), end("b", Dead())], "waiting"),  # to be dead soon
        ([A_DONE, begin("b", Skipped("s", "dead")), end("b", Dead()), end("c", Dead())], "dead"),
        ([A_DONE, *B_FAILED], "cancelled"),
        ([A_DONE, *B_FAILED, (ABORT, Notice(REFUSED)), back("a", Undone())], "cancelled"),
        (LATCHED, "cancelled"),
    ],
)
def test_what_comes_after_the_pivot_is_started_by_its_end_and_writes_nothing_of_an_abort(
    written: list[Written], state: str
) -> None:
    assert seen(BEGAN, *written, pivot=True).steps[2].state == state


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ([begin("b")], "started"),
        ([begin("b"), B_DONE], "done"),
        (B_FAILED, "failed"),
        ([*B_FAILED, (ABORT, Notice(REFUSED)), back("a", Undone())], "failed"),
        (LATCHED, "cancelled"),
    ],
)
def test_a_pivot_is_never_undone(written: list[Written], state: str) -> None:
    assert seen(BEGAN, A_DONE, *written, pivot=True).steps[1].state == state


def test_a_step_that_only_reads_is_never_undone() -> None:
    only_reads = replace(rules(), undoable=("a",))
    shown = view(PLACE, at(BEGAN, A_DONE, begin("b"), B_DONE, *NOTICED), only_reads, BEGUN)
    assert [step.state for step in shown.steps] == ["compensating", "done"]


@pytest.mark.parametrize(
    ("written", "since"),
    [
        ([BEGAN, A_DONE], None),
        ([BEGAN, A_DONE, B_DONE], 2.0),
        ([BEGAN, B_DONE, A_DONE], 2.0),
        ([BEGAN, B_DONE, end("a", Satisfied("x"))], 2.0),
        ([BEGAN, A_DONE, end("b", Dead())], None),  # nor will it be
        ([BEGAN, A_DONE, end("b", Done("z"))], None),
        ([BEGAN, A_DONE, end("b", Failed("refused", "no"))], None),
        ([BEGAN, A_DONE, B_DONE, begin("c")], 3.0),
        ([BEGAN, A_DONE, B_DONE, begin("c", Skipped("s", "when"))], None),
        ([BEGAN, A_DONE, B_DONE, end("c", Done("z"))], None),
        ([BEGAN, A_DONE, B_DONE, back("c", Nothing())], None),
    ],
)
def test_a_join_without_a_begin_is_at_work_since_the_youngest_of_its_inputs(
    written: list[Written], since: float | None
) -> None:
    assert since_when("all", written) == since


@pytest.mark.parametrize(
    ("written", "since"),
    [
        ([BEGAN], None),
        ([BEGAN, A_DONE], 1.0),
        ([BEGAN, B_DONE, A_DONE], 1.0),
        ([BEGAN, end("a", Dead()), B_DONE], 2.0),
        ([BEGAN, end("a", Done("z")), B_DONE], 2.0),  # an event to which it does not listen
        ([BEGAN, end("a", Done("z"))], None),
        ([BEGAN, end("a", Dead()), end("b", Dead())], None),
    ],
)
def test_a_join_by_any_without_a_begin_is_at_work_since_the_first_that_it_listens_to(
    written: list[Written], since: float | None
) -> None:
    assert since_when("any", written) == since


def since_when(join: Literal["all", "any"], written: list[Written]) -> float | None:
    """Seconds after the start, as for a step `c` that listens to one event each of `a` and `b`."""
    heard = OpenStep((Input(step="a", events=("x",)), Input(step="b", events=("y",))), join)
    known = {register.name: register for register in at(*written)}
    found = at_work_since(Facts(known, replace(rules(pivot=True), open={"c": heard}), None), "c")
    return None if found is None else found - BEGUN


def test_a_failure_tells_why() -> None:
    step = seen(BEGAN, end("a", Failed("unknown", "timed out", 7, 6)), *NOTICED).steps[0]
    assert (step.reason, step.calls, step.event) == ("timed out", 6, None)


def test_the_event_is_told_also_of_a_step_that_its_when_has_skipped() -> None:
    shown = seen(BEGAN, end("a", Satisfied("x")), begin("b"), B_DONE, (OUTCOME, Committed()))
    assert [step.event for step in shown.steps] == ["x", "y"]


@pytest.mark.parametrize(
    ("written", "calls"),
    [
        ([], 5),  # as whoever looks knows: he is at it
        ([begin("a")], 5),
        ([end("a", Done("x", called=2))], 2),
        ([end("a", Failed("refused", "no such key", 29, 0))], 0),
        ([end("a", Satisfied("x"))], 0),
        ([end("a", Done("x", called=2)), *NOTICED], 9),
        ([end("a", Done("x", called=2)), *NOTICED, back("a", Undone(called=3))], 5),
        ([end("a", Failed("refused", "no", 1, 1)), *NOTICED, back("a", Nothing())], 1),
    ],
)
def test_calls_are_counted_by_registers_and_before_them_by_whoever_looks(written: list[Written], calls: int) -> None:
    so_far: Calls = {("a", "action"): 5, ("b", "action"): 11}
    if NOTICED[-1] in written:
        so_far = {**so_far, ("a", "compensation"): 7}
    shown = view(PLACE, at(BEGAN, *written), rules(), BEGUN, calls=so_far)
    assert shown.steps[0].calls == calls
    assert shown.steps[1].calls == 11
