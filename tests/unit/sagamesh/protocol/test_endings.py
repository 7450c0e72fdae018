"""What registers say of an instance as a whole: its outcome, and the register that is its last."""

from __future__ import annotations

import pytest

from sagamesh.language.model import Saga
from sagamesh.log.registers import (
    ABORT,
    FINISH,
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
    Started,
    Undone,
    Value,
    begin,
    compensation,
    end,
)
from sagamesh.protocol import endings
from sagamesh.protocol.effects import Known
from sagamesh.rules.local import LocalRules
from sagamesh.simulation import Outline, World, seeded
from support.builders import shapes
from support.builders.attempts import CAUSE, ME, rules_for, shape, start, stored

Log = dict[Name, Value]

PLAIN = shapes.straight(2)
PIVOT = shapes.straight(3, pivot=1)  # s0 - s1, the pivot - s2
SKIPPABLE = shape("pivot skipped, with one sink after it")  # a chooses - p, the pivot - b
ON_A_BRANCH = shape("pivot on one branch")  # a chooses: p, the pivot - b, or c
SEVERAL_SINKS = shape("pivot with two retriable sinks")
ROOTS = shape("two roots")
READS = shape("nothing undoable")
SKIPPED, CANCELLED, NOTICE = Skipped("x", "dead"), Cancelled(CAUSE), Notice(CAUSE)
STARTED = Started("x")
REFUSED = Failed("refused", "no")
COMMITTED: Log = {begin("p"): STARTED, end("p"): Done("p.ok")}
OF_PIVOT: Log = {begin("s1"): STARTED, end("s1"): Done("s1.ok")}
BY_THE_PIVOT = Aborted(Cause("refused", "no", "s1"))


def local(saga: Saga) -> LocalRules:
    return rules_for(saga, saga.steps[0].name).local


# -- the outcome -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saga", "names"),
    [
        (PLAIN, (OUTCOME,)),
        (PIVOT, (begin("s1"), end("s1"))),
        (SKIPPABLE, (begin("p"), end("p"), OUTCOME)),
    ],
    ids=["no pivot", "pivot", "pivot that may be skipped"],
)
def test_the_outcome_is_said_by_these(saga: Saga, names: tuple[Name, ...]) -> None:
    assert endings.outcome_names(local(saga)) == names


def kind(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("said", [Committed(), Aborted(CAUSE)], ids=kind)
def test_without_a_pivot_the_outcome_is_a_register_of_its_own(said: Value) -> None:
    assert endings.outcome(local(PLAIN), stored({START: start()})) is None
    assert endings.outcome(local(PLAIN), stored({START: start(), OUTCOME: said})) == said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({}, None),
        ({begin("s1"): STARTED}, None),
        ({begin("s1"): STARTED, end("s1"): Done("s1.ok")}, Committed()),
        ({end("s1"): Done("s1.ok")}, Committed()),
        ({begin("s1"): STARTED, end("s1"): REFUSED}, BY_THE_PIVOT),
        ({end("s1"): REFUSED}, BY_THE_PIVOT),
        ({begin("s1"): CANCELLED}, Aborted(CAUSE)),
        ({begin("s1"): STARTED, end("s1"): Dead()}, None),
        ({end("s1"): Dead()}, None),
    ],
)
@pytest.mark.parametrize("forged", [None, Committed(), Aborted(Cause("cancelled"))], ids=kind)
def test_with_a_pivot_the_outcome_is_what_its_registers_say_and_no_other(
    log: Log, said: Value | None, forged: Value | None
) -> None:
    beside: Log = {OUTCOME: forged} if forged else {}
    assert endings.outcome(local(PIVOT), stored({**log, **beside})) == said


@pytest.mark.parametrize("said", [None, Committed(), Aborted(CAUSE)], ids=kind)
@pytest.mark.parametrize("ended", [{}, {end("p"): Dead()}], ids=["not ended", "ended"])
def test_where_the_pivot_was_skipped_the_outcome_is_a_register_of_its_own(said: Value | None, ended: Log) -> None:
    log: Log = {begin("p"): SKIPPED, **ended} | ({OUTCOME: said} if said else {})
    assert endings.outcome(local(SKIPPABLE), stored(log)) == said


@pytest.mark.parametrize(
    "log", [{}, {end("p"): Dead()}, {begin("p"): STARTED}, {begin("p"): STARTED, end("p"): Dead()}]
)
def test_an_outcome_beside_a_pivot_that_is_not_seen_to_be_skipped_is_not_believed(log: Log) -> None:
    assert endings.outcome(local(SKIPPABLE), stored({**log, OUTCOME: Aborted(CAUSE)})) is None


def test_a_pivot_that_nothing_can_skip_reads_as_cancelled_where_its_begin_says_skipped() -> None:
    cause = Cause("cancelled", "s1 was skipped, and no event can have caused that")
    assert endings.closed(local(PIVOT), SKIPPED) == cause
    assert endings.outcome(local(PIVOT), stored({begin("s1"): SKIPPED, OUTCOME: Committed()})) == Aborted(cause)


