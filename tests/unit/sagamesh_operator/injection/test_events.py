"""Which Events are written of what was heard, and when: one for each kind of news, and its count as it grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sagamesh_operator.injection.events import LONGEST_MAKER, MOST, Journal, Remark
from sagamesh_operator.injection.events import remark as told
from sagamesh_operator.resource import Note

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
INJECTED = Note("Normal", "SidecarInjected", "a sidecar was put into a pod")
REFUSED = Note("Warning", "SidecarRefused", "a pod was refused")
SECOND, PAUSE, QUIET = timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=6)


def remark(note: Note = INJECTED, name: str = "web-5d4f", uid: str = "u-1") -> Remark:
    maker = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "namespace": "shop", "name": name, "uid": uid}
    return Remark(maker, note)


JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly", "uid": "u-9"}
CONTROLLER = {**JOB, "controller": True, "blockOwnerDeletion": True}


def review(*owners: Any, **fields: Any) -> dict[str, Any]:
    return {"namespace": "shop", "object": {"metadata": {"ownerReferences": list(owners)}}, **fields}


def test_it_is_the_controller_that_is_told() -> None:
    asked = review({**JOB, "name": "other"}, CONTROLLER)
    assert told(asked, INJECTED) == Remark({**JOB, "namespace": "shop"}, INJECTED)
    assert told(asked | {"dryRun": False}, INJECTED) == Remark({**JOB, "namespace": "shop"}, INJECTED)


@pytest.mark.parametrize(
    "asked",
    [
        review(CONTROLLER, dryRun=True),
        review(),
        review(JOB),
        review({"controller": True}),
        review("nobody"),
        review() | {"object": {"metadata": {}}},
        review() | {"object": {"metadata": {"ownerReferences": None}}},
        {"object": None},
    ],
)
def test_where_there_is_nobody_to_tell_nothing_is_told(asked: dict[str, Any]) -> None:
    assert told(asked, INJECTED) is None


class Desk:
    """A journal, and what it had written; time passes as the test says."""

    def __init__(self) -> None:
        self.journal = Journal("injector-1")
        self.now = BEGIN

    def hear(self, *remarks: Remark) -> None:
        for each in remarks or (remark(),):
            self.journal.hear(each, self.now)

    def write(self, after: timedelta = SECOND) -> list[tuple[str, int, bool]]:
        """Of what is due: reason, count, and whether it is a new Event. It is written."""
        self.now += after
        due = self.journal.due(self.now)
        for each in due:
            self.journal.written(each, self.now)
        return [(each.key[1].reason, each.heard, each.document is not None) for each in due]


def test_every_field_of_an_event() -> None:
    desk = Desk()
    desk.hear()
    [entry] = desk.journal.due(BEGIN)
    assert entry.document == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"web-5d4f.{int(BEGIN.timestamp() * 1_000_000):x}", "namespace": "shop"},
        "eventTime": "2026-01-02T03:04:05.678900Z",
        "regarding": {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "namespace": "shop",
            "name": "web-5d4f",
            "uid": "u-1",
        },
        "type": "Normal",
        "reason": "SidecarInjected",
        "note": "a sidecar was put into a pod",
        "action": "Inject",
        "reportingController": "sagamesh.dev/injector",
        "reportingInstance": "injector-1",
    }
    assert (entry.namespace, entry.series) == ("shop", None)


def test_what_is_heard_again_makes_the_count_grow_once_a_minute() -> None:
    desk = Desk()
    desk.hear()
    assert desk.write() == [("SidecarInjected", 1, True)]
    assert desk.write() == []
    for _ in range(3):
        desk.hear()
    assert desk.write(PAUSE - 2 * SECOND) == []
    [entry] = desk.journal.due(desk.now + SECOND)
    assert entry.series == {"count": 4, "lastObservedTime": "2026-01-02T03:04:07.678900Z"}
    assert desk.write() == [("SidecarInjected", 4, False)]
    assert desk.write(PAUSE) == []


def test_many_at_once_are_one_event_with_its_count() -> None:
    desk = Desk()
    desk.hear(*[remark()] * 100)
    [entry] = desk.journal.due(desk.now)
    assert entry.document
    assert entry.document["series"]["count"] == 100
    assert desk.write() == [("SidecarInjected", 100, True)]


def test_another_maker_or_other_words_are_other_news() -> None:
    desk = Desk()
    desk.hear(remark(), remark(REFUSED), remark(uid="u-2"), remark(REFUSED._replace(message="for another reason")))
    reasons = ["SidecarInjected", "SidecarRefused", "SidecarInjected", "SidecarRefused"]
    assert [reason for reason, _, _ in desk.write()] == reasons


def test_after_a_silence_it_is_news_again() -> None:
    desk = Desk()
    desk.hear()
    assert desk.write() == [("SidecarInjected", 1, True)]
    desk.now = BEGIN + QUIET - SECOND
    desk.hear()
    assert desk.write() == [("SidecarInjected", 2, False)]
    desk.now += QUIET - SECOND  # it was heard a second before it was written
    desk.hear()
    assert desk.write() == [("SidecarInjected", 1, True)]


def test_what_could_not_be_written_stays_due_until_it_is_no_news() -> None:
    desk = Desk()
    desk.hear()
    assert len(desk.journal.due(BEGIN + QUIET - SECOND)) == 1
    assert desk.journal.due(BEGIN + QUIET) == []
    desk.now = BEGIN + QUIET - SECOND
    desk.hear()
    assert desk.write() == [("SidecarInjected", 1, True)], "it was forgotten"


def test_what_was_heard_while_it_was_written_is_told_later() -> None:
    desk = Desk()
    desk.hear()
    [entry] = desk.journal.due(desk.now)
    desk.hear()
    desk.journal.written(entry, desk.now)
    assert desk.write(PAUSE) == [("SidecarInjected", 2, False)]


def test_what_is_dropped_is_news_when_it_comes_again() -> None:
    desk = Desk()
    desk.hear()
    [entry] = desk.journal.due(desk.now)
    desk.journal.drop(entry)
    desk.journal.written(entry, desk.now)
    assert desk.write() == []
    desk.hear()
    assert desk.write() == [("SidecarInjected", 1, True)]


def test_of_too_many_the_one_that_was_silent_longest_is_forgotten() -> None:
    desk = Desk()
    desk.hear(*(remark(uid=f"u-{number}") for number in range(MOST)))
    desk.hear(remark(uid="u-0"), remark(uid="one more"))
    uids = [each.key[0] for each in desk.journal.due(desk.now)]
    assert uids == [f"u-{number}" for number in range(2, MOST)] + ["u-0", "one more"]


@pytest.mark.parametrize(
    ("name", "kept"), [("a" * 253, "a" * LONGEST_MAKER), ("a" * (LONGEST_MAKER - 1) + "-b", "a" * 199)]
)
def test_a_long_name_makes_a_name_that_kubernetes_takes(name: str, kept: str) -> None:
    desk = Desk()
    desk.hear(remark(name=name))
    [entry] = desk.journal.due(desk.now)
    assert entry.name.rpartition(".")[0] == kept
    assert len(entry.name) <= 253
