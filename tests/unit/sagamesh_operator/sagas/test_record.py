"""What is remembered of one saga: what is news, what is old, and what a deletion takes away."""

from __future__ import annotations

from typing import Any

import pytest

from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import Resource
from sagamesh_operator.sagas.acceptance import judge
from sagamesh_operator.sagas.record import SagaRecord, SagaRecords
from sagamesh_operator.sagas.standing import Standing

DOCUMENT = {
    "apiVersion": "sagamesh.dev/v1alpha1",
    "kind": "Saga",
    "metadata": {"name": "checkout", "namespace": "shop"},
    "spec": {
        "start": {"participant": "orders", "event": "go"},
        "steps": [{"name": "a", "participant": "payments", "after": ["go"], "pivot": True, "action": {"path": "/a"}}],
    },
}

JUDGED = judge(DOCUMENT)


def seen(version: int, **more: Any) -> Resource:
    whole = {"uid": "one", "generation": 1, "document": DOCUMENT, "status": {}} | more
    return Resource(key=SagaKey("shop", "checkout"), version=str(version), **whole)


def known(*resources: Resource) -> SagaRecord:
    """A record that has seen these, was distributed, and is at rest."""
    record = SagaRecord()
    for resource in resources:
        record.see(resource)
    record.due, record.standing = False, Standing(active="r")
    return record


def test_what_is_new_is_to_be_distributed() -> None:
    record = SagaRecord()
    assert record.see(seen(5))
    assert record.due
    assert (record.resource, record.uid) == (seen(5), "one")


@pytest.mark.parametrize(
    ("next_", "changed"),
    [
        (seen(6), False),
        (seen(6, status={"steps": 1}), False),
        (seen(6, generation=2), True),
        (seen(6, uid="two"), True),
    ],
    ids=["the same", "another status", "another spec", "created again"],
)
def test_only_another_spec_or_another_object_needs_a_turn(next_: Resource, changed: bool) -> None:
    record = known(seen(5))
    assert record.see(next_) is changed
    assert record.due is changed
    assert record.resource == next_


def test_an_object_that_was_there_before_and_is_shown_late_is_old_news() -> None:
    record = known(seen(5))
    assert not record.see(seen(4, uid="two"))
    assert record.resource == seen(5)


def test_what_is_older_than_what_is_known_is_ignored() -> None:
    record = known(seen(5))
    assert not record.see(seen(4, generation=2, status={"steps": 1}))
    assert (record.resource, record.said, record.due) == (seen(5), {}, False)


def test_what_is_to_be_distributed_stays_so_until_it_is() -> None:
    record = known(seen(5))
    record.due = True
    record.see(seen(6))
    assert record.due


def test_what_stands_in_the_resource_was_said_as_soon_as_it_is_as_new_as_what_we_wrote() -> None:
    record = known(seen(5, status={"steps": 1}))
    assert record.said == {"steps": 1}
    record.say(7, {"steps": 2})
    record.see(seen(6, status={"steps": 1}))
    assert record.said == {"steps": 2}, "the watch is behind our own write"
    record.see(seen(7, status={"steps": 3}))
    assert record.said == {"steps": 3}


def test_a_write_of_ours_that_is_told_late_takes_no_version_back() -> None:
    record = known(seen(9))
    record.say(7, {"steps": 2})
    record.see(seen(9, status={"steps": 3}))
    assert record.said == {"steps": 3}
    record.say(7, {"steps": 2})
    record.resource = seen(8)
    record.see(seen(8, status={"steps": 1}))
    assert record.said == {"steps": 2}


def test_another_object_of_that_name_was_told_nothing_yet() -> None:
    record = known(seen(5, status={"steps": 1}))
    record.see(seen(6, uid="two"))
    assert record.said == {}


def test_a_deletion_takes_everything_but_what_its_end_needs() -> None:
    record = known(seen(5, status={"steps": 1}))
    record.judge(seen(5), JUDGED)
    record.due, record.failures, record.told_at = True, 3, 7.0
    record.lose()
    assert record == SagaRecord(uid="one", failures=3, told_at=7.0)


def test_what_was_deleted_and_created_again_is_another_one() -> None:
    record = known(seen(5))
    assert record.is_still(seen(6, generation=2))
    assert not record.is_still(seen(6, uid="two"))
    record.lose()
    assert not record.is_still(seen(5))


def test_a_spec_is_judged_once() -> None:
    record = known(seen(5))
    assert record.judged(seen(5)) is None
    record.judge(seen(5), JUDGED)
    assert record.judged(seen(5)) is JUDGED
    assert record.judged(seen(6)) is JUDGED
    assert record.judged(seen(7, generation=2)) is None
    assert record.judged(seen(8, uid="two")) is None


def test_who_takes_part_in_it_concerns_it_and_in_a_deleted_one_everybody() -> None:
    record = known(seen(5))
    assert not record.concerns("payments"), "it was not looked at yet, and will be"
    record.judge(seen(5), JUDGED)
    assert record.concerns("payments")
    assert record.concerns("orders")
    assert not record.concerns("shipping")
    record.lose()
    assert record.concerns("shipping")


def test_there_is_one_record_a_saga_until_nothing_of_it_is_left() -> None:
    records = SagaRecords()
    key, other = SagaKey("shop", "checkout"), SagaKey("bar", "checkout")
    records.of(key).see(seen(5))
    assert records.of(key).resource == seen(5)
    assert records.of(other).resource is None
    assert records.present() == {key: seen(5)}
    records.drop(key)
    assert records.of(key) == SagaRecord()


def test_news_of_sidecars_concern_sagas_of_their_namespace() -> None:
    records = SagaRecords()
    there, gone, elsewhere = SagaKey("shop", "checkout"), SagaKey("shop", "refund"), SagaKey("bar", "checkout")
    records.of(there).see(seen(5))
    records.of(there).judge(seen(5), JUDGED)
    records.of(gone)
    records.of(elsewhere)
    assert records.concerned("shop", "payments") == [there, gone]
    assert records.concerned("shop", "shipping") == [gone]