@pytest.mark.parametrize(
    ("saga", "begun", "cause"),
    [(PIVOT, None, None), (PIVOT, STARTED, None), (PIVOT, CANCELLED, CAUSE), (SKIPPABLE, SKIPPED, None)],
    ids=kind,
)
def test_a_pivot_is_closed_by_its_begin(saga: Saga, begun: Value | None, cause: Cause | None) -> None:
    assert endings.closed(local(saga), begun) == cause


# -- what nobody honest has written ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saga", "log", "wrong"),
    [
        (PLAIN, {ABORT: NOTICE}, None),
        (PLAIN, {ABORT: NOTICE, OUTCOME: Aborted(CAUSE)}, None),
        (PLAIN, {ABORT: NOTICE, OUTCOME: Committed()}, ABORT),
        (PLAIN, {OUTCOME: Committed()}, None),
        (PIVOT, {ABORT: NOTICE, begin("s1"): STARTED}, None),
        (PIVOT, {ABORT: NOTICE, begin("s1"): STARTED, end("s1"): Done("s1.ok")}, ABORT),
        (PLAIN, {compensation("s0"): Undone(), OUTCOME: Aborted(CAUSE)}, None),
        (PLAIN, {compensation("s0"): Undone(), OUTCOME: Committed()}, compensation("s0")),
        (PIVOT, {compensation("s0"): Nothing(), **OF_PIVOT}, compensation("s0")),
        (PIVOT, {compensation("s0"): Undone(), begin("s1"): CANCELLED}, None),
        (PLAIN, {end("s0"): REFUSED, OUTCOME: Aborted(CAUSE)}, None),
        (PLAIN, {end("s0"): REFUSED, OUTCOME: Committed()}, OUTCOME),
        (PLAIN, {end("s0"): REFUSED, OUTCOME: Committed(), ABORT: NOTICE}, OUTCOME),
        (SKIPPABLE, {end("a"): REFUSED, OUTCOME: Committed(), begin("p"): SKIPPED}, OUTCOME),
        (SKIPPABLE, {end("a"): REFUSED, OUTCOME: Aborted(CAUSE), begin("p"): SKIPPED}, None),
        (PIVOT, {end("s0"): REFUSED, begin("s1"): CANCELLED}, None),
        (PIVOT, {end("s0"): REFUSED, begin("s1"): STARTED}, begin("s1")),
        (PIVOT, {end("s0"): REFUSED, end("s1"): Done("s1.ok")}, begin("s1")),
        (PIVOT, {end("s0"): REFUSED, begin("s1"): STARTED, end("s1"): REFUSED}, None),
        (PIVOT, {begin("s1"): STARTED, end("s1"): REFUSED}, None),
        (SKIPPABLE, {OUTCOME: Committed(), begin("p"): SKIPPED}, None),
        (SKIPPABLE, {OUTCOME: Committed()}, None),
        (SKIPPABLE, {OUTCOME: Committed(), begin("p"): STARTED}, OUTCOME),
        (SKIPPABLE, {OUTCOME: Aborted(CAUSE), begin("p"): CANCELLED}, OUTCOME),
    ],
    ids=kind,
)
def test_a_register_that_contradicts_what_it_has_to_follow_is_found(saga: Saga, log: Log, wrong: Name | None) -> None:
    assert endings.implausible(local(saga), stored(log)) == wrong


# -- the last register -----------------------------------------------------------------------------------------------


LAST: dict[str, tuple[Saga, Log, Name, Value]] = {
    "committed, without a pivot": (PLAIN, {}, OUTCOME, Committed()),
    "committed, one sink": (PIVOT, OF_PIVOT, end("s2"), Done("s2.ok")),
    "committed, one sink that was skipped": (PIVOT, OF_PIVOT, end("s2"), Satisfied("s2.ok")),
    "committed, the pivot is the sink": (
        shapes.straight(2, pivot=1), {begin("s1"): STARTED}, end("s1"), Done("s1.ok")
    ),
    "committed, several sinks": (SEVERAL_SINKS, {**COMMITTED, end("b"): Done("b.ok")}, FINISH, Completed()),
    "committed, the pivot skipped": (SKIPPABLE, {begin("p"): SKIPPED, end("b"): Dead()}, OUTCOME, Committed()),
    "committed, the pivot skipped, several sinks": (
        ON_A_BRANCH, {begin("p"): SKIPPED, OUTCOME: Committed()}, FINISH, Completed()
    ),
    "aborted, one is undone last": (PLAIN, {OUTCOME: Aborted(CAUSE), ABORT: NOTICE}, compensation("s0"), Undone()),
    "aborted, one is undone last, before a pivot": (
        PIVOT, {begin("s1"): CANCELLED, ABORT: NOTICE}, compensation("s0"), Nothing()
    ),
    "aborted, several are undone last": (
        ROOTS, {OUTCOME: Aborted(CAUSE), compensation("a"): Undone()}, FINISH, Compensated()
    ),
    "aborted, nothing can be undone": (READS, {OUTCOME: Aborted(CAUSE)}, ABORT, NOTICE),
}  # fmt: skip


