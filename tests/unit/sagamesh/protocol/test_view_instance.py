"""The view of an instance: its state, outcome and cause, from whole and from stale sets of registers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
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
    Undone,
    Value,
)
from sagamesh.protocol.view.instance import finished, timestamp, view
from sagamesh.protocol.view.standing import Trouble
from support.builders.views import (
    BEGAN,
    BEGUN,
    NOTICED,
    ORIGIN,
    PARK_AFTER,
    PLACE,
    REFUSED,
    STARTED,
    Written,
    at,
    back,
    begin,
    end,
    rules,
    seen,
)


def test_the_json_of_a_completed_saga() -> None:
    written = [BEGAN, end("a", Done("credit.reserved", deliveries=3, called=2)), begin("b"), end("b", Done("paid"))]
    assert seen(*written).state == "running"
    found = seen(*written, (OUTCOME, Committed()))
    assert finished(found)
    document = msgspec.json.decode(msgspec.json.encode(found))
    timeline = document.pop("timeline")
    assert document == {
        "saga": "checkout",
        "id": "o-1",
        "run": "run-1",
        "revision": "5f0c9a1e77",
        "state": "completed",
        "parked": False,
        "slow": False,
        "outcome": "committed",
        "cause": None,
        "started": "2026-01-31T12:00:00.000Z",
        "finished": "2026-01-31T12:00:04.000Z",
        "steps": [
            {
                "name": "a",
                "participant": "customers",
                "state": "done",
                "event": "credit.reserved",
                "calls": 2,
                "reason": None,
            },
            {"name": "b", "participant": "payments", "state": "done", "event": "paid", "calls": 1, "reason": None},
        ],
    }
    assert timeline[0] == {
        "time": "2026-01-31T12:00:00.000Z",
        "step": "_",
        "register": "start",
        "value": "start",
        "by": "orders",
    }
    assert [(moment["step"], moment["register"], moment["value"]) for moment in timeline[1:]] == [
        ("a", "end", "done"),
        ("b", "begin", "started"),
        ("b", "end", "done"),
        ("_", "outcome", "committed"),
    ]


A_DONE, PAID = end("a", Done("x")), end("b", Done("paid"))
SHIPPED = end("c", Done("shipped"))
DECLINED = end("b", Failed("refused", "declined"))
LATCHED = begin("b", Cancelled(REFUSED))


@pytest.mark.parametrize(
    ("written", "pivot", "state", "outcome"),
    [
        ([], False, "running", None),
        ([A_DONE, begin("b"), PAID], False, "running", None),
        ([A_DONE, begin("b"), PAID, (OUTCOME, Committed())], False, "completed", "committed"),
        ([(OUTCOME, Aborted(REFUSED))], False, "aborting", "aborted"),
        ([*NOTICED, back("b", Nothing())], False, "aborting", "aborted"),
        ([*NOTICED, back("b", Nothing()), back("a", Undone())], False, "compensated", "aborted"),
        ([A_DONE, begin("b")], True, "running", None),
        ([A_DONE, begin("b"), PAID], True, "running", "committed"),
        ([A_DONE, begin("b"), PAID, SHIPPED], True, "completed", "committed"),
        ([A_DONE, begin("b"), DECLINED], True, "aborting", "aborted"),
        ([A_DONE, begin("b"), DECLINED, back("a", Undone())], True, "compensated", "aborted"),
        ([LATCHED], True, "aborting", "aborted"),
        ([LATCHED, back("a", Undone())], True, "compensated", "aborted"),
    ],
)
def test_states(written: list[Written], pivot: bool, state: str, outcome: str | None) -> None:
    found = seen(BEGAN, *written, pivot=pivot)
    assert (found.state, found.outcome) == (state, outcome)
    assert finished(found) == (found.finished is not None) == (state in ("completed", "compensated"))


@pytest.mark.parametrize(
    ("written", "state", "outcome"),
    [
        ([(ABORT, Notice(REFUSED))], "aborting", "aborted"),
        ([begin("b", Cancelled(REFUSED))], "aborting", "aborted"),
        ([back("b", Nothing())], "aborting", "aborted"),
        ([back("a", Undone())], "aborting", "aborted"),  # may be the last; what decides that was not seen
        ([(FINISH, Compensated())], "compensated", "aborted"),
        ([(FINISH, Completed())], "completed", "committed"),
    ],
)
def test_where_the_outcome_was_not_read_what_follows_from_it_tells(
    written: list[Written], state: str, outcome: str
) -> None:
    shown = seen(BEGAN, *written, last=("a", "b"))
    assert (shown.state, shown.outcome) == (state, outcome)


@pytest.mark.parametrize(
    ("written", "pivot", "state", "outcome"),
    [
        ([begin("b"), (ABORT, Notice(REFUSED))], True, "running", None),
        ([begin("b"), (FINISH, Completed())], True, "running", None),
        ([begin("b"), (FINISH, Compensated())], True, "running", None),
        ([begin("b"), (OUTCOME, Committed())], True, "running", None),
        ([begin("b"), PAID, (FINISH, Completed())], True, "running", "committed"),  # there is but one sink
        ([(FINISH, Compensated())], False, "aborting", "aborted"),  # nor are there several to be undone last
        ([*NOTICED, (FINISH, Compensated())], False, "aborting", "aborted"),
    ],
)
def test_what_follows_from_others_is_not_believed_where_those_say_something_else(
    written: list[Written], pivot: bool, state: str, outcome: str | None
) -> None:
    """Somebody has forged it, whoever that is."""
    shown = seen(BEGAN, *written, pivot=pivot)
    assert (shown.state, shown.outcome) == (state, outcome)


def test_the_outcome_of_rules_that_write_none_is_shown_as_it_was_found() -> None:
    """The rules at hand are another revision's, in which the saga has a pivot."""
    assert seen(BEGAN, (OUTCOME, Committed()), pivot=True).outcome == "committed"


