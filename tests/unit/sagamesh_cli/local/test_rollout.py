"""Whose word is still missing, before a revision is said to be in force."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh_cli.local.rollout import awaited
from sagamesh_jetstream.upkeep.fleet import Fleet
from support.builders import shapes

AWAITED = awaited(shapes.straight(1), "{}-1".format)
HOLDS = {AWAITED.saga: ("0123456789", AWAITED.revision)}
STEP = Heartbeat(namespace="default", participant="p-s0", pod="p-s0-1", holds=HOLDS)
STARTER = replace(STEP, participant="app", pod="app-1", starts={AWAITED.saga: AWAITED.revision})
LATE = {AWAITED.saga: ("0123456789",)}


@pytest.mark.parametrize(
    ("live", "missing"),
    [
        ([STEP, STARTER], []),
        ([], ["app", "p-s0"]),
        ([STEP], ["app"]),
        ([replace(STEP, holds=LATE), STARTER], ["p-s0"]),
        ([STEP, replace(STARTER, starts={AWAITED.saga: "0123456789"})], ["app"]),
        ([STEP, replace(STARTER, starts={})], ["app"]),
        ([replace(STEP, pod="somebody-else"), STARTER], ["p-s0"]),
        ([replace(STEP, namespace="bar"), STARTER], ["p-s0"]),
    ],
    ids=range(8),
)
def test_who_has_not_told_yet(live: list[Heartbeat], missing: list[str]) -> None:
    fleet = Fleet()
    for one in live:
        subject = buckets.heartbeat_subject(one.namespace, one.participant, one.pod)
        fleet.hear(subject, heartbeat.encode(one), 0.0)
    assert sorted(AWAITED.missing(fleet)) == missing
