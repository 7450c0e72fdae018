"""What is known of a saga in NATS: whose sidecars hold it, which of them are too old, and why it does not stand."""

from __future__ import annotations

import pytest

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.distribution.plan import ForeignStreamError
from sagamesh.errors import SagameshError, UnavailableError
from sagamesh.log.registers import SagaKey
from sagamesh.rules.local import FORMAT
from sagamesh_jetstream.client.ports import JetStreamError
from sagamesh_jetstream.upkeep.fleet import Fleet
from sagamesh_operator.resource import Resource
from sagamesh_operator.sagas.acceptance import judge
from sagamesh_operator.sagas.standing import NotDistributed, Standing, readiness, remembered, too_old, why_not

KEY = SagaKey("shop", "checkout")
GOOD = judge(
    {
        "apiVersion": "sagamesh.dev/v1alpha1",
        "kind": "Saga",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "start": {"participant": "orders", "event": "go"},
            "steps": [
                {"name": "a", "participant": "payments", "after": ["go"], "pivot": True, "action": {"path": "/a"}}
            ],
        },
    }
)


def fleet(*told: Heartbeat) -> Fleet:
    live = Fleet()
    for each in told:
        subject = buckets.heartbeat_subject(each.namespace, each.participant, each.pod)
        live.hear(subject, heartbeat.encode(each), 0.0)
    return live


def test_each_participant_is_as_ready_as_its_sidecars() -> None:
    holds = {"checkout": (GOOD.revision,)}
    live = fleet(
        Heartbeat(namespace="shop", participant="payments", pod="1", holds=holds),
        Heartbeat(namespace="shop", participant="payments", pod="2"),
        Heartbeat(namespace="bar", participant="orders", pod="1", holds=holds),
    )
    assert readiness(KEY, GOOD, live) == (("orders", 0, 0), ("payments", 2, 1))


def test_a_sidecar_that_cannot_read_the_format_is_named() -> None:
    live = fleet(
        Heartbeat(namespace="shop", participant="payments", pod="p-1", formats=(FORMAT, FORMAT + 1)),
        Heartbeat(namespace="shop", participant="payments", pod="p-2", formats=(FORMAT - 1,)),
    )
    problem = too_old(KEY, GOOD, live)
    assert problem is not None
    assert (problem.reason, problem.lasting) == ("SidecarTooOld", True)
    assert problem.message.startswith(f"the sidecar in pod p-2 of payments cannot read rules of format {FORMAT}; ")


def test_nobody_else_s_sidecar_is_too_old_for_it() -> None:
    ancient = {"pod": "1", "formats": (FORMAT - 1,)}
    live = fleet(
        Heartbeat(namespace="bar", participant="payments", **ancient),
        Heartbeat(namespace="shop", participant="shipping", **ancient),
    )
    assert too_old(KEY, GOOD, live) is None


@pytest.mark.parametrize(
    ("error", "reason", "lasting"),
    [
        (ForeignStreamError("SAGA_shop_checkout", None, "ours"), "ForeignStream", True),
        (UnavailableError("away"), "NatsUnavailable", False),
        (JetStreamError("STREAM.CREATE.x", 500, 10047, "no room"), "NatsRefused", True),
        (SagameshError("undone each time"), "NatsRefused", True),
    ],
)
def test_why_a_revision_does_not_stand(error: SagameshError, reason: str, lasting: bool) -> None:
    assert why_not(error) == NotDistributed(reason, str(error), lasting)


def test_an_operator_that_starts_knows_what_the_status_says() -> None:
    status = {"activeRevision": "r", "replicas": 3, "steps": 4}
    resource = Resource(key=KEY, uid="u", generation=1, version="1", document={}, status=status)
    assert remembered(resource) == Standing(active="r", replicas=3)