@pytest.mark.parametrize(
    ("written", "pivot", "cause"),
    [
        ([(OUTCOME, Aborted(REFUSED))], False, REFUSED),
        ([(ABORT, Notice(REFUSED))], False, REFUSED),
        ([begin("b", Cancelled(REFUSED))], False, REFUSED),
        ([begin("b"), DECLINED], True, Cause("refused", "declined", "b")),
        ([LATCHED], True, REFUSED),
        ([begin("b"), DECLINED, (ABORT, Notice(REFUSED))], True, Cause("refused", "declined", "b")),
        ([begin("b"), PAID, (ABORT, Notice(REFUSED))], True, None),  # nobody honest has written that
        ([back("a", Undone())], False, None),
        ([], False, None),
    ],
)
def test_the_cause_is_that_of_the_register_that_decided(
    written: list[Written], pivot: bool, cause: Cause | None
) -> None:
    assert seen(BEGAN, *written, pivot=pivot).cause == cause


@pytest.mark.parametrize(
    ("written", "after", "slow"),
    [
        ([begin("a")], 601.0, False),  # begun by an attempt that was late, and at work since then
        ([begin("a")], 602.0, True),
        ([A_DONE, begin("b")], 602.0, False),
        ([A_DONE, begin("b")], 603.0, True),
        ([begin("a"), begin("b"), PAID], 601.0, False),
        ([begin("a"), begin("b"), PAID], 602.0, True),  # from its own begin on, whatever else goes on
        ([], 600.0, False),
        ([], 601.0, True),
        ([begin("b")], 600.0, False),
        ([begin("b")], 601.0, True),  # a root is at work since the start
        ([A_DONE], 601.0, False),
        ([A_DONE], 602.0, True),  # something is due that has not begun
        ([A_DONE, *NOTICED], 603.0, False),  # counts from the notice
        ([A_DONE, *NOTICED], 604.0, True),
        ([A_DONE, *NOTICED, begin("b", Cancelled(REFUSED))], 603.0, False),
        ([A_DONE, *NOTICED, begin("b", Cancelled(REFUSED))], 604.0, True),
        ([A_DONE, *NOTICED, back("b", Nothing()), back("a", Undone())], 9999.0, False),
        ([A_DONE, *NOTICED, (FINISH, Compensated())], 9999.0, True),  # which this saga does not write
        ([begin("a"), (OUTCOME, Committed())], 9999.0, False),
    ],
)
def test_slow_is_what_the_registers_show_as_open_for_longer_than_park_after(
    written: list[Written], after: float, slow: bool
) -> None:
    shown = seen(BEGAN, *written, after=after)
    assert shown.slow is slow
    assert not shown.parked, "of that registers know nothing"


