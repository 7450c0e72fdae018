"""What is said of a Saga: state in, conditions out."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import Note, Resource
from sagamesh_operator.sagas.acceptance import Acceptance, judge
from sagamesh_operator.sagas.standing import (
    FOREIGN,
    NATS_REFUSED,
    NATS_UNAVAILABLE,
    SIDECAR_TOO_OLD,
    NotDistributed,
    Readiness,
    Standing,
)
from sagamesh_operator.sagas.status import conditions, news, status

DOCUMENT = {
    "apiVersion": "sagamesh.dev/v1alpha1",
    "kind": "Saga",
    "metadata": {"name": "checkout", "namespace": "shop"},
    "spec": {
        "start": {"participant": "orders", "event": "order.placed"},
        "steps": [
            {
                "name": "charge",
                "participant": "payments",
                "after": ["order.placed"],
                "pivot": True,
                "action": {"path": "/charges"},
            }
        ],
    },
}
GOOD = judge(DOCUMENT)
REFUSED = Acceptance(documents={}, steps=1, reason="SM003,SM007", message="SM003 ...; SM007 ...")
STANDS = Standing(
    active=GOOD.revision,
    replicas=3,
    participants=(Readiness("orders", 2, 2), Readiness("payments", 1, 1)),
)


def seen(**more: Any) -> Resource:
    return Resource(
        **{
            "key": SagaKey("shop", "checkout"),
            "uid": "u",
            "generation": 7,
            "version": "12",
            "document": DOCUMENT,
            "status": {},
        }
        | more
    )


def said(acceptance: Acceptance, standing: Standing) -> dict[str, tuple[str, str]]:
    return {each.kind: (each.status, each.reason) for each in conditions(acceptance, standing)}


def test_all_is_well() -> None:
    assert said(GOOD, STANDS) == {
        "Accepted": ("True", "Accepted"),
        "Distributed": ("True", "Distributed"),
        "Ready": ("True", "Ready"),
        "Stalled": ("False", "Ready"),
    }


def test_what_the_checks_refuse_is_stalled_with_their_codes() -> None:
    assert said(REFUSED, Standing(active="0123456789")) == {
        "Accepted": ("False", "SM003,SM007"),
        "Distributed": ("False", "NotAccepted"),
        "Ready": ("False", "NotAccepted"),
        "Stalled": ("True", "NotAccepted"),
    }
    [distributed] = [each for each in conditions(REFUSED, Standing(active="0123456789")) if each.kind == "Distributed"]
    assert distributed.message == "the checks refuse this spec; revision 0123456789 stays active"


@pytest.mark.parametrize(
    ("problem", "distributed", "ready", "stalled"),
    [
        (
            NotDistributed(NATS_UNAVAILABLE, "away", lasting=False),
            ("Unknown", NATS_UNAVAILABLE),
            ("Unknown", NATS_UNAVAILABLE),
            ("False", "Progressing"),
        ),
        (
            NotDistributed(NATS_REFUSED, "full", lasting=True),
            ("False", NATS_REFUSED),
            ("False", "NotDistributed"),
            ("True", NATS_REFUSED),
        ),
        (
            NotDistributed(FOREIGN, "theirs", lasting=True),
            ("False", FOREIGN),
            ("False", "NotDistributed"),
            ("True", FOREIGN),
        ),
        (
            NotDistributed(SIDECAR_TOO_OLD, "old", lasting=True),
            ("False", SIDECAR_TOO_OLD),
            ("False", "NotDistributed"),
            ("True", SIDECAR_TOO_OLD),
        ),
    ],
    ids=lambda value: value.reason if isinstance(value, NotDistributed) else "",
)
def test_what_stands_in_the_way_is_said_and_whether_it_passes(
    problem: NotDistributed, distributed: tuple[str, str], ready: tuple[str, str], stalled: tuple[str, str]
) -> None:
    told = said(GOOD, replace(STANDS, problem=problem))
    assert (told["Distributed"], told["Ready"], told["Stalled"]) == (distributed, ready, stalled)


@pytest.mark.parametrize(
    ("payments", "reason", "message"),
    [
        ((0, 0), "SidecarsMissing", "no sidecar tells of itself at payments"),
        ((3, 2), "SidecarsBehind", f"revision {GOOD.revision} is not held yet by every sidecar of payments"),
    ],
)
def test_it_is_ready_when_every_sidecar_of_everybody_holds_the_rules(
    payments: tuple[int, int], reason: str, message: str
) -> None:
    standing = replace(STANDS, participants=(Readiness("orders", 1, 1), Readiness("payments", *payments)))
    [ready] = [each for each in conditions(GOOD, standing) if each.kind == "Ready"]
    assert (ready.status, ready.reason, ready.message) == ("False", reason, message)
    assert said(GOOD, standing)["Stalled"] == ("False", "Progressing"), "they may still come"


def test_a_long_list_of_participants_is_cut() -> None:
    many = tuple(Readiness(f"p{n}", 0, 0) for n in range(8))
    [ready] = [each for each in conditions(GOOD, replace(STANDS, participants=many)) if each.kind == "Ready"]
    assert ready.message == "no sidecar tells of itself at p0, p1, p2, p3, p4 and 3 more"


def test_one_server_only_is_said() -> None:
    [distributed] = [each for each in conditions(GOOD, replace(STANDS, replicas=1)) if each.kind == "Distributed"]
    assert "one server only" in distributed.message


def test_the_status_counts() -> None:
    found = status(seen(), GOOD, STANDS, 1_800_000_000.5)
    assert found["conditions"][0]["lastTransitionTime"] == "2027-01-15T08:00:00Z"
    assert {key: value for key, value in found.items() if key != "conditions"} == {
        "observedGeneration": 7,
        "revision": GOOD.revision,
        "activeRevision": GOOD.revision,
        "steps": 1,
        "participantCount": 2,
        "synced": "3/3",
        "replicas": 3,
        "participants": [
            {"name": "orders", "sidecars": 2, "synced": 2},
            {"name": "payments", "sidecars": 1, "synced": 1},
        ],
    }


def test_the_time_of_a_transition_stays_until_the_status_changes() -> None:
    first = status(seen(), GOOD, replace(STANDS, participants=()), 1_800_000_000.0)
    behind = replace(STANDS, participants=(Readiness("orders", 1, 0),))
    second = status(seen(status=first, generation=8), GOOD, behind, 1_800_000_060.0)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times["Distributed"] == "2027-01-15T08:00:00Z"
    assert times["Ready"] == "2027-01-15T08:01:00Z"
    assert {each["observedGeneration"] for each in second["conditions"]} == {8}


def test_a_message_of_any_length_fits() -> None:
    found = status(seen(), replace(REFUSED, message="x" * 100_000), Standing(), 0.0)
    assert max(len(each["message"]) for each in found["conditions"]) <= 4000


# -- Events --------------------------------------------------------------------------------------------------------


def told(
    before: Standing | None, after: Standing, acceptance: Acceptance = GOOD, old: Acceptance = GOOD
) -> Note | None:
    first = status(seen(), old, before, 0.0) if before else {}
    return news(first, status(seen(), acceptance, after, 1.0))


NOBODY = replace(STANDS, participants=(Readiness("orders", 0, 0), Readiness("payments", 0, 0)))


def test_one_event_for_one_change() -> None:
    assert told(None, NOBODY) == Note("Warning", "SidecarsMissing", "no sidecar tells of itself at orders, payments")
    assert told(NOBODY, STANDS) == Note("Normal", "Ready", f"every sidecar holds revision {GOOD.revision}")
    assert told(None, Standing(), REFUSED) == Note("Warning", "Refused", REFUSED.message)
    away = replace(STANDS, problem=NotDistributed(NATS_UNAVAILABLE, "away", lasting=False))
    assert told(STANDS, away) == Note("Warning", NATS_UNAVAILABLE, "away")
    assert told(away, STANDS) == Note("Normal", "Ready", f"every sidecar holds revision {GOOD.revision}")


def test_what_is_no_news_is_no_event() -> None:
    assert told(STANDS, STANDS) is None
    assert (
        told(
            STANDS,
            replace(STANDS, participants=(Readiness("orders", 5, 5), Readiness("payments", 1, 1))),
        )
        is None
    )
    waiting = replace(STANDS, participants=(Readiness("orders", 1, 0), Readiness("payments", 1, 1)))
    assert told(STANDS, waiting) is None, "a pod that starts is no news"


def test_a_new_revision_that_is_not_held_yet_is_news() -> None:
    waiting = replace(STANDS, active="1111111111", participants=(Readiness("orders", 1, 0),))
    assert told(STANDS, waiting) == Note("Normal", "Distributed", "new instances take revision 1111111111")
