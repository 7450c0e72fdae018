"""What `dev` tells of registers as they come, and of instances as wholes, whichever register says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from msgspec import Raw
from msgspec.structs import replace

from sagamesh.log.registers import (
    ABORT,
    FINISH,
    NULL,
    OUTCOME,
    Cancelled,
    Cause,
    Committed,
    Compensated,
    Dead,
    Done,
    Failed,
    Nothing,
    Notice,
    Satisfied,
    Skipped,
    Undone,
)
from sagamesh_cli.views.open_instances import OpenInstances, Turn
from sagamesh_cli.views.register_lines import RegisterLines
from support.builders.views import BEGAN, NOTICED, PLACE, Written, at, back, begin, end, rules, seen

WITH, WITHOUT = rules(pivot=True), rules()
REFUSED = Cause("refused", "no credit", "b")
DONE = Done("a.ok", Raw(b'{"a": 1}'))
COMMITTED, COMPLETED = [begin("b"), end("b", DONE)], [end("c", DONE)]


def told(written: Sequence[Written], known: object = WITH, most: int = 10) -> list[str]:
    """The words about the instance as a whole, each with the register by which it became so."""
    instances = OpenInstances(most)
    instances.learn(known)  # type: ignore[arg-type]
    turns = [(register, turn) for register in at(*written) for turn in instances.see(PLACE, register)]
    assert not instances._open or turns[-1:] == [] or turns[-1][1].word in ("committed", "aborted")
    return [f"{turn.word} by {register.name.step}.{register.name.register}" for register, turn in turns]


def test_with_a_pivot_its_end_commits_and_the_sink_s_end_completes() -> None:
    assert told([BEGAN, end("a", DONE), *COMMITTED, *COMPLETED]) == ["committed by b.end", "completed by c.end"]


def test_a_refused_pivot_aborts_and_the_last_step_that_is_undone_ends() -> None:
    refused = [BEGAN, end("a", DONE), begin("b"), end("b", Failed("refused", "no")), (ABORT, Notice(REFUSED))]
    assert told([*refused, back("a", Undone())]) == ["aborted by b.end", "compensated by a.compensation"]


def test_a_pivot_that_was_cancelled_aborts() -> None:
    cancelled = [BEGAN, begin("b", Cancelled(REFUSED)), (ABORT, Notice(REFUSED)), end("a", DONE)]
    assert told(cancelled) == ["aborted by b.begin"]
    assert told([*cancelled, back("a", Nothing())])[1:] == ["compensated by a.compensation"]


def test_without_a_pivot_one_register_says_both() -> None:
    assert told([BEGAN, (OUTCOME, Committed())], WITHOUT) == ["committed by _.outcome", "completed by _.outcome"]
    undone = [BEGAN, *NOTICED, back("b", Nothing()), back("a", Undone())]
    assert told(undone, WITHOUT) == ["aborted by _.outcome", "compensated by a.compensation"]


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("dead", [begin("b", Skipped("d", "dead")), end("b", Dead())]),
        ("skipped", [begin("b", Skipped("d", "when")), end("b", Satisfied("b.ok"))]),
    ],
)
def test_a_branch_that_does_not_run_has_one_word_in_dev_trace_and_get(word: str, written: list[Written]) -> None:
    lines = RegisterLines()
    lines.learn(WITH)
    told = [line.split() for register in at(BEGAN, *written) for line in lines.of(PLACE, register)]
    assert [(step, what) for _, _, step, what in told[1:]] == [("b", word)]
    shown = seen(BEGAN, *written)
    assert [moment.value for moment in shown.timeline[1:]] == [word, word]
    assert [step.state for step in shown.steps if step.name == "b"] == [word]


def test_a_pivot_that_was_skipped_leaves_it_to_the_outcome() -> None:
    skipped = [BEGAN, begin("b", Skipped("d", "dead")), end("b", Dead()), end("c", Dead())]
    assert told(skipped) == []
    assert told([*skipped, (OUTCOME, Committed())]) == ["committed by _.outcome", "completed by _.outcome"]


def test_of_several_last_steps_the_finish_ends_and_where_nothing_is_undoable_the_notice() -> None:
    several = replace(WITHOUT, last=("a", "b"))
    undone = [BEGAN, *NOTICED, back("b", Nothing()), back("a", Undone())]
    assert told(undone, several) == ["aborted by _.outcome"]
    assert told([*undone, (FINISH, Compensated())], several)[1:] == ["compensated by _.finish"]
    assert told([BEGAN, *NOTICED], replace(WITHOUT, last=(), undoable=()))[1:] == ["compensated by _.abort"]


def test_a_forged_notice_aborts_nothing() -> None:
    assert told([BEGAN, (ABORT, Notice(REFUSED)), back("a", Undone()), *COMMITTED]) == ["committed by b.end"]


def test_it_is_told_why_an_instance_is_aborted() -> None:
    instances = OpenInstances()
    instances.learn(WITH)
    *_, last = at(BEGAN, begin("b"), end("b", Failed("refused", "no credit")))
    assert instances.see(PLACE, last) == (Turn("aborted", REFUSED),)


def test_an_ended_instance_is_forgotten_and_of_too_many_the_oldest() -> None:
    instances = OpenInstances(2)
    instances.learn(WITH)
    begun, done = at(*COMMITTED)
    for number in range(4):
        instances.see(PLACE._replace(id=f"o-{number}"), begun)
    assert [instance.id for instance, _ in instances._open] == ["o-2", "o-3"]
    assert instances.see(PLACE._replace(id="o-3"), done) == (Turn("committed"),)
    [*_, ended] = at(*COMMITTED, *COMPLETED)
    assert instances.see(PLACE._replace(id="o-3"), ended) == (Turn("completed"),)
    assert [instance.id for instance, _ in instances._open] == ["o-2"]


def test_neither_data_nor_what_decides_nothing_is_kept() -> None:
    instances = OpenInstances()
    instances.learn(WITH)
    for register in at(BEGAN, end("a", DONE), *COMMITTED):
        instances.see(PLACE, register)
    [known] = instances._open.values()
    assert [name.step for name in known] == ["b", "b"]
    assert [register.value.data for register in known.values() if isinstance(register.value, Done)] == [NULL]


def test_each_instance_is_seen_by_its_own_revision_and_an_unknown_one_by_the_newest() -> None:
    instances = OpenInstances()
    assert instances.see(PLACE, at((OUTCOME, Committed()))[0]) == (), "nothing is known of such a saga"
    instances.learn(WITHOUT)
    instances.learn(replace(WITH, revision="newer"))
    [register] = at((OUTCOME, Committed()))
    assert [turn.word for turn in instances.see(PLACE, register)] == ["committed", "completed"]
    *_, done = at(*COMMITTED)
    other = done._replace(origin=done.origin._replace(revision="unheard of"))
    assert instances.see(PLACE, other) == (Turn("committed"),)


def test_a_register_s_own_line_comes_before_what_follows_from_it() -> None:
    lines = RegisterLines()
    lines.learn(WITH)
    written = [BEGAN, begin("a"), end("a", DONE), begin("b"), end("b", Failed("refused", "no\x1b credit"))]
    said = [line for register in at(*written, back("a", Undone())) for line in lines.of(PLACE, register)]
    times = [line[:12] for line in said]
    assert {line[14:].split()[0] for line in said} == {PLACE.id}
    assert [" ".join(line[12:].split()[1:]) for line in said] == [
        "started order.placed (5f0c9a1e77)",
        "a done a.ok",
        "b failed no\\u001b credit",
        "aborted b: no\\u001b credit",
        "a undone",
        "compensated",
    ]
    assert times == sorted(times)
    assert all(datetime.strptime(time, "%H:%M:%S.%f") for time in times)
