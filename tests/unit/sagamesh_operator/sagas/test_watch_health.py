"""A watch that tells nothing any more is found out; one that has nothing to tell is left alone."""

from __future__ import annotations

from sagamesh.log.registers import SagaKey
from sagamesh_operator.sagas.watch_health import GRACE, Watching

A, B = SagaKey("shop", "a"), SagaKey("shop", "b")


def test_a_cluster_in_which_nothing_happens_is_no_dead_watch() -> None:
    watching = Watching()
    watching.told(A, "5")
    for now in range(0, 1000, 60):
        watching.listed({A: "5"}, float(now))
        assert not watching.dead(float(now))


def test_what_is_listed_and_never_told_proves_it_dead() -> None:
    watching = Watching()
    watching.listed({A: "5"}, 0.0)
    assert not watching.dead(GRACE)
    watching.listed({A: "5"}, GRACE)
    assert watching.dead(GRACE + 1)
    assert watching.behind(GRACE + 1) == GRACE + 1


def test_what_is_told_late_is_fine() -> None:
    watching = Watching()
    watching.told(A, "5")
    watching.listed({A: "9"}, 0.0)
    watching.told(A, "7")
    assert watching.behind(10.0) == 10.0, "that was older than what the list showed"
    watching.told(A, "9")
    assert watching.behind(10.0) == 0.0
    watching.listed({A: "12"}, 20.0)
    watching.told(A, "15")
    assert watching.behind(30.0) == 0.0


def test_a_deletion_is_owed_too() -> None:
    watching = Watching()
    watching.told(A, "5")
    watching.told(B, "6")
    watching.listed({B: "6"}, 0.0)
    assert watching.dead(GRACE + 1)
    watching.forget(A)
    assert not watching.dead(GRACE + 1)


def test_what_was_deleted_and_made_anew_between_two_lists_is_no_debt() -> None:
    watching = Watching()
    watching.told(A, "5")
    watching.listed({}, 0.0)
    watching.forget(A)
    watching.told(A, "8")
    watching.listed({A: "8"}, 60.0)
    assert watching.behind(100.0) == 0.0


def test_what_was_owed_and_is_gone_by_the_next_list_is_owed_no_more() -> None:
    watching = Watching()
    watching.listed({A: "5"}, 0.0)
    watching.listed({}, 60.0)
    assert watching.behind(100.0) == 0.0
