"""What `sagamesh get` shows of resources and Events. And that the command is told well from that about an instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from sagamesh_cli.main import app
from sagamesh_cli.views.saga_table import TITLES, UNSEEN, WIDE, age, details, document, lines, names, shown
from sagamesh_operator import crd

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
STANDS: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "checkout", "generation": 2, "creationTimestamp": "2026-01-02T11:00:00Z"},
    "status": {
        "observedGeneration": 2,
        "revision": "5f0c9a1e77",
        "activeRevision": "5f0c9a1e77",
        "synced": "3/3",
        "participants": [
            {"name": "orders", "sidecars": 2, "synced": 2},
            {"name": "payments", "sidecars": 1, "synced": 1},
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "every sidecar holds revision 5f0c9a1e77",
                "lastTransitionTime": "2026-01-02T11:00:05Z",
                "observedGeneration": 2,
            }
        ],
    },
}
NEW: dict[str, Any] = {"metadata": {**STANDS["metadata"], "name": "new", "generation": 1}}


def event(reason: str, time: str, name: str = "refund", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": "2026-01-02T00:00:00Z"},
        "regarding": {"apiVersion": "sagamesh.dev/v1alpha1", "kind": "Saga", "namespace": "shop", "name": name},
        "reportingController": "sagamesh.dev/operator",
        "reason": reason,
        "note": f"{reason} at {time}",
        "eventTime": f"2026-01-02T{time}:00.000000Z",
    } | more


def test_a_saga_is_a_row_as_kubectl_shows_it() -> None:
    assert lines(shown([STANDS], []), NOW, with_namespace=False) == [
        "NAME      READY  REVISION    PARTICIPANTS  SYNCED  AGE",
        "checkout  True   5f0c9a1e77  2             3/3     60m",
    ]


def test_wide_it_says_why_as_kubectl_does() -> None:
    told = lines(shown([STANDS], [event("Retiring", "11:00")]), NOW, with_namespace=False, wide=True)
    assert told[:3] == [
        "NAME      READY     REVISION    PARTICIPANTS  SYNCED  AGE  REASON",
        "checkout  True      5f0c9a1e77  2             3/3     60m  Ready",
        "refund    Retiring  -           -             -       -    -",
    ]
    assert lines(shown([STANDS], []), NOW, with_namespace=True, wide=True)[0].endswith("AGE  REASON")
    assert [title for title, *_ in crd.COLUMNS] == list(TITLES[1:])
    assert [title for title, *_ in crd.WIDE] == [WIDE]


def test_names_are_those_that_kubectl_takes_and_finds() -> None:
    assert names(shown([STANDS, NEW], [event("Retiring", "11:00")])) == [
        "saga.sagamesh.dev/checkout",
        "saga.sagamesh.dev/new",
    ]


def test_of_all_namespaces_theirs_comes_first() -> None:
    assert lines(shown([STANDS], []), NOW, with_namespace=True)[1].startswith("shop       checkout  True ")


def test_what_the_operator_has_not_looked_at_is_not_known() -> None:
    assert lines(shown([NEW], []), NOW, with_namespace=False) == [
        "NAME  READY    REVISION  PARTICIPANTS  SYNCED  AGE",
        "new   Unknown  -         -             -       60m",
        "",
        f"new: {UNSEEN}",
    ]


def test_a_deleted_saga_that_runs_is_shown_by_its_newest_event() -> None:
    events = [event("Retiring", "11:30"), event("Retiring", "11:00")]
    [saga] = shown([], events)
    assert (saga.namespace, saga.name, saga.ready) == ("shop", "refund", "Retiring")
    assert saga.note == "deleted; Retiring at 11:30"
    assert lines([saga], NOW, with_namespace=True)[-1] == "shop/refund: deleted; Retiring at 11:30"


@pytest.mark.parametrize(
    "events",
    [
        [event("Retiring", "11:00"), event("Retired", "11:30")],
        [event("Retiring", "11:00", name="checkout")],
        [event("Retiring", "11:00", reportingController="somebody.else")],
        [event("Retiring", "11:00", regarding={"kind": "Pod", "namespace": "shop", "name": "refund"})],
        [event("Ready", "11:00")],
    ],
    ids=["gone", "created again", "somebody else's", "about another kind", "of another reason"],
)
def test_no_other_event_counts(events: list[dict[str, Any]]) -> None:
    assert [saga.name for saga in shown([STANDS], events)] == ["checkout"]


def test_retired_and_deleted_once_more() -> None:
    events = [event("Retired", "11:00"), event("Retiring", "11:30"), event("Retiring", "10:00")]
    assert [saga.name for saga in shown([], events)] == ["refund"]


def test_an_event_without_a_time_counts_from_its_creation() -> None:
    assert shown([], [event("Retiring", "11:00", eventTime=None), event("Retired", "11:00")]) == []


def test_one_saga_in_full() -> None:
    assert details(shown([STANDS], [])[0]) == [
        "shop/checkout ready",
        "  created   2026-01-02T11:00:00Z",
        "  revision  5f0c9a1e77",
        "  active    5f0c9a1e77",
        "",
        "CONDITION  STATUS  REASON  MESSAGE",
        "Ready      True    Ready   every sidecar holds revision 5f0c9a1e77",
        "",
        "PARTICIPANT  SIDECARS  SYNCED",
        "orders       2         2",
        "payments     1         1",
    ]


def test_wide_conditions_say_since_when() -> None:
    told = details(shown([STANDS], [])[0], wide=True)
    assert told[5:7] == [
        "CONDITION  STATUS  REASON  SINCE                 MESSAGE",
        "Ready      True    Ready   2026-01-02T11:00:05Z  every sidecar holds revision 5f0c9a1e77",
    ]


def test_nothing_of_it_moves_the_cursor() -> None:
    evil = {**STANDS["status"]["conditions"][0], "message": "a\x1b[2J\nb"}
    told = details(shown([{**STANDS, "status": {**STANDS["status"], "conditions": [evil]}}], [])[0])
    assert "Ready      True    Ready   a\\u001b[2J\\nb" in told


def test_for_programs_names_are_those_of_the_status() -> None:
    found = document(shown([STANDS], [])[0])
    assert found["activeRevision"] == "5f0c9a1e77"
    assert found["participants"][0] == {"name": "orders", "sidecars": 2, "synced": 2}
    assert found["conditions"][0]["lastTransitionTime"] == "2026-01-02T11:00:05Z"
    assert document(shown([], [event("Retiring", "11:00")])[0])["ready"] == "Retiring"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (10_799, "179m"), (10_800, "3h"), (172_800, "2d")],
)
def test_age(seconds: int, said: str) -> None:
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == said


@pytest.mark.parametrize("arguments", [("-n", "shop"), ("-A",), ("--context", "prod")])
def test_an_instance_is_none_of_the_clusters(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["get", "checkout", "o-17", *arguments])
    assert done.exit_code == 2
    assert "name it with --url alone" in done.stderr


def test_one_saga_is_in_one_namespace() -> None:
    done = CliRunner().invoke(app, ["get", "checkout", "-A"])
    assert done.exit_code == 2
    assert "name it with -n" in done.stderr
