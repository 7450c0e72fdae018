"""The view of an instance: states of the saga and of its steps, from whole and from stale sets of registers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagamesh.log import registers
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
    Instance,
    Name,
    Nothing,
    Notice,
    Origin,
    Register,
    Satisfied,
    Skipped,
    Start,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.view.instance import Calls, View, finished, timestamp, view
from sagamesh.protocol.view.standing import Trouble
from sagamesh.rules.local import LocalRules

PLACE = Instance("shop", "checkout", "o-1")
BEGUN = 1_769_860_800.0
PARK_AFTER = 600.0
ORIGIN = Origin("run-1", 1, BEGUN, "5f0c9a1e77", "pod-1", "attempt-1")
REFUSED = Cause("refused", "no credit", "a")
STARTED = Started("saga.shop.checkout.o-1._.start")
BEGAN = (START, Start("order.placed", "e-1", "shop", "digest"))


def rules(pivot: str | None = None) -> LocalRules:
    return LocalRules(
        namespace="shop",
        saga="checkout",
        participant="orders",
        revision="5f0c9a1e77",
        start_participant="orders",
        start_event="order.placed",
        order="reverse",
        park_after=PARK_AFTER,
        outline={"a": "customers", "b": "payments"},
        roots=("a",),
        sinks=("b",),
        pivot=pivot,
    )


def at(*written: tuple[Name, Value]) -> list[Register]:
    """Registers, one a second, in this order."""
    by = {"a": "customers", "b": "payments"}
    return [
        Register(name, value, n, BEGUN + n - 1, ORIGIN, by.get(name.step, "orders"))
        for n, (name, value) in enumerate(written, 1)
    ]


def seen(*written: tuple[Name, Value], pivot: str | None = None, after: float = 60.0) -> View:
    return view(PLACE, at(*written), rules(pivot), BEGUN + after)


def begin(step: str, value: Value = STARTED) -> tuple[Name, Value]:
    return registers.begin(step), value


def end(step: str, value: Value) -> tuple[Name, Value]:
    return registers.end(step), value


def back(step: str, value: Value) -> tuple[Name, Value]:
    return registers.compensation(step), value


def test_the_json_of_a_completed_saga() -> None:
    found = seen(
        BEGAN, begin("a"), end("a", Done("credit.reserved", deliveries=3, called=2)), begin("b"), end("b", Done("paid"))
    )
    assert found.state == "running"
    found = seen(
        BEGAN,
        begin("a"),
        end("a", Done("credit.reserved", deliveries=3, called=2)),
        begin("b"),
        end("b", Done("paid")),
        (OUTCOME, Committed()),
    )
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
        "finished": "2026-01-31T12:00:05.000Z",
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
        ("a", "begin", "started"),
        ("a", "end", "done"),
        ("b", "begin", "started"),
        ("b", "end", "done"),
        ("_", "outcome", "committed"),
    ]


NOTICED = [(OUTCOME, Aborted(REFUSED)), (ABORT, Notice(REFUSED))]


@pytest.mark.parametrize(
    ("written", "pivot", "state", "outcome"),
    [
        ([], None, "running", None),
        ([(OUTCOME, Committed())], None, "completed", "committed"),
        ([(OUTCOME, Committed())], "b", "running", "committed"),
        ([(OUTCOME, Committed()), (FINISH, Completed())], "b", "completed", "committed"),
        ([(FINISH, Completed())], "b", "completed", "committed"),
        ([(OUTCOME, Aborted(REFUSED))], None, "aborting", "aborted"),
        ([(ABORT, Notice(REFUSED))], None, "aborting", "aborted"),
        ([*NOTICED, (FINISH, Compensated())], "b", "compensated", "aborted"),
        ([(FINISH, Compensated())], None, "compensated", "aborted"),
    ],
)
def test_states(written: list[tuple[Name, Value]], pivot: str | None, state: str, outcome: str | None) -> None:
    found = seen(BEGAN, *written, pivot=pivot)
    assert (found.state, found.outcome) == (state, outcome)
    assert finished(found) == (found.finished is not None) == (state in ("completed", "compensated"))
    says_why = any(isinstance(value, Aborted | Notice) for _, value in written)
    assert found.cause == (REFUSED if says_why else None)


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ([], "waiting"),
        ([begin("a")], "started"),
        ([end("a", Done("x"))], "done"),  # a stale read that misses the begin
        ([begin("a"), end("a", Failed("refused", "no"))], "failed"),
        ([begin("a", Skipped("s", "dead"))], "dead"),
        ([begin("a", Skipped("s", "when"))], "skipped"),
        ([begin("a", Skipped("s", "dead")), end("a", Dead())], "dead"),
        ([begin("a", Skipped("s", "when")), end("a", Satisfied("x"))], "skipped"),
        ([begin("a", Cancelled(REFUSED)), *NOTICED], "cancelled"),
        ([begin("a"), *NOTICED], "started"),
        ([begin("a"), end("a", Done("x")), *NOTICED], "compensating"),
        ([begin("a"), end("a", Failed("refused", "no")), *NOTICED], "compensating"),
        ([begin("a"), end("a", Done("x")), *NOTICED, back("a", Undone())], "compensated"),
        ([begin("a"), end("a", Done("x")), *NOTICED, back("a", Nothing())], "done"),
        ([begin("a"), end("a", Failed("refused", "no")), *NOTICED, back("a", Nothing())], "failed"),
        ([begin("a", Cancelled(REFUSED)), *NOTICED, back("a", Nothing())], "cancelled"),
    ],
)
def test_step_states(written: list[tuple[Name, Value]], state: str) -> None:
    assert seen(BEGAN, *written).steps[0].state == state


def test_a_failure_tells_why() -> None:
    step = seen(BEGAN, begin("a"), end("a", Failed("unknown", "timed out", 7, 6)), *NOTICED).steps[0]
    assert (step.reason, step.calls, step.event) == ("timed out", 6, None)


@pytest.mark.parametrize(
    ("written", "calls"),
    [
        ([], 5),  # as whoever looks knows: he is at it
        ([begin("a")], 5),
        ([begin("a"), end("a", Done("x", called=2))], 2),
        ([begin("a"), end("a", Failed("refused", "no such key", 29, 0))], 0),
        ([begin("a", Skipped("s", "when")), end("a", Satisfied("x"))], 0),
        ([begin("a"), end("a", Done("x", called=2)), *NOTICED], 9),
        ([begin("a"), end("a", Done("x", called=2)), *NOTICED, back("a", Undone(called=3))], 5),
        ([begin("a"), end("a", Failed("refused", "no", 1, 1)), *NOTICED, back("a", Nothing())], 1),
    ],
)
def test_calls_are_counted_by_registers_and_before_them_by_whoever_looks(
    written: list[tuple[Name, Value]], calls: int
) -> None:
    so_far: Calls = {("a", "action"): 5, ("b", "action"): 11}
    if NOTICED[-1] in written:
        so_far = {**so_far, ("a", "compensation"): 7}
    shown = view(PLACE, at(BEGAN, *written), rules(), BEGUN, calls=so_far)
    assert shown.steps[0].calls == calls
    assert shown.steps[1].calls == 11


@pytest.mark.parametrize(
    ("written", "after", "slow"),
    [
        ([begin("a")], 601.0, False),
        ([begin("a")], 602.0, True),
        ([begin("a"), begin("b"), end("b", Done("y"))], 601.0, False),
        ([begin("a"), begin("b"), end("b", Done("y"))], 602.0, True),  # from its own begin on, whatever else goes on
        ([], 600.0, False),
        ([], 601.0, True),  # something is due that has not begun
        ([begin("a"), end("a", Done("x"))], 602.0, False),
        ([begin("a"), end("a", Done("x"))], 603.0, True),
        ([begin("a"), end("a", Done("x")), *NOTICED], 604.0, False),  # counts from the notice, not from the begin
        ([begin("a"), end("a", Done("x")), *NOTICED], 605.0, True),
        ([begin("a"), end("a", Done("x")), *NOTICED, begin("b", Cancelled(REFUSED))], 604.0, False),
        ([begin("a"), end("a", Done("x")), *NOTICED, begin("b", Cancelled(REFUSED))], 605.0, True),
        ([begin("a"), end("a", Done("x")), *NOTICED, back("a", Undone()), (FINISH, Compensated())], 9999.0, False),
        ([begin("a"), end("a", Done("x")), *NOTICED, (FINISH, Compensated())], 9999.0, False),
        ([begin("a"), (OUTCOME, Committed())], 9999.0, False),
    ],
)
def test_slow_is_what_the_registers_show_as_open_for_longer_than_park_after(
    written: list[tuple[Name, Value]], after: float, slow: bool
) -> None:
    shown = seen(BEGAN, *written, after=after)
    assert shown.slow is slow
    assert not shown.parked, "of that registers know nothing"


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
ANY = [(Name(step, r), value) for step in "abz" for r, values in STEP_VALUES.items() for value in values]
ANY += [(OUTCOME, Committed()), *NOTICED, (FINISH, Completed()), (FINISH, Compensated()), BEGAN]


@given(
    written=st.lists(st.sampled_from(ANY), min_size=1, unique_by=lambda one: one[0]),
    pivot=st.sampled_from([None, "b"]),
)
def test_any_set_of_registers_can_be_shown(written: list[tuple[Name, Value]], pivot: str | None) -> None:
    shown = seen(*written, pivot=pivot, after=9999.0)
    assert len(shown.timeline) == len(written)
    assert {step.name for step in shown.steps} >= {"a", "b"}
    assert not (finished(shown) and (shown.parked or shown.slow))