@pytest.mark.parametrize(
    ("written", "after", "slow"),
    [
        ([A_DONE, begin("b"), PAID], 603.0, False),  # what comes after the pivot is at work since its end
        ([A_DONE, begin("b"), PAID], 604.0, True),
        ([A_DONE, begin("b"), PAID, begin("c")], 604.0, False),  # or since its begin, where there is one
        ([A_DONE, begin("b"), PAID, begin("c")], 605.0, True),
        ([A_DONE, begin("b"), DECLINED, (ABORT, Notice(REFUSED))], 604.0, False),
        ([A_DONE, begin("b"), DECLINED, (ABORT, Notice(REFUSED))], 605.0, True),
        ([A_DONE, begin("b"), DECLINED, (ABORT, Notice(REFUSED)), back("a", Undone())], 9999.0, False),
    ],
)
def test_slow_with_a_pivot(written: list[Written], after: float, slow: bool) -> None:
    assert seen(BEGAN, *written, pivot=True, after=after).slow is slow


def test_where_all_is_undone_only_the_finish_is_due() -> None:
    """Since the youngest register, and not since the notice: nothing is open since then."""
    written = [A_DONE, *NOTICED, back("b", Nothing()), back("a", Undone())]
    several = replace(rules(), last=("a", "b"))
    assert not view(PLACE, at(BEGAN, *written), several, BEGUN + 605.0).slow
    assert view(PLACE, at(BEGAN, *written), several, BEGUN + 606.0).slow


PARKED = Trouble("a", "the printer jams", since=BEGUN, seen=BEGUN + 601.0, park_after=PARK_AFTER)


@pytest.mark.parametrize(
    ("troubles", "parked"),
    [
        ([], False),
        ([PARKED._replace(seen=BEGUN + 600.0)], False),
        ([PARKED], True),
        ([PARKED._replace(step="")], True),
        ([PARKED._replace(seen=BEGUN), PARKED], True),
    ],
)
def test_parked(troubles: list[Trouble], parked: bool) -> None:
    """As the trouble was seen last, not as late as it is now: the metric says the same."""
    shown = view(PLACE, at(BEGAN, begin("a")), rules(), BEGUN + 700.0, troubles=troubles)
    assert shown.parked is parked
    assert shown.steps[0].reason == ("the printer jams" if any(trouble.step for trouble in troubles) else None)


def test_what_has_ended_is_not_parked() -> None:
    shown = view(PLACE, at(BEGAN, begin("a"), (OUTCOME, Committed())), rules(), BEGUN + 700.0, troubles=[PARKED])
    assert not shown.parked


def test_markers_are_not_shown_and_order_does_not_matter() -> None:
    found = at(BEGAN, begin("a"), (registers.marker("b", 1, registers.end("a")), Absent("d", "a")))
    shown = view(PLACE, found[::-1], rules(), BEGUN)
    assert [moment.register for moment in shown.timeline] == ["start", "begin"]


def test_steps_of_another_revision_are_shown_after_the_known_ones() -> None:
    found = [Register(registers.begin("z"), STARTED, 9, BEGUN + 9, ORIGIN, "shipping")]
    shown = view(PLACE, found, rules(), BEGUN)
    assert [(step.name, step.participant, step.state) for step in shown.steps] == [
        ("a", "customers", "waiting"),
        ("b", "payments", "waiting"),
        ("z", "shipping", "started"),
    ]
    assert (shown.run, shown.started) == ("run-1", "2026-01-31T12:00:00.000Z")  # without the start itself


def test_timestamps_have_milliseconds() -> None:
    assert timestamp(BEGUN + 0.123) == "2026-01-31T12:00:00.123Z"


STEP_VALUES: dict[str, list[Value]] = {
    "begin": [STARTED, Skipped("s", "dead"), Skipped("s", "when"), Cancelled(REFUSED)],
    "end": [Done("x"), Satisfied("x"), Dead(), Failed("refused", "no")],
    "compensation": [Undone(), Nothing()],
}
ANY = [(Name(step, r), value) for step in "abcz" for r, values in STEP_VALUES.items() for value in values]
ANY += [(OUTCOME, Committed()), *NOTICED, (FINISH, Completed()), (FINISH, Compensated()), BEGAN]


@given(written=st.lists(st.sampled_from(ANY), min_size=1, unique_by=lambda one: one[0]), pivot=st.booleans())
def test_any_set_of_registers_can_be_shown(written: list[Written], pivot: bool) -> None:
    shown = seen(*written, pivot=pivot, after=9999.0)
    assert len(shown.timeline) == len(written)
    assert {step.name for step in shown.steps} >= {"a", "b"}
    assert not (finished(shown) and (shown.parked or shown.slow))
    assert shown.outcome == "aborted" or shown.cause is None
    cannot = {"b", "c", "z"} if pivot else {"z"}
    assert not any(step.state == "compensating" for step in shown.steps if step.name in cannot)