@pytest.mark.parametrize(("saga", "before", "last", "value"), LAST.values(), ids=LAST)
def test_an_instance_ends_with_the_register_that_its_shape_leaves_to_be_written(
    saga: Saga, before: Log, last: Name, value: Value
) -> None:
    assert endings.ending(local(saga), stored(before)) is None
    known = stored({**before, last: value})
    assert endings.ending(local(saga), known) == known[last]
    assert last in endings.ending_names(local(saga))


@pytest.mark.parametrize(("saga", "before", "last", "value"), LAST.values(), ids=LAST)
def test_it_is_no_ending_before_the_outcome_says_so(saga: Saga, before: Log, last: Name, value: Value) -> None:
    deciding = {OUTCOME, *(make(s.name) for s in saga.steps if s.pivot for make in (begin, end))}
    log = {name: said for name, said in {**before, last: value}.items() if name not in deciding}
    assert endings.ending(local(saga), stored(log)) is None


def test_a_compensation_ends_nothing_where_the_saga_is_committed() -> None:
    log: Log = {**OF_PIVOT, compensation("s0"): Undone()}
    assert endings.ending(local(PIVOT), stored(log)) is None


@pytest.mark.parametrize(
    ("saga", "names"),
    [
        (PLAIN, {OUTCOME, compensation("s0")}),
        (ROOTS, {OUTCOME, FINISH}),
        (READS, {OUTCOME, ABORT}),
        (PIVOT, {end("s2"), compensation("s0")}),
        (SKIPPABLE, {end("b"), OUTCOME, compensation("a")}),
        (SEVERAL_SINKS, {FINISH, compensation("a")}),
        (ON_A_BRANCH, {FINISH, compensation("a")}),
        (shapes.straight(2, pivot=0), {end("s1"), ABORT}),
    ],
    ids=range(8),
)
def test_endings_are_these_and_no_others(saga: Saga, names: set[Name]) -> None:
    found = endings.ending_names(local(saga))
    assert set(found) == names
    assert len(found) == len(names)


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_every_schedule_ends_with_one_of_the_endings_and_each_of_them_ends_some(name: str) -> None:
    outline = Outline(shapes.SHAPES[name])
    rules = next(iter(outline.rules.values())).local
    expected, found = set(endings.ending_names(rules)), set()
    for seed in range(1_000):
        world = World(outline, seeded(seed)).run()
        last = endings.ending(rules, world.broker.registers)
        assert last or world.lost or world.forged_begin
        found |= {last.name} if last else set()
        if found == expected:
            break
    assert found == expected


# -- who counts an end -----------------------------------------------------------------------------------------------


def ended_by(saga: Saga, log: Log, mine: list[Name], step: str | None = None) -> tuple[str, Name] | None:
    """What an attempt, for a step or for a cancel, says that it has ended."""
    rules = rules_for(saga, step or saga.steps[0].name)
    known = Known(attempt_id=ME, registers=stored(log, mine))
    ended = endings.ended_by(rules, known, rules.steps[step] if step else None)
    return ended and (ended.outcome, ended.register.name)


@pytest.mark.parametrize(("saga", "before", "last", "value"), LAST.values(), ids=LAST)
def test_who_has_written_the_last_register_counts_the_end_and_nobody_else(
    saga: Saga, before: Log, last: Name, value: Value
) -> None:
    log = {**before, last: value}
    ended = "aborted" if isinstance(value, Undone | Nothing | Compensated | Notice) else "committed"
    assert ended_by(saga, log, [last], saga.steps[0].name) == (ended, last)
    assert ended_by(saga, log, [last]) == (ended, last)
    assert ended_by(saga, log, [*before], saga.steps[0].name) is None
    assert ended_by(saga, before, [*before], saga.steps[0].name) is None


@pytest.mark.parametrize("ended", [Done("s2.ok"), Satisfied("s2.ok")], ids=kind)
def test_the_only_sink_after_the_pivot_counts_its_own_end_without_having_read_the_pivot_s(ended: Value) -> None:
    assert ended_by(PIVOT, {end("s2"): ended}, [end("s2")], "s2") == ("committed", end("s2"))
    assert ended_by(PIVOT, {end("s2"): ended}, [], "s2") is None


def test_the_end_of_another_step_is_none_of_the_saga() -> None:
    assert ended_by(PIVOT, {end("s1"): Done("s1.ok")}, [end("s1")], "s1") is None
    assert ended_by(PLAIN, {end("s1"): Done("s1.ok")}, [end("s1")], "s1") is None
    assert ended_by(SEVERAL_SINKS, {end("b"): Done("b.ok")}, [end("b")], "b") is None


def test_a_sink_that_failed_or_is_dead_ends_nothing_by_itself() -> None:
    pivot_last = shapes.straight(2, pivot=1)
    assert ended_by(pivot_last, {end("s1"): REFUSED}, [end("s1")], "s1") is None
    assert ended_by(SKIPPABLE, {end("b"): Dead()}, [end("b")], "b") is None
